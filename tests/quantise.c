#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../tools/folded.h"
#include "../tools/quantise.h"
#include "test.h"
int main(int argc,char**argv){
  lowered net; rn_error error; rn_archive a; rn_entry e; (void)argc;
  const char *shared="../../shared/mlperf_tiny/"; char path[256];
  snprintf(path,256,"%sweights_int8.safetensors",shared);
  CHECK(read_folded(&net,path,32,32)); set_arithmetic(&net);
  snprintf(path,256,"%sint8_tensors4.safetensors",shared);
  check(rn_archive_open(&a,path,NULL,&error),&error);
  int16_t **f=make_filters(&net); integer_run r=make_integer_run(&net,f);
  for(int n=0;n<4;n++) for(int plainly=0;plainly<2;plainly++){
    uint8_t px[3072]; int8_t buf[16384];
    check(rn_archive_find(&a,"input",&e,&error),&error); check(rn_archive_read(&a,&e,3072*n,buf,3072,&error),&error);
    for(int p=0;p<1024;p++)for(int c=0;c<3;c++)px[c*1024+p]=(uint8_t)(buf[p*3+c]+128);
    run_integers(&r,px,plainly);
    for(int i=1;i<net.count;i++){ size_t k,cnt=value_count(&net.layers[i]),bad=0; check(rn_archive_find(&a,net.layers[i].name,&e,&error),&error); check(rn_archive_read(&a,&e,cnt*n,buf,cnt,&error),&error);
      for(k=0;k<cnt;k++)bad+=buf[k]!=r.values[i][k]; CHECK_INT(bad,0); if(bad)printf("%s\n",net.layers[i].name);} }
  if(argc>1){ static uint8_t rec[3073]; FILE*t=fopen(argv[1],"rb"),*lg; snprintf(path,256,"%sint8_logits.i8",shared); lg=fopen(path,"rb"); int bad=0; for(int n=0;n<10000;n++){int8_t want[10]; fread(rec,1,3073,t); fread(want,1,10,lg); run_integers(&r,rec+1,0); for(int k=0;k<10;k++)bad+=want[k]!=r.values[net.count-1][k];} CHECK_INT(bad,0);}
  return test_end("quantise");
}

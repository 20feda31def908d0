/* nets.h - nets by the names that people know them by. Include it behind
   example.h. */
#ifndef TOOLS_NETS_H
#define TOOLS_NETS_H

/* Fields of the description, as KEY=VALUE, that differ from those of rn_cifar(0). */
typedef struct named_net {
    const char *name, *fields;
} named_net;

#define NETS_TORCHVISION "stem=imagenet order=original stride_on=3x3 resize=B_bn "
/* timm's pre-activation family: nothing stands between the stem's last convolution and its pool,
   and the projection that the first units of bottleneck stages always have reads what is
   activated. */
#define NETS_TIMM "bare_stem=1 raw_identity=1 stride_on=3x3 "
#define NETS_TIMM_PLAIN NETS_TIMM "stem=imagenet resize=B "
#define NETS_TIMM_D NETS_TIMM "stem=deep resize=D "
#define NETS_BIT                                                                   \
    NETS_TIMM "stem=bit resize=B always_project=1 norm=group_norm norm_groups=32 " \
              "weight_standardisation=1 "

static const named_net named_nets[] = {
    {"resnet20", "depth=20"},
    {"resnet20-original", "depth=20 order=original"},
    {"resnet110", "depth=110"},
    {"resnet110-original", "depth=110 order=original"},
    {"resnet164", "depth=164"},
    {"resnet164-original", "depth=164 order=original"},
    {"resnet1001", "depth=1001"},
    {"resnet1001-original", "depth=1001 order=original"},
    {"resnet50", "stem=imagenet depth=50"},
    {"resnet18-original", NETS_TORCHVISION "depth=18"},
    {"resnet34-original", NETS_TORCHVISION "depth=34"},
    {"resnet50-original", NETS_TORCHVISION "depth=50"},
    {"resnet101-original", NETS_TORCHVISION "depth=101"},
    {"resnet152-original", NETS_TORCHVISION "depth=152"},
    {"resnetv2_18", NETS_TIMM_PLAIN "depth=18"},
    {"resnetv2_34", NETS_TIMM_PLAIN "depth=34"},
    {"resnetv2_50", NETS_TIMM_PLAIN "depth=50 always_project=1"},
    {"resnetv2_101", NETS_TIMM_PLAIN "depth=101 always_project=1"},
    {"resnetv2_152", NETS_TIMM_PLAIN "depth=152 always_project=1"},
    {"resnetv2_18d", NETS_TIMM_D "depth=18"},
    {"resnetv2_34d", NETS_TIMM_D "depth=34"},
    {"resnetv2_50d", NETS_TIMM_D "depth=50 always_project=1"},
    {"resnetv2_50d_gn", NETS_TIMM_D "depth=50 always_project=1 norm=group_norm norm_groups=32"},
    {"resnetv2_50d_evos", NETS_TIMM_D "depth=50 always_project=1 norm=evonorm_s0 norm_groups=32"},
    {"resnetv2_50x1_bit", NETS_BIT "depth=50"},
    {"resnetv2_50x3_bit", NETS_BIT "depth=50 base_width=192"},
    {"resnetv2_101x1_bit", NETS_BIT "depth=101"},
    {"resnetv2_101x3_bit", NETS_BIT "depth=101 base_width=192"},
    {"resnetv2_152x2_bit", NETS_BIT "depth=152 base_width=128"},
    {"resnetv2_152x4_bit", NETS_BIT "depth=152 base_width=256"},
};
enum { NAMED_NETS = (int)(sizeof named_nets / sizeof named_nets[0]) };

/* The description of a net of the table, before rn_resolve; 0 if there is none of this name. */
static inline int describe_named(rn_desc *desc, const char *name) {
    int i = 0;
    while (i < NAMED_NETS && strcmp(named_nets[i].name, name) != 0) i++;
    if (i == NAMED_NETS) return 0;
    *desc = rn_cifar(0);
    set_fields(desc, named_nets[i].fields, NULL);
    return 1;
}

#endif /* TOOLS_NETS_H */

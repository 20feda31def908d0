/* other.h - what other.c offers to main.c. */
#ifdef __cplusplus
extern "C" {
#endif
rn_desc other_desc(void);
size_t other_bytes(const rn_desc *desc, int batch, const rn_memory *memory);
ptrdiff_t other_names(const rn_net *net);
int other_layers(void);
#ifdef __cplusplus
}
#endif

/* allocator.h - an allocator of somebody's own, for RESNET_MALLOC and RESNET_FREE. */
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
void *mine_alloc(size_t bytes);
void mine_free(void *memory);
#ifdef __cplusplus
}
#endif

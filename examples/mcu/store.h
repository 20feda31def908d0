/* store.h - checkpoints in the flash of a microcontroller, such that a power cut at any moment
   loses at most what came since the last one: an rn_files over two slots. The flash is simulated:
   it is memory that behaves like it, and a file of the computer keeps it while the power is off. */

#ifndef STORE_H
#define STORE_H

#include "../../resnet.h"

enum {
    STORE_PAGE = 4096,           /* what is erased at once */
    STORE_SLOT = 20 * STORE_PAGE /* one checkpoint */
};

/* The flash as it was when the power went, from a file of the computer (NULL: a new one, as after a
   mass erase, and nothing is kept). 1 if a checkpoint is in it. */
int store_begin(const char *path);

/* Keeps the flash in that file, as the power goes. */
void store_end(void);

/* What rn_save_checkpoint and rn_load take, with any path: there is one file. Saving writes the
   slot that does not hold the newest checkpoint; only the rename, which is the last that it does,
   makes that slot the newest. Loading reads the newest. */
const rn_files *store_files(void);

/* The newest checkpoint does not load: takes its mark away. 1 if there is an older one. */
int store_reject(void);

/* The power goes when so many bytes more have been erased or programmed. */
void store_cut_after(uint64_t bytes);

#endif

# What the programs are compiled with, here and in ../tools. CC and CFLAGS are yours (default: cc, -O2);
# OPENMP=0 builds without threads, STB= without stb_image, STB='<stb_image.h>' with one that the compiler
# finds under that name.

CFLAGS ?= -O2
OPENMP ?= 1

# A compiler without OpenMP builds without threads.
ifneq ($(OPENMP),0)
THREADS := $(shell echo 'int main(void) { return 0; }' | \
	$(CC) -fopenmp -x c - -o /dev/null 2>/dev/null && echo -fopenmp)
endif

# PNG and JPEG are read where stb_image is. (Makes differ in what \# is within $(shell).)
HASH := \#
STB := $(firstword $(foreach name,<stb/stb_image.h> <stb_image.h>,$(shell \
	echo '$(HASH)include $(name)' | $(CC) $(CFLAGS) -x c -E - >/dev/null 2>&1 && echo '$(name)')))
ifneq ($(STB),)
PICTURES := -DSTB_IMAGE='$(STB)'
endif

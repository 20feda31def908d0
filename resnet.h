/* resnet.h - deep residual networks in one C header: train them, run them, read them.

   The system of "Identity Mappings in Deep Residual Networks" (He, Zhang, Ren, Sun 2016, [IM]
   below) and its predecessor "Deep Residual Learning for Image Recognition" (2015, [DRL]): CIFAR
   nets of any depth, 1001 layers included, ImageNet nets 18 to 200, the five orders of activation,
   the shortcuts of their tables, batch normalisation, SGD, data and files. C99 that is also C++11;
   nothing but libc and libm; OpenMP if you like. MIT or public domain, see the end of the file.

   USE.  In ONE C or C++ file, and plainly everywhere else:

       #define RESNET_IMPLEMENTATION
       #include "resnet.h"

       cc -O2 program.c -lm               (no -march flag is needed)

   For threads add -fopenmp and say how many: desc.threads = 2.

   A training program in eleven functions:

       rn_error error;
       rn_data train;
       rn_desc desc = rn_cifar(20);                        a full pre-activation ResNet-20
       rn_load_cifar(&train, "data", 10, 1, NULL, NULL, &error);
       rn_measure(&desc, &train.source, &error);           mean and deviation of the pixels
       rn_net *net = rn_create(&desc, 128, RN_TRAINING, NULL, &error);
       for (step = 0; step < 64000; step++) {
           rn_batch(&train.source, &desc, &augment, epoch, first, 128, images, labels, &error);
           rate = rn_learning_rate(&schedule, step);
           rn_train_step(net, images, labels, 128, rate, &result, &error);
       }
       rn_save(net, "net.safetensors", NULL, &error);
       rn_predict(net, rn_workspace(net), images, count, logits, &error);
       rn_destroy(net);

   What can fail returns an rn_status (0 is success), NULL or a size of 0, and writes a sentence
   into your rn_error. Nothing is printed, nothing exits, there are no globals.

   THE RESIDUAL UNIT.  A plain net learns x_{l+1} = F(x_l). A residual net learns what to add:

       y_l     = h(x_l) + F(x_l, W_l)         (1)      h: the shortcut,  F: the residual function
       x_{l+1} = f(y_l)                       (2)      f: what follows the addition

         original [DRL]: f = ReLU           full pre-activation [IM]: f = identity

              x_l                                  x_l
               |-------.                            |-------.
              conv     |                            BN      |
              BN       |                           ReLU     |
              ReLU     |                           conv     |
              conv     | h(x) = x                   BN      | h(x) = x
              BN       |                           ReLU     |
               |       |                           conv     |
              (+)<-----'                            |       |
              ReLU                                 (+)<-----'
               |                                    |
              x_{l+1}                              x_{l+1}

   With h and f identities, any deep x_L is any shallower x_l plus a sum, and the loss's gradient
   reaches every unit both directly and through the weights between:

       x_L       = x_l + sum_{i=l}^{L-1} F(x_i, W_i)                              (4)
       dE/dx_l   = dE/dx_L (1 + d/dx_l sum_{i=l}^{L-1} F(x_i, W_i))               (5)

   The "1" in (5) is why a thousand layers train. In this file it is visible twice: the planner
   gives the gradient of an addition's inputs the very memory of the addition's own gradient, for
   nothing happens to it; and a shortcut that multiplies by lambda makes it prod lambda_i (8),
   which explodes or vanishes with depth: try `shortcut = RN_SHORTCUT_SCALE`.

   Where the activations stand (Fig. 4, Table 2) is the table rn__orders below; what the shortcut
   does (Fig. 2, Table 1) is rn__emit_unit. Start reading there; the way on stands under CONTENTS.

   THE NET is a flat list of nodes, made once from the description; printer and files walk it. It is
   compiled into a program of operations, which planner, probes and the two executions walk. With
   desc.naive = 1 it runs through the naive layers of level 2, plain loops to be read beside the
   paper; otherwise through blocked, vectorised, threaded layers chosen for the machine at run time,
   which the tests hold to the naive ones. The same bits come out for any number of threads;
   instruction sets and compilers differ within rounding. Random numbers are functions of (seed,
   purpose, epoch, index), so neither batch size nor a resumed run changes them. No step allocates,
   rn_bytes tells the size of a net beforehand, and desc.budget bounds it: what is dropped then is
   computed again in backward. No call takes more than 8 KB of stack.

   OPTIONS, #defined before the #include.  "All": every file that includes the header must see the
   same; "one": only the file with the implementation.

       RESNET_IMPLEMENTATION   one   compile the implementation here
       RESNET_STATIC           all   everything static: several private copies in one program
       RNDEF                   all   what stands before public functions, default extern; say,
                                     __declspec(dllexport)
       RESNET_REAL             all   scalar type, default float; double has the naive execution
                                     only; files that disagree do not link
       RESNET_MALLOC(bytes)    one   allocator when rn_memory names none; with RESNET_FREE(memory)
       RESNET_ASSERT(x)        one   default assert; checks the header itself, never your input
       RESNET_NO_STDIO         one   no files but through rn_files, no memory but rn_memory's or
                                     RESNET_MALLOC's, if you define it; needs string.h, math.h
       RESNET_NO_TRAIN         one   inference only: smaller
       RESNET_SMALL            one   for microcontrollers: inference only, by the fast layers
                                     without Winograd, with batch norms folded into convolutions,
                                     in float: neither double nor libm is linked. Well below half
                                     the code and the memory; desc.naive and desc.unfused are
                                     refused, rn_describe says less, and rn_features knows fewer
                                     nodes
       RESNET_KINDS            one   the kinds of nodes that are compiled, default all, as bits:
                                     1 << RN_INPUT | 1 << RN_CONV2D | ...; nets with others are
                                     refused in words
       RESNET_NO_SIMD          one   portable kernels only
       RESNET_NO_THREADS       one   one thread even under OpenMP
       RESNET_FILENAME         one   the name of this file, if you renamed it: it includes itself

   CONTENTS (search for >>name). After the interface (nets, layers, random numbers, files) come,
   each calling only those above it but through the table >>kinds:

       >>shims >>text >>memory >>threads >>tensors >>random      what the rest stands on
       >>description     options with their names, defaults and checks
       >>nodes           the description becomes a list of nodes: units, orders, shortcuts
       >>naive layers    every layer as its formula says
       >>program         the list becomes an array of operations; what is fused
       >>naive passes    forward and backward over them; naive execution
       >>simd >>kernels  inner loops, compiled for each instruction set
       >>fast convolution >>fast layers    the same layers, blocked, vectorised, threaded
       >>kinds           the table of the kinds of nodes
       >>planner         what lives when, and where
       >>nets            one block of memory: create, destroy, initialise
       >>prediction >>training >>probes >>optimiser
       >>file access >>data >>pictures >>files >>weights and checkpoints >>printer

   A student reads: >>nodes, >>naive layers, of >>program the struct rn__operation (naive, it is one
   node), >>naive passes, >>training, and of >>optimiser from rn__naive_sgd on. Who wants to know
   what the fast execution does reads >>program, then what opens >>fast layers and >>fast
   convolution. "Before" and "behind" always mean the order of forward, in backward, too. */

#ifndef RESNET_H
#define RESNET_H

#include <stddef.h>
#include <stdint.h>

#if defined(RESNET_STATIC) && (defined(__GNUC__) || defined(__clang__))
#define RNDEF static __attribute__((unused))
#elif defined(RESNET_STATIC)
#define RNDEF static
#elif !defined(RNDEF)
#define RNDEF extern
#endif

#if defined(RESNET_SMALL) && !defined(RESNET_NO_TRAIN)
#define RESNET_NO_TRAIN
#endif
#ifdef RESNET_NO_TRAIN
#define RNTRAIN extern /* declared, but not there */
#else
#define RNTRAIN RNDEF
#endif

/* Files that disagree about RESNET_REAL would take each other's arrays for what they are not. So
   what makes nets and tensors, and what takes arrays, is not found by the linker: it misses
   rn_create_of_RESNET_REAL_double, say. */
#define RN__PASTE_(a, b) a##b
#define RN__PASTE(a, b) RN__PASTE_(a, b)
#define RN__IS_float 1
#define RN__IS_double 0
#ifndef RESNET_REAL
#define RESNET_REAL float
#endif
#if !RN__PASTE(RN__IS_, RESNET_REAL)
#define RN__PASTE_REAL(name, real) RN__PASTE(name##_of_RESNET_REAL_, real)
#define rn_create RN__PASTE_REAL(rn_create, RESNET_REAL)
#define rn_create_over RN__PASTE_REAL(rn_create_over, RESNET_REAL)
#define rn_create_from RN__PASTE_REAL(rn_create_from, RESNET_REAL)
#define rn_create_mapped RN__PASTE_REAL(rn_create_mapped, RESNET_REAL)
#define rn_tensor_in RN__PASTE_REAL(rn_tensor_in, RESNET_REAL)
#define rn_next_parameter RN__PASTE_REAL(rn_next_parameter, RESNET_REAL)
#define rn_find_parameter RN__PASTE_REAL(rn_find_parameter, RESNET_REAL)
#define rn_predict RN__PASTE_REAL(rn_predict, RESNET_REAL)
#define rn_features RN__PASTE_REAL(rn_features, RESNET_REAL)
#define rn_argmax RN__PASTE_REAL(rn_argmax, RESNET_REAL)
#define rn_train_step RN__PASTE_REAL(rn_train_step, RESNET_REAL)
#define rn_backpropagate RN__PASTE_REAL(rn_backpropagate, RESNET_REAL)
#define rn_recalibrate RN__PASTE_REAL(rn_recalibrate, RESNET_REAL)
#define rn_batch RN__PASTE_REAL(rn_batch, RESNET_REAL)
#define rn_preprocess RN__PASTE_REAL(rn_preprocess, RESNET_REAL)
#define rn_predict_windows RN__PASTE_REAL(rn_predict_windows, RESNET_REAL)
#define rn_batch_norm_update RN__PASTE_REAL(rn_batch_norm_update, RESNET_REAL)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Status, error, memory ======================================================================= */

/* The last value of every enum here, which nothing ever has: with it an enum takes as many bytes as
   an int, whatever -fshort-enums says, which is the default of Arm's and other small machines'
   compilers. So files that are compiled with and without it agree about all structs. */
#define RN_AS_INT(name) RN__##name##_as_int = 0x7fffffff

/* Every status with its text, once. */
#define RN_STATUS_LIST(X)                                                   \
    X(RN_OK, 0, "success")                                                  \
    X(RN_BAD_ARGUMENT, -1, "an argument is out of range")                   \
    X(RN_BAD_DESCRIPTION, -2, "the description asks for an impossible net") \
    X(RN_BAD_SHAPE, -3, "shapes do not fit together")                       \
    X(RN_NO_MEMORY, -4, "the allocator has no memory left")                 \
    X(RN_TOO_SMALL, -5, "the buffer is too small")                          \
    X(RN_TOO_LARGE, -6, "a size does not fit the machine's integers")       \
    X(RN_NOT_FINITE, -7, "a number is infinite or not a number")            \
    X(RN_NO_FILE, -8, "a file cannot be opened")                            \
    X(RN_BAD_FILE, -9, "a file is damaged or of another kind")              \
    X(RN_MISMATCH, -10, "a file belongs to another net")                    \
    X(RN_IO, -11, "reading or writing failed")

#define RN_STATUS_ENUM(name, value, text) name = value,
typedef enum rn_status { RN_STATUS_LIST(RN_STATUS_ENUM) RN_AS_INT(status) } rn_status;

/* What went wrong, in words that name the thing and the way out. Functions that can fail take a
   pointer to one (NULL: do not tell) and write it only when they fail. */
typedef struct rn_error {
    rn_status status;
    char text[320];
} rn_error;

RNDEF const char *rn_status_name(rn_status status); /* "RN_BAD_SHAPE" */
RNDEF const char *rn_status_text(rn_status status); /* "shapes do not fit together" */

/* Where an object lives: in the caller's `buffer` of `bytes` bytes (any alignment) when buffer is
   not NULL, else in memory from alloc(bytes, user), given back by free(memory, user). A NULL
   rn_memory, or one without buffer and alloc, means RESNET_MALLOC and RESNET_FREE. */
typedef struct rn_memory {
    void *buffer;
    size_t bytes;
    void *(*alloc)(size_t bytes, void *user);
    void (*free)(void *memory, void *user);
    void *user;
} rn_memory;

/* Level 1: nets ================================================================================ */

typedef RESNET_REAL rn_real; /* the scalar type of every tensor, float unless you say otherwise */

/* Options of a description. Each has a list, X(value, name), which makes the enum here and the
   names that rn_desc_set and rn_desc_get use, for files and command lines. The first value of a
   list is zero and the default. */
#define RN_ENUM(value, name) value,

/* A residual unit's convolutions: section 2 and Table 3 of the paper. */
#define RN_BLOCK_LIST(X)                                                                         \
    X(RN_BLOCK_AUTO, "auto") /* bottleneck at 164 and where only 9n+2 fits; ImageNet: from 50 */ \
    X(RN_BASIC, "basic")     /* two 3x3 convolutions, depth 6n+2 */                              \
    X(RN_BOTTLENECK, "bottleneck") /* 1x1, 3x3, 1x1 of four times the width, 9n+2 */             \
    X(RN_SINGLE, "single")         /* one 3x3 convolution (Table 3's 1-layer skip), 3n+2 */
typedef enum rn_block { RN_BLOCK_LIST(RN_ENUM) RN_AS_INT(block) } rn_block;

/* What stands in front of the units, and how many stages of them there are. */
#define RN_STEM_LIST(X)                                                                            \
    X(RN_STEM_CIFAR, "cifar")       /* 3x3 convolution; three stages of stride 1, 2, 2 */          \
    X(RN_STEM_IMAGENET, "imagenet") /* 7x7/2 convolution, BN, ReLU, 3x3/2 max-pool; four stages */ \
    X(RN_STEM_DEEP, "deep") /* the same with three 3x3 convolutions, of stride 2, 1, 1 and half, \
                               half and all of the filters (He et al. 2018, ResNet-C) */ \
    X(RN_STEM_BIT, "bit")   /* 7x7/2 convolution, 3x3/2 max-pool that counts zeros around the \
                               image (Kolesnikov et al. 2019, BiT) */
typedef enum rn_stem { RN_STEM_LIST(RN_ENUM) RN_AS_INT(stem) } rn_stem;

/* Where BN and ReLU stand: Fig. 4, Table 2. F is written as a product: the step on the right is
   done first. */
#define RN_ORDER_LIST(X)                                                                          \
    X(RN_FULL_PREACT, "full_preact")         /* F = conv ReLU BN conv ReLU BN, nothing after + */ \
    X(RN_ORIGINAL, "original")               /* F = BN conv ReLU BN conv, ReLU after + */         \
    X(RN_BN_AFTER_ADD, "bn_after_add")       /* F = conv ReLU BN conv, ReLU BN after + */         \
    X(RN_RELU_BEFORE_ADD, "relu_before_add") /* F = ReLU BN conv ReLU BN conv */                  \
    X(RN_RELU_PREACT, "relu_preact")         /* F = BN conv ReLU BN conv ReLU */
typedef enum rn_order { RN_ORDER_LIST(RN_ENUM) RN_AS_INT(order) } rn_order;

/* What normalises, wherever the paper has BN. EvoNorm-S0 (Liu et al. 2020) also activates: no ReLU
   stands behind it, so that orders with a BN alone cannot have it. */
#define RN_NORM_LIST(X)                                                           \
    X(RN_NORM_BATCH, "batch_norm")                                                \
    X(RN_NORM_GROUP, "group_norm")      /* of an image and a group of channels */ \
    X(RN_NORM_EVONORM_S0, "evonorm_s0") /* likewise; x sigmoid(v x) / deviation */
typedef enum rn_norm { RN_NORM_LIST(RN_ENUM) RN_AS_INT(norm) } rn_norm;

/* The shortcut h(x) of equation (1): Fig. 2, Table 1. */
#define RN_SHORTCUT_LIST(X)                                                                    \
    X(RN_SHORTCUT_IDENTITY, "identity")        /* x */                                         \
    X(RN_SHORTCUT_SCALE, "scale")              /* shortcut_scale x, and residual_scale F(x) */ \
    X(RN_SHORTCUT_EXCLUSIVE, "exclusive_gate") /* (1 - g) x and g F, g = sigmoid(W x + b) */   \
    X(RN_SHORTCUT_GATE, "shortcut_gate")       /* (1 - g) x and F */                           \
    X(RN_SHORTCUT_HIGHWAY, "highway")          /* C x and T F, each with a gate of its own */  \
    X(RN_SHORTCUT_CONV1X1, "conv1x1")          /* a 1x1 convolution, in every unit */          \
    X(RN_SHORTCUT_DROPOUT, "dropout")          /* x times a 0/1 mask, in inference 1 - ratio */
typedef enum rn_shortcut { RN_SHORTCUT_LIST(RN_ENUM) RN_AS_INT(shortcut) } rn_shortcut;

/* The shortcut of a unit that changes the shape (B*: B_bn, but B where pre-activated, or where the
   norm activates). */
#define RN_RESIZE_LIST(X)                                                                  \
    X(RN_RESIZE_AUTO, "auto")           /* A for basic and single CIFAR nets, else B* */   \
    X(RN_RESIZE_A, "A")                 /* pixels 0, 2, 4, ...; zero channels appended */  \
    X(RN_RESIZE_A_CENTRED, "A_centred") /* half the zero channels in front, half behind */ \
    X(RN_RESIZE_B, "B")                 /* 1x1 convolution */                              \
    X(RN_RESIZE_B_BN, "B_bn")           /* 1x1 convolution and BN */                       \
    X(RN_RESIZE_D, "D")                 /* average of 2x2 pixels, then 1x1 convolution */  \
    X(RN_RESIZE_D_BN, "D_bn")           /* the same and BN */
typedef enum rn_resize { RN_RESIZE_LIST(RN_ENUM) RN_AS_INT(resize) } rn_resize;

/* Zeros around a convolution's input: (kernel - 1) / 2 on all sides; or as TensorFlow's "SAME" has
   them, where stride 2 on an even size takes one more at the bottom and right than at the top and
   left. (The pool of the ImageNet stem has 1 on all sides in either.) */
#define RN_PADDING_LIST(X) X(RN_PADDING_SYMMETRIC, "symmetric") X(RN_PADDING_SAME, "same")
typedef enum rn_padding { RN_PADDING_LIST(RN_ENUM) RN_AS_INT(padding) } rn_padding;

/* The convolution that takes the stride of a bottleneck unit: the first, 1x1, or the second. */
#define RN_STRIDE_ON_LIST(X) X(RN_STRIDE_FIRST, "first") X(RN_STRIDE_3X3, "3x3")
typedef enum rn_stride_on { RN_STRIDE_ON_LIST(RN_ENUM) RN_AS_INT(stride_on) } rn_stride_on;

/* The n of He's initialisation, normal(0, sqrt(2 / n)): a kernel's height x width times the number
   of its filters (fan-out), or times the number of its input channels (fan-in). */
#define RN_INIT_LIST(X) X(RN_FAN_OUT, "fan_out") X(RN_FAN_IN, "fan_in")
typedef enum rn_init { RN_INIT_LIST(RN_ENUM) RN_AS_INT(init) } rn_init;

/* What weight decay shrinks: every parameter, or weights of convolutions and linear layers
   alone. */
#define RN_DECAY_LIST(X) X(RN_DECAY_ALL, "all") X(RN_DECAY_WEIGHTS, "weights")
typedef enum rn_decay { RN_DECAY_LIST(RN_ENUM) RN_AS_INT(decay) } rn_decay;

/* One step of SGD: w is a weight, v its velocity, m the momentum, g the gradient with decay, r the
   learning rate. */
#define RN_SGD_LIST(X)                                                    \
    X(RN_SGD_TORCH, "torch")       /* v = m v + g;    w -= r v */         \
    X(RN_SGD_NESTEROV, "nesterov") /* v = m v + g;    w -= r (g + m v) */ \
    X(RN_SGD_CAFFE, "caffe")       /* v = m v + r g;  w -= v */
typedef enum rn_sgd { RN_SGD_LIST(RN_ENUM) RN_AS_INT(sgd) } rn_sgd;

/* Instruction set of the fast kernels. */
#define RN_ISA_LIST(X)                                                         \
    X(RN_ISA_AUTO, "auto")         /* the best that the machine has */         \
    X(RN_ISA_PORTABLE, "portable") /* as compiled: SSE2, NEON, wasm, scalar */ \
    X(RN_ISA_AVX2, "avx2")                                                     \
    X(RN_ISA_AVX512, "avx512")
typedef enum rn_isa { RN_ISA_LIST(RN_ENUM) RN_AS_INT(isa) } rn_isa;

/* Whose details, for reference sources disagree: see rn_set_dialect. */
#define RN_DIALECT_LIST(X)                                                     \
    X(RN_PAPER, "paper")                                                       \
    X(RN_MSRA_1K, "msra_1k") /* resnet-1k-layers, by the paper's authors */    \
    X(RN_FB, "fb")           /* fb.resnet.torch */                             \
    X(RN_TORCHVISION, "torchvision")                                           \
    X(RN_TIMM, "timm")               /* its pre-activation nets, resnetv2_* */ \
    X(RN_MLPERF_TINY, "mlperf_tiny") /* its image classification */
typedef enum rn_dialect { RN_DIALECT_LIST(RN_ENUM) RN_AS_INT(dialect) } rn_dialect;

/* How pictures are scaled, see rn_crop_picture. */
#define RN_INTERPOLATION_LIST(X) X(RN_BICUBIC, "bicubic") X(RN_BILINEAR, "bilinear")
typedef enum rn_interpolation {
    RN_INTERPOLATION_LIST(RN_ENUM) RN_AS_INT(interpolation)
} rn_interpolation;

/* The order of three colours as the net gets them. Pictures, the pixels of an rn_source, and mean
   and deviation of the description are RGB in any case; what makes a net's input of them (rn_batch,
   rn_normalise, rn_preprocess, rn_predict_windows) turns them round for a net of BGR, which is one
   whose weights came from Caffe or OpenCV. rn_train_step and rn_predict take images in this
   order. */
#define RN_CHANNEL_ORDER_LIST(X) X(RN_RGB, "rgb") X(RN_BGR, "bgr")
typedef enum rn_channel_order {
    RN_CHANNEL_ORDER_LIST(RN_ENUM) RN_AS_INT(channel_order)
} rn_channel_order;

#define RN_MODE_LIST(X) X(RN_INFERENCE, "inference") X(RN_TRAINING, "training")
typedef enum rn_mode { RN_MODE_LIST(RN_ENUM) RN_AS_INT(mode) } rn_mode;

#define RN_MAX_STAGES 4

/* The description of a net. All zero is a full pre-activation ResNet-20 for CIFAR-10 trained by
   plain SGD. Every field that is zero takes the default named beside it (rn_resolve does it). */
typedef struct rn_desc {
    int depth;                  /* 20 (ImageNet 50); gives `units` where these are zero */
    rn_block block;             /* auto */
    int units[RN_MAX_STAGES];   /* units of each stage; from depth */
    int base_width;             /* filters of the first stage; 16 (ImageNet 64); doubles a stage */
    int stem_width;             /* filters of the stem; base_width */
    int widths[RN_MAX_STAGES];  /* filters of a unit's convolutions, by stage; by base_width */
    int outputs[RN_MAX_STAGES]; /* channels between units; widths, 4 times it for bottlenecks */
    rn_stem stem;               /* cifar */
    int bare_stem;              /* 1: no norm and ReLU between the stem's last convolution and what
                                 follows (timm's pre-activation nets); 0: behind the stems cifar
                                 and bit as the order has it, none in full_preact */
    int bare_tail;        /* 1: nor between the last unit and the pool (kuangliu's PreActResNet) */
    int classes;          /* 10 (ImageNet 1000) */
    int channels;         /* of the images; 3 */
    int height, width;    /* of the images; 32 (ImageNet 224) */
    rn_order order;       /* full_preact */
    rn_shortcut shortcut; /* identity */
    float shortcut_scale; /* for scale: 0, the plain net of Table 1's first rows */
    float residual_scale; /* for scale: 1 */
    float gate_bias;      /* b_g at the start, of T in highway; 0 */
    float carry_bias;     /* of C in highway; 0 */
    float dropout;        /* ratio of shortcuts' elements set to zero; 0.5 */
    rn_resize resize;     /* auto */
    int always_project;   /* 1: a stage's first unit has that shortcut whatever its shape */
    int raw_identity;     /* 1: a stage's first unit that keeps its shape has for its shortcut the
                                 value before its first activation (timm, kuangliu); 0: the one
                                 behind it, as [IM] */
    rn_stride_on stride_on;     /* of a bottleneck that shrinks: its first 1x1 */
    rn_padding padding;         /* symmetric */
    rn_init init;               /* He's normal(0, sqrt(2 / n)), n the fan-out */
    int conv_bias;              /* 1: all convolutions have a bias; 0: only those of gates */
    int weight_standardisation; /* 1: all but gates' take (w - mean) / deviation of each filter */
    double standardisation_eps; /* 1e-8, inside that root (BiT; timm's nets else 1e-6) */
    rn_norm norm;               /* batch_norm */
    int norm_groups;        /* of channels, for the two others; 32, or what divides all widths */
    double bn_eps;          /* 1e-5, inside the root, of any norm */
    double bn_momentum;     /* 0.1, the weight of the new value */
    int bn_group;           /* of batch_norm: images that share statistics; 0: the whole batch */
    rn_sgd sgd;             /* torch */
    double momentum;        /* 0; rn_cifar and rn_imagenet write 0.9 */
    double weight_decay;    /* 0; rn_cifar and rn_imagenet write 1e-4 */
    rn_decay decay_scope;   /* every parameter */
    double norm_bias_rate;  /* 1; the norms' biases learn at the rate times this, but decay as all
                                 else (64: hlb-CIFAR10; Jordan 2024, see rn_augment, section 3.4) */
    int frozen_below;       /* k from 1 on: the stem and the stages below k do not train, as if in
                                 inference: see rn_train_step; 5: only the classifier trains;
                                 0: all trains */
    float stochastic_depth; /* 0; how likely a step leaves out the last residual unit, earlier ones
                               less: see rn_train_step */
    double label_smoothing; /* 0; the share of the target that all classes divide, see rn_loss */
    float mean[4];          /* of the image's channels, colours as RGB, pixels in 0..1; 0 */
    float deviation[4];     /* 1 */
    rn_channel_order channel_order; /* rgb */
    float crop_fraction; /* side of rn_centre_crop, of the shorter side; 1 (ImageNet 0.875) */
    rn_interpolation interpolation; /* bicubic */
    uint64_t seed;                  /* of initialisation, dropout, depth and rn_batch */
    int threads;                    /* at most, each with a workspace, see rn_create; 1 */
    int naive;                      /* 1: run the naive layers, in NCHW */
    int direct;                     /* 1: no Winograd, every convolution product by product */
    int unfused; /* 1: the fast layers, but node by node, with every value and gradient in memory
                    when it is new, for probes; takes more time and memory, see rn_bytes */
    int micro_batch; /* images in memory at a time, see rn_backpropagate; 0: the batch */
    uint64_t budget; /* bytes that a training net may take, see rn_bytes; 0: no limit */
    rn_isa isa;      /* auto */
} rn_desc;

/* The descriptions of the papers' nets: CIFAR-10 (depth 20, 32, 44, 56, 110, 164, 1001, or any
   6n+2, 9n+2) and ImageNet (18, 34, 50, 101, 152, 200), full pre-activation, with the paper's
   momentum and weight decay. rn_resolve and rn_create refuse a depth that no formula gives. */
RNDEF rn_desc rn_cifar(int depth);
RNDEF rn_desc rn_imagenet(int depth);

/* Sets stride_on, resize, init, sgd and decay_scope together as a public implementation has them:
                 stride_on  resize            init     sgd       decay
   paper         first      auto              fan_out  caffe     weights
   msra_1k       first      B                 fan_out  nesterov  all
   fb            3x3        A or B*: below    fan_out  nesterov  all
   torchvision   3x3        B*                fan_out  torch     all
   timm          3x3        B, D deep stem    fan_out  nesterov  all
   mlperf_tiny   3x3        B                 fan_in   nesterov  weights

   (fb: A for CIFAR nets but bottlenecks, else B*) and bare_stem, raw_identity and, for bottlenecks,
   always_project: 1 for timm, 0 for the others.
   mlperf_tiny (whose Adam is not here) means more, which the others leave as it is: order original,
   conv_bias 1, padding same, bn_eps 1e-3, and mean 0 and deviation 1/255, for its nets take pixels
   as bytes from 0 to 255. These are rn_cifar(8), and with base_width 40 the large one. Call it
   after block (not auto), stem, order and norm are set. Any other dialect changes nothing. */
RNDEF void rn_set_dialect(rn_desc *desc, rn_dialect dialect);
RNDEF rn_status rn_dialect_parse(rn_dialect *dialect, const char *name, rn_error *error);

/* Replaces every zero by its default, units by those of the depth, and checks the whole: returns
   RN_BAD_DESCRIPTION with a sentence for what cannot be built. rn_create calls it on a copy. */
RNDEF rn_status rn_resolve(rn_desc *desc, rn_error *error);

/* The description as text, field by field, for files and command lines. rn_desc_key gives the name
   of field i, which is the member's (NULL where there is none), rn_desc_get writes its value
   ("full_preact", "3,3,3", floats as the hexadecimal bits of a double such as 0x3fe0000000000000;
   "?" for no value of an enum, nothing where there is no field), rn_desc_set reads one (floats also
   as decimals; '-' in names equals '_') and refuses unknown keys and values in words. */
RNDEF const char *rn_desc_key(int i);
RNDEF void rn_desc_get(const rn_desc *desc, int i, char text[96]);
RNDEF rn_status rn_desc_set(rn_desc *desc, const char *key, const char *value, rn_error *error);

/* What a node of the net computes; a row each in the table >>kinds. */
typedef enum rn_kind {
    RN_INPUT,
    RN_CONV2D,
    RN_BATCH_NORM,
    RN_RELU,
    RN_GATE,
    RN_DROPOUT,
    RN_MAX_POOL,
    RN_GLOBAL_AVG_POOL,
    RN_LINEAR,
    RN_ADD,
    RN_SCALE,
    RN_PAD_SUBSAMPLE,
    RN_AVG_POOL,
    RN_GROUP_NORM,
    RN_EVONORM_S0,
    RN_KINDS,
    RN_AS_INT(kind)
} rn_kind;

/* A net is a list of nodes in the order of execution; node i produces value i, of c h w numbers an
   image. The last node produces the logits. */
typedef struct rn_node {
    rn_kind kind;
    short unit;                 /* from 0, in its stage */
    signed char stage;          /* from 1 (0: stem, -1: tail) */
    signed char bias;           /* convolution: 1 with bias */
    const char *role;           /* "conv1", "bn2", "shortcut", "add", ... */
    int inputs[2];              /* values it reads; -1 where there is none */
    int c;                      /* shape of its value */
    short h, w;                 /* likewise */
    signed char kernel, stride; /* 1 and 1 but for convolutions, pools, pad-subsample */
    signed char padding;        /* pixels of zeros around the image */
    signed char padding_behind; /* 1: one more at the bottom and right */
    signed char complement;     /* gate: 1 for x (1 - sigmoid), 0 for x sigmoid */
    signed char standardised;   /* convolution: 1 if it standardises its weight */
    signed char zeros;          /* max-pool: 1 if the padding's zeros count */
    signed char whole;          /* dropout: 1 for a whole batch and all that makes its input, see
                                   desc.stochastic_depth */
    int front;                  /* pad-subsample: zero channels before the input's */
    float scale, dropout;       /* scale: the factor; dropout: the ratio */
    float initial_bias;         /* of a convolution with bias, in a new net */
    ptrdiff_t parameters;       /* where the first of its parameters lies in net->parameters, */
    ptrdiff_t statistics;       /* and of its running statistics in net->statistics, or of the
                                   two a channel that group norm and EvoNorm make of an image */
} rn_node;

/* The learning rate as a function of the step. */
#define RN_SCHEDULE_LIST(X)                                                                       \
    X(RN_CONSTANT, "constant") /* learning_rate */                                                \
    X(RN_STEPS, "steps")       /* times 0.1 from each of two drops on (the paper: 32k and 48k) */ \
    X(RN_COSINE, "cosine")     /* half a cosine from learning_rate to 0 over all steps */         \
    X(RN_ONE_CYCLE, "one_cycle") /* up in a line for three tenths of the steps, down to 0 */
typedef enum rn_schedule_kind {
    RN_SCHEDULE_LIST(RN_ENUM) RN_AS_INT(schedule_kind)
} rn_schedule_kind;

typedef struct rn_schedule {
    rn_schedule_kind kind;
    double learning_rate;  /* the largest */
    uint64_t steps;        /* in all */
    uint64_t drops[2];     /* steps: where the rate falls to a tenth */
    uint64_t warmup_steps; /* first steps (the paper: 400), all kinds but one_cycle */
    double warmup_rate;    /* at this rate (the paper: 0.01) */
} rn_schedule;

/* A schedule over `steps` steps as the paper shapes it: drops at 1/2 and 3/4 and, for RN_STEPS, a
   warm-up: the first 1/160 of the steps (the paper: 400 of 64,000) at a tenth of the rate. */
RNDEF rn_schedule rn_make_schedule(rn_schedule_kind kind, double learning_rate, uint64_t steps);
RNDEF double rn_learning_rate(const rn_schedule *schedule, uint64_t step); /* step from 0 */
RNDEF const char *rn_schedule_name(rn_schedule_kind kind); /* "one_cycle"; "?" for no kind */
RNDEF rn_status rn_schedule_parse(rn_schedule_kind *kind, const char *name, rn_error *error);

/* What a trainer wants to find again beside the schedule: kept in checkpoints, test_accuracy in
   rn_save's files, too. The header only carries it; what is zero is not known. */
typedef struct rn_trainer {
    uint64_t data;                                   /* rn_source_checksum of the images */
    uint64_t batch, pad, flip;                       /* images of a step; as in rn_augment */
    uint64_t lookahead, tta, hold_out, small_epochs; /* as examples/cifar has them */
    double loss, correct;                            /* sums over the images of this epoch so far */
    double seconds;                                  /* of training so far */
    double test_accuracy; /* percent of the test images that it got right at the last test */
} rn_trainer;

struct rn_net;
/* Called after each step of a training pass, and of rn_predict_probed, when set: forward with the
   node whose value is new, backward (1) with the node whose inputs' gradients are new.
   rn_read_value and its kin see, and may change, what the next step reads. For tests, pictures and
   searches for trouble. A step of the fast execution may be several nodes, unless desc.unfused says
   else; it is reported once. With a budget, steps that are computed again are not reported, and do
   not see what a probe wrote. Gradients of weights that are standardised are, until backward has
   ended, those by the standardised ones. */
typedef void (*rn_probe)(void *user, struct rn_net *net, int node, int backward);

/* A net. Everything lies in one block: this struct, the nodes, then the arrays. Read what you like;
   write the contents of the arrays (but not parameters and statistics of a read-only net),
   schedule, step, epoch, cursor, trainer, class_weights, class_names, probe and probe_user, nothing
   else. */
typedef struct rn_net {
    rn_desc desc; /* resolved */
    rn_mode mode;
    int batch;    /* the most images of one step */
    size_t bytes; /* of the whole block */
    rn_memory memory;
    void *block; /* as it came from the allocator or caller */

    rn_node *nodes;
    int node_count;
    int first_trained; /* node: this and all behind it train, see desc.frozen_below */

    ptrdiff_t parameter_count; /* every weight, contiguous, in the order of the nodes */
    rn_real *parameters;       /* [parameter_count] */
    ptrdiff_t trained_count;   /* as many of them, the last ones, train */
    rn_real *gradients;        /* [trained_count], of these, training only */
    rn_real *velocity;         /* [trained_count], SGD's momentum, training only */
    ptrdiff_t statistic_count; /* every running mean and running variance */
    rn_real *statistics;       /* [statistic_count] */
    rn_real *batch_statistics; /* of the last training forward, [BN][group][mean C, variance C];
                                  of BNs that train */
    rn_real *logits;           /* [batch][classes] of the last training forward */

    rn_schedule schedule; /* in checkpoints, with the next four; the header only carries them */
    uint64_t step;        /* updates so far; also the key of dropout's and depth's draws */
    uint64_t epoch;       /* of the data */
    uint64_t cursor;      /* images of this epoch already used */
    rn_trainer trainer;
    int images;    /* whose gradients rn_update is to use; 0: none */
    int part;      /* the most images in memory at a time, see desc.micro_batch */
    int held;      /* images whose values and gradients are in memory now */
    int read_only; /* 1: parameters and statistics are the caller's, see rn_create_over */

    /* [classes] of the loss, see rn_loss; NULL: all 1. The caller's, who keeps them as long as the
       net trains; not in files. */
    const rn_real *class_weights;
    /* Names of the classes in UTF-8, one a line ("cat\ndog"); NULL: none. The caller's, who keeps
       them while the net is saved: files hold them as metadata "class_names". rn_load leaves them
       as they are; rn_archive_metadata reads those of a file. */
    const char *class_names;
    rn_probe probe;
    void *probe_user;

    struct rn__executor *executor; /* the engine's own */
} rn_net;

/* The exact bytes of the block that rn_create takes for this net and batch, workspace for
   desc->threads threads included; 0 with an error if it cannot be built. Uses RESNET_MALLOC for a
   moment, some hundreds of bytes a node, or (rn_bytes_in) memory as rn_memory says, which may be
   the buffer that the net will live in; without either it fails with RN_NO_MEMORY.

   With desc->budget a training net takes no more than that: values of the first units, which are
   the largest for their arithmetic, are dropped after forward and computed again just before
   backward needs them, segment by segment of units (Chen et al. 2016). As few units as possible:
   first it is tried to keep all convolutions' outputs and to repeat only what is between them.
   Gradients stay the same bits. Too small a budget is refused with the least that is found. */
RNDEF size_t rn_bytes(const rn_desc *desc, int batch, rn_mode mode, rn_error *error);
RNDEF size_t rn_bytes_in(const rn_desc *desc, int batch, rn_mode mode, const rn_memory *memory,
                         rn_error *error);

/* Makes a net with initialised weights (He et al.; norms weight 1, bias 0, v 1; linear uniform in
   +-1/sqrt(C), bias 0) for steps of at most `batch` images, in memory as rn_memory says; no
   function of a net but rn_freeze allocates anything afterwards. A caller's buffer of rn_bytes + 63
   bytes always suffices, and of rn_bytes if aligned to 64. NULL with an error if it cannot be made;
   then nothing stays allocated. rn_destroy gives back what was allocated (NULL is allowed).

   With desc->threads of 2 or more (and -fopenmp) a call is shared by that many threads, its own one
   of them, but no more than 64 or than this process has processors (by affinity and control group).
   rn_create starts the others and rn_destroy ends them. They sleep between calls, help one call at
   a time, and none within a parallel region of OpenMP. Where other programs keep the processors
   busy, the net finds out by its times that it does better alone, and tries again now and then. A
   child after fork has the net, but not its threads: it predicts and trains alone. The bits are the
   same in any case. */
RNDEF rn_net *rn_create(const rn_desc *desc, int batch, rn_mode mode, const rn_memory *memory,
                        rn_error *error);
RNDEF void rn_destroy(rn_net *net);

/* A net of RN_INFERENCE over weights of the caller, which are only read: in flash, in constant
   arrays of the program, or in a file that is mapped into memory, so that many nets and processes
   share one copy. parameters [parameter_count] and statistics [statistic_count] as in rn_net, each
   aligned as rn_real is; statistics may be NULL where the net has none. They stay the caller's, who
   keeps them, unchanged, until rn_destroy. Nothing of them is copied or looked at here. The block
   is smaller by their size: rn_bytes_over, of which all else is as of rn_bytes_in. What would write
   weights (rn_load, training) refuses such a net; rn_freeze packs into memory of its own. NULL with
   an error, as from rn_create, and for arrays that are NULL or not aligned. For a file in memory
   see rn_create_mapped. */
RNDEF rn_net *rn_create_over(const rn_desc *desc, int batch, const rn_real *parameters,
                             const rn_real *statistics, const rn_memory *memory, rn_error *error);
RNDEF size_t rn_bytes_over(const rn_desc *desc, int batch, const rn_memory *memory,
                           rn_error *error);

/* Draws all parameters again from desc.seed, sets running statistics to mean 0 and variance 1, and
   clears velocity, step, epoch, cursor and trainer; gradients are void, as after rn_load, for they
   are those of other weights. A read-only net stays as it is. */
RNDEF void rn_initialise(rn_net *net);

typedef struct rn_result {
    double loss; /* mean cross-entropy over the images, smoothed and weighted as is minimised */
    int correct; /* images whose largest logit is their label's */
} rn_result;

/* One step of SGD on images [count, C, H, W] (normalised) with labels [count] in [0, classes):
   forward in training mode, backward, update of parameters, velocity and running statistics. 1 <=
   count <= net->batch, and two values a channel at every BN that trains. When a number stops being
   finite it fails with RN_NOT_FINITE, names the first node, unit and step, and leaves parameters,
   velocity and statistics as they were. result may be NULL. Its two halves: rn_backpropagate
   overwrites net->gradients with those of the mean loss (weight decay not included) and
   net->logits; rn_update does the rest.

   With desc.micro_batch, memory for that many images is enough: a batch goes through in parts whose
   gradients add up. BN's statistics are those of bn_group images, of which a part is a multiple
   (bn_group 0 becomes micro_batch; other norms have none). Where the groups agree and parts are
   powers of two from 16 on, the fast execution gives the bits of the whole batch, but for dropout's
   masks.

   With desc.frozen_below (fine-tuning) nodes before net->first_trained do in training what they do
   in inference: BN by its running statistics, which stay, no dropout. Backward ends behind them:
   their parameters stay to the bit, have no gradients and no velocity, not even room for them, and
   their values are kept no longer than forward reads them. All else gets the gradients that it
   would have if the others trained, too, but in inference mode.

   With desc.stochastic_depth d (Huang et al. 2016, arXiv 1603.09382) a step leaves out residual
   unit l of L, from 1, with probability l / L d: for all images its sum is the shortcut alone, and
   nothing of F(x) is done, forward or backward. Its parameters get gradients of exactly zero
   (momentum and decay go on), its running statistics stay, probes are told of none of its nodes.
   Which units these are depends on seed, step and unit alone. In inference each is there, as
   (1 - l / L d) F(x), by weights that are multiplied as they are packed (rn_freeze, RESNET_SMALL
   likewise); so it is where frozen, and for rn_recalibrate. Whatever only F(x) needs is left out
   with it (highway's T); what the shortcut needs, too, is not (an exclusive gate's convolution, a
   dropout's mask, the activation before the split). */
RNTRAIN rn_status rn_train_step(rn_net *net, const rn_real *images, const int *labels, int count,
                                double learning_rate, rn_result *result, rn_error *error);
RNTRAIN rn_status rn_backpropagate(rn_net *net, const rn_real *images, const int *labels, int count,
                                   rn_result *result, rn_error *error);
RNTRAIN rn_status rn_update(rn_net *net, double learning_rate, rn_error *error);

/* logits [count, classes] of count images [count, C, H, W] in inference mode (running statistics).
   The net is only read: several threads may predict with one net, each with a workspace of its own
   of rn_predict_bytes(net) bytes, aligned to 64; the net's threads help the first of them.
   rn_workspace(net) lends the net's own, which is free between training steps, and serves one call
   at a time. No probe is called. RN_NOT_FINITE, naming the image, if a logit is infinite or not a
   number; all logits are written even so.
   rn_predict_probed is the same in rn_workspace(net), step by step with net->probe. */
RNDEF rn_status rn_predict(const rn_net *net, void *workspace, const rn_real *images, int count,
                           rn_real *logits, rn_error *error);
RNDEF rn_status rn_predict_probed(rn_net *net, const rn_real *images, int count, rn_real *logits,
                                  rn_error *error);
RNDEF size_t rn_predict_bytes(const rn_net *net);
RNDEF void *rn_workspace(rn_net *net);

/* The value of any node, features [count, c, h, w] with the node's c, h and w, of count images in
   inference mode, for retrieval, pictures, or other classifiers: behind rn_find_node(net, "pool")
   of a net for ImageNet lie 512 or 2048 numbers an image, behind "layer3.1.add" those of a unit.
   All else is as in rn_predict: net, workspace, images, threads, and RN_NOT_FINITE for a number of
   the features. The pass ends with the node, so an early one takes less time. A value that the fast
   execution does not store, as it is fused with others, is computed for the caller, too; but with
   RESNET_SMALL refused. */
RNDEF rn_status rn_features(const rn_net *net, void *workspace, const rn_real *images, int count,
                            int node, rn_real *features, rn_error *error);

/* Prepares for rn_predict once what otherwise every call does: standardises and packs the weights,
   transforms Winograd's, and makes BN's scales and shifts. Worth it for few images at a time. The
   results stay the same bits. Takes rn_freeze_bytes(net) bytes (0 for the naive execution) as
   memory says, for rn_destroy to give back; works in rn_workspace(net). rn_update, rn_load and its
   kin, rn_recalibrate and rn_initialise end it; call it again then, or after you wrote to
   net->parameters or net->statistics yourself: it keeps its memory. (It has nothing to do with
   desc.frozen_below.) */
RNDEF size_t rn_freeze_bytes(const rn_net *net);
RNDEF rn_status rn_freeze(rn_net *net, const rn_memory *memory, rn_error *error);

/* Class with the largest of the logits [classes]; 0 if there are none. */
RNDEF int rn_argmax(const rn_real *logits, int classes);

/* Writes a table of the net, unit by unit in the exact order of operations, with shapes,
   parameters and multiply-adds an image, as text of at most capacity - 1 characters. Returns the
   length of the whole text, which was cut if that is not less than capacity. */
RNDEF size_t rn_describe(const rn_net *net, char *text, size_t capacity);

/* The plan of the memory that rn_create would make: which value and gradient lies where, from when
   to when, and what is computed again. As text, or as an SVG picture of memory over time. Memory
   and errors as in rn_bytes, text and result as in rn_describe; 0 if the net cannot be built. */
RNDEF size_t rn_plan_text(const rn_desc *desc, int batch, rn_mode mode, char *text, size_t capacity,
                          rn_error *error);
RNDEF size_t rn_plan_svg(const rn_desc *desc, int batch, rn_mode mode, char *text, size_t capacity,
                         rn_error *error);

/* The parameters and running statistics one by one, in the order of the nodes:
       rn_parameter p = {0};
       while (rn_next_parameter(net, &p)) use(p.name, p.data, p.count);                          */
typedef enum rn_role {
    RN_CONV_WEIGHT,
    RN_CONV_BIAS,
    RN_BN_WEIGHT,
    RN_BN_BIAS,
    RN_LINEAR_WEIGHT,
    RN_LINEAR_BIAS,
    RN_RUNNING_MEAN,
    RN_RUNNING_VAR,
    RN_GN_WEIGHT,
    RN_GN_BIAS,
    RN_EVONORM_WEIGHT,
    RN_EVONORM_BIAS,
    RN_EVONORM_V,
    RN_AS_INT(role)
} rn_role;

typedef struct rn_parameter {
    char name[64]; /* "layer1.0.conv1.weight" */
    rn_role role;
    int dims, shape[4]; /* weights of convolutions K C R S, of linear K C, others C */
    ptrdiff_t count;
    /* The last two NULL for statistics, for what is frozen (net->first_trained), in inference. */
    rn_real *data, *gradient, *velocity;
    int node, index; /* its node; index: where the walk goes on in that node */
} rn_parameter;

RNDEF int rn_next_parameter(const rn_net *net, rn_parameter *parameter);
RNDEF int rn_find_parameter(const rn_net *net, const char *name, rn_parameter *parameter);
RNDEF void rn_node_name(const rn_net *net, int node, char name[64]); /* "layer1.0.conv1" */
RNDEF int rn_find_node(const rn_net *net, const char *name);         /* its index; -1: none */
RNDEF const char *rn_kind_name(rn_kind kind);                        /* "conv2d" */
RNDEF double rn_node_macs(const rn_net *net, int node); /* multiply-adds an image, forward */
/* Names and multiply-adds are "?" and 0 of a node or kind that does not exist. */

/* The residual units one by one, as equations (1) and (2) have them, y_l = h(x_l) + F(x_l) and
   x_{l+1} = f(y_l), each named by the node that makes it:
       rn_unit u = {0};
       while (rn_next_unit(net, &u)) use(u.input, u.residual);
   It returns 1, or 0 behind the last one, and then leaves *unit as it is. In backward dE/dx_l is
   complete when a probe reports node `first`, dE/dx_{l+1} when it reports `next`; in between, when
   it reports `add`, h(x_l) has for its gradient what the addition alone hands on, the unchanged
   term of equation (5). Where the shortcut is the identity, `shortcut` is `input`. */
typedef struct rn_unit {
    int stage, unit; /* from 1; from 0, in its stage */
    int first, next; /* its nodes are those from first on and before next */
    /* x_l; h(x_l) and F(x_l) with their scales and gates (F in inference times its share, see
       desc.stochastic_depth); y_l; x_{l+1} */
    int input, shortcut, residual, add, output;
    int gates[2]; /* logits by which F and h are gated, see rn_node.complement; -1: none */
} rn_unit;
RNDEF int rn_next_unit(const rn_net *net, rn_unit *unit);

/* Level 2 =====================================================================================
   Tensors, and every layer as a function of its own: the naive ones, to be read beside the papers
   (>>naive layers) and to test fast ones against.

   Letters: x input, y output, f a convolution's weight; dx, dy, dw, db the gradients of the loss by
   input, output, weight and bias. Arguments that are written come first. y is overwritten; dx is
   overwritten, or added to where `accumulate` is 1; dw and db are always added to, so clear them
   before a batch. A gradient whose pointer is NULL is not computed.

   Every function checks its arguments before it writes. RN_BAD_SHAPE comes with a sentence that
   names the function, the tensor and the shape that it should have; RN_BAD_ARGUMENT is for a
   stride, padding, group or the like that is out of range, and for a convolution or pool without
   channels, filters, rows or columns. Without images there is nothing to do. Nothing is allocated,
   and every array stays the caller's. */

/* n images of c channels of h rows of w numbers, in memory that is not the tensor's. Element
   (n, c, h, w) is data[n stride_n + c stride_c + h stride_h + w stride_w]. */
typedef struct rn_tensor {
    rn_real *data;
    int n, c, h, w;
    ptrdiff_t stride_n, stride_c, stride_h, stride_w;
} rn_tensor;

RNDEF size_t rn_tensor_bytes(int n, int c, int h, int w); /* contiguous; 0 if it overflows */
/* A contiguous tensor in data; [0,0,0,0] if a size is negative or the bytes overflow. */
RNDEF rn_tensor rn_tensor_in(rn_real *data, int n, int c, int h, int w);
/* Some images, or some channels, of t: the same data. If t has not all of those asked for, there
   are no images, or no channels, in the result. */
RNDEF rn_tensor rn_tensor_images(rn_tensor t, int first, int count);
RNDEF rn_tensor rn_tensor_channels(rn_tensor t, int first, int count);
RNDEF void rn_tensor_fill(rn_tensor t, rn_real value);
RNDEF rn_status rn_tensor_copy(rn_tensor to, rn_tensor from, rn_error *error);
/* Largest |a - b| over the largest |b| (over 1 if b is all zero); infinite for unequal shapes or
   anything not finite. */
RNDEF double rn_tensor_difference(rn_tensor a, rn_tensor b);

/* Convolution: y [N,K,OH,OW] = x [N,C,H,W] * f [K,C,R,S] + bias [K] (NULL: none), with `padding`
   zeros on every side:

       OH = floor((H + 2 padding - R) / stride) + 1,    likewise OW.

   Padding behind, at the bottom and at the right, may be one more than in front, as TensorFlow's
   "SAME" has it: y says so by its size. OH may also be what H + 2 padding + 1 in the formula gives,
   and OW likewise, each by itself. Where both give the same OH it makes no difference. */
RNDEF rn_status rn_conv2d_naive_forward(rn_tensor *y, const rn_tensor *x, const rn_tensor *f,
                                        const rn_real *bias, int stride, int padding,
                                        rn_error *error);
RNTRAIN rn_status rn_conv2d_naive_backward(rn_tensor *dx, rn_tensor *dw, rn_real *db,
                                           const rn_tensor *dy, const rn_tensor *x,
                                           const rn_tensor *f, int stride, int padding,
                                           int accumulate, rn_error *error);

/* Linear: y [N,K,1,1] = x [N,C,1,1] weight [K,C]^T + bias [K] (NULL: none). */
RNDEF rn_status rn_linear_forward(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                  const rn_real *bias, rn_error *error);
RNTRAIN rn_status rn_linear_backward(rn_tensor *dx, rn_real *dw, rn_real *db, const rn_tensor *dy,
                                     const rn_tensor *x, const rn_real *weight, int accumulate,
                                     rn_error *error);

/* Batch normalisation (Ioffe and Szegedy 2015). In training, with mean and variance of the values
   of a channel over a group of images (0: all images are one group):

       y = (x - mean) / sqrt(variance + eps) * weight + bias

   statistics [groups][2][C] gets the means and the biased variances, which backward reads. One
   value a channel is refused. */
RNTRAIN rn_status rn_batch_norm_forward(rn_tensor *y, rn_real *statistics, const rn_tensor *x,
                                        const rn_real *weight, const rn_real *bias, double eps,
                                        int group, rn_error *error);
RNTRAIN rn_status rn_batch_norm_backward(rn_tensor *dx, rn_real *dw, rn_real *db,
                                         const rn_tensor *dy, const rn_tensor *x,
                                         const rn_real *statistics, const rn_real *weight,
                                         double eps, int group, int accumulate, rn_error *error);
/* The running statistics, running_mean [C] and running_var [C], after a step:

       running = (1 - momentum) running + momentum (mean over groups of those of the step)

   from forward's statistics of `images` images with `pixels` (H W) values a channel. A group counts
   by its images; variances are made unbiased, each in its group. */
RNTRAIN void rn_batch_norm_update(rn_real *running_mean, rn_real *running_var,
                                  const rn_real *statistics, int images, int group, int channels,
                                  double pixels, double momentum);
/* In inference: forward with the running statistics in place of the batch's. */
RNDEF rn_status rn_batch_norm_inference(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                        const rn_real *bias, const rn_real *running_mean,
                                        const rn_real *running_var, double eps, rn_error *error);

/* Group normalisation (Wu and He 2018): as the formula of batch normalisation, with mean and biased
   variance of the values of one image in each of `groups` groups of C / groups channels, which
   follow each other; weight and bias [C]. The same in training and inference. Groups must divide
   the channels. (A group of one value has variance 0, and gives its bias.) */
RNDEF rn_status rn_group_norm_forward(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                      const rn_real *bias, double eps, int groups, rn_error *error);
RNTRAIN rn_status rn_group_norm_backward(rn_tensor *dx, rn_real *dw, rn_real *db,
                                         const rn_tensor *dy, const rn_tensor *x,
                                         const rn_real *weight, double eps, int groups,
                                         int accumulate, rn_error *error);

/* EvoNorm-S0 (Liu et al. 2020, Table 2): norm and activation in one, with the variances of group
   normalisation,

       y = x sigmoid(v x) / sqrt(variance + eps) * weight + bias

   weight, bias, v [C], and dv, which is added to. Checks as in rn_group_norm_forward. */
RNDEF rn_status rn_evonorm_forward(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                   const rn_real *bias, const rn_real *v, double eps, int groups,
                                   rn_error *error);
RNTRAIN rn_status rn_evonorm_backward(rn_tensor *dx, rn_real *dw, rn_real *db, rn_real *dv,
                                      const rn_tensor *dy, const rn_tensor *x,
                                      const rn_real *weight, const rn_real *v, double eps,
                                      int groups, int accumulate, rn_error *error);

/* Weight standardisation (Qiao et al. 2019): each filter of f [K,C,R,S], less its mean, divided by
   sqrt(variance + eps), its biased variance. y may be f. Backward makes of dy, the gradient by the
   standardised weight, that by f itself: dw is overwritten and may be dy. */
RNDEF rn_status rn_standardise_forward(rn_tensor *y, const rn_tensor *f, double eps,
                                       rn_error *error);
RNTRAIN rn_status rn_standardise_backward(rn_tensor *dw, const rn_tensor *dy, const rn_tensor *f,
                                          double eps, rn_error *error);

/* ReLU: y = max(x, 0). Backward reads y; the gradient at 0 is 0. */
RNDEF rn_status rn_relu_forward(rn_tensor *y, const rn_tensor *x, rn_error *error);
RNTRAIN rn_status rn_relu_backward(rn_tensor *dx, const rn_tensor *dy, const rn_tensor *y,
                                   int accumulate, rn_error *error);

/* Gate: y = x sigmoid(z) or, with complement 1, x (1 - sigmoid(z)); z [N,C,H,W] are its logits. */
RNDEF rn_status rn_gate_forward(rn_tensor *y, const rn_tensor *x, const rn_tensor *z,
                                int complement, rn_error *error);
RNTRAIN rn_status rn_gate_backward(rn_tensor *dx, rn_tensor *dz, const rn_tensor *dy,
                                   const rn_tensor *x, const rn_tensor *z, int complement,
                                   int accumulate_dx, int accumulate_dz, rn_error *error);

/* Dropout: y = x, in which elements are set to zero with probability `ratio`; the others are not
   scaled, as in the paper. Backward is the same function of the gradient. Which elements, depends
   on the key alone: element i = n C H W + c H W + h W + w is kept if bits 16 (i mod 4) to 16 (i mod
   4) + 15 of rn_random(key, i / 4) are at least 2^16 ratio. */
typedef struct rn_key { /* of a stream of random numbers */
    uint64_t seed, purpose, epoch;
} rn_key;
RNTRAIN rn_status rn_dropout(rn_tensor *y, const rn_tensor *x, double ratio, rn_key key,
                             int accumulate, rn_error *error);

/* Max-pool: the largest value of each kernel x kernel window; the gradient goes to it, to the first
   of several. Padding, less than kernel, is not looked at. Sizes as in the convolution, with the
   same padding on all sides. */
RNDEF rn_status rn_max_pool_forward(rn_tensor *y, const rn_tensor *x, int kernel, int stride,
                                    int padding, rn_error *error);
RNTRAIN rn_status rn_max_pool_backward(rn_tensor *dx, const rn_tensor *dy, const rn_tensor *x,
                                       int kernel, int stride, int padding, int accumulate,
                                       rn_error *error);
/* The same with zeros around the image that count: a window that reaches over the edge has 0 at
   least, and where 0 is the largest, no pixel gets the gradient (the stem of BiT). */
RNDEF rn_status rn_zero_max_pool_forward(rn_tensor *y, const rn_tensor *x, int kernel, int stride,
                                         int padding, rn_error *error);
RNTRAIN rn_status rn_zero_max_pool_backward(rn_tensor *dx, const rn_tensor *dy, const rn_tensor *x,
                                            int kernel, int stride, int padding, int accumulate,
                                            rn_error *error);
/* Average pool: the mean of each kernel x kernel window. There is no padding; windows at the bottom
   and at the right are cut, and the mean is that of the pixels that are there:

       OH = ceil((H - kernel) / stride) + 1,    less one if the last window would begin outside;

   likewise OW. As torch.nn.AvgPool2d(kernel, stride, ceil_mode=True, count_include_pad=False). */
RNDEF rn_status rn_avg_pool_forward(rn_tensor *y, const rn_tensor *x, int kernel, int stride,
                                    rn_error *error);
RNTRAIN rn_status rn_avg_pool_backward(rn_tensor *dx, const rn_tensor *dy, int kernel, int stride,
                                       int accumulate, rn_error *error);
/* Global average pool: y [N,C,1,1], the mean over H and W. */
RNDEF rn_status rn_global_avg_pool_forward(rn_tensor *y, const rn_tensor *x, rn_error *error);
RNTRAIN rn_status rn_global_avg_pool_backward(rn_tensor *dx, const rn_tensor *dy, int accumulate,
                                              rn_error *error);

/* Addition of equation (1): y = a + b; y may be a or b. Backward hands the gradient on unchanged:
   call rn_scale with factor 1. */
RNDEF rn_status rn_add(rn_tensor *y, const rn_tensor *a, const rn_tensor *b, rn_error *error);
/* Scale: y = factor x. Backward is the same function of the gradient. */
RNDEF rn_status rn_scale(rn_tensor *y, const rn_tensor *x, double factor, int accumulate,
                         rn_error *error);

/* Shortcut A: y [N,K,ceil(H/stride),ceil(W/stride)] is every stride-th pixel of x [N,C,H,W], with
   `front` channels of zeros before the C of x and the rest, K - C - front, behind. */
RNDEF rn_status rn_pad_subsample_forward(rn_tensor *y, const rn_tensor *x, int stride, int front,
                                         rn_error *error);
RNTRAIN rn_status rn_pad_subsample_backward(rn_tensor *dx, const rn_tensor *dy, int stride,
                                            int front, int accumulate, rn_error *error);

/* The loss of an image with logits z [K] and a label is

       - sum over k of t_k w_k log softmax(z)_k

   The target t_k is label_smoothing / K, and for the label 1 - label_smoothing more
   (label_smoothing from 0 to below 1). w_k are class_weights [K], finite and at least 0 (NULL: all
   1). A NULL rn_loss is all zero: plain cross-entropy, - log softmax(z)_label. */
typedef struct rn_loss {
    double label_smoothing;
    const rn_real *class_weights;
} rn_loss;

/* Softmax cross-entropy of logits z [N,K,1,1]. result gets the mean loss, which is the sum over
   images divided by that of their labels' weights (by N without weights), and how many images are
   right. Backward: dz is `scale` times the gradient of the sum, plain softmax(z) - onehot(label);
   a scale of 1 / N, or 1 / (sum of the labels' weights), makes it that of the mean. Refused are
   labels outside of [0, K), and in forward labels whose weights sum to zero. */
RNTRAIN rn_status rn_softmax_cross_entropy_forward(rn_result *result, const rn_tensor *z,
                                                   const int *labels, const rn_loss *loss,
                                                   rn_error *error);
RNTRAIN rn_status rn_softmax_cross_entropy_backward(rn_tensor *dz, const rn_tensor *z,
                                                    const int *labels, double scale,
                                                    const rn_loss *loss, rn_error *error);

/* The convolution by the fast kernels of instruction set `isa`, with the same padding on all sides,
   in a workspace aligned to 64 of workspace_bytes bytes: rn_conv2d_bytes(...) or more, else
   RN_TOO_SMALL. rn_conv2d_bytes is 0 where the convolution is refused. In float builds only; else
   RN_BAD_ARGUMENT. */
RNDEF size_t rn_conv2d_bytes(const rn_tensor *x, const rn_tensor *f, int stride, int padding,
                             int threads);
RNDEF rn_status rn_conv2d_forward(rn_tensor *y, const rn_tensor *x, const rn_tensor *f,
                                  const rn_real *bias, int stride, int padding, rn_isa isa,
                                  int threads, void *workspace, size_t workspace_bytes,
                                  rn_error *error);
RNTRAIN rn_status rn_conv2d_backward(rn_tensor *dx, rn_tensor *dw, rn_real *db, const rn_tensor *dy,
                                     const rn_tensor *x, const rn_tensor *f, int stride,
                                     int padding, int accumulate, rn_isa isa, int threads,
                                     void *workspace, size_t workspace_bytes, rn_error *error);

/* Values and gradients of a net, in a probe or after a training step or rn_predict_probed (which
   has no gradients), as NCHW [net->held, c, h, w] of that node (held: how many images are in
   memory).

   What is not there is refused with RN_BAD_ARGUMENT, the reason and the way out: what the fast
   execution never stores, for it computes several nodes in one step; a value before its node was
   computed; a gradient before the last reader of the value has gone backward (from then on it is
   the sum so far, until the first reader has); what later steps, rn_workspace or rn_freeze
   overwrote.

   What is written is what the next steps read, as in the naive execution. Where that cannot be it
   is refused: gradients that were read already; gradients that an addition hands to both its inputs
   in one memory, while the other is yet to be read; and in the fast execution values that a batch
   norm has read. There, where batch norm and ReLU are one step, the ReLU goes backward by what the
   batch norm read, whatever was written. */
RNDEF rn_status rn_read_value(const rn_net *net, int node, rn_tensor to, rn_error *error);
RNDEF rn_status rn_write_value(rn_net *net, int node, rn_tensor from, rn_error *error);
RNDEF rn_status rn_read_gradient(const rn_net *net, int node, rn_tensor to, rn_error *error);
RNDEF rn_status rn_write_gradient(rn_net *net, int node, rn_tensor from, rn_error *error);

/* What numbers are like. All zero before the first; then more numbers add up, such as those of the
   parts of a batch. Norm sqrt(squares), mean sum / count, and so on. */
typedef struct rn_moments {
    /* how many, the sum of them and of their squares; how many are above zero, and zero; the
       largest magnitude */
    double count, sum, squares, positive, zeros, largest;
    /* A histogram, the caller's: [bins], of equal width from `least` to `most`, which is larger.
       Each number adds 1 to its bin; what is beyond them to the first or the last, NaN to either.
       bins 0: none is wanted. */
    double *histogram, least, most;
    int bins;
} rn_moments;

/* Adds the numbers of a tensor; and those of a node's value (backward 0) or gradient (1) where they
   are in the net, without a copy, when rn_read_value or rn_read_gradient would read them. */
RNDEF void rn_add_moments(rn_moments *moments, rn_tensor tensor);
RNDEF rn_status rn_add_moments_of(rn_moments *moments, const rn_net *net, int node, int backward,
                                  rn_error *error);

/* Random numbers ==============================================================================
   Number `index` of a stream is a function of the stream's key and the index alone. There is no
   state: numbers may be drawn in any order, again, and on several threads. */

enum {
    RN_PURPOSE_INIT = 1,
    RN_PURPOSE_SHUFFLE,
    RN_PURPOSE_AUGMENT,
    RN_PURPOSE_DROPOUT,
    RN_PURPOSE_DEPTH
};

RNDEF uint64_t rn_random(rn_key key, uint64_t index);
RNDEF double rn_uniform(rn_key key, uint64_t index); /* in [0, 1) */
RNDEF double rn_normal(rn_key key, uint64_t index);  /* mean 0, deviation 1 (Box-Muller) */
/* Which image stands at position `index` in the order of an epoch: a random permutation of [0,
   count), of which no list is stored, so that any place of it can be resumed. Behind the last,
   positions start again at 0. 0 if there are no images. */
RNDEF uint64_t rn_shuffle(rn_key key, uint64_t index, uint64_t count);

/* Files and data ============================================================================== */

/* How the header reaches files: all calls return 0 for success unless said otherwise. A NULL
   rn_files means stdio: paths are UTF-8 on Windows, too, a file that is saved is synchronised,
   keeps the permissions of the one that it replaces, and a symbolic link to it stays one. With
   RESNET_NO_STDIO there is no default. */
typedef struct rn_files {
    void *user;
    void *(*open)(void *user, const char *path, int write); /* NULL on failure */
    int (*size)(void *user, void *file, uint64_t *bytes);
    /* These two return how many bytes they have read or written. */
    size_t (*read)(void *user, void *file, uint64_t offset, void *data, size_t bytes);
    size_t (*write)(void *user, void *file, const void *data, size_t bytes);
    int (*sync)(void *user, void *file); /* to the disk */
    int (*close)(void *user, void *file);
    int (*rename)(void *user, const char *from, const char *to); /* replaces `to` at once */
    int (*remove)(void *user, const char *path);
} rn_files;

/* A file that lies in memory: in flash, or mapped there by the system. For all functions that read
   files, with any path, which only their sentences use. It is never written, and stays the
   caller's; `file` must live as long as the rn_files are used. */
typedef struct rn_mapping {
    const void *data;
    size_t bytes;
} rn_mapping;
RNDEF rn_files rn_files_in_memory(rn_mapping *file);

/* Weights as safetensors, names as in rn_parameter, the description in __metadata__. rn_save writes
   what inference needs and a CRC: from a multiple of 64 bytes on all parameters, then all running
   statistics, either in the order of the net's array. rn_save_checkpoint adds velocity
   ("velocity/NAME"), schedule, step, epoch, cursor and trainer. Both write path + ".tmp",
   synchronise and rename, so that an older file survives whatever fails; a net with numbers that
   are not finite, or a running variance below zero, is RN_NOT_FINITE and not saved. rn_load takes
   either into a net of the same description, but for the size of images (nets are fully
   convolutional); for a checkpoint into a training net: everything, so that training goes on with
   the same bits. Tensors may stand in any order, but those that the net has not are refused (only
   scalars of I64, and tensors NAME.num_batches_tracked, are not). It checks the whole file (bounds,
   names, shapes, CRC, numbers) before it changes anything, then reads it again to store it: if that
   fails the net holds a part, and the error says so. It takes no memory but some KB of stack. A
   read-only net it refuses. */
RNDEF rn_status rn_save(const rn_net *net, const char *path, const rn_files *files,
                        rn_error *error);
RNDEF rn_status rn_save_checkpoint(const rn_net *net, const char *path, const rn_files *files,
                                   rn_error *error);
RNDEF rn_status rn_load(rn_net *net, const char *path, const rn_files *files, rn_error *error);
/* To begin to fine-tune: all but the classifier (fc), which stays as it is in the net and need not
   be in the file; its description may have other classes. Weights and running statistics alone, of
   a checkpoint, too, whatever it was trained with (frozen_below, size of images). All else as
   rn_load. */
RNDEF rn_status rn_load_trunk(rn_net *net, const char *path, const rn_files *files,
                              rn_error *error);
/* The description stored in a file, for rn_create before rn_load. What is of the machine (threads,
   naive, direct, unfused, isa, micro_batch, budget) gets its default, whatever the file says. */
RNDEF rn_status rn_load_desc(rn_desc *desc, const char *path, const rn_files *files,
                             rn_error *error);

/* rn_create and rn_load in one, much quicker: no weights are drawn that the file's replace, and the
   file is read twice, once for its CRC. desc NULL: the file's description, as of rn_load_desc; else
   a description that agrees with it as rn_load asks, with threads and the like as you want them.
   NULL with an error of rn_create or rn_load; then nothing stays allocated. */
RNDEF rn_net *rn_create_from(const rn_desc *desc, int batch, rn_mode mode, const char *path,
                             const rn_files *files, const rn_memory *memory, rn_error *error);

/* rn_create_over the weights in a file of rn_save that lies in memory, which is only read, and
   stays the caller's until rn_destroy: nothing is copied, and nets and processes may share it. desc
   as in rn_create_from. Bounds, names, types and shapes are checked in any case, by its header
   alone; CRC and numbers, for which the whole file is read, unless `trusted`: then a page of it is
   first read when a prediction needs it. Refused with a sentence: a file whose data is not aligned
   as rn_real is, or not of its type (F32), whose tensors lie in another order than rn_save's (of
   older files, or of other programs: load and save them once), and machines that are not
   little-endian. */
RNDEF rn_net *rn_create_mapped(const rn_desc *desc, int batch, const rn_mapping *file, int trusted,
                               const rn_memory *memory, rn_error *error);

/* Any safetensors file, entry by entry, without allocation:
       rn_archive a;  rn_entry e = {0};
       if (rn_archive_open(&a, path, NULL, &error) == RN_OK)
           while (rn_archive_next(&a, &e, &error) == 1) ...
       rn_archive_close(&a);                                                                      */
typedef struct rn_archive {
    rn_files files;
    void *file;
    char path[256];    /* for sentences; cut if longer */
    uint64_t bytes;    /* of the file */
    uint64_t json_end; /* offset of the data */
    uint64_t metadata; /* offset of the object "__metadata__"; 0: none */
    uint64_t at;       /* of the JSON already read */
    uint64_t window;   /* offset in the file of buffer[0] */
    size_t filled;     /* bytes in buffer */
    char buffer[512];
} rn_archive;

typedef struct rn_entry {
    char name[96];      /* cut if it is longer */
    size_t name_length; /* of the whole name; from 96 on it is cut, and rn_archive_find skips it */
    char dtype[16];     /* "F32", "I32", "I64", "F16", ...; one that is not known, as it stands */
    int dims;           /* any number */
    int64_t shape[4];   /* the first four sizes; 1 behind dims */
    uint64_t begin, bytes; /* in the file */
} rn_entry;

RNDEF rn_status rn_archive_open(rn_archive *archive, const char *path, const rn_files *files,
                                rn_error *error);
RNDEF int rn_archive_next(rn_archive *archive, rn_entry *entry, rn_error *error); /* 1; 0 end; <0 */
/* RN_MISMATCH if it is not there, or its name is cut. Quick in the order of the file. */
RNDEF rn_status rn_archive_find(rn_archive *archive, const char *name, rn_entry *entry,
                                rn_error *error);
/* Value of a key of __metadata__: RN_MISMATCH if it is not there or no string, RN_TOO_SMALL if it
   is cut. */
RNDEF rn_status rn_archive_metadata(rn_archive *archive, const char *key, char *value,
                                    size_t capacity, rn_error *error);
/* Bytes [offset, offset + bytes) of an entry's data. */
RNDEF rn_status rn_archive_read(rn_archive *archive, const rn_entry *entry, uint64_t offset,
                                void *data, size_t bytes, rn_error *error);
RNDEF void rn_archive_close(rn_archive *archive);

/* Where images come from. read fills pixels [C,H,W] (0..255, colours as RGB) and the label of image
   `index`; it must not change what it reads from if several threads call rn_batch. 0 for
   success. */
typedef struct rn_source {
    ptrdiff_t count;
    int channels, height, width, classes;
    int (*read)(void *user, ptrdiff_t index, uint8_t *pixels, int *label);
    void *user;
} rn_source;

/* A data set in memory. Pass &data->source to rn_batch; rn_data_free gives the memory back. Do not
   copy the struct: source.user points to it. */
typedef struct rn_data {
    rn_source source;
    uint8_t *pixels; /* [count, C, H, W], colours as RGB */
    uint8_t *labels; /* [count] */
    rn_memory memory;
    void *block;
} rn_data;

/* CIFAR-10 (classes 10) or CIFAR-100 (100, or 20: the coarse labels) in their binary versions from
   `directory`, which holds cifar-10-batches-bin/ or cifar-100-binary/: the training images (train
   1) or the test images. */
RNDEF rn_status rn_load_cifar(rn_data *data, const char *directory, int classes, int train,
                              const rn_memory *memory, const rn_files *files, rn_error *error);
/* IDX files as of MNIST: images of unsigned bytes, grey [count,h,w] or of 1 to 4 channels,
   [count,h,w,c], or [count,c,h,w] where the last size is above 4; and labels [count] of 1, 2 or 4
   bytes, 0 to classes - 1, which is at most 255. */
RNDEF rn_status rn_load_idx(rn_data *data, const char *images_path, const char *labels_path,
                            int classes, const rn_memory *memory, const rn_files *files,
                            rn_error *error);
RNDEF void rn_data_free(rn_data *data);

/* Goes on from *checksum (0 at first) with the sizes, images and labels of a source, in their
   order: equal sums tell that the data is what it was. Memory and refusals as in rn_measure. */
RNDEF rn_status rn_source_checksum(const rn_source *source, uint64_t *checksum, rn_error *error);

/* Mean and standard deviation of each channel over the source, pixels in 0..1 and colours as RGB
   whatever desc->channel_order, into desc->mean and desc->deviation; and channels, height, width
   and classes of the source into desc. A channel that is constant, or deviates by less than 1e-6,
   gets deviation 1. Refuses more than 4 channels. Takes room for one image from RESNET_MALLOC for a
   moment, unless the source is an rn_data. */
RNDEF rn_status rn_measure(rn_desc *desc, const rn_source *source, rn_error *error);

typedef struct rn_augment {
    int pad;  /* zero-pad the normalised image by this and crop at random (the paper: 4) */
    int flip; /* 1: mirror left to right with probability 1/2; 2: so in epoch 0, and from then on
                 each image every other epoch: two epochs show both its sides (alternating flip,
                 Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498, section 3.6) */
} rn_augment;

/* Images at positions [first, first + count) of an epoch, normalised as desc says and in its
   channel_order: images [count,C,H,W] and labels [count] are overwritten. With augment the order is
   shuffled and the images augmented, a function of (desc->seed, epoch, position) alone; with NULL
   they come as they are stored. Refuses positions that the source does not have, an impossible pad,
   a source of another shape than desc's, and more than 4 channels, which desc could not
   normalise. */
RNDEF rn_status rn_batch(const rn_source *source, const rn_desc *desc, const rn_augment *augment,
                         uint64_t epoch, ptrdiff_t first, int count, rn_real *images, int *labels,
                         rn_error *error);

/* A picture of any size, bytes 0..255, colours as RGB, not the owner of them: (c, y, x) is
   pixels[c stride_c + y stride_h + x stride_w]. */
typedef struct rn_picture {
    const uint8_t *pixels;
    int channels, height, width;
    ptrdiff_t stride_c, stride_h, stride_w;
} rn_picture;

RNDEF rn_picture rn_interleaved(const uint8_t *pixels, int channels, int height, int width);
RNDEF rn_picture rn_planar(const uint8_t *pixels, int channels, int height, int width);

/* A part of a picture, in its pixels, mirrored with `flip`. All that crop and scale give one. */
typedef struct rn_window {
    double top, left, height, width;
    int flip;
} rn_window;

/* The size x size centre of a picture of height x width scaled to a shorter side of `scale` (224 of
   256), which counts as size if it is less; and its four corners and centre, then these mirrored:
   ten-crop testing. All windows of sizes below 1 are empty, which rn_resample refuses. */
RNDEF rn_window rn_centre_window(int height, int width, int size, int scale);
RNDEF void rn_ten_windows(int height, int width, int size, int scale, rn_window windows[10]);
/* Drawn for training, mirrored with probability 1/2, a function of key and position alone (a key
   such as {desc.seed, RN_PURPOSE_AUGMENT, epoch}). Scale augmentation ([DRL] section 3.4): size x
   size of the picture scaled to a shorter side of least to most (224 of 256 to 480). Aspect-ratio
   augmentation (Szegedy et al. 2015, fb.resnet.torch): 8 to 100 % of the area, sides 3:4 to 4:3, or
   the centre square if ten tries do not fit. */
RNDEF rn_window rn_scale_window(int height, int width, int size, int least, int most, rn_key key,
                                uint64_t position);
RNDEF rn_window rn_aspect_window(int height, int width, rn_key key, uint64_t position);

/* How rn_resample and rn_predict_windows scale: 0, bicubic interpolation (a = -0.5) as in Torch7's
   image.scale, or a sum of these. */
typedef enum rn_resampling {
    RN_RESAMPLE_ANTIALIAS = 1, /* its support grows with the reduction, as in Pillow */
    RN_RESAMPLE_BILINEAR = 2,  /* not bicubic */
    RN_RESAMPLE_BYTES = 4,     /* rounds to bytes as Pillow does, once across, then down */
    RN_AS_INT(resampling)
} rn_resampling;

/* Overwrites `to` [1,C,h,w] with the window of a picture of C channels in their order, 0..255
   becoming 0..1; bicubic interpolation overshoots a little at edges, unless it rounds to bytes.
   Refuses windows that are empty or not within the picture, reductions by more than 24, and a
   `resampling` that is no sum of rn_resampling. */
RNDEF rn_status rn_resample(rn_tensor *to, const rn_picture *picture, rn_window window,
                            int resampling, rn_error *error);

/* What a net was trained to see in inference is often not a window, but whole pixels of a picture
   that was scaled whole: to scaled_height x scaled_width, of which height x width pixels from (top,
   left) on are taken. rn_centre_crop makes it as timm and torchvision do, with size, crop_fraction
   and interpolation of desc, which is as rn_resolve leaves it: shorter side size / crop_fraction,
   longer side in proportion, both rounded down, and the centre. If desc's height is not its width,
   the smallest picture that covers both, each divided by crop_fraction and rounded down. */
typedef struct rn_crop {
    int scaled_height, scaled_width;
    int top, left, height, width;
    rn_interpolation interpolation;
} rn_crop;

RNDEF rn_crop rn_centre_crop(const rn_desc *desc, int height, int width); /* of the picture */

/* Overwrites pixels [C,crop->height,crop->width] with the crop, the very bytes of Pillow's resize
   and crop: antialiased, rounded to bytes between its passes; channels in the picture's order.
   Takes any reduction, and rn_crop_bytes bytes of room, of any alignment, which keep nothing;
   rn_crop_bytes is 0 for what rn_crop_picture refuses: no picture, a crop that is empty or not
   within the scaled picture. A picture of 4000 rows scaled for a net of 224 takes 1 MB. */
RNDEF size_t rn_crop_bytes(const rn_picture *picture, const rn_crop *crop);
RNDEF rn_status rn_crop_picture(uint8_t *pixels, const rn_picture *picture, const rn_crop *crop,
                                void *room, size_t bytes, rn_error *error);
/* The same, normalised as desc says and in its channel_order: overwrites image [1,C,H,W], which
   rn_predict takes. Refuses a crop of another size than desc's besides. */
RNDEF rn_status rn_preprocess(rn_real *image, const rn_desc *desc, const rn_picture *picture,
                              const rn_crop *crop, void *room, size_t bytes, rn_error *error);

/* Colours of an image [1,3,h,w] of RGB, 0 black and 1 white, changed where it is, as
   fb.resnet.torch does; drawn like the windows. Jitter: brightness, contrast and saturation in
   random order, each mixed with black, the mean grey or the pixel's grey by a factor of 1 +-
   strength (0.4). Lighting ([IM] after Krizhevsky et al. 2012): a shift along the principal
   colours, by normal numbers of `deviation` (0.1). */
RNDEF rn_status rn_colour_jitter(rn_tensor *image, double strength, rn_key key, uint64_t position,
                                 rn_error *error);
RNDEF rn_status rn_lighting(rn_tensor *image, double deviation, rn_key key, uint64_t position,
                            rn_error *error);
/* Then image = (image - mean) / deviation of desc, [N,C,h,w], colours from RGB into desc's
   channel_order; a deviation of 0 counts as 1. Refuses more than 4 channels. */
RNDEF rn_status rn_normalise(rn_tensor *image, const rn_desc *desc, rn_error *error);

/* Mean of the softmax probabilities [classes] of a picture over windows: single crop or ten-crop.
   resampling as in rn_resample; net and workspace as in rn_predict; room: of C H W + classes
   numbers. */
RNDEF rn_status rn_predict_windows(const rn_net *net, void *workspace, const rn_picture *picture,
                                   const rn_window *windows, int count, int resampling,
                                   rn_real *room, rn_real *probabilities, rn_error *error);

/* Running statistics anew, for parameters that no longer change: the plain mean over images of
   those of `batches` batches of net->batch images (the last may be fewer, the rest of the source),
   as the source stores them, in place of the moving average that training left; those of frozen
   stages stay, and norms of images have none. No unit is left out (see desc.stochastic_depth): each
   is multiplied as in inference. Only forward runs: gradients stay. Overwrites
   net->logits, images [batch,C,H,W] and labels [batch]. results (or NULL) gets loss and right
   answers over these images in training mode, and then in inference mode with the new statistics: a
   gap between the two is what BN's statistics cost. RN_BAD_ARGUMENT, and all stays, for a source of
   too few images; where a later batch fails, the statistics are those of the batches before it. */
RNTRAIN rn_status rn_recalibrate(rn_net *net, const rn_source *source, int batches, rn_real *images,
                                 int *labels, rn_result results[2], rn_error *error);

#ifdef __cplusplus
}
#endif
#endif /* RESNET_H */

/* The implementation ========================================================================== */
#if defined(RESNET_IMPLEMENTATION) && !defined(RESNET_IMPLEMENTED)
#define RESNET_IMPLEMENTED

/* C casts, and NULL as a pointer, are C++ too: warnings of style that a C++ program turns on for
   itself are not for this file. */
#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__))
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wzero-as-null-pointer-constant"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif
#endif
/* >>shims ====================================================================================
   What the rest takes from outside, in one place: libc, the caller's options, and what differs
   between compilers and systems. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#ifndef RESNET_NO_STDIO
#include <stdio.h>
#endif

/* Without stdio there is no allocator but the caller's. */
#if defined(RESNET_MALLOC) != defined(RESNET_FREE)
#error "resnet.h: define both RESNET_MALLOC(bytes) and RESNET_FREE(memory), or neither"
#endif
#if !defined(RESNET_MALLOC) && !defined(RESNET_NO_STDIO)
#include <stdlib.h>
#define RESNET_MALLOC(bytes) malloc(bytes)
#define RESNET_FREE(memory) free(memory)
#endif

#ifndef RESNET_ASSERT
#include <assert.h>
#define RESNET_ASSERT(condition) assert(condition)
#endif

/* Is a kind of node compiled? All are unless RESNET_KINDS has the bits 1 << RN_CONV2D and so on of
   some. Then the functions of the others are nowhere named, and not linked. */
#ifdef RESNET_KINDS
#define RN__HAS_KIND(kind) ((RESNET_KINDS) >> (kind)&1)
#else
#define RN__HAS_KIND(kind) 1
#endif
#define RN__HAS_IMAGE_NORM (RN__HAS_KIND(RN_GROUP_NORM) || RN__HAS_KIND(RN_EVONORM_S0))

/* RN__FAST: 1 if RESNET_REAL is the word float, else 0. The fast layers compute in float; with
   another type only the naive ones exist. */
#define RN__FAST RN__PASTE(RN__IS_, RESNET_REAL)

/* RN__TRAINS: 1 if training is compiled, else 0. RN__SMALL: 1 with RESNET_SMALL, see the options.
   They are asked for in conditions, too, so that the compiler leaves out what is never done. */
#ifdef RESNET_NO_TRAIN
#define RN__TRAINS 0
#else
#define RN__TRAINS 1
#endif
#ifdef RESNET_SMALL
#define RN__SMALL 1
#else
#define RN__SMALL 0
#endif
#if RN__SMALL && !RN__FAST
#error "resnet.h: RESNET_SMALL computes in float; leave RESNET_REAL as it is"
#endif

/* RN__THREADS: OpenMP is there. RN__TEAMS: a net has helpers of its own, see >>threads, which takes
   POSIX threads and atomic operations on 64 bits. RN__PAUSE() tells the processor that this thread
   only waits. */
#if defined(_OPENMP) && !defined(RESNET_NO_THREADS)
#include <omp.h>
#define RN__THREADS
#if (defined(__unix__) || defined(__APPLE__)) && __GCC_ATOMIC_LLONG_LOCK_FREE == 2
#include <pthread.h>
#include <unistd.h>
#define RN__TEAMS
#if defined(__x86_64__) || defined(__i386__)
#define RN__PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RN__PAUSE() __asm__ __volatile__("yield")
#else
#define RN__PAUSE() ((void)0)
#endif
#endif
#endif

/* RN__FUNCTION: static, without a warning where it is not used, for some builds leave parts of the
   file out. RN__APART: and not inlined, so that its stack is not its caller's, too. */
#if defined(__GNUC__) || defined(__clang__)
#define RN__FUNCTION static __attribute__((unused))
#define RN__APART static __attribute__((noinline, unused))
#else
#define RN__FUNCTION static
#define RN__APART static
#endif

/* Copies the bits of a number to another type of the same size. -ffreestanding takes memcpy for any
   function, and would call it. */
#if defined(__GNUC__) || defined(__clang__)
#define RN__COPY_BITS(to, from) ((void)__builtin_memcpy(&(to), &(from), sizeof(to)))
#else
#define RN__COPY_BITS(to, from) ((void)memcpy(&(to), &(from), sizeof(to)))
#endif

/* The compiler holds the arguments from number `first` on to the format, argument number `string`.
   On Windows its printf is Microsoft's, which had neither %zu nor %lld. */
#if defined(__GNUC__) && defined(_WIN32) && !defined(__clang__)
#define RN__PRINTF(string, first) __attribute__((__format__(__gnu_printf__, string, first)))
#elif defined(__GNUC__) || defined(__clang__)
#define RN__PRINTF(string, first) __attribute__((__format__(__printf__, string, first)))
#else
#define RN__PRINTF(string, first)
#endif

#define RN__ALIGN 64 /* bytes: a cache line, a 512-bit vector, a block of 16 channels */

#define RN__BLOCK 16 /* channels that the fast layers keep together */

/* Checked by the compiler: else the array has a negative size. */
#define RN__REQUIRE(name, condition) typedef char rn__require_##name[(condition) ? 1 : -1]

/* The smaller, the larger, and a / b rounded up, for b above 0 and an a of either sign. */
static int rn__min(int a, int b) { return a < b ? a : b; }
static int rn__max(int a, int b) { return a > b ? a : b; }
static int rn__divide_up(int a, int b) { return a / b + (a % b > 0); }
static int rn__blocks(int channels) { return rn__divide_up(channels, RN__BLOCK); }

/* How many windows of `kernel` pixels, each `stride` pixels behind the last, fit into `size`
   pixels with `padding` more at both ends: the rows or columns of a convolution's output. 0 if
   none does. */
static int rn__window_output(int size, int kernel, int stride, int padding) {
    int64_t last = (int64_t)size + 2 * (int64_t)padding - kernel; /* where the last could begin */
    const int most =
        INT_MAX / stride * stride; /* no division of 64 bits: a routine, on small ones */
    int windows = 0;
    if (last < 0) return 0;
    for (; last >= most; last -= most) {
        if (windows > INT_MAX - most / stride) return INT_MAX;
        windows += most / stride;
    }
    windows += (int)last / stride;
    return windows < INT_MAX ? windows + 1 : INT_MAX;
}

/* >>text =====================================================================================
   In: numbers and words. Out: text in a buffer of fixed capacity, for error sentences, files and
   the printer; and numbers out of text. No stdio is needed, and no locale changes a decimal point.

   Text that does not fit is cut, and `length` counts on, as snprintf's result does: a caller whose
   length is not below the capacity knows that the end is missing, and how much room it takes.

       | s | t | e | p |   | 1 | 2 | \0 |  ...  |      data[0 to capacity - 1], always closed by a 0
         0   1   2   3   4   5   6   7 = length */
typedef struct rn__text {
    char *data;      /* NULL: only count */
    size_t capacity; /* bytes at data, the closing 0 included */
    size_t length;   /* of the whole text, cut or not */
} rn__text;

/* An empty text in a buffer. */
static rn__text rn__text_in(char *data, size_t capacity) {
    rn__text text = {data, capacity, 0};
    if (capacity) data[0] = 0;
    return text;
}

/* Declares an empty text with a buffer of its own, which is text.data. */
#define RN__TEXT(text, capacity)    \
    char text##_buffer[(capacity)]; \
    rn__text text = rn__text_in(text##_buffer, (capacity))

static void rn__put(rn__text *text, char c) {
    if (text->length + 1 < text->capacity) {
        text->data[text->length] = c;
        text->data[text->length + 1] = 0;
    }
    text->length++;
}

/* Appends a string, character by character. */
static void rn__puts(rn__text *text, const char *s) {
    while (*s) rn__put(text, *s++);
}

/* The last digit of a number, which loses it: as one divides on paper, by digits of 16 bits, for a
   division of 64 bits is a routine on small machines. */
static unsigned rn__take_digit(uint64_t *value, unsigned base) {
    uint64_t quotient = 0;
    uint32_t rest = 0;
    for (int shift = 48; shift >= 0; shift -= 16) {
        rest = rest << 16 | (uint32_t)(*value >> shift & 0xffff);
        quotient = quotient << 16 | rest / base;
        rest %= base;
    }
    *value = quotient;
    return rest;
}

/* A number with at least `least` digits, zeros in front. */
static void rn__put_unsigned(rn__text *text, uint64_t value, unsigned base, int least) {
    char digits[64]; /* 64 bits have at most 20 decimal digits */
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[rn__take_digit(&value, base)];
    } while (value || count < least);
    while (count) rn__put(text, digits[--count]);
}

/* What is computed in wherever it is not a tensor's own type: sums, descriptions, sizes as numbers.
   With RESNET_SMALL it is float, and no double is touched but by its bits: many small processors
   have no instructions for them, and the routines take 4 KB. Nor is libm linked, whose functions
   for floats report errors in doubles. */
#if RN__SMALL
typedef float rn__wide;
#else
typedef double rn__wide;
#endif

/* The bits of a number as a whole number, and back: what C has no cast for. */
static uint64_t rn__double_bits(double value) {
    uint64_t bits;
    RN__COPY_BITS(bits, value);
    return bits;
}

RN__FUNCTION int32_t rn__float_bits(float x) {
    int32_t bits;
    RN__COPY_BITS(bits, x);
    return bits;
}

static inline float rn__float_of_bits(int32_t bits) {
    float x;
    RN__COPY_BITS(x, bits);
    return x;
}

/* A double, as a description has it, as a number to compute with, and back: casts, but for small
   builds. There it is rounded to the nearest, of two the even one, by its bits: sign, exponent and
   the first 23 of its 52 digits. What is too small for a float is 0, what is too large infinite. */
#if RN__SMALL
static rn__wide rn__wide_of(double value) {
    const uint64_t bits = rn__double_bits(value);
    const uint32_t sign = (uint32_t)(bits >> 32) & 0x80000000u, rest = bits & 0x1fffffff;
    const int32_t exponent = (int32_t)(bits >> 52 & 0x7ff) - (1023 - 127);
    uint32_t to = (uint32_t)(bits >> 29) & 0x7fffff;
    if (exponent == 0x7ff - (1023 - 127)) /* infinite, or not a number */
        to = 0x7f800000u | to | (to || rest ? 0x400000u : 0);
    else if (exponent > 254)
        to = 0x7f800000u;
    else if (exponent < 1)
        to = 0;
    else {
        to |= (uint32_t)exponent << 23;
        to += rest > 0x10000000 || (rest == 0x10000000 && (to & 1));
    }
    return rn__float_of_bits((int32_t)(sign | to));
}
static double rn__double_of(rn__wide value) {
    const uint32_t bits = (uint32_t)rn__float_bits(value), exponent = bits >> 23 & 0xff;
    uint64_t to = (uint64_t)(bits & 0x7fffff) << 29;
    double result;
    if (exponent) to |= (uint64_t)(exponent < 255 ? exponent + (1023 - 127) : 0x7ff) << 52;
    if (!exponent) to = 0;
    to |= (uint64_t)(bits >> 31) << 63;
    RN__COPY_BITS(result, to);
    return result;
}
#else
static rn__wide rn__wide_of(double value) { return value; }
static double rn__double_of(rn__wide value) { return value; }
#endif

/* A number that is whole, from 0 on; of a float below 2^32, for which there are instructions. */
static uint64_t rn__whole(rn__wide value) { return RN__SMALL ? (uint32_t)value : (uint64_t)value; }

/* 0 or -0? A NaN is not, whatever -ffast-math makes of it. */
static int rn__is_zero(rn__wide value) { return !(rn__double_bits(rn__double_of(value)) << 1); }

RN__FUNCTION rn__wide rn__larger(rn__wide a, rn__wide b) { return a > b ? a : b; }

/* Root and whole part; in small builds within the last digit (Newton's iteration, from half the
   exponent on), and of numbers below 2^31. */
#if RN__SMALL
RN__FUNCTION rn__wide rn__sqrt(rn__wide x) {
    rn__wide root = rn__float_of_bits((rn__float_bits(x) >> 1) + 0x1fc00000);
    if (!(x > 0) || rn__float_bits(x) >= 0x7f800000)
        return rn__is_zero(x) ? x : x + (x - x) / (x - x);
    for (int i = 0; i < 4; i++) root = (rn__wide)0.5 * (root + x / root);
    return root;
}
static rn__wide rn__floor(rn__wide x) {
    const rn__wide whole = (rn__wide)(int32_t)x;
    return whole > x ? whole - 1 : whole;
}
#else
RN__FUNCTION rn__wide rn__sqrt(rn__wide x) { return sqrt(x); }
static rn__wide rn__floor(rn__wide x) { return floor(x); }
#endif

/* A number with `decimals` digits behind the point, rounded. 2.46 with one decimal: 24.6 is rounded
   to 25, whose whole part is 2 and whose rest is 5. Numbers beyond 10^15 are called infinite, in
   small builds those beyond 10^9; and there are no more digits than such a number has. */
static void rn__put_fixed(rn__text *text, rn__wide value, int decimals) {
    const rn__wide most = (rn__wide)(RN__SMALL ? 1e9 : 1e15);
    rn__wide scale = 1, whole; /* 10 to the number of decimals */
    int room = RN__SMALL ? 8 : 15;
    /* NaN fails both comparisons, too. */
    if (!(value >= -most && value <= most)) {
        rn__puts(text, value > 0 ? "inf" : value < 0 ? "-inf" : "nan");
        return;
    }
    if (value < 0) rn__put(text, '-');
    value = value < 0 ? -value : value;
    for (rn__wide v = value; v >= 10; v /= 10) room--;
    decimals = rn__max(rn__min(decimals, room), 0);
    for (int i = 0; i < decimals; i++) scale *= 10;
    value = rn__floor(value * scale + (rn__wide)0.5);
    whole = rn__floor(value / scale);
    rn__put_unsigned(text, rn__whole(whole), 10, 1);
    if (!decimals) return;
    rn__put(text, '.');
    rn__put_unsigned(text, rn__whole(value - whole * scale), 10, decimals);
}

/* The types that %lld and %llu take. int64_t and uint64_t are as wide, but on many machines they
   are types of another name, so they are cast. */
typedef long long rn__lld;
typedef unsigned long long rn__llu;

/* printf's conversions, as far as the header uses them:

       %  -  0  width  .digit  ll or z  letter

       -        at the left of its width        s    const char *
       0        filled with zeros (u, x)        d    int, long long (ll)
       .digit   decimals of f; 6 without        u x  unsigned, unsigned long long (ll), size_t (z)
                                                f    double
                                                %    a percent sign

   The compiler checks the arguments of rn__format and its kin, see RN__PRINTF. */
static void rn__format_list(rn__text *text, const char *format, va_list arguments) {
    for (; *format; format++) {
        RN__TEXT(item, 80); /* for a number; a string is put as it is */
        const char *string = item.data;
        /* left, zeros, wide, size: 1 where there is '-', '0', "ll" or 'z'. */
        int width = 0, decimals = 6, left, zeros, wide, size;
        if (*format != '%') {
            rn__put(text, *format);
            continue;
        }
        /* Past the percent sign, one part after the other, to the letter. */
        format += left = format[1] == '-';
        zeros = format[1] == '0';
        while (*++format >= '0' && *format <= '9') width = width * 10 + (*format - '0');
        if (*format == '.') decimals = format[1] - '0', format += 2;
        format += 2 * (wide = *format == 'l');
        format += size = *format == 'z';
        if (*format == 's')
            string = va_arg(arguments, const char *);
        else if (*format == 'f')
            rn__put_fixed(&item, rn__wide_of(va_arg(arguments, double)), decimals);
        else if (*format == 'd') {
            const int64_t value = wide ? va_arg(arguments, long long) : va_arg(arguments, int);
            if (value < 0) rn__put(&item, '-');
            rn__put_unsigned(&item, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, 1);
        } else if (*format == 'u' || *format == 'x') {
            const uint64_t value = wide   ? va_arg(arguments, unsigned long long)
                                   : size ? va_arg(arguments, size_t)
                                          : va_arg(arguments, unsigned);
            rn__put_unsigned(&item, value, *format == 'u' ? 10 : 16, zeros ? width : 1);
        } else
            rn__put(&item, '%');
        for (width -= (int)strlen(string); !left && width > 0; width--) rn__put(text, ' ');
        rn__puts(text, string);
        for (; width > 0; width--) rn__put(text, ' ');
    }
}

/* Appends what printf would print. */
RN__PRINTF(2, 3) static void rn__format(rn__text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rn__format_list(text, format, arguments);
    va_end(arguments);
}

/* Writes status and sentence, if the caller wants them, and returns the status: a function that
   fails ends with `return rn__fail(error, RN_..., "what is wrong; what to do", ...)`. */
RN__PRINTF(3, 4)
static rn_status rn__fail(rn_error *error, rn_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        rn__text text = rn__text_in(error->text, sizeof error->text);
        error->status = status;
        va_start(arguments, format);
        rn__format_list(&text, format, arguments);
        va_end(arguments);
    }
    return status;
}

/* Fails, unless the condition is false, as rn__fail(error, ...) with the caller's `error`:
   RN__FAIL_IF(condition, RN_..., "what is wrong; what to do", ...). */
#define RN__FAIL_IF(condition, ...)                         \
    do {                                                    \
        if (condition) return rn__fail(error, __VA_ARGS__); \
    } while (0)

/* Returns from the calling function if the call failed; its sentence is written already. */
#define RN__TRY(call)                      \
    do {                                   \
        rn_status rn__status = (call);     \
        if (rn__status) return rn__status; \
    } while (0)

/* Reads a decimal whole number at *s and moves *s behind it. 0 if there is none, or if it does not
   fit 64 bits. */
static int rn__scan_unsigned(const char **s, uint64_t *value) {
    const char *start = *s;
    for (*value = 0; **s >= '0' && **s <= '9'; ++*s) {
        unsigned digit = (unsigned)(**s - '0');
        /* Would ten times the value and the digit overflow? */
        if (*value > (UINT64_MAX - digit) / 10) return 0;
        *value = *value * 10 + digit;
    }
    return *s > start;
}

#if RN__SMALL
static rn__wide rn__power_of_ten(int exponent) {
    rn__wide power = 1;
    for (; exponent > 0; exponent--) power *= 10;
    for (; exponent < 0; exponent++) power /= 10;
    return power;
}
#else
static rn__wide rn__power_of_ten(int exponent) { return pow(10, exponent); }
#endif

/* Reads all of s as a decimal number such as -1.5e-3, or as 0x and the 16 hexadecimal digits of the
   bits of a double, which is how files hold it. Decimals are for people: the last bit of a long one
   may differ from strtod's, which depends on the locale and belongs to stdlib. */
static int rn__scan_double(const char *s, double *value) {
    const char *hexadecimal = "0123456789abcdef", *digit;
    uint64_t bits = 0, digits;
    rn__wide v = 0, sign = 1, scale = 1; /* all digits as one number, and what to divide it by */
    int any = 0;                         /* 1: there was a digit */
    if (s[0] == '0' && s[1] == 'x') {    /* bits */
        for (s += 2; *s && (digit = strchr(hexadecimal, *s)) != NULL; s++, any++)
            bits = bits << 4 | (uint64_t)(digit - hexadecimal);
        memcpy(value, &bits, sizeof bits);
        return any == 16 && *s == 0;
    }
    if (*s == '-' || *s == '+') sign = *s++ == '-' ? -1 : 1;
    for (; *s >= '0' && *s <= '9'; s++, any = 1) v = v * 10 + (rn__wide)(*s - '0');
    if (*s == '.')
        for (s++; *s >= '0' && *s <= '9'; s++, any = 1)
            v = v * 10 + (rn__wide)(*s - '0'), scale *= 10;
    v /= scale;
    if (any && (*s == 'e' || *s == 'E')) { /* exponent */
        int negative = *++s == '-';        /* the sign of the exponent, whose first letter was e */
        if (*s == '-' || *s == '+') s++;
        if (!rn__scan_unsigned(&s, &digits) || digits > 400) return 0;
        v *= rn__power_of_ten(negative ? -(int)digits : (int)digits);
    }
    *value = rn__double_of(sign * v);
    return any && *s == 0;
}

/* Name or sentence of a status, from its list. */
static const char *rn__status_string(rn_status status, int sentence) {
#define RN__STATUS_CASE(name, value, text) \
    case name: return sentence ? text : #name;
    switch (status) {
        RN_STATUS_LIST(RN__STATUS_CASE)
    default: return sentence ? "not a status of resnet.h" : "RN_STATUS_?";
    }
}

RNDEF const char *rn_status_name(rn_status status) { return rn__status_string(status, 0); }
RNDEF const char *rn_status_text(rn_status status) { return rn__status_string(status, 1); }

/* >>memory ===================================================================================
   Sizes in bytes, and memory cut into arrays. Nothing is allocated but whole blocks: first all
   sizes are added up, then one block is taken, then the same code cuts it into pieces. */

/* Sums and products of sizes are SIZE_MAX when they overflow, and stay so, so that one test at the
   end is enough. */
static size_t rn__add_size(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

static size_t rn__multiply_size(size_t a, size_t b) {
    return b && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

/* The next multiple of RN__ALIGN. */
static size_t rn__align_size(size_t bytes) {
    return bytes > SIZE_MAX - RN__ALIGN ? SIZE_MAX
                                        : (bytes + RN__ALIGN - 1) / RN__ALIGN * RN__ALIGN;
}

/* An arena hands out arrays one behind the other, each aligned to RN__ALIGN. With base NULL it
   hands out NULL and only adds up; so a function that carves its arrays is called twice, to measure
   them and to place them:

       base | array 1 ..| array 2 .......| array 3 ....| free        `used` is where free begins  */
typedef struct rn__arena {
    char *base;
    size_t used;
} rn__arena;

/* An array of `count` elements of `size` bytes. */
static void *rn__carve(rn__arena *arena, size_t count, size_t size) {
    void *p = arena->base ? arena->base + arena->used : NULL;
    arena->used = rn__add_size(arena->used, rn__align_size(rn__multiply_size(count, size)));
    return p;
}

/* The workspace of a fast layer: what all threads share, and what each has of its own. */
typedef struct rn__room {
    rn__arena shared, own;
} rn__room;

/* Enough for either of two layers, which do not run at the same time. */
RN__FUNCTION rn__room rn__larger_room(rn__room a, rn__room b) {
    if (b.shared.used > a.shared.used) a.shared.used = b.shared.used;
    if (b.own.used > a.own.used) a.own.used = b.own.used;
    return a;
}

/* Bytes of a workspace for so many threads. */
RN__FUNCTION size_t rn__room_bytes(rn__room room, int threads) {
    return rn__add_size(room.shared.used, rn__multiply_size(room.own.used, (size_t)threads));
}

/* Bytes from p to the next multiple of RN__ALIGN. */
static size_t rn__gap(const void *p) { return (size_t)(0 - (uintptr_t)p) % RN__ALIGN; }

/* `bytes` bytes aligned to RN__ALIGN, or NULL with an error. They come from the caller's buffer, if
   memory has one, else from its alloc, else (memory NULL or empty) from RESNET_MALLOC, if there is
   one. None of the three need be aligned, so up to RN__ALIGN - 1 bytes more are taken, and *block
   is where they begin, for rn__release. */
static void *rn__allocate(const rn_memory *memory, size_t bytes, void **block, rn_error *error) {
    void *buffer = memory ? memory->buffer : NULL;
    size_t room = rn__add_size(bytes, buffer ? rn__gap(buffer) : RN__ALIGN - 1);
    *block = NULL;
    if (buffer && memory->bytes < room)
        rn__fail(error, RN_TOO_SMALL,
                 "the buffer has %zu bytes and needs %zu (%zu if aligned to %d)", memory->bytes,
                 room, bytes, RN__ALIGN);
    else if (room == SIZE_MAX)
        rn__fail(error, RN_TOO_LARGE, "the size in bytes overflows; use a smaller net or batch");
    else if (buffer)
        *block = buffer;
    else if (memory && memory->alloc)
        *block = memory->alloc(room, memory->user);
#ifdef RESNET_MALLOC
    else
        *block = RESNET_MALLOC(room);
#endif
    if (!*block && !buffer && room < SIZE_MAX)
        rn__fail(error, RN_NO_MEMORY, "no memory for %zu bytes; give a buffer, or ask for less",
                 room);
    return *block ? (char *)*block + rn__gap(*block) : NULL;
}

/* Gives a block back, but not a buffer, which is the caller's. */
static void rn__release(const rn_memory *memory, void *block) {
    if (!block || (memory && memory->buffer)) return;
    if (memory && memory->alloc && memory->free) memory->free(block, memory->user);
#ifdef RESNET_MALLOC
    if (!memory || !memory->alloc) RESNET_FREE(block);
#endif
}

/* >>threads ==================================================================================
   A layer is computed in rounds, one after the other; a training step has hundreds to thousands of
   them. A round is a number of jobs, such as one plane of one image each, which may run at the same
   time.

   The thread that called (rn_train_step, rn_predict) is the leader. It begins a round, does jobs
   itself, and goes on when all are done. Helpers are threads of the net, which sleep until there
   are rounds; leader and helpers are a team. Each thread has a share of the jobs, the same in every
   layer, so that with few images it finds in its cache what it made in the layer before. When its
   share is done it takes jobs from the others'. Twelve jobs and three threads, the third of which
   comes late:

       time ------------------------------------------------->
       leader,   share 0 to 3    | 0 | 1 | 2 | 3 | 7 | 8 | 11 | waits | next round ...
       helper 1, share 4 to 7    | 4   | 5   | 6   | 9   |    waits   | next round ...
       helper 2, share 8 to 11   | another program's | 10             | next round ...

   What is counted is jobs done, not threads that have finished: a helper that has not begun holds
   nobody up, for the others do its share. Only a job that somebody has begun must be waited for.

   To wait is first to spin, reading a variable again and again, and after some microseconds to
   sleep: what another core writes is seen in a fraction of a microsecond, but a system call that
   wakes a thread takes several. */

/* Runs job i of a round, in [0, jobs), on thread `thread`, 0 for the leader. Jobs must not depend
   on each other nor on which thread runs them: the same bits for any number of threads rest on
   this. */
typedef void (*rn__job)(void *context, int i, int thread);

/* A work is what a team is called for: one pass over a batch, or the update of the weights. The
   first four are timed. */
typedef enum rn__work {
    RN__PREDICTS,
    RN__TAKES_FEATURES,
    RN__GOES_FORWARD,
    RN__GOES_BACKWARD,
    RN__UPDATES
} rn__work;
enum { RN__TIMED = RN__UPDATES, RN__MOST_THREADS = 64 };

typedef struct rn__team rn__team;

#ifdef RN__TEAMS

/* 64 bits that are read and written atomically must not lie in two cache lines. */
typedef uint64_t rn__atomic __attribute__((aligned(8)));

/* The share of one thread, as a queue. Its jobs are taken from the front, by whoever comes: `next`
   is the one to take next, with the round's number above it as in team->round. If that number is an
   earlier one, nobody has taken any of this round's. */
typedef struct rn__queue {
    rn__atomic next;
    rn__team *team;
    char apart[112]; /* so that each queue has a pair of cache lines of its own */
} rn__queue;

/* The net measures whether helpers are worth their while: how long the same work takes together,
   and how long alone. Together is slower where another program wants the processors too: a helper
   that is preempted in the middle of a job holds the leader up by milliseconds.

   Works are gathered into intervals of 10 ms or more, and the way of working, together or alone,
   changes only between two. Now and then an interval is a trial of the other way; where trials fail
   they become rarer. */
typedef struct rn__pace {
    int together;            /* 1: with helpers, 0: alone */
    int trial;               /* 1: this interval is a trial of the other way */
    int settles;             /* 1: the first interval of a way, which does not count: caches adapt.
                                While helpers do their share it lasts 50 ms, as processors that were
                                idle need time to come to speed */
    int works;               /* of this interval, at least two: forward and backward */
    int intervals, pause;    /* since the last trial; that must pass before the next one */
    double jobs, helped;     /* in this interval: of all rounds; those that helpers did */
    double seconds;          /* of this interval */
    double usual[RN__TIMED]; /* seconds an image of a work alone, a moving average */
    struct {                 /* sums over the past, in which old intervals count less and less */
        double seconds, images;
    } of[2][RN__TIMED]; /* [alone, together] */
} rn__pace;
enum { RN__INTERVAL_ENDS = 1 << 24 }; /* so many works end an interval at once */

/* Every group of members is written by other threads than the next, or at other times, and stands
   in cache lines of its own: where one thread writes, the others lose the whole line. */
struct rn__team {
    int size;                /* threads, the leader is one */
    int sleepers;            /* helpers that sleep */
    int leader_sleeps, ends; /* 1: the leader does; the net is destroyed */
    pthread_mutex_t mutex;
    pthread_cond_t begins, done; /* a round begins; all its jobs are done */
    pthread_t helpers[RN__MOST_THREADS];
    char apart[128];
    /* read and written by leaders: */
    int callers;       /* at work with the net now; the first of them leads */
    unsigned expected; /* what `finished` is when this round is over */
    rn__pace pace;
    char further[128];
    /* written by the leader in every round, read by helpers: */
    rn__atomic round; /* its number << 24 | its jobs */
    rn__job job;
    void *context;
    char beyond[128];
    /* written by helpers: */
    unsigned finished; /* jobs that they have done in all rounds; may wrap around */
    char furthest[128];
    rn__queue queues[RN__MOST_THREADS]; /* [size] */
};

/* A thread that spins looks at the clock each time it has read RN__SPINS times. At the first look
   it does the shares that nobody has begun; after RN__SPIN_SECONDS it does any jobs that are left,
   and then sleeps. */
enum { RN__ROUND_BITS = 24, RN__SPINS = 256 };
#define RN__SPIN_SECONDS 5e-5

/* Does jobs of share `of` in a round until all of them are taken; returns how many it did.

   A job is taken by moving queue->next from it to the one behind, with a compare-and-swap, which
   only one thread can win. A thread that was preempted may come with a round that is over: then all
   its jobs have been taken, next is past them, and the loop ends. So job and context, which may be
   of a later round by then, are only read by who has taken a job, and before that job is done the
   leader does not change them. */
static int rn__do_share(rn__team *team, uint64_t round, int of, int thread) {
    const unsigned jobs = (unsigned)round & ((1u << RN__ROUND_BITS) - 1),
                   size = (unsigned)team->size;
    /* jobs as they stand in queue->next: the round's first, and the share's, [begin, end) */
    const uint64_t first = round - jobs, begin = first + jobs * (unsigned)of / size;
    const uint64_t end = first + jobs * (unsigned)(of + 1) / size;
    rn__atomic *next = &team->queues[of].next;
    uint64_t found = __atomic_load_n(next, __ATOMIC_RELAXED), at;
    int done = 0;
    /* When the swap fails, `found` is what another thread has put there. */
    while ((at = found > begin ? found : begin) < end)
        if (__atomic_compare_exchange_n(next, &found, at + 1, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            team->job(team->context, (int)(at - first), thread);
            done++;
            found = at + 1;
        }
    return done;
}

/* Which jobs a thread does:
       RN__OWN      those of its share; then, if the round has many, what is left of other shares,
                    as cores are not always equally fast. Of few jobs, which are over soon, a share
                    is left to its thread, which has in its cache what they need.
       RN__UNBEGUN  also those of shares of which nobody has taken any
       RN__ANY      all that are left */
typedef enum rn__whose { RN__OWN, RN__UNBEGUN, RN__ANY } rn__whose;

static int rn__do_jobs(rn__team *team, uint64_t round, int thread, rn__whose whose) {
    const uint64_t jobs = round & ((1u << RN__ROUND_BITS) - 1);
    const int all = whose == RN__ANY || jobs >= 4 * (uint64_t)team->size;
    int k, done = rn__do_share(team, round, thread, thread);
    for (k = 1; k < team->size && (all || whose == RN__UNBEGUN); k++) {
        const int of = (thread + k) % team->size;
        if (all || __atomic_load_n(&team->queues[of].next, __ATOMIC_RELAXED) < round - jobs)
            done += rn__do_share(team, round, of, thread);
    }
    return done;
}

/* Wakes who waits for this. Under the mutex, or who is about to wait might miss it. */
static void rn__wake(rn__team *team, pthread_cond_t *condition) {
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(condition);
    pthread_mutex_unlock(&team->mutex);
}

/* A helper reports jobs that it has done, and wakes the leader if that sleeps. The leader first
   says that it sleeps and then reads `finished`; here it is the other way round. As all four
   accesses are sequentially consistent, one of the two sees what the other wrote: no wake-up is
   lost. */
static void rn__hand_in(rn__team *team, int done) {
    if (!done) return;
    __atomic_fetch_add(&team->finished, (unsigned)done, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&team->leader_sleeps, __ATOMIC_SEQ_CST)) rn__wake(team, &team->done);
}

/* One iteration of spinning. Returns which jobs to do now: RN__OWN, that is none, as those are
   done; once RN__UNBEGUN; and when it is time to sleep RN__ANY. */
static rn__whose rn__spin(unsigned *spins, double *begun) {
    double now;
    RN__PAUSE();
    if (++*spins % RN__SPINS) return RN__OWN;
    now = omp_get_wtime();
    if (*spins == RN__SPINS) return *begun = now, RN__UNBEGUN;
    return now - *begun < RN__SPIN_SECONDS ? RN__OWN : RN__ANY;
}

/* A helper waits for another round than `seen`, while it still does what is left of that one.
   Returns the new round, or 0 if the net is destroyed. */
static uint64_t rn__await_round(rn__team *team, uint64_t seen, int thread) {
    rn__whose whose = RN__OWN;
    double begun = 0;
    uint64_t round;
    unsigned spins = 0;
    while (whose != RN__ANY) {
        round = __atomic_load_n(&team->round, __ATOMIC_ACQUIRE);
        if (round != seen) return round;
        whose = rn__spin(&spins, &begun);
        if (seen && whose != RN__OWN) rn__hand_in(team, rn__do_jobs(team, seen, thread, whose));
    }
    pthread_mutex_lock(&team->mutex);
    __atomic_fetch_add(&team->sleepers, 1, __ATOMIC_RELAXED);
    /* Looked at again under the mutex, under which the leader wakes sleepers. A round that begins
       before it sees this one is slept through, and others do this share. */
    while ((round = __atomic_load_n(&team->round, __ATOMIC_ACQUIRE)) == seen && !team->ends)
        pthread_cond_wait(&team->begins, &team->mutex);
    __atomic_fetch_sub(&team->sleepers, 1, __ATOMIC_RELAXED);
    if (team->ends) round = 0;
    pthread_mutex_unlock(&team->mutex);
    return round;
}

/* The life of a helper, whose queue this is. */
static void *rn__help(void *queue) {
    rn__team *team = ((rn__queue *)queue)->team;
    const int thread = (int)((rn__queue *)queue - team->queues);
    uint64_t round = 0;
    while ((round = rn__await_round(team, round, thread)) != 0)
        rn__hand_in(team, rn__do_jobs(team, round, thread, RN__OWN));
    return NULL;
}

/* The leader waits until helpers have done all jobs that they have taken. */
static void rn__await_jobs(rn__team *team) {
    rn__whose whose = RN__OWN;
    double begun = 0;
    unsigned spins = 0;
    while (whose != RN__ANY) {
        if (__atomic_load_n(&team->finished, __ATOMIC_ACQUIRE) == team->expected) return;
        whose = rn__spin(&spins, &begun);
        if (whose != RN__OWN) team->expected -= (unsigned)rn__do_jobs(team, team->round, 0, whose);
    }
    pthread_mutex_lock(&team->mutex);
    __atomic_store_n(&team->leader_sleeps, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&team->finished, __ATOMIC_SEQ_CST) != team->expected)
        pthread_cond_wait(&team->done, &team->mutex);
    __atomic_store_n(&team->leader_sleeps, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&team->mutex);
}

/* Runs one round; called by the leader. Writing team->round releases job and context: a helper that
   sees the round sees them. */
static void rn__run_round(rn__team *team, int jobs, rn__job job, void *context) {
    const uint64_t number = (team->round >> RN__ROUND_BITS) + 1;
    const unsigned before = team->expected;
    team->job = job;
    team->context = context;
    __atomic_store_n(&team->round, number << RN__ROUND_BITS | (uint64_t)jobs, __ATOMIC_RELEASE);
    /* A helper that falls asleep just now misses the round; others do its share. */
    if (__atomic_load_n(&team->sleepers, __ATOMIC_RELAXED)) rn__wake(team, &team->begins);
    team->expected += (unsigned)(jobs - rn__do_jobs(team, team->round, 0, RN__OWN));
    rn__await_jobs(team);
    team->pace.jobs += jobs;
    team->pace.helped += team->expected - before;
}

/* Adds a work to the sums of its way. If it took twice the usual time somebody was preempted. Such
   a work counts as more than its time: they are rare and would hardly show in the mean, but for who
   waits for a short work they are what matters. In a trial it ends the trial at once. */
static void rn__count_work(rn__pace *p, rn__work work, double seconds, double images) {
    const double usual = p->usual[work] * images;
    const int preempted = usual > 0 && seconds > 2 * usual;
    p->seconds += seconds;
    p->works++;
    if (preempted && p->trial) p->settles = 0, p->works = RN__INTERVAL_ENDS;
    if (p->settles) return;
    p->of[p->together][work].images += images;
    p->of[p->together][work].seconds += seconds + (preempted ? fmin(0.02, 30 * usual) : 0);
    if (!p->together)
        p->usual[work] =
            (usual > 0 ? usual + (fmin(seconds, 2 * usual) - usual) / 16 : seconds) / images;
}

/* Has the sums of one way count less against what comes next. */
static void rn__fade(rn__pace *p, int way, double share) {
    for (int k = 0; k < RN__TIMED; k++)
        p->of[way][k].seconds *= share, p->of[way][k].images *= share;
}

/* After each work: is the interval over, and how does the next one go? The cost of a way is the
   time that it would take for the works of the present way. The cheaper way goes on, unless a
   trial of the other is due; that is less urgent while helpers do 85 % of their fair share of the
   jobs. */
static void rn__judge(rn__pace *p, int size) {
    double cost[2] = {0, 0};
    const int was = p->together;
    const int fair = p->together && p->helped * size > 0.85 * p->jobs * (size - 1);
    const double least = p->settles && fair ? 0.05 : 0.01;
    int better;
    if (p->works < 2 || (p->seconds < least && p->works < RN__INTERVAL_ENDS)) return;
    /* Only works that were timed both ways tell anything. */
    for (int k = 0; k < RN__TIMED; k++)
        for (int way = 0; way < 2 && p->of[0][k].images > 0 && p->of[1][k].images > 0; way++)
            cost[way] += p->of[way][k].seconds / p->of[way][k].images * p->of[was][k].images;
    better = cost[0] > 0 ? cost[1] < cost[0] : was;
    if (p->settles) /* nothing was counted */
        better = was;
    else if (p->trial) { /* a trial that failed makes the next one rarer */
        if (better != was) p->pause = rn__min(4 * p->pause, 128);
        p->intervals = p->trial = 0;
    } else if (++p->intervals > (fair ? rn__max(p->pause, 16) : p->pause)) {
        better = !was;
        p->trial = 1;
        rn__fade(p, better, 0.5); /* what was long ago */
    }
    if (!p->settles) rn__fade(p, was, 15.0 / 16);
    p->settles = better != was;
    p->together = better;
    p->works = 0;
    p->seconds = p->jobs = p->helped = 0;
}

/* How many processors control groups (Linux, version 2) let this process use, rounded up, and at
   most `most`. `list` is /proc/self/cgroup, which names the process's group; the quota of that
   group and of each above it stands below `root` in cpu.max, as microseconds of every period. */
RN__APART int rn__quota(const char *list, const char *root, int most) {
#if defined(__linux__) && !defined(RESNET_NO_STDIO)
    char group[512] = "", path[640], *end;
    double quota, period;
    FILE *file = fopen(list, "r");
    while (file && fgets(group, sizeof group, file) && strncmp(group, "0::", 3)) group[0] = 0;
    if (file) fclose(file);
    group[strcspn(group, "\n")] = 0;
    for (end = group + strlen(group); end; end = strrchr(group, '/')) {
        rn__text text = rn__text_in(path, sizeof path);
        *end = 0; /* one level up */
        rn__format(&text, "%s%s/cpu.max", root, strlen(group) > 3 ? group + 3 : "");
        file = fopen(path, "r");
        if (file && fscanf(file, "%lf %lf", &quota, &period) == 2 && period > 0)
            most = rn__min(most, rn__max(1, (int)fmin(ceil(quota / period), most)));
        if (file) fclose(file);
    }
#else
    (void)list, (void)root;
#endif
    return most;
}

/* The processors that this process may use, not those of the machine. */
static int rn__processors(void) {
    return rn__quota("/proc/self/cgroup", "/sys/fs/cgroup",
                     rn__min(omp_get_num_procs(), omp_get_thread_limit()));
}

/* What rn__start_team and the first helper tell each other, while the team is made. */
typedef struct rn__birth {
    int threads, over; /* wanted; 1 when the team is made or could not be */
    rn__team *team;    /* NULL: could not be */
} rn__birth;

/* The team lies on the stack of the first helper, which lives until rn__end_team: so the threads do
   no harm when somebody uses a net's memory again without rn_destroy. The first helper starts the
   others, and ends after them. */
static void *rn__help_first(void *user) {
    rn__birth *birth = (rn__birth *)user;
    rn__team team;
    int i, made;
    memset(&team, 0, sizeof team);
    team.pace.pause = team.pace.intervals = 4; /* a trial comes soon */
    team.pace.settles = team.pace.together = 1;
    for (i = 0; i < rn__min(birth->threads, RN__MOST_THREADS); i++) team.queues[i].team = &team;
    made = !pthread_mutex_init(&team.mutex, NULL) && !pthread_cond_init(&team.begins, NULL) &&
           !pthread_cond_init(&team.done, NULL);
    for (team.size = 2; made && team.size < i; team.size++) /* nobody reads it before a round */
        if (pthread_create(&team.helpers[team.size], NULL, rn__help, &team.queues[team.size]))
            break;
    if (made) birth->team = &team;
    __atomic_store_n(&birth->over, 1, __ATOMIC_RELEASE); /* now birth may be gone */
    if (!made) return NULL;
    rn__help(&team.queues[1]);
    for (i = 2; i < team.size; i++) pthread_join(team.helpers[i], NULL);
    pthread_cond_destroy(&team.begins);
    pthread_cond_destroy(&team.done);
    pthread_mutex_destroy(&team.mutex);
    return NULL;
}

/* A team of up to so many threads, as many as can be had; NULL if no helper can. */
static rn__team *rn__start_team(int threads) {
    rn__birth birth = {threads, 0, NULL};
    pthread_t first;
    if (threads < 2 || pthread_create(&first, NULL, rn__help_first, &birth)) return NULL;
    while (!__atomic_load_n(&birth.over, __ATOMIC_ACQUIRE)) sched_yield();
    if (birth.team)
        birth.team->helpers[1] = first;
    else
        pthread_join(first, NULL);
    return birth.team;
}

/* Ends the helpers. No call may be at work with the net. */
static void rn__end_team(rn__team *team) {
    pthread_t first;
    if (!team) return;
    pthread_mutex_lock(&team->mutex);
    first = team->helpers[1];
    team->ends = 1;
    pthread_cond_broadcast(&team->begins);
    pthread_mutex_unlock(&team->mutex);
    pthread_join(first, NULL);
}

#endif /* RN__TEAMS */

/* One work of one caller, from rn__meet to rn__part: whether it has the team meanwhile. */
typedef struct rn__meeting {
    rn__team *team; /* NULL: it works alone */
    int workers;    /* threads that take part */
    int leads;      /* 1: it is the only caller, and is timed */
    double begun;
} rn__meeting;

/* Threads for a call without a team: OpenMP's, as many as there are processors by affinity. */
RN__FUNCTION int rn__workers(int threads) {
#ifdef RN__THREADS
    return omp_in_parallel() ? 1 : rn__min(threads, omp_get_num_procs());
#else
    return (void)threads, 1;
#endif
}

/* Begins a work. The team is for one caller at a time, and not for one in a parallel region of its
   own, which has the processors already. The others work alone. */
RN__FUNCTION rn__meeting rn__meet(rn__team *team, int threads) {
    rn__meeting m = {NULL, 1, 0, 0};
#ifdef RN__TEAMS
    (void)threads;
    if (!team) return m;
    m.leads = !__atomic_fetch_add(&team->callers, 1, __ATOMIC_ACQUIRE) && !omp_in_parallel();
    if (m.leads) m.begun = omp_get_wtime();
    if (!m.leads || !team->pace.together) return m;
    m.team = team;
    m.workers = team->size;
#else
    (void)team;
    m.workers = rn__workers(threads);
#endif
    return m;
}

/* Ends a work on so many images. */
RN__FUNCTION void rn__part(rn__team *team, const rn__meeting *m, rn__work work, int images) {
#ifdef RN__TEAMS
    if (!team) return;
    if (m->leads && (int)work < RN__TIMED) {
        rn__count_work(&team->pace, work, omp_get_wtime() - m->begun, images);
        rn__judge(&team->pace, team->size);
    }
    __atomic_fetch_sub(&team->callers, 1, __ATOMIC_RELEASE);
#else
    (void)team, (void)m, (void)work, (void)images;
#endif
}

/* Runs all jobs: with a team, else on `workers` threads of OpenMP's, else one after the other. */
RN__FUNCTION void rn__parallel(rn__team *team, int workers, int jobs, rn__job job, void *context) {
#ifdef RN__TEAMS
    if (team && jobs > 1 && jobs < 1 << RN__ROUND_BITS) {
        rn__run_round(team, jobs, job, context);
        return;
    }
#endif
#ifdef RN__THREADS
    if (!team && workers > 1 && jobs > 1) {
#pragma omp parallel for schedule(static) num_threads(workers)
        for (int i = 0; i < jobs; i++) job(context, i, omp_get_thread_num());
        return;
    }
#endif
    (void)team, (void)workers;
    for (int i = 0; i < jobs; i++) job(context, i, 0);
}

/* >>tensors ==================================================================================
   A tensor is a description of memory that somebody else owns: four sizes, and for each a stride,
   how far apart neighbours along it lie. So a part of a tensor is a tensor, too, and nothing is
   copied. Contiguous, as rn_tensor_in makes it, with 2 images of 2 channels of 2x3:

       image 0                     image 1                       stride_w 1: the next column
       channel 0     channel 1     channel 0     channel 1       stride_h 3: the next row
       0  1  2       6  7  8       12 13 14      18 19 20        stride_c 6
       3  4  5       9  10 11      15 16 17      21 22 23        stride_n 12

   Channel 1 of both images has the same strides, and begins at number 6. */

/* Sizes of 0 give 0 bytes, which is also the sign of an overflow: there is nothing to allocate. */
RNDEF size_t rn_tensor_bytes(int n, int c, int h, int w) {
    size_t bytes = sizeof(rn_real);
    if (n < 0 || c < 0 || h < 0 || w < 0) return 0;
    bytes = rn__multiply_size(rn__multiply_size(bytes, (size_t)n), (size_t)c);
    bytes = rn__multiply_size(rn__multiply_size(bytes, (size_t)h), (size_t)w);
    return bytes > PTRDIFF_MAX ? 0 : bytes; /* no two elements may be further apart */
}

/* Sizes of zero count as one when it is asked whether the strides fit. */
RNDEF rn_tensor rn_tensor_in(rn_real *data, int n, int c, int h, int w) {
    rn_tensor t = {data, n, c, h, w, 0, 0, rn__max(w, 0), 1};
    const int fits = n >= 0 && c >= 0 && h >= 0 && w >= 0 &&
                     rn_tensor_bytes(rn__max(n, 1), rn__max(c, 1), rn__max(h, 1), rn__max(w, 1));
    if (!fits) t.n = t.c = t.h = t.w = 0;
    t.stride_c = t.stride_h * t.h;
    t.stride_n = t.stride_c * t.c;
    return t;
}

/* Is [first, first + count) a part of [0, all)? */
static int rn__is_part(int first, int count, int all) {
    return first >= 0 && count >= 0 && count <= all && first <= all - count;
}

/* A view has the strides of the whole, and its data begins at the first image. */
RNDEF rn_tensor rn_tensor_images(rn_tensor t, int first, int count) {
    t.n = rn__is_part(first, count, t.n) ? count : 0;
    if (t.n) t.data += first * t.stride_n;
    return t;
}

RNDEF rn_tensor rn_tensor_channels(rn_tensor t, int first, int count) {
    t.c = rn__is_part(first, count, t.c) ? count : 0;
    if (t.c) t.data += first * t.stride_c;
    return t;
}

/* Where element (n, c, h, w) lies; and the element as a double. */
static rn_real *rn__at(const rn_tensor *t, int n, int c, int h, int w) {
    return t->data + (n * t->stride_n + c * t->stride_c + h * t->stride_h + w * t->stride_w);
}

static double rn__get(const rn_tensor *t, int n, int c, int h, int w) {
    return (double)*rn__at(t, n, c, h, w);
}

/* Four loops over all elements of a tensor, with names of your choice for the indices. The
   statement behind it is the body of the innermost:

       RN__EACH(t, n, c, h, w) *rn__at(t, n, c, h, w) = 0;                                        */
#define RN__EACH(t, i, j, y, x)              \
    for (int i = 0; i < (t)->n; i++)         \
        for (int j = 0; j < (t)->c; j++)     \
            for (int y = 0; y < (t)->h; y++) \
                for (int x = 0; x < (t)->w; x++)

/* Tensor t must be [n,c,h,w]. The sentence of every shape error: function and tensor, what it is
   and what it should be. */
static rn_status rn__expect(const char *function, const char *name, const rn_tensor *t, int n,
                            int c, int h, int w, rn_error *error) {
    if (t->n == n && t->c == c && t->h == h && t->w == w) return RN_OK;
    return rn__fail(error, RN_BAD_SHAPE, "%s: %s is [%d,%d,%d,%d] and should be [%d,%d,%d,%d]",
                    function, name, t->n, t->c, t->h, t->w, n, c, h, w);
}

RNDEF void rn_tensor_fill(rn_tensor t, rn_real value) {
    RN__EACH(&t, n, c, h, w) *rn__at(&t, n, c, h, w) = value;
}

/* Element by element, so that strides may differ. */
RNDEF rn_status rn_tensor_copy(rn_tensor to, rn_tensor from, rn_error *error) {
    RN__TRY(rn__expect(__func__, "to", &to, from.n, from.c, from.h, from.w, error));
    RN__EACH(&to, n, c, h, w) *rn__at(&to, n, c, h, w) = *rn__at(&from, n, c, h, w);
    return RN_OK;
}

/* The sum of all elements, one after the other in the order of RN__EACH. */
static double rn__sum(const rn_tensor *t) {
    double sum = 0;
    RN__EACH(t, n, c, h, w) sum += rn__get(t, n, c, h, w);
    return sum;
}

/* ---- is a number finite? ---------------------------------------------------------------------

   Infinities and what is not a number have an exponent of all ones. Comparisons do not find them:
   with -ffast-math the compiler takes every number for finite and leaves such a test out. It does
   so even with the bits of a number that it has in a register; so it is told that the memory may
   have changed, and has to load the bits from there. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__TINYC__)
#define RN__FORGET(memory) __asm__ volatile("" : : "r"(memory) : "memory")
#else
#define RN__FORGET(memory) ((void)(memory))
#endif

static int rn__is_finite(double value) {
    uint64_t bits;
    RN__FORGET(&value);
    memcpy(&bits, &value, sizeof bits);
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

/* Are all of these? In float without a branch, so that the loop becomes vectors. */
static int rn__all_finite(const rn_real *data, ptrdiff_t count) {
    int bad = 0;
    RN__FORGET(data);
    for (ptrdiff_t i = 0; i < count; i++) {
#if RN__FAST
        uint32_t bits;
        memcpy(&bits, data + i, sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
#else
        bad |= !rn__is_finite(data[i]);
#endif
    }
    return !bad;
}

RN__FUNCTION int rn__not_finite(rn_real value) { return !rn__all_finite(&value, 1); }

/* The differences themselves are compared with the largest value, not each with its own: values
   that should cancel to zero are wrong by as much as those that they come from. */
RNDEF double rn_tensor_difference(rn_tensor a, rn_tensor b) {
    double largest = 0, difference = 0;
    if (a.n != b.n || a.c != b.c || a.h != b.h || a.w != b.w) return HUGE_VAL;
    RN__EACH(&a, n, c, h, w) {
        double x = rn__get(&a, n, c, h, w), y = rn__get(&b, n, c, h, w);
        if (!rn__is_finite(x) || !rn__is_finite(y)) return HUGE_VAL;
        difference = fmax(difference, fabs(x - y));
        largest = fmax(largest, fabs(y));
    }
    return difference / (largest > 0 ? largest : 1);
}

/* >>random ===================================================================================
   Random numbers without a state: number `index` of a stream is a hash of the stream's key and the
   index. So any of them can be had at any time, on any thread, in any order, and a training that is
   resumed draws what it would have drawn. */

/* The hash: a bijection of 64 bits in which every bit of the input reaches every bit of the output
   (the last step of MurmurHash3 with Stafford's constants, as in SplitMix64). */
static uint64_t rn__mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A key as one number. */
static uint64_t rn__stream(rn_key key) {
    const uint64_t golden = 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio; rn__mix(0) would be 0 */
    uint64_t stream = rn__mix(key.seed + golden);
    stream = rn__mix((stream ^ key.purpose) + golden);
    return rn__mix((stream ^ key.epoch) + golden);
}

/* The stream goes in twice: were it only added to the index, two streams would be the same sequence
   from different places on. */
static uint64_t rn__draw(uint64_t stream, uint64_t index) {
    return rn__mix(rn__mix(index + stream) ^ ~stream);
}

/* Dropout takes 16 bits an element, four elements from one random number. An element is kept if its
   bits are at least 2^16 ratio, rounded up. */
RN__FUNCTION int rn__keeps(uint64_t draw, uint64_t index, uint32_t least) {
    return (uint32_t)(draw >> index % 4 * 16 & 0xffff) >= least;
}
RN__FUNCTION uint32_t rn__least_kept(double ratio) { return (uint32_t)ceil(ratio * 65536); }

RNDEF uint64_t rn_random(rn_key key, uint64_t index) { return rn__draw(rn__stream(key), index); }

/* The upper 53 bits, as many as a double holds, over 2^53. */
RNDEF double rn_uniform(rn_key key, uint64_t index) {
    return (double)(rn_random(key, index) >> 11) * (1.0 / 9007199254740992.0);
}

/* Box and Muller 1958: a point in the plane with normal coordinates has a uniform angle, and radius
   sqrt(-2 log u) for a uniform u. */
RNDEF double rn_normal(rn_key key, uint64_t index) {
    const double u = 1 - rn_uniform(key, 2 * index); /* in (0, 1]: has a logarithm */
    const double angle = 6.283185307179586476925 * rn_uniform(key, 2 * index + 1);
    return sqrt(-2 * log(u)) * cos(angle);
}

/* A Feistel network permutes the numbers of 2 half bits: each of its rounds replaces (left,
   right) by (right, left ^ f(right)), which can be undone whatever f is; here f is random. Such
   rounds make even permutations only, so before them all numbers are rotated by a random number.
   A result outside of [0, count) goes through again until it falls inside, which is still a
   permutation of [0, count): walking along a cycle and leaving out places. As 4^half <= 4 count,
   it is soon there. */
RNDEF uint64_t rn_shuffle(rn_key key, uint64_t index, uint64_t count) {
    const uint64_t rotation = rn_random(key, UINT64_MAX);
    uint64_t mask, left, right, round;
    int half = 1;
    if (!count) return 0;
    index %= count;
    while (half < 32 && (count - 1) >> 2 * half) half++;
    mask = ((uint64_t)1 << half) - 1;
    do {
        index += rotation;
        left = index >> half & mask;
        right = index & mask;
        for (round = 0; round < 12; round++) {
            uint64_t next = left ^ (rn_random(key, round << 32 | right) & mask);
            left = right;
            right = next;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}

/* >>description ==============================================================================
   In: an rn_desc with zeros in it, or its fields as text. Out: an rn_desc whose every field has its
   value and that can be built, or a sentence that says why it cannot.

   All that treats the fields alike walks one table, rn__fields: rn_desc_get and rn_desc_set
   (numbers to text and back), rn_resolve (defaults and limits), and >>weights and checkpoints. So a
   new field is a member of rn_desc and a row of the table. What a table cannot say follows below
   it: the units that a depth stands for, and fields that depend on each other.

       text "3,3,3"  --rn_desc_set-->  rn_desc  --rn_resolve-->  rn_desc without zeros
                     <--rn_desc_get--                                              */

/* RN__INT: int, or an enum. RN__BYTES: uint64_t, as text also with K, M or G behind it. */
typedef enum rn__type { RN__INT, RN__FLOAT, RN__DOUBLE, RN__UINT64, RN__BYTES } rn__type;

/* What a field has to do with files. The first five are of descriptions: when rn_load takes a file
   into a net, do their fields have to agree? The last three are of rn__progress: where a field is
   written. */
typedef enum rn__use {
    RN__MAY_DIFFER,
    RN__FOR_WEIGHTS,    /* must match to load weights */
    RN__FOR_CLASSIFIER, /* likewise, but not for rn_load_trunk */
    RN__FOR_RESUMING,   /* must match to resume training from a checkpoint */
    RN__OF_MACHINE,     /* how to compute, not what: never taken from a file */
    RN__CHECKPOINT,     /* in every checkpoint */
    RN__IF_SET,         /* in checkpoints where it is not zero */
    RN__RESULT          /* where it is not zero, in checkpoints and in rn_save's files */
} rn__use;

/* One member of a struct: where it lies, and how it is read, written and checked. */
typedef struct rn__field {
    const char *key;          /* the member's name */
    unsigned char type;       /* rn__type. (Narrow: a table in flash has a row for each.) */
    unsigned char count;      /* more than 1: a list of numbers */
    unsigned char size;       /* bytes of one */
    unsigned short offset;    /* in the struct */
    const char *const *names; /* of an enum's values; NULL: a number */
    unsigned char use;        /* rn__use */
    rn__wide least, most;     /* what rn_resolve accepts, once zeros are replaced; of an enum, all
                                 that has a name; most 0: anything */
    double standard;          /* replaces zero; 0: nothing does, or rn_resolve decides */
    const char *former; /* key in older files, those that hold desc.image_height; NULL: same */
} rn__field;

#define RN__NAME_OF(value, name) name,
static const char *const rn__block_names[] = {RN_BLOCK_LIST(RN__NAME_OF) NULL};
static const char *const rn__stem_names[] = {RN_STEM_LIST(RN__NAME_OF) NULL};
static const char *const rn__order_names[] = {RN_ORDER_LIST(RN__NAME_OF) NULL};
static const char *const rn__norm_names[] = {RN_NORM_LIST(RN__NAME_OF) NULL};
static const char *const rn__interpolation_names[] = {RN_INTERPOLATION_LIST(RN__NAME_OF) NULL};
static const char *const rn__channel_order_names[] = {RN_CHANNEL_ORDER_LIST(RN__NAME_OF) NULL};
static const char *const rn__shortcut_names[] = {RN_SHORTCUT_LIST(RN__NAME_OF) NULL};
static const char *const rn__resize_names[] = {RN_RESIZE_LIST(RN__NAME_OF) NULL};
static const char *const rn__stride_on_names[] = {RN_STRIDE_ON_LIST(RN__NAME_OF) NULL};
static const char *const rn__padding_names[] = {RN_PADDING_LIST(RN__NAME_OF) NULL};
static const char *const rn__init_names[] = {RN_INIT_LIST(RN__NAME_OF) NULL};
static const char *const rn__decay_names[] = {RN_DECAY_LIST(RN__NAME_OF) NULL};
static const char *const rn__sgd_names[] = {RN_SGD_LIST(RN__NAME_OF) NULL};
static const char *const rn__isa_names[] = {RN_ISA_LIST(RN__NAME_OF) NULL};
static const char *const rn__dialect_names[] = {RN_DIALECT_LIST(RN__NAME_OF) NULL};
static const char *const rn__mode_names[] = {RN_MODE_LIST(RN__NAME_OF) NULL};
static const char *const rn__schedule_names[] = {RN_SCHEDULE_LIST(RN__NAME_OF) NULL};

/* Units of a stage: more would take long to plan, and a damaged file could ask for it. */
enum { RN__MOST_UNITS = 1 << 13, RN__MOST_DEPTH = 2 + 3 * RN_MAX_STAGES * RN__MOST_UNITS };

#define RN__LEAST_DEVIATION 1e-6 /* of pixels, that a net may divide by */

/* A row, after the member: names, use, least, most, standard, former key. So the row of height
   says: an int; to go on with a checkpoint it must match; from 1 to 2^14; rn_resolve has its
   default; older files call it image_height. RN__FIELD makes key, type, count, size and offset of
   the member, RN__OPTION the row of an enum. */
#define RN__FIELD(member, type, c_type)                                                       \
#member, type, (int)(sizeof(((rn_desc *)NULL)->member) / sizeof(c_type)), sizeof(c_type), \
        offsetof(rn_desc, member)
#define RN__WIDE(limit) ((rn__wide)(limit)) /* one that no float is exactly */
#define RN__OPTION(member, use)             /* an enum */ \
    { RN__FIELD(member, RN__INT, rn_##member), rn__##member##_names, use, 0, 0, 0, NULL }
static const rn__field rn__fields[] = {
    /* The shape of the net: */
    {RN__FIELD(depth, RN__INT, int), NULL, RN__MAY_DIFFER, 0, RN__MOST_DEPTH, 0, NULL},
    RN__OPTION(block, RN__FOR_WEIGHTS),
    {RN__FIELD(units, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, RN__MOST_UNITS, 0, NULL},
    {RN__FIELD(base_width, RN__INT, int), NULL, RN__FOR_WEIGHTS, 1, 1 << 14, 0, "width"},
    {RN__FIELD(stem_width, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1 << 14, 0, NULL},
    {RN__FIELD(widths, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1 << 17, 0, NULL},
    {RN__FIELD(outputs, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1 << 19, 0, NULL},
    RN__OPTION(stem, RN__FOR_WEIGHTS),
    {RN__FIELD(bare_stem, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1, 0, NULL},
    {RN__FIELD(bare_tail, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1, 0, NULL},
    {RN__FIELD(classes, RN__INT, int), NULL, RN__FOR_CLASSIFIER, 2, 1 << 20, 0, NULL},
    {RN__FIELD(channels, RN__INT, int), NULL, RN__FOR_WEIGHTS, 1, 1 << 14, 3, NULL},
    {RN__FIELD(height, RN__INT, int), NULL, RN__FOR_RESUMING, 1, 1 << 14, 0, "image_height"},
    {RN__FIELD(width, RN__INT, int), NULL, RN__FOR_RESUMING, 1, 1 << 14, 0, "image_width"},
    /* The units: */
    RN__OPTION(order, RN__FOR_WEIGHTS),
    RN__OPTION(shortcut, RN__FOR_WEIGHTS),
    {RN__FIELD(shortcut_scale, RN__FLOAT, float), NULL, RN__FOR_WEIGHTS, -1e6, 1e6, 0, NULL},
    {RN__FIELD(residual_scale, RN__FLOAT, float), NULL, RN__FOR_WEIGHTS, -1e6, 1e6, 1, NULL},
    {RN__FIELD(gate_bias, RN__FLOAT, float), NULL, RN__MAY_DIFFER, -1e6, 1e6, 0, NULL},
    {RN__FIELD(carry_bias, RN__FLOAT, float), NULL, RN__MAY_DIFFER, -1e6, 1e6, 0, NULL},
    {RN__FIELD(dropout, RN__FLOAT, float), NULL, RN__FOR_WEIGHTS, 0, RN__WIDE(0.999), 0.5, NULL},
    {RN__FIELD(stochastic_depth, RN__FLOAT, float), NULL, RN__FOR_WEIGHTS, 0, RN__WIDE(0.999), 0,
     NULL},
    RN__OPTION(resize, RN__FOR_WEIGHTS),
    {RN__FIELD(always_project, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1, 0, NULL},
    {RN__FIELD(raw_identity, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1, 0, NULL},
    RN__OPTION(stride_on, RN__FOR_WEIGHTS),
    RN__OPTION(padding, RN__FOR_WEIGHTS),
    {RN__FIELD(conv_bias, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1, 0, NULL},
    {RN__FIELD(weight_standardisation, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1, 0, NULL},
    {RN__FIELD(standardisation_eps, RN__DOUBLE, double), NULL, RN__FOR_WEIGHTS, RN__WIDE(1e-12), 1,
     1e-8, NULL},
    RN__OPTION(norm, RN__FOR_WEIGHTS),
    {RN__FIELD(norm_groups, RN__INT, int), NULL, RN__FOR_WEIGHTS, 0, 1 << 19, 0, NULL},
    /* The training: */
    RN__OPTION(init, RN__MAY_DIFFER),
    {RN__FIELD(bn_eps, RN__DOUBLE, double), NULL, RN__FOR_WEIGHTS, RN__WIDE(1e-12), 1, 1e-5, NULL},
    {RN__FIELD(bn_momentum, RN__DOUBLE, double), NULL, RN__MAY_DIFFER, RN__WIDE(1e-9), 1, 0.1,
     NULL},
    {RN__FIELD(bn_group, RN__INT, int), NULL, RN__FOR_RESUMING, 0, 1 << 24, 0, NULL},
    RN__OPTION(sgd, RN__MAY_DIFFER),
    {RN__FIELD(momentum, RN__DOUBLE, double), NULL, RN__MAY_DIFFER, 0, RN__WIDE(0.999999), 0, NULL},
    {RN__FIELD(weight_decay, RN__DOUBLE, double), NULL, RN__MAY_DIFFER, 0, 1e6, 0, NULL},
    {RN__FIELD(decay_scope, RN__INT, rn_decay), rn__decay_names, RN__MAY_DIFFER, 0, 0, 0, NULL},
    {RN__FIELD(norm_bias_rate, RN__DOUBLE, double), NULL, RN__MAY_DIFFER, RN__WIDE(1e-6), 1e6, 1,
     NULL},
    {RN__FIELD(frozen_below, RN__INT, int), NULL, RN__FOR_RESUMING, 0, RN_MAX_STAGES + 1, 0, NULL},
    {RN__FIELD(label_smoothing, RN__DOUBLE, double), NULL, RN__MAY_DIFFER, 0, RN__WIDE(0.999999), 0,
     NULL},
    /* The images: */
    {RN__FIELD(mean, RN__FLOAT, float), NULL, RN__FOR_WEIGHTS, -1e6, 1e6, 0, NULL},
    {RN__FIELD(deviation, RN__FLOAT, float), NULL, RN__FOR_WEIGHTS, RN__WIDE(RN__LEAST_DEVIATION),
     1e6, 1, "std"},
    RN__OPTION(channel_order, RN__FOR_WEIGHTS),
    {RN__FIELD(crop_fraction, RN__FLOAT, float), NULL, RN__MAY_DIFFER, RN__WIDE(0.01), 1, 0, NULL},
    RN__OPTION(interpolation, RN__MAY_DIFFER),
    {RN__FIELD(seed, RN__UINT64, uint64_t), NULL, RN__MAY_DIFFER, 0, 0, 0, NULL},
    /* The machine: */
    {RN__FIELD(threads, RN__INT, int), NULL, RN__OF_MACHINE, 1, 1024, 1, NULL},
    {RN__FIELD(naive, RN__INT, int), NULL, RN__OF_MACHINE, 0, 1, 0, NULL},
    {RN__FIELD(direct, RN__INT, int), NULL, RN__OF_MACHINE, 0, 1, 0, NULL},
    {RN__FIELD(unfused, RN__INT, int), NULL, RN__OF_MACHINE, 0, 1, 0, NULL},
    {RN__FIELD(micro_batch, RN__INT, int), NULL, RN__OF_MACHINE, 0, 1 << 24, 0, NULL},
    {RN__FIELD(budget, RN__BYTES, uint64_t), NULL, RN__OF_MACHINE, 0, 0, 0, NULL},
    RN__OPTION(isa, RN__OF_MACHINE),
};
enum { RN__FIELDS = (int)(sizeof rn__fields / sizeof rn__fields[0]) };

/* Numbers travel as doubles, which hold all of them exactly but 64-bit integers: these are told by
   rn__is_uint64, and their text is made and read apart. (In small builds as floats, which hold
   those that are not doubles, too, for whole ones are up to 2^24.) */
static int rn__is_uint64(const rn__field *field) {
    return field->type == RN__UINT64 || field->type == RN__BYTES;
}

typedef union rn__number {
    int integer;
    float single;
    double number;
} rn__number;

/* Number k of a field of an object, which is an rn_desc or an rn_net. */
static rn__wide rn__get_number(const void *object, const rn__field *field, int k) {
    rn__number in = {0};
    memcpy(&in, (const char *)object + field->offset + (size_t)k * field->size, field->size);
    if (field->type == RN__FLOAT) return (rn__wide)in.single;
    if (field->type == RN__DOUBLE) return rn__wide_of(in.number);
    return (rn__wide)in.integer;
}

static void rn__set_number(void *object, const rn__field *field, int k, rn__wide number) {
    rn__number in = {0};
    if (field->type == RN__FLOAT) in.single = (float)number;
    if (field->type == RN__DOUBLE) in.number = rn__double_of(number);
    if (field->type == RN__INT) in.integer = (int)number;
    memcpy((char *)object + field->offset + (size_t)k * field->size, &in, field->size);
}

/* The same, of a double, to the bit where the field is one. */
static void rn__set_double(void *object, const rn__field *field, int k, double number) {
    if (field->type == RN__DOUBLE)
        memcpy((char *)object + field->offset + (size_t)k * field->size, &number, sizeof number);
    else
        rn__set_number(object, field, k, rn__wide_of(number));
}

/* Is b the name a, in which '-' may stand for '_', as people write it on command lines? */
static int rn__same_name(const char *a, const char *b) {
    while (*a && (*a == *b || (*a == '_' && *b == '-'))) a++, b++;
    return !*a && !*b;
}

/* Name of value i of an enum, whatever number is in it. */
static const char *rn__name_of(const char *const *names, rn__wide i) {
    int k = 0;
    while (names[k] && (rn__wide)k < i) k++;
    return names[k] && (rn__wide)k <= i && i <= (rn__wide)k ? names[k] : "?";
}

/* A field as text: its numbers with commas. Floats are written as the bits of a double, so that no
   reader's arithmetic changes them, or for sentences with `decimals` of them. */
static void rn__put_field(rn__text *text, const void *object, const rn__field *field,
                          int decimals) {
    for (int k = 0; k < field->count; k++) {
        const rn__wide number = rn__get_number(object, field, k);
        uint64_t whole; /* or the bits of a double, exactly */
        if (k) rn__put(text, ',');
        if (field->names)
            rn__puts(text, rn__name_of(field->names, number));
        else if (field->type == RN__INT)
            rn__format(text, "%d", (int)number);
        else if (rn__is_uint64(field)) {
            memcpy(&whole, (const char *)object + field->offset, sizeof whole);
            rn__format(text, "%llu", (rn__llu)whole);
        } else if (decimals)
            rn__put_fixed(text, number, decimals);
        else {
            whole = rn__double_bits(rn__double_of(number));
            if (field->type == RN__DOUBLE)
                memcpy(&whole, (const char *)object + field->offset, sizeof whole);
            rn__format(text, "0x%016llx", (rn__llu)whole);
        }
    }
}

/* A whole number, of bytes also with K, M or G behind it. 0 if it is something else. */
static int rn__parse_whole(void *object, const rn__field *field, const char *at) {
    uint64_t value;
    int shift = 0; /* bits: K is 2^10 */
    if (!rn__scan_unsigned(&at, &value)) return 0;
    if (field->type == RN__BYTES) shift = *at == 'K' ? 10 : *at == 'M' ? 20 : *at == 'G' ? 30 : 0;
    if (at[shift > 0] || value > UINT64_MAX >> shift) return 0;
    value <<= shift;
    memcpy((char *)object + field->offset, &value, sizeof value);
    return 1;
}

static int rn__is_int(rn__wide x) {
    return x > -(rn__wide)INT_MAX && x < (rn__wide)INT_MAX && rn__floor(x) >= x;
}

/* One number, or several between commas; those left out at the end are zero. */
static int rn__parse_numbers(void *object, const rn__field *field, const char *at) {
    for (int k = 0; k < field->count; k++) {
        RN__TEXT(item, 48);              /* what stands between two commas */
        const int given = *at || k == 0; /* a list may end early, but one number is needed */
        double number = 0;
        while (*at && *at != ',') rn__put(&item, *at++);
        if (*at == ',') at++;
        if (item.length >= item.capacity) return 0; /* longer than any number */
        if (given && !rn__scan_double(item.data, &number)) return 0;
        if (!rn__is_finite(number) && field->most > 0) return 0;
        /* A whole number that fits an int. */
        if (field->type == RN__INT && !rn__is_int(rn__wide_of(number))) return 0;
        rn__set_double(object, field, k, number);
    }
    return !*at;
}

/* Reads a field from text: a name, a 64-bit number, or numbers. What cannot be read is refused with
   what the field takes; a list may be half written then. */
static rn_status rn__set_field(void *object, const rn__field *field, const char *value,
                               rn_error *error) {
    const char *const *names = field->names;
    RN__TEXT(takes, 160);                     /* for the sentence: what could have been given */
    for (int i = 0; names && names[i]; i++) { /* "full_preact, original or relu_preact" */
        if (rn__same_name(names[i], value))
            return rn__set_number(object, field, 0, (rn__wide)i), RN_OK;
        rn__format(&takes, "%s%s", !i ? "" : names[i + 1] ? ", " : " or ", names[i]);
    }
    if (!names && (rn__is_uint64(field) ? rn__parse_whole(object, field, value)
                                        : rn__parse_numbers(object, field, value)))
        return RN_OK;
    if (!names)
        rn__puts(&takes, field->count > 1 ? "1 to 4 numbers between commas"
                         : field->type == RN__FLOAT || field->type == RN__DOUBLE ? "a number"
                         : field->type == RN__BYTES ? "bytes, with K, M or G for 2^10, 2^20, 2^30"
                         : field->most == 1         ? "0 or 1"
                                                    : "a whole number");
    return rn__fail(error, RN_BAD_ARGUMENT, "%s cannot be \"%s\"; it takes %s", field->key, value,
                    takes.data);
}

/* An enum that is no member of a description, under the name `key`. What fails leaves it as it
   was. */
static rn_status rn__parse_enum(void *value, size_t size, const char *key, const char *const *names,
                                const char *name, rn_error *error) {
    const rn__field field = {key, RN__INT, 1,   (unsigned char)size, 0, names, RN__MAY_DIFFER, 0,
                             0,   0,       NULL};
    return rn__set_field(value, &field, name, error);
}

RNDEF const char *rn_desc_key(int i) { return i >= 0 && i < RN__FIELDS ? rn__fields[i].key : NULL; }

RNDEF void rn_desc_get(const rn_desc *desc, int i, char text[96]) {
    rn__text out = rn__text_in(text, 96);
    if (rn_desc_key(i)) rn__put_field(&out, desc, &rn__fields[i], 0);
}

RNDEF rn_status rn_desc_set(rn_desc *desc, const char *key, const char *value, rn_error *error) {
    rn_desc set = *desc; /* so that what is refused changes nothing */
    int i = 0;
    while (i < RN__FIELDS && !rn__same_name(rn__fields[i].key, key)) i++;
    RN__FAIL_IF(i == RN__FIELDS, RN_BAD_ARGUMENT, "the description has no \"%s\"", key);
    RN__TRY(rn__set_field(&set, &rn__fields[i], value, error));
    *desc = set;
    return RN_OK;
}

/* What the stems differ in. */
typedef struct rn__stem {
    int width, classes, size;  /* defaults of the net */
    float crop_fraction;       /* likewise */
    int convs, kernel, stride; /* convolutions; those of the first */
    int activates;             /* with BN and ReLU, whatever the order: the first unit's, too */
    int pools;                 /* 3x3/2 maximum behind that, */
    int zeros;                 /* which counts the padding's zeros */
} rn__stem;
static const rn__stem rn__stems[] = {{16, 10, 32, 1, 1, 3, 1, 0, 0, 0},          /* CIFAR */
                                     {64, 1000, 224, 0.875f, 1, 7, 2, 1, 1, 0},  /* ImageNet */
                                     {64, 1000, 224, 0.875f, 3, 3, 2, 1, 1, 0},  /* deep */
                                     {64, 1000, 224, 0.875f, 1, 7, 2, 0, 1, 1}}; /* BiT */

/* What stands in one of the places of Fig. 4: nothing, BN, ReLU, or BN and then ReLU, their sum. BN
   stands for whatever normalises. */
enum { RN__BN = 1, RN__RELU = 2 };

/* Fig. 4 as a table: which activation stands where, in the order of rn_order. BN, or a ReLU, may
   stand before convolutions or behind them, but not both: the two would have the same name. */
static const struct {
    int before;    /* each convolution of a unit */
    int between;   /* behind each convolution but the last */
    int last;      /* behind the last */
    int after_add; /* behind the addition */
    int stem;      /* behind the first convolution of a CIFAR net */
    int tail;      /* behind the last unit */
} rn__orders[] = {
    {RN__BN | RN__RELU, 0, 0, 0, 0, RN__BN | RN__RELU},                 /* full pre-activation */
    {0, RN__BN | RN__RELU, RN__BN, RN__RELU, RN__BN | RN__RELU, 0},     /* original */
    {0, RN__BN | RN__RELU, 0, RN__BN | RN__RELU, RN__BN | RN__RELU, 0}, /* BN after addition */
    {0, RN__BN | RN__RELU, RN__BN | RN__RELU, 0, RN__BN | RN__RELU, 0}, /* ReLU before addition */
    {RN__RELU, RN__BN, RN__BN, 0, RN__BN, RN__RELU}, /* ReLU-only pre-activation */
};

/* Has an order a norm without a ReLU behind it? */
static int rn__has_bare_norm(rn_order order) {
    return rn__orders[order].before == RN__BN || rn__orders[order].between == RN__BN ||
           rn__orders[order].last == RN__BN || rn__orders[order].after_add == RN__BN ||
           rn__orders[order].stem == RN__BN || rn__orders[order].tail == RN__BN;
}

/* What the papers' trainings have in common; all else are defaults. */
static rn_desc rn__recipe(int depth, rn_stem stem) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.depth = depth;
    desc.stem = stem;
    desc.momentum = 0.9;
    desc.weight_decay = 1e-4;
    return desc;
}

RNDEF rn_desc rn_cifar(int depth) { return rn__recipe(depth, RN_STEM_CIFAR); }
RNDEF rn_desc rn_imagenet(int depth) { return rn__recipe(depth, RN_STEM_IMAGENET); }

/* The greatest number that divides both; b may be 0. */
static int rn__common_divisor(int a, int b) {
    while (b) {
        const int rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* Shortcut B*: the 1x1 convolution has a BN behind it, unless it reads what is activated already or
   the norm activates, too. (What has no name is refused later, by rn_resolve.) */
static rn_resize rn__resize_b(const rn_desc *desc) {
    const unsigned orders = sizeof rn__orders / sizeof rn__orders[0];
    const int before = (unsigned)desc->order < orders ? rn__orders[desc->order].before : 0;
    return before || desc->norm == RN_NORM_EVONORM_S0 ? RN_RESIZE_B : RN_RESIZE_B_BN;
}

/* What MLPerf Tiny's nets have besides, most of it as Keras has it. */
static void rn__set_mlperf_tiny(rn_desc *desc) {
    desc->order = RN_ORIGINAL;
    desc->conv_bias = 1;
    desc->padding = RN_PADDING_SAME;
    desc->bn_eps = 1e-3;
    for (int c = 0; c < 4; c++) {
        desc->mean[c] = 0;
        desc->deviation[c] = 1 / 255.0f;
    }
}

/* The table beside its declaration, column by column. */
RNDEF void rn_set_dialect(rn_desc *desc, rn_dialect dialect) {
    /* By dialect, in the order of the enum. */
    static const rn_sgd sgd[] = {RN_SGD_CAFFE, RN_SGD_NESTEROV, RN_SGD_NESTEROV,
                                 RN_SGD_TORCH, RN_SGD_NESTEROV, RN_SGD_NESTEROV};
    int cifar_a = desc->stem == RN_STEM_CIFAR && desc->block != RN_BOTTLENECK;
    int authors = dialect == RN_PAPER || dialect == RN_MSRA_1K, tiny = dialect == RN_MLPERF_TINY;
    if ((unsigned)dialect > (unsigned)RN_MLPERF_TINY) return;
    if (tiny) rn__set_mlperf_tiny(desc);
    desc->init = tiny ? RN_FAN_IN : RN_FAN_OUT;
    desc->sgd = sgd[dialect];
    desc->stride_on = authors ? RN_STRIDE_FIRST : RN_STRIDE_3X3;
    desc->decay_scope = dialect == RN_PAPER || tiny ? RN_DECAY_WEIGHTS : RN_DECAY_ALL;
    desc->resize = rn__resize_b(desc);
    /* What is not B*. */
    if (dialect == RN_PAPER) desc->resize = RN_RESIZE_AUTO;
    if (dialect == RN_MSRA_1K || tiny) desc->resize = RN_RESIZE_B;
    if (dialect == RN_FB && cifar_a) desc->resize = RN_RESIZE_A;
    if (dialect == RN_TIMM) desc->resize = desc->stem == RN_STEM_DEEP ? RN_RESIZE_D : RN_RESIZE_B;
    desc->bare_stem = desc->raw_identity = dialect == RN_TIMM;
    desc->always_project = dialect == RN_TIMM && desc->block == RN_BOTTLENECK;
}

RNDEF rn_status rn_dialect_parse(rn_dialect *dialect, const char *name, rn_error *error) {
    return rn__parse_enum(dialect, sizeof *dialect, "dialect", rn__dialect_names, name, error);
}

/* Convolutions of a unit between its shortcut's ends. */
static int rn__block_layers(rn_block block) {
    return block == RN_SINGLE ? 1 : block == RN_BASIC ? 2 : 3;
}

/* Units of each stage from the depth, and the block where it is auto.

   CIFAR nets have three stages of n units, and 2 layers besides, the first convolution and the
   last, linear layer. So the depth is 3 n (convolutions of a unit) + 2:

       single   1 convolution    3n+2
       basic    2                6n+2    20, 32, 44, 56, 110
       bottleneck  3             9n+2    164, 1001 (20 and 110 fit as well, but are basic)

   ImageNet nets stand in Table 1 of [DRL], the depth of 200 in the appendix of [IM]. */
static rn_status rn__units_of_depth(rn_desc *desc, rn_error *error) {
    static const int imagenet[][5] = {{18, 2, 2, 2, 2},   {34, 3, 4, 6, 3},   {50, 3, 4, 6, 3},
                                      {101, 3, 4, 23, 3}, {152, 3, 8, 36, 3}, {200, 3, 24, 36, 3}};
    int i, depth = desc->depth, per_unit; /* per_unit: layers of a unit */
    if (desc->stem != RN_STEM_CIFAR) {    /* depth, units of the four stages */
        if (desc->block == RN_BLOCK_AUTO) desc->block = depth < 50 ? RN_BASIC : RN_BOTTLENECK;
        for (i = 0; i < 6; i++)
            if (imagenet[i][0] == depth) memcpy(desc->units, imagenet[i] + 1, sizeof desc->units);
        if (desc->units[0]) return RN_OK;
        return rn__fail(error, RN_BAD_DESCRIPTION,
                        "there is no ImageNet net of depth %d; take 18, 34, 50, 101, 152 or 200, "
                        "or give the units of each stage",
                        depth);
    }
    if (desc->block == RN_BLOCK_AUTO)
        desc->block = depth == 164 || depth == 1001 || ((depth - 2) % 9 == 0 && (depth - 2) % 6)
                          ? RN_BOTTLENECK
                          : RN_BASIC;
    per_unit = rn__block_layers(desc->block);
    RN__FAIL_IF(depth < 2 + 3 * per_unit || (depth - 2) % (3 * per_unit), RN_BAD_DESCRIPTION,
                "no %s CIFAR net has depth %d: it must be 6n+2 (basic: 20, 32, 44, 56, 110), "
                "9n+2 (bottleneck: 164, 1001) or 3n+2 (single); or give each stage's units",
                rn__block_names[desc->block], depth);
    for (i = 0; i < 3; i++) desc->units[i] = (depth - 2) / (3 * per_unit);
    return RN_OK;
}

/* Units from the depth or, where units are given, the depth from the units. */
static rn_status rn__resolve_units(rn_desc *desc, rn_error *error) {
    int i, sum = 0;                       /* of the units */
    for (i = 0; i < RN_MAX_STAGES; i++) { /* stages without units are the last ones */
        RN__FAIL_IF(desc->units[i] && i && !desc->units[i - 1], RN_BAD_DESCRIPTION,
                    "units of stage %d without units of stage %d", i + 1, i);
        sum += desc->units[i];
    }
    if (!sum) {
        if (!desc->depth) desc->depth = desc->stem == RN_STEM_CIFAR ? 20 : 50;
        return rn__units_of_depth(desc, error);
    }
    if (desc->block == RN_BLOCK_AUTO) desc->block = RN_BASIC; /* no depth asks for another */
    desc->depth = 2 + rn__block_layers(desc->block) * sum;
    return RN_OK;
}

static rn_status rn__refuse_number(const rn__field *field, rn__wide value, rn__wide most,
                                   rn_error *error) {
    const int fine = field->least > 0 && field->least < (rn__wide)1e-6;
    const int decimals = field->type == RN__INT ? 0 : fine ? 12 : 6;
    RN__TEXT(is, 32);
    RN__TEXT(from, 32);
    RN__TEXT(to, 32);
    rn__put_fixed(&is, value, decimals);
    rn__put_fixed(&from, field->least, decimals);
    rn__put_fixed(&to, most, decimals);
    return rn__fail(error, RN_BAD_DESCRIPTION, "%s is %s and must lie in %s to %s", field->key,
                    is.data, from.data, to.data);
}

/* Every field lies within the limits of its row; an enum has a value that has a name. */
static rn_status rn__check_fields(const rn_desc *desc, rn_error *error) {
    int i, k, names; /* names: how many an enum has */
    for (i = 0; i < RN__FIELDS; i++) {
        const rn__field *field = &rn__fields[i];
        if (rn__is_uint64(field)) continue;
        for (names = 0; field->names && field->names[names];) names++;
        for (k = 0; k < field->count; k++) {
            const rn__wide value = rn__get_number(desc, field, k);
            rn__wide least = field->least, most = names ? (rn__wide)(names - 1) : field->most;
            if (field->type == RN__FLOAT) /* as the member has them: the limit itself may be */
                least = (rn__wide)(float)least, most = (rn__wide)(float)most;
            if (!rn__is_finite(rn__double_of(value)) || value < least || value > most)
                return rn__refuse_number(field, value, most, error);
        }
    }
    return RN_OK;
}

/* Channels by stage, where they are not given, and what shortcuts have to change. */
static rn_status rn__resolve_widths(rn_desc *desc, rn_error *error) {
    const int expansion = desc->block == RN_BOTTLENECK ? 4 : 1;
    int from, a; /* channels in front of a stage; whether shortcut A can be */
    if (!desc->stem_width) desc->stem_width = desc->base_width;
    from = desc->stem_width, a = !desc->always_project;
    for (int i = 0; i < RN_MAX_STAGES; i++) {
        if (!desc->units[i]) desc->widths[i] = desc->outputs[i] = 0;
        if (!desc->units[i]) continue;
        if (!desc->widths[i]) desc->widths[i] = desc->base_width << i;
        if (!desc->outputs[i]) desc->outputs[i] = desc->widths[i] * expansion;
        a &= desc->outputs[i] >= from;
        from = desc->outputs[i];
    }
    if (desc->resize == RN_RESIZE_AUTO)
        desc->resize = a && desc->stem == RN_STEM_CIFAR && desc->block != RN_BOTTLENECK
                           ? RN_RESIZE_A
                           : rn__resize_b(desc);
    RN__FAIL_IF(!a && (desc->resize == RN_RESIZE_A || desc->resize == RN_RESIZE_A_CENTRED),
                RN_BAD_DESCRIPTION, "resize %s appends channels, and cannot %s; take resize B",
                rn__resize_names[desc->resize],
                desc->always_project ? "project always" : "be where a stage has fewer channels");
    return RN_OK;
}

/* Groups of channels divide the channels of every norm. */
static rn_status rn__resolve_norm(rn_desc *desc, rn_error *error) {
    const int half = desc->stem == RN_STEM_DEEP ? 2 : 1, given = desc->norm_groups;
    int widths[2 * RN_MAX_STAGES + 1], count = 0, groups = given ? given : 32;
    RN__FAIL_IF(desc->stem_width % half, RN_BAD_DESCRIPTION,
                "stem_width is %d and must be even: a deep stem begins with half of it",
                desc->stem_width);
    if (desc->norm == RN_NORM_BATCH) return RN_OK;
    RN__FAIL_IF(desc->norm == RN_NORM_EVONORM_S0 && rn__has_bare_norm(desc->order),
                RN_BAD_DESCRIPTION,
                "norm evonorm_s0 activates, and order %s has norms without a ReLU; take order "
                "full_preact, bn_after_add or relu_before_add",
                rn__order_names[desc->order]);
    RN__FAIL_IF(desc->norm == RN_NORM_EVONORM_S0 &&
                    (desc->resize == RN_RESIZE_B_BN || desc->resize == RN_RESIZE_D_BN),
                RN_BAD_DESCRIPTION,
                "norm evonorm_s0 activates, and resize %s has a norm without a ReLU; take %s",
                rn__resize_names[desc->resize], desc->resize == RN_RESIZE_B_BN ? "B" : "D");
    widths[count++] = desc->stem_width / half;
    for (int i = 0; i < RN_MAX_STAGES && desc->units[i]; i++) {
        widths[count++] = desc->widths[i];
        widths[count++] = desc->outputs[i];
    }
    for (int i = 0; i < count; i++) groups = rn__common_divisor(groups, widths[i]);
    for (int i = 0; i < count; i++)
        RN__FAIL_IF(given && widths[i] % given, RN_BAD_DESCRIPTION,
                    "norm_groups is %d and must divide all widths, of which one is %d; take %d",
                    given, widths[i], groups);
    desc->norm_groups = groups;
    return RN_OK;
}

/* Defaults that the table knows; those that depend on the stem; units; fields that depend on
   others. All on a copy, so that a failure changes nothing. */
RNDEF rn_status rn_resolve(rn_desc *desc, rn_error *error) {
    rn_desc d = *desc; /* written to *desc when all is well */
    const rn__stem *stem;
    int h, w, halvings, pool;
    RN__FAIL_IF((unsigned)d.stem >= sizeof rn__stems / sizeof rn__stems[0], RN_BAD_DESCRIPTION,
                "stem is %d, which has no name", (int)d.stem);
    stem = &rn__stems[d.stem];
    halvings = stem->stride / 2 + stem->pools;
    for (int i = 0; i < RN__FIELDS; i++)
        for (int k = 0; k < rn__fields[i].count && rn__double_bits(rn__fields[i].standard); k++)
            if (rn__is_zero(rn__get_number(&d, &rn__fields[i], k)))
                rn__set_double(&d, &rn__fields[i], k, rn__fields[i].standard);
    if (!d.base_width) d.base_width = stem->width;
    if (!d.classes) d.classes = stem->classes;
    if (!d.height) d.height = stem->size;
    if (!d.width) d.width = stem->size;
    if (rn__is_zero((rn__wide)d.crop_fraction)) d.crop_fraction = stem->crop_fraction;
    if (!RN__FAST) d.naive = 1; /* no other execution is there */
    RN__TRY(rn__check_fields(&d, error));
    RN__TRY(rn__resolve_units(&d, error));
    RN__TRY(rn__check_fields(&d, error)); /* units that a depth gave */
    /* Padding in front is one number for rows and columns, so that with padding "same" both must be
       even, or both odd, wherever a convolution has stride 2; but not at the stem's pool. */
    for (int i = 1; i < RN_MAX_STAGES && d.units[i]; i++) halvings++;
    pool = stem->pools ? halvings - stem->stride / 2 : 0; /* halvings that are left there */
    for (h = d.height, w = d.width; d.padding == RN_PADDING_SAME && halvings > 0; halvings--) {
        RN__FAIL_IF(halvings != pool && (h + w) % 2, RN_BAD_DESCRIPTION,
                    "padding same: images of %dx%d become %dx%d, of which one is odd, before a "
                    "stride of 2; take sizes that halve alike",
                    d.height, d.width, h, w);
        h = rn__divide_up(h, 2), w = rn__divide_up(w, 2);
    }
    RN__FAIL_IF(d.channel_order && d.channels != 3, RN_BAD_DESCRIPTION,
                "channel_order bgr turns three colours round, but the images have %d channels; "
                "take rgb",
                d.channels);
    /* Statistics of the images in memory together; a norm of each image has no such groups. */
    d.bn_group = d.norm != RN_NORM_BATCH ? 0 : d.bn_group ? d.bn_group : d.micro_batch;
    RN__FAIL_IF(d.bn_group && d.micro_batch % d.bn_group, RN_BAD_DESCRIPTION,
                "micro_batch is %d and must be a multiple of bn_group, which is %d", d.micro_batch,
                d.bn_group);
    RN__TRY(rn__resolve_widths(&d, error));
    RN__TRY(rn__resolve_norm(&d, error));
    *desc = d;
    return RN_OK;
}

/* >>nodes ====================================================================================
   The description becomes a flat list of nodes, once. Printer and files walk that list; >>program
   compiles it into operations, which planner, probes and both executions walk. What there is to
   know about a kind of node stands in its row of one table (>>kinds); the rest of the file asks for
   properties of the row, and not for kinds.

   To add a layer is: a value of rn_kind, its row at the same place of the table, the line in this
   section that emits it, and its functions, each beside its likes: the layer, forward and backward
   (level 2, >>naive layers), RN__NAIVE in >>naive passes, and for the fast execution a function for
   a plane in >>fast layers, with RN__PLANE_BY_PLANE, and a kernel if it wants one (struct, function
   and table in >>simd and >>kernels). It is not fused with anything then, which is always right:
   what is fused, by which properties, is decided in >>program. What turns it on is an option: a
   list, a member of rn_desc, its names, and a row of rn__fields, see >>description.

   tests/gradients --only NAME and tests/executors --only NAME check it, where NAME is what you
   wrote into the list, or KEY=VALUE. tests/executors and tests/planner know the header's kinds that
   have kinks or work in place; tools/export_onnx.c and tools/lowered.h have a row for each kind,
   and do not compile until they have yours. examples/change has worked examples: a layer, an order
   of activation, a unit of several layers. */

/* What rn_initialise writes into a parameter. */
typedef enum rn__initial {
    RN__ZERO,
    RN__ONE,
    RN__HE,      /* normal, variance 2 / fan (He et al. 2015, equation 10) */
    RN__UNIFORM, /* in +-1 / sqrt(C) */
    RN__GIVEN    /* node->initial_bias */
} rn__initial;

/* A parameter or running statistic that nodes of a kind have. */
typedef struct rn__slot {
    const char *suffix; /* of its name in files; NULL: there is no such slot */
    rn_role role;
    int dims; /* 4: [K,C,R,S], 2: [K,C], 1: [C of the output] */
    rn__initial initial;
    int learned;   /* by SGD; else a running statistic */
    int is_weight; /* decays also with RN_DECAY_WEIGHTS */
    int if_bias;   /* only nodes with `bias` have it */
} rn__slot;

/* Where a kind's functions find them. */
enum { RN__WEIGHT, RN__BIAS, RN__MEAN, RN__VARIANCE, RN__GATE, RN__SLOTS };

/* What program, planner and optimiser need to know about a kind. */
enum {
    RN__KEEPS_INPUT = 1,  /* backward reads its inputs, */
    RN__KEEPS_OUTPUT = 2, /* its own value */
    RN__IN_PLACE = 4,     /* its value may lie where its first input is, */
    /* the first input's gradient where its own is (of additions, see rn__may_share_gradient) */
    RN__GRADIENT_IN_PLACE = 8,
    RN__HAS_FILTER = 16, /* multiplies pixels by weights, which can be packed */
    RN__CONVOLVES = 32,  /* can read through scale, shift and activation; add; leave moments */
    RN__NORMALISES = 64, /* by scale and shift of each channel, and can add and activate */
    /* is a ReLU: done as RN__RECTIFIED with a normalisation or addition before it. (Another
       activation lacks this, and stands alone.) */
    RN__ACTIVATES = 128,
    RN__ADDS = 256,      /* done with what makes its first term, if that can add */
    RN__PER_IMAGE = 512, /* normalises by statistics of each image, in inference, too */
    RN__GATES = 1024,    /* normalises and activates in one, as RN__GATED */
    RN__DROPS = 2048     /* sets to zero by chance; where node->whole, an addition does it */
};

typedef struct rn__step rn__step; /* a node at work on tensors, see >>naive passes, */
typedef struct rn__task rn__task; /* an operation on blocked values, see >>fast convolution */
typedef struct rn__kind {
    const char *name;
    int properties;
    const rn__slot *slots;                              /* [RN__SLOTS]; NULL: none */
    void (*shape)(rn_node *node, const rn_node *input); /* sets h and w; or NULL */
    /* behind the name; or NULL */
    void (*describe)(const rn_desc *desc, const rn_node *node, rn__text *out);
    rn_status (*naive)(rn__step *step); /* forward or backward, as the step says */
    void (*fast)(rn__task *task);
} rn__kind;
static const rn__kind *rn__kind_of(rn_kind kind);

/* Has it one of these properties? */
static int rn__has(const rn_node *node, int properties) {
    return (rn__kind_of(node->kind)->properties & properties) != 0;
}

RNDEF const char *rn_kind_name(rn_kind kind) {
    return (unsigned)kind < (unsigned)RN_KINDS ? rn__kind_of(kind)->name : "?";
}

/* Slot `index` of a node; NULL where it has none. */
static const rn__slot *rn__slot_of(const rn_node *node, int index) {
    const rn__slot *slots = rn__kind_of(node->kind)->slots;
    return slots && slots[index].suffix && (!slots[index].if_bias || node->bias) ? &slots[index]
                                                                                 : NULL;
}

/* Channels of the value that node i reads. */
static int rn__input_channels(const rn_node *nodes, int i) {
    return nodes[i].inputs[0] < 0 ? 0 : nodes[nodes[i].inputs[0]].c;
}

/* Counts stick at the greatest when they overflow, as sizes in bytes do. */
static ptrdiff_t rn__count(size_t count) {
    return count > PTRDIFF_MAX ? PTRDIFF_MAX : (ptrdiff_t)count;
}

/* The shape of what a slot of node i holds. */
static void rn__slot_shape(const rn_node *nodes, int i, const rn__slot *slot, int shape[4]) {
    shape[0] = nodes[i].c;
    shape[1] = slot->dims > 1 ? rn__input_channels(nodes, i) : 1;
    shape[2] = shape[3] = slot->dims > 2 ? nodes[i].kernel : 1;
}

/* Role and shape of what slot `index` of node i holds; 0 where it has none. */
static int rn__describe_slot(const rn_node *nodes, int i, int index, rn_parameter *p) {
    const rn__slot *slot = rn__slot_of(&nodes[i], index);
    size_t numbers = 1;
    if (!slot) return 0;
    p->role = slot->role;
    p->dims = slot->dims;
    rn__slot_shape(nodes, i, slot, p->shape);
    for (int k = 0; k < 4; k++) numbers = rn__multiply_size(numbers, (size_t)p->shape[k]);
    p->count = rn__count(numbers);
    return 1;
}

/* Where slot `index` of node i lies: behind those before it, parameters in net->parameters, the
   others in net->statistics. rn__emit has checked the sums. */
static ptrdiff_t rn__slot_offset(const rn_node *nodes, int i, int index) {
    const rn_node *node = &nodes[i];
    const int learned = rn__slot_of(node, index)->learned;
    ptrdiff_t at = learned ? node->parameters : node->statistics;
    for (int k = 0; k < index; k++) {
        const rn__slot *slot = rn__slot_of(node, k);
        int shape[4];
        if (!slot || slot->learned != learned) continue;
        rn__slot_shape(nodes, i, slot, shape);
        at += (ptrdiff_t)shape[0] * shape[1] * shape[2] * shape[3];
    }
    return at;
}

/* ---- from the description to the list ------------------------------------------------------- */

/* Walks once through the net to count its nodes, and once more to write them. */
typedef struct rn__builder {
    const rn_desc *desc;
    rn_node *nodes; /* NULL: only count */
    int count, stage, unit;
    ptrdiff_t parameters, statistics; /* numbers so far */
    ptrdiff_t image_statistics;       /* likewise, of norms of each image: two a channel */
} rn__builder;

/* A node with everything at its default; role is its name in its unit. */
static rn_node rn__node(rn_kind kind, const char *role, int input) {
    rn_node node;
    memset(&node, 0, sizeof node);
    node.kind = kind;
    node.role = role;
    node.inputs[0] = input;
    node.inputs[1] = -1;
    node.kernel = node.stride = 1;
    return node;
}

/* Appends a node and lays out its parameters: the only place that counts them. c, where it is 0, is
   the input's; h and w are for its kind to say. Returns its index, which is also that of its
   value. */
static int rn__emit(rn__builder *b, rn_node node) {
    rn_parameter p;
    if (!b->nodes) return b->count++;
    node.stage = (signed char)b->stage;
    node.unit = (short)b->unit;
    if (node.inputs[0] >= 0) {
        const rn_node *input = &b->nodes[node.inputs[0]];
        if (!node.c) node.c = input->c;
        rn__kind_of(node.kind)->shape(&node, input);
    }
    node.parameters = b->parameters;
    node.statistics = rn__has(&node, RN__PER_IMAGE) ? b->image_statistics : b->statistics;
    if (rn__has(&node, RN__PER_IMAGE)) b->image_statistics += 2 * (ptrdiff_t)node.c;
    b->nodes[b->count] = node;
    for (int i = 0; i < RN__SLOTS; i++)
        if (rn__describe_slot(b->nodes, b->count, i, &p)) {
            ptrdiff_t *sum = rn__slot_of(&node, i)->learned ? &b->parameters : &b->statistics;
            *sum = rn__count(rn__add_size((size_t)*sum, (size_t)p.count));
        }
    return b->count++;
}

/* Padding of TensorFlow's "SAME" makes ceil(size / stride) windows, and where it is odd, what is
   more goes behind: 3x3 of stride 2 on 32 pixels takes none in front and one behind. */
static int rn__same_padding(int size, int kernel, int stride) {
    return rn__max((rn__divide_up(size, stride) - 1) * stride + kernel - size, 0);
}

/* A convolution of a stem, unit or shortcut, padded so that at stride 1 the size stays. */
static int rn__emit_conv(rn__builder *b, int x, const char *role, int filters, int kernel,
                         int stride) {
    rn_node node = rn__node(RN_CONV2D, role, x);
    node.c = filters;
    node.kernel = (signed char)kernel;
    node.stride = (signed char)stride;
    node.padding = (signed char)(kernel / 2);
    node.bias = (signed char)b->desc->conv_bias;
    node.standardised = (signed char)b->desc->weight_standardisation;
    if (b->nodes && b->desc->padding == RN_PADDING_SAME) {
        const int same = rn__same_padding(b->nodes[x].h, kernel, stride);
        node.padding = (signed char)(same / 2);
        node.padding_behind = (signed char)(same % 2);
    }
    return rn__emit(b, node);
}

/* Places of norms: beside one of three convolutions, in a shortcut, at the end. */
enum { RN__FIRST, RN__SHORTCUT = 3, RN__END, RN__PLACES_OF_NORMS };

/* What normalises, in the order of rn_norm: its kind (one with RN__GATES needs no ReLU behind) and
   its names. */
static const struct {
    rn_kind kind;
    const char *roles[RN__PLACES_OF_NORMS];
} rn__norms[] = {
    {RN_BATCH_NORM, {"bn1", "bn2", "bn3", "shortcut_bn", "bn"}},
    {RN_GROUP_NORM, {"gn1", "gn2", "gn3", "shortcut_gn", "gn"}},
    {RN_EVONORM_S0, {"evonorm1", "evonorm2", "evonorm3", NULL, "evonorm"}},
};

/* Emits what `what` says, the norm by the name of its place; returns the value behind it. */
static int rn__emit_activation(rn__builder *b, int x, int what, int place, const char *relu) {
    const rn_norm norm = b->desc->norm;
    const rn_node node = rn__node(rn__norms[norm].kind, rn__norms[norm].roles[place], x);
    if (what & RN__BN) x = rn__emit(b, node);
    if (what & RN__RELU && !(what & RN__BN && rn__has(&node, RN__GATES)))
        x = rn__emit(b, rn__node(RN_RELU, relu, x));
    return x;
}

static const char *const rn__conv_roles[] = {"conv1", "conv2", "conv3"};
static const char *const rn__relu_roles[] = {"relu1", "relu2", "relu3"};

/* W x + b of a gate, whose b begins with `bias`. */
static int rn__emit_gate_logits(rn__builder *b, int x, const char *role, int channels, float bias) {
    rn_node node = rn__node(RN_CONV2D, role, x);
    node.c = channels;
    node.bias = 1;
    node.initial_bias = bias;
    return rn__emit(b, node);
}

/* x times the sigmoid of the logits or, as complement, times one minus that. */
static int rn__emit_gate(rn__builder *b, int x, int logits, const char *role, int complement) {
    rn_node node = rn__node(RN_GATE, role, x);
    node.inputs[1] = logits;
    node.complement = (signed char)complement;
    return rn__emit(b, node);
}

/* x times a constant. */
static int rn__emit_scale(rn__builder *b, int x, const char *role, float scale) {
    rn_node node = rn__node(RN_SCALE, role, x);
    node.scale = scale;
    return rn__emit(b, node);
}

/* The shortcut of a unit that changes the shape from c channels to filters, or the 1x1 convolution
   that every unit has. */
static int rn__emit_resize(rn__builder *b, int x, int c, int filters, int stride) {
    const rn_resize resize = b->desc->resize;
    const int always = b->desc->shortcut == RN_SHORTCUT_CONV1X1, same = stride == 1 && c == filters;
    /* A 1x1 convolution in every unit has a norm only where the shape changes. */
    const int normalises =
        (resize == RN_RESIZE_B_BN || resize == RN_RESIZE_D_BN) && !(always && same);
    rn_node node = rn__node(RN_PAD_SUBSAMPLE, "shortcut", x);
    if (!always && (resize == RN_RESIZE_A || resize == RN_RESIZE_A_CENTRED)) {
        node.c = filters;
        node.stride = (signed char)stride;
        node.front = resize == RN_RESIZE_A ? 0 : (filters - c) / 2;
        return rn__emit(b, node);
    }
    if (stride > 1 && (resize == RN_RESIZE_D || resize == RN_RESIZE_D_BN)) {
        rn_node pool = rn__node(RN_AVG_POOL, "shortcut_pool", x);
        pool.kernel = pool.stride = (signed char)stride;
        x = rn__emit(b, pool);
        stride = 1;
    }
    x = rn__emit_conv(b, x, "shortcut", filters, 1, stride);
    return rn__emit_activation(b, x, normalises ? RN__BN : 0, RN__SHORTCUT, NULL);
}

/* The residual function F(x) in the order of Fig. 4; `activated`: x already went through the first
   activation. */
static int rn__emit_branch(rn__builder *b, int x, int filters, int out, int stride, int activated) {
    const rn_desc *desc = b->desc;
    int i, layers = rn__block_layers(desc->block);
    for (i = 0; i < layers; i++) {
        int is_3x3 = desc->block != RN_BOTTLENECK || i == 1;
        int strides =
            desc->block == RN_BOTTLENECK ? i == (desc->stride_on == RN_STRIDE_3X3) : i == 0;
        int what = i < layers - 1 ? rn__orders[desc->order].between : rn__orders[desc->order].last;
        if (i || !activated)
            x = rn__emit_activation(b, x, rn__orders[desc->order].before, i, rn__relu_roles[i]);
        x = rn__emit_conv(b, x, rn__conv_roles[i], i == layers - 1 ? out : filters, is_3x3 ? 3 : 1,
                          strides ? stride : 1);
        x = rn__emit_activation(b, x, what, i, rn__relu_roles[i]);
    }
    return x;
}

/* The shortcut h(x); *gate gets the logits that F(x) is gated by, where it is. */
static int rn__emit_shortcut(rn__builder *b, int x, int out, int *gate) {
    const rn_desc *desc = b->desc;
    const rn_shortcut kind = desc->shortcut;
    if (kind == RN_SHORTCUT_EXCLUSIVE || kind == RN_SHORTCUT_GATE) {
        int logits = rn__emit_gate_logits(b, x, "gate", out, desc->gate_bias);
        if (kind == RN_SHORTCUT_EXCLUSIVE) *gate = logits;
        return rn__emit_gate(b, x, logits, "gated_shortcut", 1);
    }
    if (kind == RN_SHORTCUT_HIGHWAY) {
        *gate = rn__emit_gate_logits(b, x, "gate", out, desc->gate_bias);
        return rn__emit_gate(b, x, rn__emit_gate_logits(b, x, "carry", out, desc->carry_bias),
                             "gated_shortcut", 0);
    }
    return x;
}

/* F(x) in a net of stochastic depth (Huang et al. 2016): unit l of L is there in training with
   probability p_l = 1 - l / L stochastic_depth, and counts p_l F(x) in inference. */
static int rn__emit_survival(rn__builder *b, int x) {
    const rn_desc *desc = b->desc;
    rn_node node = rn__node(RN_DROPOUT, "survival", x);
    int l = b->unit + 1, units = 0;
    if (!(desc->stochastic_depth > 0)) return x;
    for (int stage = 1; stage <= RN_MAX_STAGES; stage++) {
        units += desc->units[stage - 1];
        if (stage < b->stage) l += desc->units[stage - 1];
    }
    node.dropout = desc->stochastic_depth * (float)l / (float)units;
    node.whole = 1;
    return rn__emit(b, node);
}

/* With BN and ReLU, whatever the order? */
static int rn__stem_activates(const rn_desc *desc) {
    return rn__stems[desc->stem].activates && !desc->bare_stem;
}

/* One residual unit, equations (1) and (2): y = h(x) + F(x), x' = f(y). */
static int rn__emit_unit(rn__builder *b, int x, int c, int filters, int out, int stride) {
    const rn_desc *desc = b->desc;
    const rn_shortcut kind = desc->shortcut;
    const int first = b->unit == 0, layers = rn__block_layers(desc->block);
    const int done_by_stem = b->stage == 1 && rn__stem_activates(desc);
    const int raw = x; /* before the activation */
    int gate = -1, shortcut, residual;
    rn_node add = rn__node(RN_ADD, "add", -1);
    if (first && !done_by_stem) /* before the split, so that the shortcut sees it too */
        x = rn__emit_activation(b, x, rn__orders[desc->order].before, RN__FIRST, "relu1");
    if (kind == RN_SHORTCUT_CONV1X1 || stride != 1 || c != out || (first && desc->always_project))
        shortcut = rn__emit_resize(b, x, c, out, stride);
    else
        shortcut = rn__emit_shortcut(b, desc->raw_identity ? raw : x, out, &gate);
    if (kind == RN_SHORTCUT_SCALE)
        shortcut = rn__emit_scale(b, shortcut, "scaled_shortcut", desc->shortcut_scale);
    if (kind == RN_SHORTCUT_DROPOUT) {
        rn_node dropout = rn__node(RN_DROPOUT, "dropout", shortcut);
        dropout.dropout = desc->dropout;
        shortcut = rn__emit(b, dropout);
    }
    residual = rn__emit_branch(b, x, filters, out, stride, first);
    if (gate >= 0) residual = rn__emit_gate(b, residual, gate, "gated_residual", 0);
    if (kind == RN_SHORTCUT_SCALE)
        residual = rn__emit_scale(b, residual, "scaled_residual", desc->residual_scale);
    add.inputs[0] = rn__emit_survival(b, residual);
    add.inputs[1] = shortcut;
    x = rn__emit(b, add);
    return rn__emit_activation(b, x, rn__orders[desc->order].after_add, layers - 1, "relu");
}

/* Image, convolutions and what follows them before the first unit: a deep stem has three, of half,
   half and all of the filters, with BN and ReLU between. */
static int rn__emit_stem(rn__builder *b) {
    const rn_desc *desc = b->desc;
    const rn__stem *stem = &rn__stems[desc->stem];
    rn_node input = rn__node(RN_INPUT, "input", -1), pool = rn__node(RN_MAX_POOL, "pool1", -1);
    int x;
    input.c = desc->channels;
    input.h = (short)desc->height;
    input.w = (short)desc->width;
    x = rn__emit(b, input);
    for (int i = 0; i < stem->convs; i++) {
        const int last = i == stem->convs - 1;
        const int what = !last || rn__stem_activates(desc) ? RN__BN | RN__RELU
                         : desc->bare_stem                 ? 0
                                                           : rn__orders[desc->order].stem;
        x = rn__emit_conv(b, x, rn__conv_roles[i], last ? desc->stem_width : desc->stem_width / 2,
                          stem->kernel, i == 0 ? stem->stride : 1);
        x = rn__emit_activation(b, x, what, i, rn__relu_roles[i]);
    }
    if (!stem->pools) return x;
    pool.inputs[0] = x;
    pool.kernel = 3;
    pool.stride = 2;
    pool.padding = 1;
    pool.zeros = (signed char)stem->zeros;
    return rn__emit(b, pool);
}

/* Runs the builder over the whole net. */
static void rn__build(rn__builder *b, const rn_desc *desc, rn_node *nodes) {
    rn_node linear = rn__node(RN_LINEAR, "fc", -1);
    int x, c = desc->stem_width;
    memset(b, 0, sizeof *b);
    b->desc = desc;
    b->nodes = nodes;
    x = rn__emit_stem(b);
    for (int stage = 1; stage <= RN_MAX_STAGES && desc->units[stage - 1]; stage++) {
        const int filters = desc->widths[stage - 1], out = desc->outputs[stage - 1];
        for (int unit = 0; unit < desc->units[stage - 1]; unit++) {
            b->stage = stage;
            b->unit = unit;
            x = rn__emit_unit(b, x, c, filters, out, unit == 0 && stage > 1 ? 2 : 1);
            c = out;
        }
    }
    b->stage = -1;
    b->unit = 0;
    x = rn__emit_activation(b, x, desc->bare_tail ? 0 : rn__orders[desc->order].tail, RN__END,
                            "relu");
    x = rn__emit(b, rn__node(RN_GLOBAL_AVG_POOL, "pool", x));
    linear.inputs[0] = x;
    linear.c = desc->classes;
    rn__emit(b, linear);
}

/* ---- walking the list ------------------------------------------------------------------------ */

/* Stage and unit, where it is in one, then its role: layer1.0.conv1, or conv1 in the stem. */
RNDEF void rn_node_name(const rn_net *net, int node, char name[64]) {
    const rn_node *of = node < 0 || node >= net->node_count ? NULL : &net->nodes[node];
    rn__text text = rn__text_in(name, 64);
    if (of && of->stage > 0) rn__format(&text, "layer%d.%d.", of->stage, of->unit);
    rn__puts(&text, of ? of->role : "?");
}

/* The tail (-1) comes behind all stages. */
static int rn__stage_rank(const rn_node *node) {
    return node->stage < 0 ? RN_MAX_STAGES + 1 : node->stage;
}

/* The first node that trains: that of the stage that is not frozen or, where no stage trains, of
   the tail; where not even that does, the classifier. */
static int rn__first_trained(const rn_net *net) {
    int i = 0;
    if (net->desc.frozen_below > RN_MAX_STAGES) return net->node_count - 1;
    while (rn__stage_rank(&net->nodes[i]) < net->desc.frozen_below) i++;
    return i;
}

/* Parameters of frozen nodes, which are the first; and their running statistics. */
static ptrdiff_t rn__frozen_count(const rn_net *net) {
    return net->parameter_count - net->trained_count;
}
static ptrdiff_t rn__frozen_statistics(const rn_net *net) {
    int i = net->first_trained;
    while (i < net->node_count && !rn__slot_of(&net->nodes[i], RN__MEAN)) i++;
    return i < net->node_count ? net->nodes[i].statistics : net->statistic_count;
}

/* Nodes are hundreds, thousands at most. */
RNDEF int rn_find_node(const rn_net *net, const char *name) {
    char own[64];
    for (int i = 0; i < net->node_count; i++) {
        rn_node_name(net, i, own);
        if (!strcmp(own, name)) return i;
    }
    return -1;
}

/* From u->next on, by what an addition is and reads: nodes of the stem have stage 0, those of the
   tail -1, and what enters a unit its first node reads. Behind the last unit *u stays. */
RNDEF int rn_next_unit(const rn_net *net, rn_unit *u) {
    const rn_node *nodes = net->nodes;
    int i = u->next;
    while (i < net->node_count && nodes[i].stage < 1) i++;
    if (i == net->node_count) return 0;
    u->stage = nodes[i].stage;
    u->unit = nodes[i].unit;
    u->input = nodes[i].inputs[0];
    u->first = u->next = i;
    for (; nodes[u->next].stage == u->stage && nodes[u->next].unit == u->unit; u->next++)
        if (rn__has(&nodes[u->next], RN__ADDS)) u->add = u->next;
    u->output = u->next - 1;
    u->residual = nodes[u->add].inputs[0];
    u->shortcut = nodes[u->add].inputs[1];
    i = nodes[u->residual].whole ? nodes[u->residual].inputs[0] : u->residual;
    u->gates[0] = nodes[i].inputs[1]; /* only gates and additions read two values */
    u->gates[1] = u->shortcut > u->input ? nodes[u->shortcut].inputs[1] : -1;
    return 1;
}

/* The slots of a node, then those of the next one. p->index is where the walk goes on. */
RNDEF int rn_next_parameter(const rn_net *net, rn_parameter *p) {
    for (; p->node < net->node_count; p->node++, p->index = 0)
        while (p->index < RN__SLOTS) {
            const rn_node *node = &net->nodes[p->node];
            const int index = p->index++;
            const rn__slot *slot = rn__slot_of(node, index);
            ptrdiff_t at;
            char name[64];
            rn__text text = rn__text_in(p->name, sizeof p->name);
            if (!rn__describe_slot(net->nodes, p->node, index, p)) continue;
            at = rn__slot_offset(net->nodes, p->node, index);
            p->data = (slot->learned ? net->parameters : net->statistics) + at;
            p->gradient = p->velocity = NULL;
            if (slot->learned && net->gradients && p->node >= net->first_trained) {
                p->gradient = net->gradients + (at - rn__frozen_count(net));
                p->velocity = net->velocity + (at - rn__frozen_count(net));
            }
            rn_node_name(net, p->node, name);
            rn__format(&text, "%s.%s", name, slot->suffix);
            return 1;
        }
    return 0;
}

/* The slot that rn_next_parameter has just told of. */
static const rn__slot *rn__slot_behind(const rn_net *net, const rn_parameter *p) {
    return rn__slot_of(&net->nodes[p->node], p->index - 1);
}

/* Names tell stage and unit, the order of the nodes: only those of one unit are compared. */
RNDEF int rn_find_parameter(const rn_net *net, const char *name, rn_parameter *p) {
    const int in_unit = !strncmp(name, "layer", 5);
    const char *s = in_unit ? name + 5 : name;
    uint64_t stage = 0, unit = 0;
    if (in_unit && (!rn__scan_unsigned(&s, &stage) || *s++ != '.' || !rn__scan_unsigned(&s, &unit)))
        return 0;
    for (;; stage = RN_MAX_STAGES + 1) {
        int first = 0, end = net->node_count;
        while (first < end) {
            const int middle = first + (end - first) / 2;
            const uint64_t rank = (uint64_t)rn__stage_rank(&net->nodes[middle]);
            if (rank < stage || (rank == stage && (uint64_t)net->nodes[middle].unit < unit))
                first = middle + 1;
            else
                end = middle;
        }
        memset(p, 0, sizeof *p);
        for (p->node = first; rn_next_parameter(net, p);) {
            const rn_node *node = &net->nodes[p->node];
            if ((uint64_t)rn__stage_rank(node) != stage || (uint64_t)node->unit != unit) break;
            if (!strcmp(p->name, name)) return 1;
        }
        if (stage) return 0; /* else it was none of the stem, perhaps one of the tail */
    }
}

/* A product for each number of the output, input channel and place in the kernel. */
RNDEF double rn_node_macs(const rn_net *net, int i) {
    const rn_node *node = net->nodes + (i < 0 || i >= net->node_count ? 0 : i);
    double products = (double)node->kernel * node->kernel;
    if (!rn__has(node, RN__HAS_FILTER)) return 0;
    return products * node->h * node->w * node->c * net->nodes[node->inputs[0]].c;
}

/* >>naive layers =============================================================================
   A chapter to read beside the papers. Each layer stands with its formula above its loop, forward
   and then backward. Every number of a result is computed by itself, with its sum in double (but
   gradients of the parameters of norms of images, which grow in place), and the obvious way wins
   over the quick one: the fast layers are tested against these.

   Letters.  x input, y output, f the weight of a convolution; dx, dy, dw, db the gradients of the
   loss by input, output, weight and bias. n counts images, c channels (where input and output
   differ in number, c those of x and k those of y), h and w rows and columns, oh and ow those of an
   output that is smaller than its input, r and s those of a kernel, which is R x S.

   Backward is the chain rule. A number u that has a part in several outputs y_j gets

       du = sum over j of dy_j (d y_j / d u),

   so every backward answers two questions: which outputs read this number, and with what factor?

   Every function checks its arguments before it writes anything. What only training needs is left
   out with RESNET_NO_TRAIN. A number that is not finite must come out as such, so that it is found:
   no layer may turn a NaN into a zero. (Max-pools lose one, unless it is the first pixel of a
   window; in nets it has spread by then. Dropout and subsampling leave numbers out.) */

/* ---- what the layers share: how a result is stored, and checks ------------------------------ */

/* Gradients are written over what was there, or (accumulate 1) added to it: a value that several
   layers read gets the sum of what they hand back. */
static void rn__store(rn_real *at, double value, int accumulate) {
    *at = (rn_real)(accumulate ? (double)*at + value : value);
}

/* Tensor t has the shape of `like`, or is NULL: a gradient that is not wanted. */
static rn_status rn__expect_like(const char *function, const char *name, const rn_tensor *t,
                                 const rn_tensor *like, rn_error *error) {
    return t ? rn__expect(function, name, t, like->n, like->c, like->h, like->w, error) : RN_OK;
}

/* low <= value <= high. */
static rn_status rn__expect_within(const char *function, const char *name, int value, int low,
                                   int high, rn_error *error) {
    if (value >= low && value <= high) return RN_OK;
    return rn__fail(error, RN_BAD_ARGUMENT, "%s: %s is %d and should be %d to %d", function, name,
                    value, low, high);
}

/* ---- windows: what convolutions and pools share ----------------------------------------------

   The kernel's window slides over the image, `stride` pixels at a time; it starts `padding` pixels
   outside. Each place is one pixel of the output. Here a kernel of 3x3 with stride 2 and padding 1
   on an image of 5x5 (o), with padding (.) around it, and the windows of y[0,0] and y[1,2]:

       [. . .]. . . .        y[oh,ow] sees rows   oh stride - padding + r,  0 <= r < R,
       [. o o]o o o .                and columns  ow stride - padding + s,  0 <= s < S,
       [. o o]o[o o .]
        . o o o[o o .]       and the output has
        . o o o[o o .]           floor((H + 2 padding - R) / stride) + 1 rows,
        . o o o o o .        likewise columns: here 3 x 3.
        . . . . . . .                                                                             */

/* The most channels, rows or columns: sums of a few do not overflow. */
enum { RN__MOST_SIZE = INT_MAX / 4 };

/* Arguments of everything that has windows, f giving their size and number. An image with `behind`
   more rows and columns must hold one window at least. */
static rn_status rn__check_windows(const char *function, const rn_tensor *x, const rn_tensor *f,
                                   int stride, int padding, int behind, rn_error *error) {
    RN__TRY(rn__expect(function, "weight", f, f->n, x->c, f->h, f->w, error));
    RN__TRY(rn__expect_within(function, "number of images", x->n, 0, INT_MAX, error));
    RN__TRY(rn__expect_within(function, "number of channels", x->c, 1, RN__MOST_SIZE, error));
    RN__TRY(rn__expect_within(function, "number of filters", f->n, 1, RN__MOST_SIZE, error));
    RN__TRY(rn__expect_within(function, "number of rows", x->h, 1, RN__MOST_SIZE, error));
    RN__TRY(rn__expect_within(function, "number of columns", x->w, 1, RN__MOST_SIZE, error));
    RN__TRY(rn__expect_within(function, "stride", stride, 1, SHRT_MAX, error));
    RN__TRY(rn__expect_within(function, "padding", padding, 0, SHRT_MAX, error));
    if (f->h > 0 && f->w > 0 && rn__window_output(x->h + behind, f->h, stride, padding) &&
        rn__window_output(x->w + behind, f->w, stride, padding))
        return RN_OK;
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s: a kernel of %dx%d does not fit into images of %dx%d padded by %d; take a "
                    "smaller one",
                    function, f->h, f->w, x->h, x->w, padding);
}

/* Then y, called `name` in errors, must have the shape in the picture above, with f->n channels. */
static rn_status rn__check_conv2d(const char *function, const char *name, const rn_tensor *y,
                                  const rn_tensor *x, const rn_tensor *f, int stride, int padding,
                                  rn_error *error) {
    RN__TRY(rn__check_windows(function, x, f, stride, padding, 0, error));
    return rn__expect(function, name, y, x->n, f->n, rn__window_output(x->h, f->h, stride, padding),
                      rn__window_output(x->w, f->w, stride, padding), error);
}

/* The pixels of an image that a window covers, without padding: rows [h0, h1), columns [w0, w1).
   Row h is under row h - top of the kernel, column w under column w - left. */
typedef struct rn__window {
    int top, left, h0, h1, w0, w1;
} rn__window;

/* The window of output (oh, ow), for a kernel of r x s. */
static rn__window rn__window_at(int oh, int ow, const rn_tensor *x, int r, int s, int stride,
                                int padding) {
    rn__window v;
    v.top = oh * stride - padding, v.left = ow * stride - padding;
    v.h0 = rn__max(v.top, 0), v.h1 = rn__min(v.top + r, x->h);
    v.w0 = rn__max(v.left, 0), v.w1 = rn__min(v.left + s, x->w);
    return v;
}

/* ---- convolution: LeCun et al. 1989, as cross-correlation; linear layers --------------------- */

/* Rows (or columns) that y should have for `size` of x: those that `padding` on both sides gives,
   or, if y has them, those that padding + 1 behind gives, which is as if x had one more. So
   TensorFlow's "SAME" puts a kernel of 3 with stride 2 on 4 pixels, padding 0, where padding 1 on
   both sides begins outside:

       [o o[o]o .]            [. o[o]o o].                                                        */
static int rn__one_sided_output(int y_size, int size, int kernel, int stride, int padding) {
    const int even = rn__window_output(size, kernel, stride, padding);
    const int more = rn__window_output(size + 1, kernel, stride, padding);
    return !even || y_size == more ? more : even;
}

/* rn__check_conv2d with padding behind that may be one more than in front. */
static rn_status rn__check_one_sided(const char *function, const char *name, const rn_tensor *y,
                                     const rn_tensor *x, const rn_tensor *f, int stride,
                                     int padding, rn_error *error) {
    RN__TRY(rn__check_windows(function, x, f, stride, padding, 1, error));
    return rn__expect(function, name, y, x->n, f->n,
                      rn__one_sided_output(y->h, x->h, f->h, stride, padding),
                      rn__one_sided_output(y->w, x->w, f->w, stride, padding), error);
}

/* y[n,k,oh,ow] = bias[k] + sum over c, r, s of f[k,c,r,s] x[n,c,h,w]
       with h = oh stride - padding + r,  w = ow stride - padding + s,
   where pixels outside of the image are zero, so that the sum leaves them out. p and q are a row of
   x and one of f. */
RNDEF rn_status rn_conv2d_naive_forward(rn_tensor *y, const rn_tensor *x, const rn_tensor *f,
                                        const rn_real *bias, int stride, int padding,
                                        rn_error *error) {
    RN__TRY(rn__check_one_sided(__func__, "output", y, x, f, stride, padding, error));
    RN__EACH(y, n, k, oh, ow) {
        const rn__window v = rn__window_at(oh, ow, x, f->h, f->w, stride, padding);
        double sum = 0;
        for (int c = 0; c < x->c; c++)
            for (int h = v.h0; h < v.h1; h++) {
                const rn_real *p = rn__at(x, n, c, h, 0), *q = rn__at(f, k, c, h - v.top, 0);
                for (int w = v.w0; w < v.w1; w++)
                    sum += (double)p[w * x->stride_w] * (double)q[(w - v.left) * f->stride_w];
            }
        *rn__at(y, n, k, oh, ow) = (rn_real)(bias ? sum + (double)bias[k] : sum);
    }
    return RN_OK;
}

/* A linear layer is a 1x1 convolution of images of one pixel, with weights in the same order:
       y[n,k] = bias[k] + sum over c of weight[k,c] x[n,c]. */
RNDEF rn_status rn_linear_forward(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                  const rn_real *bias, rn_error *error) {
    const rn_tensor f = rn_tensor_in((rn_real *)weight, y->c, x->c, 1, 1);
    RN__TRY(rn__expect(__func__, "input", x, x->n, x->c, 1, 1, error));
    RN__TRY(rn__expect(__func__, "output", y, x->n, y->c, 1, 1, error));
    return rn_conv2d_naive_forward(y, x, &f, bias, 1, 0, error);
}

#ifndef RESNET_NO_TRAIN
/* Backward asks the other way round: which outputs see a given pixel, which use a given weight? The
   conditions below bound oh stride from both sides, so that these are the outputs oh0 <= oh < oh1
   and ow0 <= ow < ow1. p and q are rows of the two factors. */

/* dx[n,c,h,w] = sum over k, oh, ow of dy[n,k,oh,ow] f[k,c,r,s]
       with r = h + padding - oh stride in [0, R),  s = w + padding - ow stride in [0, S):
   the formula of y, solved for the place of the kernel that lies over this pixel. */
static double rn__dx_at(int n, int c, int h, int w, const rn_tensor *dy, const rn_tensor *f,
                        int stride, int padding) {
    const int r0 = h + padding, s0 = w + padding; /* the place under oh is r0 - oh stride */
    const int oh0 = rn__max(0, rn__divide_up(r0 + 1 - f->h, stride));
    const int ow0 = rn__max(0, rn__divide_up(s0 + 1 - f->w, stride));
    const int oh1 = rn__min(dy->h, rn__divide_up(r0 + 1, stride));
    const int ow1 = rn__min(dy->w, rn__divide_up(s0 + 1, stride));
    double sum = 0;
    for (int k = 0; k < dy->c; k++)
        for (int oh = oh0; oh < oh1; oh++) {
            const rn_real *p = rn__at(dy, n, k, oh, 0), *q = rn__at(f, k, c, r0 - oh * stride, 0);
            for (int ow = ow0; ow < ow1; ow++)
                sum += (double)p[ow * dy->stride_w] * (double)q[(s0 - ow * stride) * f->stride_w];
        }
    return sum;
}

/* dw[k,c,r,s] = sum over n, oh, ow of dy[n,k,oh,ow] x[n,c,h,w]
       with h = oh stride - padding + r in [0, H),  w = ow stride - padding + s in [0, W):
   one weight has a part in every output of its channel, at every place of the window. */
static double rn__dw_at(int k, int c, int r, int s, const rn_tensor *dy, const rn_tensor *x,
                        int stride, int padding) {
    const int h0 = r - padding, w0 = s - padding; /* the pixel under oh is h0 + oh stride */
    const int oh0 = rn__max(0, rn__divide_up(-h0, stride));
    const int ow0 = rn__max(0, rn__divide_up(-w0, stride));
    const int oh1 = rn__min(dy->h, rn__divide_up(x->h - h0, stride));
    const int ow1 = rn__min(dy->w, rn__divide_up(x->w - w0, stride));
    double sum = 0;
    for (int n = 0; n < dy->n; n++)
        for (int oh = oh0; oh < oh1; oh++) {
            const rn_real *p = rn__at(dy, n, k, oh, 0), *q = rn__at(x, n, c, h0 + oh * stride, 0);
            for (int ow = ow0; ow < ow1; ow++)
                sum += (double)p[ow * dy->stride_w] * (double)q[(w0 + ow * stride) * x->stride_w];
        }
    return sum;
}

/* db[k] = sum over n, oh, ow of dy[n,k,oh,ow]: every output of the channel adds the bias once. */
RNDEF rn_status rn_conv2d_naive_backward(rn_tensor *dx, rn_tensor *dw, rn_real *db,
                                         const rn_tensor *dy, const rn_tensor *x,
                                         const rn_tensor *f, int stride, int padding,
                                         int accumulate, rn_error *error) {
    RN__TRY(rn__check_one_sided(__func__, "output_gradient", dy, x, f, stride, padding, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    RN__TRY(rn__expect_like(__func__, "weight_gradient", dw, f, error));
    for (int i = 0; db && i < dy->c; i++) {
        const rn_tensor channel = rn_tensor_channels(*dy, i, 1);
        rn__store(&db[i], rn__sum(&channel), 1);
    }
    if (dw)
        RN__EACH(dw, k, c, r, s)
            rn__store(rn__at(dw, k, c, r, s), rn__dw_at(k, c, r, s, dy, x, stride, padding), 1);
    if (dx)
        RN__EACH(dx, n, c, h, w)
            rn__store(rn__at(dx, n, c, h, w), rn__dx_at(n, c, h, w, dy, f, stride, padding),
                      accumulate);
    return RN_OK;
}

/* Of a linear layer dx[n,c] = sum over k of dy[n,k] weight[k,c];
   dw[k,c] = sum over n of dy[n,k] x[n,c];  db[k] = sum over n of dy[n,k]. */
RNDEF rn_status rn_linear_backward(rn_tensor *dx, rn_real *dw, rn_real *db, const rn_tensor *dy,
                                   const rn_tensor *x, const rn_real *weight, int accumulate,
                                   rn_error *error) {
    const rn_tensor f = rn_tensor_in((rn_real *)weight, dy->c, x->c, 1, 1);
    rn_tensor df = rn_tensor_in(dw, dy->c, x->c, 1, 1);
    RN__TRY(rn__expect(__func__, "input", x, x->n, x->c, 1, 1, error));
    RN__TRY(rn__expect(__func__, "output_gradient", dy, x->n, dy->c, 1, 1, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    return rn_conv2d_naive_backward(dx, dw ? &df : NULL, db, dy, x, &f, 1, 0, accumulate, error);
}

#endif

/* ---- batch normalisation: Ioffe and Szegedy 2015 ---------------------------------------------

   Training (Algorithm 1). The m values of one channel, of all pixels of all images in a group, are
   brought to mean 0 and variance 1, then scaled and shifted by what the layer learns:

       mean     = 1/m sum x_i
       variance = 1/m sum (x_i - mean)^2                 biased: divided by m, not m - 1
       x^_i     = (x_i - mean) / sigma,                  sigma = sqrt(variance + eps)
       y_i      = weight x^_i + bias                     gamma and beta in the paper

   Backward. Moving x_i moves x^_i itself and, through mean and variance, every other x^_j:

       d mean / d x_i     = 1/m
       d variance / d x_i = 2/m (x_i - mean)             what moves with the mean cancels, for the
                                                         sum of all x_j - mean is 0
       d x^_j / d x_i     = ([i = j] - 1/m) / sigma  -  (x_j - mean) / (2 sigma^3) d variance/d x_i
                          = ([i = j] - 1/m - x^_j x^_i / m) / sigma

   As y_j = weight x^_j + bias, the chain rule gives

       db   = sum over j of dy_j,     dw = sum over j of dy_j x^_j
       dx_i = sum over j of dy_j weight (d x^_j / d x_i)
            = weight / sigma (dy_i - (sum of dy_j)/m - x^_i (sum of dy_j x^_j)/m)
            = weight / sigma (dy_i - (db + x^_i dw) / m)

   What is taken off is the part of dy that would shift or stretch the whole channel: x can do
   neither, since normalising undoes it. */

/* Images of one group; 0 stands for all n. */
RN__FUNCTION int rn__group_size(int size, int n) { return size && size < n ? size : rn__max(n, 1); }

/* y = weight (x - mean) / sigma + bias of one channel. */
static void rn__normalise(const rn_tensor *y, const rn_tensor *x, double mean, double variance,
                          double eps, rn_real weight, rn_real bias) {
    const double scale = (double)weight / sqrt(variance + eps);
    RN__EACH(x, n, c, h, w)
        *rn__at(y, n, c, h, w) = (rn_real)((rn__get(x, n, c, h, w) - mean) * scale + (double)bias);
}

#ifndef RESNET_NO_TRAIN
/* Channel c of the images of group g, of which the last may have fewer. */
static rn_tensor rn__group_channel(const rn_tensor *t, int g, int size, int c) {
    const rn_tensor images = rn_tensor_images(*t, g * size, rn__min(size, t->n - g * size));
    return rn_tensor_channels(images, c, 1);
}

/* Images of the last group, which may have fewer than the others; and do so many have a variance?
   One value a channel has none. */
static int rn__last_group(int group, int n) {
    const int size = rn__group_size(group, n);
    return n % size ? n % size : size;
}
RN__FUNCTION int rn__has_variance(int n, int h, int w) { return (double)n * h * w >= 2; }

/* Refuses m = 1, where the variance is 0 and y does not depend on x. */
static rn_status rn__check_groups(const char *function, const rn_tensor *x, int group,
                                  rn_error *error) {
    const int last = rn__last_group(group, x->n);
    RN__TRY(rn__expect_within(function, "group", group, 0, INT_MAX, error));
    RN__FAIL_IF(x->n && !rn__has_variance(last, x->h, x->w), RN_BAD_ARGUMENT,
                "%s: input is [%d,%d,%d,%d], which leaves one value a channel in a group "
                "of %d image, and so no variance; take more images, a larger group, or "
                "rn_batch_norm_inference",
                function, x->n, x->c, x->h, x->w, last);
    return RN_OK;
}

/* The variance takes a second pass over x: in one, as E[x^2] - E[x]^2, it would lose its digits
   where the mean is large. */
RNDEF rn_status rn_batch_norm_forward(rn_tensor *y, rn_real *statistics, const rn_tensor *x,
                                      const rn_real *weight, const rn_real *bias, double eps,
                                      int group, rn_error *error) {
    const int size = rn__group_size(group, x->n), groups = rn__divide_up(x->n, size);
    RN__TRY(rn__check_groups(__func__, x, group, error));
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    for (int g = 0; g < groups; g++, statistics += 2 * (ptrdiff_t)x->c)
        for (int k = 0; k < x->c; k++) {
            const rn_tensor x_k = rn__group_channel(x, g, size, k);
            const rn_tensor y_k = rn__group_channel(y, g, size, k);
            double m = (double)x_k.n * x_k.h * x_k.w, mean = rn__sum(&x_k) / m, variance = 0;
            RN__EACH(&x_k, n, c, h, w) variance += pow(rn__get(&x_k, n, c, h, w) - mean, 2);
            variance /= m;
            statistics[k] = (rn_real)mean;
            statistics[x->c + k] = (rn_real)variance;
            rn__normalise(&y_k, &x_k, mean, variance, eps, weight[k], bias[k]);
        }
    return RN_OK;
}

/* The formulas of dw, db and dx above, where `normal` is x^. */
RNDEF rn_status rn_batch_norm_backward(rn_tensor *dx, rn_real *dw, rn_real *db, const rn_tensor *dy,
                                       const rn_tensor *x, const rn_real *statistics,
                                       const rn_real *weight, double eps, int group, int accumulate,
                                       rn_error *error) {
    const int size = rn__group_size(group, x->n), groups = rn__divide_up(x->n, size);
    RN__TRY(rn__check_groups(__func__, x, group, error));
    RN__TRY(rn__expect_like(__func__, "output_gradient", dy, x, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    for (int g = 0; g < groups; g++, statistics += 2 * (ptrdiff_t)x->c)
        for (int k = 0; k < x->c; k++) {
            rn_tensor x_k = rn__group_channel(x, g, size, k), dx_k;
            const rn_tensor dy_k = rn__group_channel(dy, g, size, k);
            const double m = (double)x_k.n * x_k.h * x_k.w, mean = (double)statistics[k];
            const double inverse = 1 / sqrt((double)statistics[x->c + k] + eps); /* 1 / sigma */
            /* First the two sums over the channel; dx needs them even if nobody wants db and dw. */
            double db_k = rn__sum(&dy_k), dw_k = 0, scale = (double)weight[k] * inverse;
            RN__EACH(&x_k, n, c, h, w)
                dw_k += rn__get(&dy_k, n, c, h, w) * (rn__get(&x_k, n, c, h, w) - mean) * inverse;
            if (db) rn__store(&db[k], db_k, 1);
            if (dw) rn__store(&dw[k], dw_k, 1);
            if (!dx) continue;
            dx_k = rn__group_channel(dx, g, size, k);
            RN__EACH(&x_k, n, c, h, w) {
                const double normal = (rn__get(&x_k, n, c, h, w) - mean) * inverse;
                const double part = rn__get(&dy_k, n, c, h, w) - (db_k + normal * dw_k) / m;
                rn__store(rn__at(&dx_k, n, c, h, w), scale * part, accumulate);
            }
        }
    return RN_OK;
}

/* A variance of m values around their own mean is too small by (m - 1) / m on average. */
static double rn__unbiased(double variance, double m) { return variance * (m / (m - 1)); }

/* Running statistics, which inference uses in place of the batch's: a moving average over steps of

       the mean over groups of their means, and of their variances times m / (m - 1).

   The biased variance is right to normalise the values that it was computed from; for values of
   other images it is too small. Each group counts by its images, for the last may have fewer.
   running: mean and variance [C]. Tells whether all stay finite; with `write` stores them. */
static int rn__update_running(rn_real *const running[2], const rn_real *statistics, int images,
                              int group, int channels, double pixels, double momentum, int write) {
    const int size = rn__group_size(group, images), rest = images % size;
    const double groups = (double)images / size; /* the last one counts by its part */
    int finite = 1;
    for (int k = 0; k < channels; k++) {
        double mean = 0, variance = 0;
        const rn_real *s = statistics + k;
        /* the groups that have all their images, then what is left in the last */
        for (int g = 0; g < images / size; g++, s += 2 * (ptrdiff_t)channels) {
            mean += (double)s[0] / groups;
            variance += (double)s[channels] / groups;
        }
        variance = rn__unbiased(variance, size * pixels);
        if (rest) {
            mean += (double)s[0] * rest / images;
            variance += rn__unbiased((double)s[channels], rest * pixels) * rest / images;
        }
        mean = (1 - momentum) * (double)running[0][k] + momentum * mean;
        variance = (1 - momentum) * (double)running[1][k] + momentum * variance;
        finite &= !rn__not_finite((rn_real)mean) && !rn__not_finite((rn_real)variance);
        if (write) running[0][k] = (rn_real)mean, running[1][k] = (rn_real)variance;
    }
    return finite;
}

RNDEF void rn_batch_norm_update(rn_real *running_mean, rn_real *running_var,
                                const rn_real *statistics, int images, int group, int channels,
                                double pixels, double momentum) {
    rn_real *const running[2] = {running_mean, running_var};
    rn__update_running(running, statistics, images, group, channels, pixels, momentum, images > 0);
}

#endif

/* Inference (Algorithm 2): with the running statistics y is a scale and a shift of x, the same for
   every image, so a prediction does not depend on what else is in the batch. */
RNDEF rn_status rn_batch_norm_inference(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                        const rn_real *bias, const rn_real *running_mean,
                                        const rn_real *running_var, double eps, rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    for (int k = 0; k < x->c; k++) {
        const rn_tensor x_k = rn_tensor_channels(*x, k, 1), y_k = rn_tensor_channels(*y, k, 1);
        rn__normalise(&y_k, &x_k, (double)running_mean[k], (double)running_var[k], eps, weight[k],
                      bias[k]);
    }
    return RN_OK;
}

/* ---- group normalisation: Wu and He 2018; EvoNorm-S0: Liu et al. 2020 ------------------------

   The formulas of batch normalisation with other m values: those of one image in a group of
   channels that follow each other. So nothing depends on the other images, and inference is as
   training. The m values of 8 channels in 2 groups:

       channels   [ 0 1 2 3 ][ 4 5 6 7 ]      m = 4 H W,  weight and bias still by channel

   As weights differ within a group, they stay in backward's sums. With g_j = weight dy_j

       dx_i = 1 / sigma (g_i - (sum of g_j)/m - x^_i (sum of g_j x^_j)/m)

   EvoNorm-S0, found by a search, does without the mean and has a gate in place of the ReLU:

       y = x s / sigma * weight + bias,      s = sigmoid(v x)

   Only the variance ties the values of a group together: d variance / d x_i = 2/m (x_i - mean), so

       dx_i = weight / sigma dy_i (s + v x_i s (1 - s)) - (x_i - mean) / (m sigma^3) T
       T    = sum over the group of weight dy_j x_j s_j
       db   = sum of dy,    dw = sum of dy x s / sigma
       dv   = sum of dy weight / sigma x^2 s (1 - s)                                              */

/* 1 - sigmoid(z) is sigmoid(-z), which loses no digits. */
static double rn__sigmoid(double z) { return 1 / (1 + exp(-z)); }

/* One group of one image: values x [1,C/groups,H,W], their mean and 1 / sigma. */
typedef struct rn__group {
    int image, first; /* first: channel */
    rn_tensor x;
    double m, mean, inverse;
} rn__group;

/* Number i of all groups of all images. */
static rn__group rn__group_at(const rn_tensor *x, ptrdiff_t i, int groups, double eps) {
    rn__group v;
    double variance = 0;
    v.image = (int)(i / groups), v.first = (int)(i % groups) * (x->c / groups);
    v.x = rn_tensor_channels(rn_tensor_images(*x, v.image, 1), v.first, x->c / groups);
    v.m = (double)v.x.c * v.x.h * v.x.w;
    v.mean = rn__sum(&v.x) / v.m;
    RN__EACH(&v.x, n, c, h, w) variance += pow(rn__get(&v.x, n, c, h, w) - v.mean, 2);
    v.inverse = 1 / sqrt(variance / v.m + eps);
    return v;
}

/* Of another tensor. */
static rn_tensor rn__same_group(const rn_tensor *t, const rn__group *v) {
    return rn_tensor_channels(rn_tensor_images(*t, v->image, 1), v->first, v->x.c);
}

static rn_status rn__check_channel_groups(const char *function, const rn_tensor *x, int groups,
                                          rn_error *error) {
    RN__TRY(rn__expect_within(function, "groups", groups, 1, rn__max(x->c, 1), error));
    RN__FAIL_IF(x->c % groups, RN_BAD_ARGUMENT,
                "%s: groups is %d and must divide the %d channels of input", function, groups,
                x->c);
    return RN_OK;
}

RNDEF rn_status rn_group_norm_forward(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                      const rn_real *bias, double eps, int groups,
                                      rn_error *error) {
    RN__TRY(rn__check_channel_groups(__func__, x, groups, error));
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    for (ptrdiff_t i = 0; i < (ptrdiff_t)x->n * groups; i++) {
        const rn__group v = rn__group_at(x, i, groups, eps);
        const rn_tensor y_g = rn__same_group(y, &v);
        RN__EACH(&v.x, n, c, h, w) {
            const double normal = (rn__get(&v.x, n, c, h, w) - v.mean) * v.inverse;
            *rn__at(&y_g, n, c, h, w) =
                (rn_real)((double)weight[v.first + c] * normal + (double)bias[v.first + c]);
        }
    }
    return RN_OK;
}

RNDEF rn_status rn_evonorm_forward(rn_tensor *y, const rn_tensor *x, const rn_real *weight,
                                   const rn_real *bias, const rn_real *v, double eps, int groups,
                                   rn_error *error) {
    RN__TRY(rn__check_channel_groups(__func__, x, groups, error));
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    for (ptrdiff_t i = 0; i < (ptrdiff_t)x->n * groups; i++) {
        const rn__group at = rn__group_at(x, i, groups, eps);
        const rn_tensor y_g = rn__same_group(y, &at);
        RN__EACH(&at.x, n, c, h, w) {
            const int k = at.first + c;
            const double value = rn__get(&at.x, n, c, h, w);
            const double gated = value * rn__sigmoid((double)v[k] * value);
            *rn__at(&y_g, n, c, h, w) =
                (rn_real)(gated * at.inverse * (double)weight[k] + (double)bias[k]);
        }
    }
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* First the two sums over the group, then dx. */
RNDEF rn_status rn_group_norm_backward(rn_tensor *dx, rn_real *dw, rn_real *db, const rn_tensor *dy,
                                       const rn_tensor *x, const rn_real *weight, double eps,
                                       int groups, int accumulate, rn_error *error) {
    RN__TRY(rn__check_channel_groups(__func__, x, groups, error));
    RN__TRY(rn__expect_like(__func__, "output_gradient", dy, x, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    for (ptrdiff_t i = 0; i < (ptrdiff_t)x->n * groups; i++) {
        const rn__group v = rn__group_at(x, i, groups, eps);
        const rn_tensor dy_g = rn__same_group(dy, &v);
        double sum = 0, sum_normal = 0; /* of g, and of g x^ */
        RN__EACH(&v.x, n, c, h, w) {
            const double normal = (rn__get(&v.x, n, c, h, w) - v.mean) * v.inverse;
            const double gradient = rn__get(&dy_g, n, c, h, w);
            sum += (double)weight[v.first + c] * gradient;
            sum_normal += (double)weight[v.first + c] * gradient * normal;
            if (db) rn__store(&db[v.first + c], gradient, 1);
            if (dw) rn__store(&dw[v.first + c], gradient * normal, 1);
        }
        if (!dx) continue;
        RN__EACH(&v.x, n, c, h, w) {
            const rn_tensor dx_g = rn__same_group(dx, &v);
            const double normal = (rn__get(&v.x, n, c, h, w) - v.mean) * v.inverse;
            const double g = (double)weight[v.first + c] * rn__get(&dy_g, n, c, h, w);
            rn__store(rn__at(&dx_g, n, c, h, w),
                      v.inverse * (g - (sum + normal * sum_normal) / v.m), accumulate);
        }
    }
    return RN_OK;
}

RNDEF rn_status rn_evonorm_backward(rn_tensor *dx, rn_real *dw, rn_real *db, rn_real *dv,
                                    const rn_tensor *dy, const rn_tensor *x, const rn_real *weight,
                                    const rn_real *v, double eps, int groups, int accumulate,
                                    rn_error *error) {
    RN__TRY(rn__check_channel_groups(__func__, x, groups, error));
    RN__TRY(rn__expect_like(__func__, "output_gradient", dy, x, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    for (ptrdiff_t i = 0; i < (ptrdiff_t)x->n * groups; i++) {
        const rn__group at = rn__group_at(x, i, groups, eps);
        const rn_tensor dy_g = rn__same_group(dy, &at);
        double t = 0; /* T */
        RN__EACH(&at.x, n, c, h, w) {
            const int k = at.first + c;
            const double value = rn__get(&at.x, n, c, h, w), g = rn__get(&dy_g, n, c, h, w);
            const double s = rn__sigmoid((double)v[k] * value), scale = (double)weight[k];
            t += scale * g * value * s;
            if (db) rn__store(&db[k], g, 1);
            if (dw) rn__store(&dw[k], g * value * s * at.inverse, 1);
            if (dv) rn__store(&dv[k], g * scale * at.inverse * value * value * s * (1 - s), 1);
        }
        if (!dx) continue;
        RN__EACH(&at.x, n, c, h, w) {
            const int k = at.first + c;
            const rn_tensor dx_g = rn__same_group(dx, &at);
            const double value = rn__get(&at.x, n, c, h, w), g = rn__get(&dy_g, n, c, h, w);
            const double s = rn__sigmoid((double)v[k] * value), slope = s * (1 - s);
            const double own =
                (double)weight[k] * at.inverse * g * (s + (double)v[k] * value * slope);
            rn__store(rn__at(&dx_g, n, c, h, w),
                      own - (value - at.mean) * pow(at.inverse, 3) * t / at.m, accumulate);
        }
    }
    return RN_OK;
}
#endif

/* ---- weight standardisation: Qiao et al. 2019 ------------------------------------------------

   The formula of batch normalisation once more, for the m = C R S numbers of a filter, without
   weight and bias. What is stored and learned is f; the convolution takes y. */

/* A filter as m numbers of one channel, its mean and 1 / sigma. */
static rn__group rn__filter_moments(const rn_tensor *f, int k, double eps) {
    return rn__group_at(f, k, 1, eps);
}

RNDEF rn_status rn_standardise_forward(rn_tensor *y, const rn_tensor *f, double eps,
                                       rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output", y, f, error));
    for (int k = 0; k < f->n; k++) {
        const rn__group v = rn__filter_moments(f, k, eps);
        const rn_tensor y_k = rn_tensor_images(*y, k, 1);
        RN__EACH(&v.x, n, c, r, s)
            *rn__at(&y_k, n, c, r, s) = (rn_real)((rn__get(&v.x, n, c, r, s) - v.mean) * v.inverse);
    }
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* dx of batch normalisation, with weight 1. */
RNDEF rn_status rn_standardise_backward(rn_tensor *dw, const rn_tensor *dy, const rn_tensor *f,
                                        double eps, rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output_gradient", dy, f, error));
    RN__TRY(rn__expect_like(__func__, "weight_gradient", dw, f, error));
    for (int k = 0; dw && k < f->n; k++) {
        const rn__group v = rn__filter_moments(f, k, eps);
        const rn_tensor dy_k = rn_tensor_images(*dy, k, 1), dw_k = rn_tensor_images(*dw, k, 1);
        const double sum = rn__sum(&dy_k);
        double sum_normal = 0;
        RN__EACH(&v.x, n, c, r, s)
            sum_normal +=
                rn__get(&dy_k, n, c, r, s) * (rn__get(&v.x, n, c, r, s) - v.mean) * v.inverse;
        RN__EACH(&v.x, n, c, r, s) {
            const double normal = (rn__get(&v.x, n, c, r, s) - v.mean) * v.inverse;
            const double part = rn__get(&dy_k, n, c, r, s) - (sum + normal * sum_normal) / v.m;
            *rn__at(&dw_k, n, c, r, s) = (rn_real)(v.inverse * part);
        }
    }
    return RN_OK;
}
#endif

/* ---- ReLU: Nair and Hinton 2010 --------------------------------------------------------------

   Passes what is positive and blocks the rest, forward and backward alike. At 0, where it has no
   derivative, backward takes 0. */

/* y = max(x, 0), written so that what is not a number stays so and is found. */
RNDEF rn_status rn_relu_forward(rn_tensor *y, const rn_tensor *x, rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    RN__EACH(x, n, c, h, w)
        *rn__at(y, n, c, h, w) = *rn__at(x, n, c, h, w) < 0 ? 0 : *rn__at(x, n, c, h, w);
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* dx = dy where x > 0, else 0. y > 0 says the same, so x need not be kept. */
RNDEF rn_status rn_relu_backward(rn_tensor *dx, const rn_tensor *dy, const rn_tensor *y,
                                 int accumulate, rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output_gradient", dy, y, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, y, error));
    if (!dx) return RN_OK;
    RN__EACH(y, n, c, h, w)
        rn__store(rn__at(dx, n, c, h, w), *rn__at(y, n, c, h, w) > 0 ? rn__get(dy, n, c, h, w) : 0,
                  accumulate);
    return RN_OK;
}

#endif

/* ---- gates of shortcuts: [IM] section 3.1, after highway networks (Srivastava et al. 2015) ---

   The logits z are a 1x1 convolution of what the unit reads. An exclusive gate has both sides of
   one g = sigmoid(z), g F(x) + (1 - g) x: one call with complement 0, and one with 1. On its way
   through such a shortcut the gradient is multiplied by a gate, which is below 1, in every unit:
   the trouble of equation (8). */

/* y = x g(z), with g = sigmoid or (complement) 1 - sigmoid: the two sides of an exclusive gate. */
RNDEF rn_status rn_gate_forward(rn_tensor *y, const rn_tensor *x, const rn_tensor *z,
                                int complement, rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    RN__TRY(rn__expect_like(__func__, "logits", z, x, error));
    RN__EACH(x, n, c, h, w) {
        const double logit = rn__get(z, n, c, h, w);
        const double gate = rn__sigmoid(complement ? -logit : logit);
        *rn__at(y, n, c, h, w) = (rn_real)(rn__get(x, n, c, h, w) * gate);
    }
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* dx = dy g,  dz = dy x g',  with g' = sigmoid (1 - sigmoid), or minus that for the complement. */
RNDEF rn_status rn_gate_backward(rn_tensor *dx, rn_tensor *dz, const rn_tensor *dy,
                                 const rn_tensor *x, const rn_tensor *z, int complement,
                                 int accumulate_dx, int accumulate_dz, rn_error *error) {
    const double sign = complement ? -1 : 1;
    RN__TRY(rn__expect_like(__func__, "logits", z, x, error));
    RN__TRY(rn__expect_like(__func__, "output_gradient", dy, x, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    RN__TRY(rn__expect_like(__func__, "logits_gradient", dz, x, error));
    RN__EACH(x, n, c, h, w) {
        const double logit = sign * rn__get(z, n, c, h, w), gradient = rn__get(dy, n, c, h, w);
        const double gate = rn__sigmoid(logit), slope = gate * rn__sigmoid(-logit) * sign;
        const double through = gradient * rn__get(x, n, c, h, w) * slope;
        if (dx) rn__store(rn__at(dx, n, c, h, w), gradient * gate, accumulate_dx);
        if (dz) rn__store(rn__at(dz, n, c, h, w), through, accumulate_dz);
    }
    return RN_OK;
}

/* ---- dropout: Hinton et al. 2012, not rescaled in training, as in [IM] -----------------------

   In inference nothing is left out, but all is multiplied by 1 - ratio, the mean of what training
   did: call rn_scale. On a shortcut it is a scale below 1 on average, with the troubles of one. */

/* y = x b, with b 0 or 1 at random, and dx = dy b: the same function of the gradient. b is not
   stored, for the key gives the same numbers again. Element `index`, counted in the order NCHW,
   takes 16 of the 64 bits of random number index / 4. */
RNDEF rn_status rn_dropout(rn_tensor *y, const rn_tensor *x, double ratio, rn_key key,
                           int accumulate, rn_error *error) {
    const uint64_t stream = rn__stream(key);
    uint64_t index = 0;
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    if (!y) return RN_OK;
    RN__FAIL_IF(!rn__is_finite(ratio) || ratio < 0 || ratio >= 1, RN_BAD_ARGUMENT,
                "rn_dropout: ratio is %f and should be at least 0 and below 1", ratio);
    RN__EACH(x, n, c, h, w) {
        const int keep = rn__keeps(rn__draw(stream, index / 4), index, rn__least_kept(ratio));
        rn__store(rn__at(y, n, c, h, w), keep ? rn__get(x, n, c, h, w) : 0, accumulate);
        index++;
    }
    return RN_OK;
}

#endif

/* ---- pools: windows as above, in each channel by itself --------------------------------------

   The largest pixel halves the image behind ImageNet's 7x7 convolution; the mean of 2x2 halves it
   in shortcuts (He et al. 2019, ResNet-D), where a 1x1 convolution of stride 2 would read only one
   pixel of four; the mean of all pixels makes an image one number a channel for the classifier. */

/* The shape of a pool's window as that of a convolution's weight, for the checks. */
static rn_tensor rn__pool_window(const rn_tensor *x, int h, int w) {
    rn_tensor f = *x;
    f.n = x->c, f.h = h, f.w = w;
    return f;
}

/* Padding is less than the kernel, so that every window holds a pixel. */
static rn_status rn__check_max_pool(const char *function, const char *name, const rn_tensor *y,
                                    const rn_tensor *x, int kernel, int stride, int padding,
                                    rn_error *error) {
    const rn_tensor window = rn__pool_window(x, kernel, kernel);
    RN__TRY(rn__expect_within(function, "kernel", kernel, 1, INT_MAX, error));
    RN__TRY(rn__expect_within(function, "padding", padding, 0, kernel - 1, error));
    return rn__check_conv2d(function, name, y, x, &window, stride, padding, error);
}

/* The first largest pixel under the window of (oh, ow) is at row h0 and column w0 of the result. */
static rn__window rn__largest(const rn_tensor *x, int n, int c, int oh, int ow, int kernel,
                              int stride, int padding) {
    const rn__window v = rn__window_at(oh, ow, x, kernel, kernel, stride, padding);
    rn_real largest = *rn__at(x, n, c, v.h0, v.w0);
    rn__window best = v;
    for (int h = v.h0; h < v.h1; h++)
        for (int w = v.w0; w < v.w1; w++)
            if (*rn__at(x, n, c, h, w) > largest)
                largest = *rn__at(x, n, c, h, w), best.h0 = h, best.w0 = w;
    return best;
}

/* y[n,c,oh,ow] = max of x[n,c,h,w] over the pixels under the window. Padding is not one of them: it
   never wins, not even where all pixels are negative. */
RNDEF rn_status rn_max_pool_forward(rn_tensor *y, const rn_tensor *x, int kernel, int stride,
                                    int padding, rn_error *error) {
    RN__TRY(rn__check_max_pool(__func__, "output", y, x, kernel, stride, padding, error));
    RN__EACH(y, n, c, oh, ow) {
        const rn__window v = rn__largest(x, n, c, oh, ow, kernel, stride, padding);
        *rn__at(y, n, c, oh, ow) = *rn__at(x, n, c, v.h0, v.w0);
    }
    return RN_OK;
}

/* Does a window, cut at the edges of the image, have pixels of padding? */
static int rn__reaches_over(const rn__window *v, int kernel) {
    return v->h1 - v->h0 < kernel || v->w1 - v->w0 < kernel;
}

/* y[n,c,oh,ow] as above, but not less than 0 where the window reaches over the edge. */
RNDEF rn_status rn_zero_max_pool_forward(rn_tensor *y, const rn_tensor *x, int kernel, int stride,
                                         int padding, rn_error *error) {
    RN__TRY(rn__check_max_pool(__func__, "output", y, x, kernel, stride, padding, error));
    RN__EACH(y, n, c, oh, ow) {
        const rn__window all = rn__window_at(oh, ow, x, kernel, kernel, stride, padding);
        const rn__window v = rn__largest(x, n, c, oh, ow, kernel, stride, padding);
        const rn_real largest = *rn__at(x, n, c, v.h0, v.w0);
        *rn__at(y, n, c, oh, ow) = rn__reaches_over(&all, kernel) && largest <= 0 ? 0 : largest;
    }
    return RN_OK;
}

/* Rows (or columns) of an average pool: as many windows as cover `size` (stride - 1 more behind
   round the division up), but none that starts outside. */
static int rn__avg_pool_output(int size, int kernel, int stride) {
    return rn__min(rn__window_output(size + stride - 1, kernel, stride, 0),
                   rn__divide_up(size, stride));
}

/* A kernel may be larger than the image by what ceil mode adds behind, stride - 1. */
static rn_status rn__check_avg_pool(const char *function, const char *name, const rn_tensor *y,
                                    const rn_tensor *x, int kernel, int stride, rn_error *error) {
    const rn_tensor window = rn__pool_window(x, kernel, kernel);
    RN__TRY(rn__expect_within(function, "kernel", kernel, 1, RN__MOST_SIZE, error));
    RN__TRY(rn__check_windows(function, x, &window, stride, 0, rn__max(stride, 1) - 1, error));
    return rn__expect(function, name, y, x->n, x->c, rn__avg_pool_output(x->h, kernel, stride),
                      rn__avg_pool_output(x->w, kernel, stride), error);
}

/* y[n,c,oh,ow] = mean of x[n,c,h,w] over the pixels under the window, which at the bottom and right
   edge may be fewer than kernel^2: with kernel and stride 2 on an image of 3x3

       a b | c          y = (a + b + d + e) / 4    (c + f) / 2
       d e | f              (g + h) / 2             i
       ----+--
       g h | i                                                                                    */
RNDEF rn_status rn_avg_pool_forward(rn_tensor *y, const rn_tensor *x, int kernel, int stride,
                                    rn_error *error) {
    RN__TRY(rn__check_avg_pool(__func__, "output", y, x, kernel, stride, error));
    RN__EACH(y, n, c, oh, ow) {
        const rn__window v = rn__window_at(oh, ow, x, kernel, kernel, stride, 0);
        double pixels = (double)(v.h1 - v.h0) * (v.w1 - v.w0), sum = 0;
        for (int h = v.h0; h < v.h1; h++)
            for (int w = v.w0; w < v.w1; w++) sum += rn__get(x, n, c, h, w);
        *rn__at(y, n, c, oh, ow) = (rn_real)(sum / pixels);
    }
    return RN_OK;
}

/* y[n,c] = 1 / (H W) sum over h, w of x[n,c,h,w]: one window, as large as the image. */
RNDEF rn_status rn_global_avg_pool_forward(rn_tensor *y, const rn_tensor *x, rn_error *error) {
    const rn_tensor window = rn__pool_window(x, x->h, x->w);
    RN__TRY(rn__check_conv2d(__func__, "output", y, x, &window, 1, 0, error));
    RN__EACH(y, n, c, oh, ow) {
        const rn_tensor pixels = rn_tensor_channels(rn_tensor_images(*x, n, 1), c, 1);
        *rn__at(y, n, c, oh, ow) = (rn_real)(rn__sum(&pixels) / ((double)x->h * x->w));
    }
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* Backward. All of dy goes to the pixel that was the largest. Where windows overlap (stride <
   kernel) a pixel may win several times: dx is added to. */
RNDEF rn_status rn_max_pool_backward(rn_tensor *dx, const rn_tensor *dy, const rn_tensor *x,
                                     int kernel, int stride, int padding, int accumulate,
                                     rn_error *error) {
    RN__TRY(rn__check_max_pool(__func__, "output_gradient", dy, x, kernel, stride, padding, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    if (!dx) return RN_OK;
    if (!accumulate) rn_tensor_fill(*dx, 0);
    RN__EACH(dy, n, c, oh, ow) {
        const rn__window v = rn__largest(x, n, c, oh, ow, kernel, stride, padding);
        rn__store(rn__at(dx, n, c, v.h0, v.w0), rn__get(dy, n, c, oh, ow), 1);
    }
    return RN_OK;
}

RNDEF rn_status rn_zero_max_pool_backward(rn_tensor *dx, const rn_tensor *dy, const rn_tensor *x,
                                          int kernel, int stride, int padding, int accumulate,
                                          rn_error *error) {
    RN__TRY(rn__check_max_pool(__func__, "output_gradient", dy, x, kernel, stride, padding, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    if (!dx) return RN_OK;
    if (!accumulate) rn_tensor_fill(*dx, 0);
    RN__EACH(dy, n, c, oh, ow) {
        const rn__window all = rn__window_at(oh, ow, x, kernel, kernel, stride, padding);
        const rn__window v = rn__largest(x, n, c, oh, ow, kernel, stride, padding);
        if (!rn__reaches_over(&all, kernel) || !(*rn__at(x, n, c, v.h0, v.w0) <= 0))
            rn__store(rn__at(dx, n, c, v.h0, v.w0), rn__get(dy, n, c, oh, ow), 1);
    }
    return RN_OK;
}

/* Each pixel under a window has an equal part in its mean, and gets an equal share of dy. */
RNDEF rn_status rn_avg_pool_backward(rn_tensor *dx, const rn_tensor *dy, int kernel, int stride,
                                     int accumulate, rn_error *error) {
    if (!dx) return RN_OK;
    RN__TRY(rn__check_avg_pool(__func__, "output_gradient", dy, dx, kernel, stride, error));
    if (!accumulate) rn_tensor_fill(*dx, 0);
    RN__EACH(dy, n, c, oh, ow) {
        const rn__window v = rn__window_at(oh, ow, dx, kernel, kernel, stride, 0);
        const double pixels = (double)(v.h1 - v.h0) * (v.w1 - v.w0);
        for (int h = v.h0; h < v.h1; h++)
            for (int w = v.w0; w < v.w1; w++)
                rn__store(rn__at(dx, n, c, h, w), rn__get(dy, n, c, oh, ow) / pixels, 1);
    }
    return RN_OK;
}

/* dx[n,c,h,w] = dy[n,c] / (H W). */
RNDEF rn_status rn_global_avg_pool_backward(rn_tensor *dx, const rn_tensor *dy, int accumulate,
                                            rn_error *error) {
    const rn_tensor window = dx ? rn__pool_window(dx, dx->h, dx->w) : *dy;
    if (!dx) return RN_OK;
    RN__TRY(rn__check_conv2d(__func__, "output_gradient", dy, dx, &window, 1, 0, error));
    RN__EACH(dx, n, c, h, w)
        rn__store(rn__at(dx, n, c, h, w), rn__get(dy, n, c, 0, 0) / ((double)dx->h * dx->w),
                  accumulate);
    return RN_OK;
}

#endif

/* ---- addition and scaling: [IM] equations (1) to (8) -----------------------------------------

   With identity shortcuts gradients are added and never multiplied on their way down. A shortcut
   that scales by lambda multiplies them, by lambda^units all in all, as equation (8) says. */

/* y = a + b: equation (1), h(x) + F(x). dy reaches both unchanged, and that is what makes residual
   nets trainable (equation (5)); there is nothing to compute backward. */
RNDEF rn_status rn_add(rn_tensor *y, const rn_tensor *a, const rn_tensor *b, rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output", y, a, error));
    RN__TRY(rn__expect_like(__func__, "b", b, a, error));
    RN__EACH(a, n, c, h, w)
        *rn__at(y, n, c, h, w) = *rn__at(a, n, c, h, w) + *rn__at(b, n, c, h, w);
    return RN_OK;
}

/* y = factor x, the lambda of equations (6) to (8), and dx = factor dy: the same function. */
RNDEF rn_status rn_scale(rn_tensor *y, const rn_tensor *x, double factor, int accumulate,
                         rn_error *error) {
    RN__TRY(rn__expect_like(__func__, "output", y, x, error));
    if (!y) return RN_OK;
    RN__EACH(x, n, c, h, w)
        rn__store(rn__at(y, n, c, h, w), factor * rn__get(x, n, c, h, w), accumulate);
    return RN_OK;
}

/* ---- shortcut A: [DRL] section 3.3 ------------------------------------------------------------

   A shortcut without parameters between units of different shape: every stride-th pixel of x, and
   channels of zeros, `front` of them in front. With stride 2, 2 channels that become 4, front 1:

       x, 2 channels of 3x4          y, 4 channels of 2x2
                                         0 0      a c      A C      0 0
         a b c d      A B C D            0 0      i k      I K      0 0
         e f g h      E F G H
         i j k l      I J K L                                                                     */

/* The shape that y must have, and `front` in range. */
static rn_status rn__check_pad_subsample(const char *function, const char *name, const rn_tensor *y,
                                         const rn_tensor *x, int stride, int front,
                                         rn_error *error) {
    RN__TRY(rn__expect_within(function, "stride", stride, 1, SHRT_MAX, error));
    RN__FAIL_IF(front < 0 || front > y->c - x->c, RN_BAD_ARGUMENT,
                "%s: front is %d; 0 or more zero channels and then the input's %d should "
                "fit into the %d of %s",
                function, front, x->c, y->c, name);
    return rn__expect(function, name, y, x->n, y->c, rn__divide_up(x->h, stride),
                      rn__divide_up(x->w, stride), error);
}

/* y[n, front + c, oh, ow] = x[n, c, oh stride, ow stride], and 0 in the other channels. */
RNDEF rn_status rn_pad_subsample_forward(rn_tensor *y, const rn_tensor *x, int stride, int front,
                                         rn_error *error) {
    RN__TRY(rn__check_pad_subsample(__func__, "output", y, x, stride, front, error));
    RN__EACH(y, n, k, oh, ow) {
        const int c = k - front, inside = c >= 0 && c < x->c;
        *rn__at(y, n, k, oh, ow) = inside ? *rn__at(x, n, c, oh * stride, ow * stride) : 0;
    }
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* A pixel that was taken gets its dy; one that was left out has no part in y, and gets 0. */
RNDEF rn_status rn_pad_subsample_backward(rn_tensor *dx, const rn_tensor *dy, int stride, int front,
                                          int accumulate, rn_error *error) {
    if (!dx) return RN_OK;
    RN__TRY(rn__check_pad_subsample(__func__, "output_gradient", dy, dx, stride, front, error));
    RN__EACH(dx, n, c, h, w) {
        const int taken = h % stride == 0 && w % stride == 0;
        const double gradient = taken ? rn__get(dy, n, front + c, h / stride, w / stride) : 0;
        rn__store(rn__at(dx, n, c, h, w), gradient, accumulate);
    }
    return RN_OK;
}

#endif

/* ---- softmax and its cross-entropy -----------------------------------------------------------

   The loss of an image with logits z and targets t_k, of class weights w_k (see rn_loss), is

       E = sum over k of t_k w_k (-log softmax(z)_k),    softmax(z)_k = exp(z_k) / sum_j exp(z_j)

   With L = log sum_j exp(z_j) it is -log softmax(z)_k = L - z_k, so neither a quotient nor its
   logarithm is ever computed, which would be 0 and -infinity for a hopeless class. And as

       dL/dz_k = exp(z_k) / sum_j exp(z_j) = softmax(z)_k

   every term t_j w_j (L - z_j) hands t_j w_j softmax(z)_k to z_k, and the k-th also -t_k w_k:

       dE/dz_k = softmax(z)_k (sum over j of t_j w_j) - t_k w_k

   what is predicted minus what should be. */

/* Index of the largest number; of several equal ones, the first. */
static int rn__argmax(const rn_real *values, int count, ptrdiff_t stride) {
    int best = 0;
    for (int i = 1; i < count; i++)
        if (values[i * stride] > values[best * stride]) best = i;
    return best;
}

RNDEF int rn_argmax(const rn_real *logits, int classes) { return rn__argmax(logits, classes, 1); }

/* L of image n. The largest logit is taken off first, so that no exp overflows. */
static double rn__log_sum_exp(const rn_tensor *z, int n) {
    int k, best = rn__argmax(rn__at(z, n, 0, 0, 0), z->c, z->stride_c);
    double largest = rn__get(z, n, best, 0, 0), sum = 0;
    for (k = 0; k < z->c; k++) sum += exp(rn__get(z, n, k, 0, 0) - largest);
    return largest + log(sum);
}

/* exp(z_k - L), where `log_sum` is L. */
static double rn__softmax(const rn_tensor *z, int n, int k, double log_sum) {
    return exp(rn__get(z, n, k, 0, 0) - log_sum);
}

#ifndef RESNET_NO_TRAIN
/* w_k; 1 by default. */
static double rn__class_weight(const rn_loss *loss, int k) {
    return loss && loss->class_weights ? (double)loss->class_weights[k] : 1;
}

/* t_k w_k of an image with this label; t_k is 1 for the label and 0 else, but for what smoothing
   takes from it and divides among all classes (Szegedy et al. 2016). */
static double rn__target(const rn_loss *loss, int classes, int label, int k) {
    const double smoothing = loss ? loss->label_smoothing : 0;
    const double target = (k == label ? 1 - smoothing : 0) + smoothing / classes;
    return target * rn__class_weight(loss, k);
}

/* Refuses logits that are not [N,K,1,1], and labels and a loss (NULL: plain) out of range. *sum
   (NULL: not wanted) is what the sum of the images' losses is divided by for their mean: the sum of
   their labels' weights. Refuses zero; without images it is 1. */
static rn_status rn__check_loss(const char *function, double *sum, const rn_tensor *z,
                                const int *labels, const rn_loss *loss, rn_error *error) {
    double weights = z->n == 0;
    const double smoothing = loss ? loss->label_smoothing : 0;
    RN__TRY(rn__expect(function, "logits", z, z->n, z->c, 1, 1, error));
    RN__FAIL_IF(!rn__is_finite(smoothing) || smoothing < 0 || smoothing >= 1, RN_BAD_ARGUMENT,
                "%s: label_smoothing is %f and should be at least 0 and below 1", function,
                smoothing);
    for (int k = 0; k < z->c; k++) {
        const double weight = rn__class_weight(loss, k);
        RN__FAIL_IF(!rn__is_finite(weight) || weight < 0, RN_BAD_ARGUMENT,
                    "%s: the class weight of class %d is %f and should be finite and at "
                    "least 0",
                    function, k, weight);
    }
    for (int n = 0; n < z->n; n++) {
        RN__FAIL_IF(labels[n] < 0 || labels[n] >= z->c, RN_BAD_ARGUMENT,
                    "%s: the label of image %d is %d and should be 0 to %d", function, n, labels[n],
                    z->c - 1);
        weights += rn__class_weight(loss, labels[n]);
    }
    if (!sum) return RN_OK;
    *sum = weights;
    if (weights > 0) return RN_OK;
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s: the class weights of all %d labels are zero, so there is no mean; give "
                    "one of their classes a weight or leave the batch out",
                    function, z->n);
}

/* E summed over images, of which each adds t_k w_k (L - z_k) for every class. */
RNDEF rn_status rn_softmax_cross_entropy_forward(rn_result *result, const rn_tensor *z,
                                                 const int *labels, const rn_loss *loss,
                                                 rn_error *error) {
    double sum = 0, weight;
    int correct = 0;
    RN__TRY(rn__check_loss(__func__, &weight, z, labels, loss, error));
    for (int n = 0; n < z->n; n++) {
        const double log_sum = rn__log_sum_exp(z, n);
        for (int k = 0; k < z->c; k++) {
            const double target = rn__target(loss, z->c, labels[n], k);
            if (target > 0) sum += target * (log_sum - rn__get(z, n, k, 0, 0));
        }
        correct += rn__argmax(rn__at(z, n, 0, 0, 0), z->c, z->stride_c) == labels[n];
    }
    result->loss = sum / weight;
    result->correct = correct;
    return RN_OK;
}

/* dz_k = scale (softmax(z)_k (sum over j of t_j w_j) - t_k w_k). */
RNDEF rn_status rn_softmax_cross_entropy_backward(rn_tensor *dz, const rn_tensor *z,
                                                  const int *labels, double scale,
                                                  const rn_loss *loss, rn_error *error) {
    RN__TRY(rn__check_loss(__func__, NULL, z, labels, loss, error));
    RN__TRY(rn__expect_like(__func__, "logits_gradient", dz, z, error));
    for (int n = 0; dz && n < z->n; n++) {
        double log_sum = rn__log_sum_exp(z, n), targets = 0;
        for (int k = 0; k < z->c; k++) targets += rn__target(loss, z->c, labels[n], k);
        for (int k = 0; k < z->c; k++) {
            const double target = rn__target(loss, z->c, labels[n], k);
            const double predicted = rn__softmax(z, n, k, log_sum) * targets;
            *rn__at(dz, n, k, 0, 0) = (rn_real)((predicted - target) * scale);
        }
    }
    return RN_OK;
}

#endif /* RESNET_NO_TRAIN */

/* >>program ==================================================================================
   In: the list of nodes. Out: an array of operations, which planner and executions walk. Naive, an
   operation is a node. Fast, nodes are fused, for a pass over memory costs more than arithmetic:

       nodes                            one operation, which reads and writes memory once
       conv, add                        convolution that adds to what the shortcut left
       BN [ReLU] [add [ReLU]]           scale and shift, with all that follows on the way out
       add, ReLU                        addition that activates

   And where only convolutions read a BN [ReLU], its output is never stored: it is lazy, and they
   compute it from the BN's input as they read. In a bottleneck unit of the full pre-activation net,

       x --.--> BN ReLU ~~> conv ---> BN ReLU ~~> conv ---> BN ReLU ~~> conv + add ---> x'
            `------------------------------------------------------------'

   only the solid arrows are memory: three values a unit instead of ten. A BN then has only its
   statistics to find, and the operation before it has left the moments of each plane for it: mean
   and squares about it, of 16 channels of an image, taken while the plane was in cache (where a job
   makes whole planes; else by one more pass over it). Backward is the mirror image: a convolution
   leaves the sums that the gradient of the lazy BN before it needs, and reads the gradient of its
   own output from that of the BN behind it, where that BN alone reads it (a lazy gradient).

   The operations of that unit, where x is made by operation k:

       operation        inputs   reads in memory    says of itself
       k+1  bn1 relu1   k                           lazy; finds moments that k has left
       k+2  conv1       k+1      x, by way of bn1   leaves moments, backward sums; lazy gradient
       k+3  bn2 relu2   k+2                         lazy
       k+4  conv2       k+3      a, by way of bn2   like conv1
       k+5  bn3 relu3   k+4                         lazy
       k+6  conv3 add   k+5, k   b, by way of bn3;  adds; leaves moments for the next unit's bn1,
                                 x                  backward sums for bn3; its gradient is x's own

   A net that only predicts has none of the lazy ones, for running statistics leave nothing to do
   in inference. BN stands for any normalisation here: group norm and EvoNorm-S0 (which is its own
   ReLU) go the same way, each image being a group of its own. But they make their statistics in
   inference, too, and so are operations there as in training, and no convolution does them.

   The frozen nodes of a net that trains are as in inference, and backward ends behind them: nothing
   goes on to them from there, neither gradients nor sums.

   Whatever is decided about operations, is decided here, once. */

/* What is done with a normalisation or addition. */
typedef enum rn__activation {
    RN__NO_ACTIVATION,
    RN__RECTIFIED,
    RN__GATED /* EvoNorm-S0: x sigmoid(v x), in place of x - mean, is what is scaled */
} rn__activation;

/* Where an operation's value lies, in bytes into the activations; -1: nowhere. Training's values in
   backward may have been computed again. */
enum { RN__AT_INFERENCE, RN__AT_TRAINING, RN__AT_BACKWARD, RN__PLACES };

typedef struct rn__operation {
    int node, last;  /* does these nodes and those between; its value is that of the last */
    int inputs[2];   /* operations whose values it takes, and whose gradients it makes; -1: none */
    int last_reader; /* last operation that takes its value; -1: the loss does */
    /* Node of the lazy normalisation through which it reads its first input, -1: of none. In memory
       it then reads the input of that, see rn__read_of. */
    int read_by;
    /* 1: its value, a normalisation's, is never stored; its readers, convolutions, compute it. */
    signed char lazy;
    /* 1: the gradient of its value, a convolution's, is never stored. Its backward computes it from
       that of the BN behind it, and from its value, the BN's input. */
    signed char lazy_gradient;
    signed char activation; /* rn__activation behind the normalisation that it does or reads by */
    signed char adds;       /* its second input, to the first or to what it makes of that, */
    signed char after_add;  /* with this rn__activation behind the addition, and all else */
    /* 1: in training it leaves moments for the normalisation behind it, in backward sums for the
       lazy one before it; both lie in the engine's `handed`. */
    signed char leaves_moments, leaves_sums;
    /* 1: in inference a convolution with the batch norm behind it, which is the next operation; in
       small builds the next node of this one, folded into weights and bias, see rn__folded. */
    signed char does_next;
    signed char keeps_inputs, keeps_output; /* its backward reads them, too */
    signed char in_place;       /* its value may lie where input 0 (1) or 1 (2) does; 0: nowhere */
    signed char accumulates[2]; /* adds to an input's gradient that an operation behind it began */
    signed char conv;           /* its plan in `convs`, if it has a filter */
    /* 1: this training step does without it, and a sum is its second term; see rn__draw_units. */
    signed char left_out;
    /* What the planner makes of it. */
    signed char again; /* computed again for backward, as a budget wants it */
    int segment[2];    /* first operation, and that behind the last, of those that are computed
                          again together, just before backward reaches them */
    ptrdiff_t offset[RN__PLACES], gradient_offset; /* of its value, its gradient */
} rn__operation;

/* What only the engine needs to know of a net. */
typedef struct rn__executor {
    const struct rn__kernels *kernels; /* of the instruction set in use; NULL: naive */
    struct rn__team *team;             /* the threads that help; NULL: none */
    int process;                       /* in which they are: a forked child has none of them */
    int most_biases;                   /* of a convolution whose bias becomes another one */
    rn__operation *operations;
    int count;                  /* of operations */
    size_t activation_bytes[2]; /* by mode */
    size_t workspace_bytes[2];
    size_t own_bytes[2];     /* of each thread, in the workspace */
    int most_channels;       /* of a normalisation */
    int most_filters;        /* of a convolution that standardises or scales its weight */
    size_t statistics_bytes; /* of norms of each image, where the workspace begins; 0: none */
    char *activations;       /* activations, then workspace */
    int place;     /* of the values of the pass that is probed, RN__AT_INFERENCE and so on */
    int time;      /* of its last operation, in the planner's count */
    int rewritten; /* 1: since then a value or gradient was written from outside */
    struct rn__conv *convs; /* plans of the convolutions and linear layers, one a shape */
    int prepacked;          /* by rn_freeze: `packed` belongs to the parameters as they are */
    float **packed;         /* [nodes] of rn_freeze: weights or coefficients; NULL: none */
    rn_memory packed_memory;
    void *packed_block;
} rn__executor;

/* Never in small builds, which the compiler then knows; and likewise without training. */
static int rn__is_naive(const rn_net *net) { return !RN__SMALL && net->desc.naive; }

static int rn__is_training(rn_mode mode) { return RN__TRAINS && mode == RN_TRAINING; }

static const rn_node *rn__first_node(const rn_net *net, const rn__operation *op) {
    return &net->nodes[op->node];
}

/* Does node i do in this net what it does in inference, whatever the pass? An operation is what its
   first node is. */
static int rn__only_infers(const rn_net *net, int i) {
    return !rn__is_training(net->mode) || i < net->first_trained;
}

/* The first operation with a backward; 0 is that of the images, which has nothing to do there. */
static int rn__first_backward(const rn_net *net) {
    int k = 0;
    while (net->executor->operations[k].node < net->first_trained) k++;
    return k;
}

/* Does node i have the property, and does it alone read the value before it, as its first input? */
static int rn__continues(const rn_net *net, const int *last_readers, int i, int property) {
    return i < net->node_count && rn__has(&net->nodes[i], property) &&
           net->nodes[i].inputs[0] == i - 1 && net->nodes[i].inputs[1] != i - 1 &&
           last_readers[i - 1] == i;
}

/* The activation of the normalisation at node `norm`, whose value, with that of a ReLU behind it if
   there is one, is that of node `last`. */
static signed char rn__activation_of(const rn_net *net, int norm, int last) {
    return rn__has(&net->nodes[norm], RN__GATES) ? RN__GATED
           : last > norm                         ? RN__RECTIFIED
                                                 : RN__NO_ACTIVATION;
}

/* In small builds the batch norm that alone reads a convolution is folded into it, which then has
   the weights w scale and the bias (bias - mean) scale + beta. So a unit's shortcut is added where
   it lies, and a net takes the memory of two values, not of three. Is node i such a batch norm? */
static int rn__folded(const rn_net *net, const int *last_readers, int i) {
    return RN__SMALL && i > 0 && rn__has(&net->nodes[i - 1], RN__CONVOLVES) &&
           rn__continues(net, last_readers, i, RN__NORMALISES) &&
           !rn__has(&net->nodes[i], RN__PER_IMAGE);
}

/* Takes the nodes behind op->node that are done with it. */
static void rn__fuse(const rn_net *net, const int *last_readers, rn__operation *op) {
    const rn_node *node = rn__first_node(net, op);
    const int convolves = rn__has(node, RN__CONVOLVES);
    op->does_next = convolves && rn__folded(net, last_readers, op->last + 1);
    op->last += op->does_next;
    /* BN and ReLU */
    if (rn__has(node, RN__NORMALISES)) {
        op->last += rn__continues(net, last_readers, op->last + 1, RN__ACTIVATES);
        op->activation = rn__activation_of(net, op->node, op->last);
    }
    /* and the addition of a shortcut, of a unit that is whole or not; a convolution adds as it
       writes */
    if (rn__has(node, RN__NORMALISES | RN__CONVOLVES)) {
        const int whole = node[op->last + 1 - op->node].whole;
        op->adds =
            rn__continues(net, last_readers, op->last + 1, whole ? RN__DROPS : RN__ADDS) != 0;
        if (op->adds) op->last += 1 + whole;
    }
    /* and the ReLU behind that, as the original order has it; in small builds a convolution's */
    if ((convolves ? RN__SMALL : op->adds) &&
        rn__continues(net, last_readers, op->last + 1, RN__ACTIVATES)) {
        op->after_add = RN__RECTIFIED;
        op->last++;
    }
}

/* The normalisation that makes value v, alone or with the activation behind it, if only
   convolutions read v, as what they convolve; else -1. Then v is lazy. */
static int rn__lazy_normalisation(const rn_net *net, const int *last_readers, int v) {
    int norm = v;
    if (v > 0 && rn__continues(net, last_readers, v, RN__ACTIVATES)) norm = v - 1;
    if (v < 0 || !rn__has(&net->nodes[norm], RN__NORMALISES) || rn__folded(net, last_readers, norm))
        return -1;
    for (int k = v + 1; k <= last_readers[v]; k++)
        if ((net->nodes[k].inputs[0] == v && !rn__has(&net->nodes[k], RN__CONVOLVES)) ||
            net->nodes[k].inputs[1] == v)
            return -1;
    return norm;
}

/* Does the lazy normalisation at node i have nothing to do but statistics for training, and never
   trains? Then it is no operation. */
static int rn__only_statistics(const rn_net *net, int i) {
    return rn__only_infers(net, i) && !rn__has(&net->nodes[i], RN__PER_IMAGE);
}

/* The index of the operation that makes value v, or does its node on the way. */
static int rn__index_of(const rn_net *net, int v) {
    const rn__executor *x = net->executor;
    int first = 0, last = x->count - 1;
    while (first < last) {
        const int middle = first + (last - first) / 2;
        if (x->operations[middle].last < v)
            first = middle + 1;
        else
            last = middle;
    }
    return v < 0 ? -1 : first;
}

static const rn__operation *rn__operation_of(const rn_net *net, int v) {
    return &net->executor->operations[rn__index_of(net, v)];
}

/* Does it have a batch norm's part as another operation, or folded? */
static int rn__does_next(const rn__operation *op) { return !RN__SMALL && op->does_next; }
RN__FUNCTION int rn__folds(const rn__operation *op) { return RN__SMALL && op->does_next; }

/* Is node i, a normalisation, folded into the convolution before it? */
RN__FUNCTION int rn__is_folded(const rn_net *net, int i) {
    const rn__operation *op = rn__operation_of(net, i);
    return rn__folds(op) && op->node + 1 == i;
}

/* The node of stochastic depth through which an addition takes its first term; -1: it does not. */
RN__FUNCTION int rn__survival_of(const rn_net *net, const rn__operation *op) {
    for (int i = op->node; i <= op->last && op->adds; i++)
        if (rn__has(&net->nodes[i], RN__ADDS) && net->nodes[net->nodes[i].inputs[0]].whole)
            return net->nodes[i].inputs[0];
    return -1;
}

/* Is it left out of a pass with values at this place? */
static int rn__is_left_out(const rn__operation *op, int place) {
    return op->left_out && place != RN__AT_INFERENCE;
}

/* And does nothing there? */
static int rn__rests(const rn__operation *op, int place) {
    return rn__is_left_out(op, place) && !op->adds;
}

/* Does it take the value of operation k in a training step, and make its gradient? */
static int rn__takes(const rn__operation *op, int k) {
    return (op->inputs[0] == k && !op->left_out) ||
           (op->inputs[1] == k && !rn__rests(op, RN__AT_TRAINING));
}

/* The last operation that does, whose backward begins that gradient; -1: the loss does. */
static int rn__last_taker(const rn__executor *x, int k) {
    int i = x->operations[k].last_reader;
    while (i >= 0 && !rn__takes(&x->operations[i], k)) i--;
    return i;
}

/* The operation whose value in memory op reads for its first input: that of a lazy one's input. */
static int rn__read_of(const rn_net *net, const rn__operation *op) {
    const rn__operation *input = &net->executor->operations[rn__max(op->inputs[0], 0)];
    return op->inputs[0] >= 0 && input->lazy ? input->inputs[0] : op->inputs[0];
}

/* What operation k takes and reads, and where its value may lie. `norm`: its lazy input's. */
static void rn__connect(const rn_net *net, int k, int norm) {
    rn__operation *operations = net->executor->operations, *op = &operations[k];
    const rn_node *node = rn__first_node(net, op);
    int second = node->inputs[1];
    /* An addition that is fused has its other term there. */
    for (int i = op->node; i <= op->last; i++)
        if (rn__has(&net->nodes[i], RN__ADDS)) second = net->nodes[i].inputs[1];
    op->read_by = norm;
    if (norm >= 0) op->activation = rn__activation_of(net, norm, node->inputs[0]);
    op->inputs[0] =
        rn__index_of(net, norm >= 0 && rn__only_statistics(net, norm) ? net->nodes[norm].inputs[0]
                                                                      : node->inputs[0]);
    op->inputs[1] = rn__index_of(net, second);
    op->last_reader = -1;
    for (int i = 0; i < 2; i++)
        if (op->inputs[i] >= 0) operations[op->inputs[i]].last_reader = k;
    /* What backward reads: the mask of a ReLU behind an addition is found by the value. */
    if (op->node >= net->first_trained) {
        op->keeps_inputs = rn__has(node, RN__KEEPS_INPUT) != 0;
        op->keeps_output =
            op->after_add || (op->last == op->node && rn__has(node, RN__KEEPS_OUTPUT));
    }
    if (rn__has(node, RN__IN_PLACE)) op->in_place = 1;
    if (rn__has(node, RN__CONVOLVES) && op->adds && rn__read_of(net, op) != op->inputs[1])
        op->in_place = 2; /* it adds there, but not over what it still reads */
}

/* What goes between neighbours k and k + 1 other than by values in memory. */
static void rn__hand_on(const rn_net *net, const int *last_readers, int k) {
    rn__operation *op = &net->executor->operations[k], *next = op + 1;
    const rn_node *node = rn__first_node(net, op);
    const int convolves = rn__has(node, RN__CONVOLVES), adds = rn__has(node, RN__ADDS);
    if (op->read_by >= net->first_trained && op->inputs[0] == k - 1 && op[-1].lazy)
        op->leaves_sums = 1;
    if (k + 1 == net->executor->count || !(convolves || adds) || next->inputs[0] != k ||
        !rn__has(rn__first_node(net, next), RN__NORMALISES))
        return;
    op->leaves_moments = 1;
    /* A BN that alone reads a convolution, and is not folded into it: its gradient is lazy, and in
       inference it is done with it. */
    if (!convolves || op->adds || !rn__continues(net, last_readers, next->node, RN__NORMALISES))
        return;
    /* a bias sums what stands in memory */
    op->lazy_gradient = op->keeps_output = !node->bias && op->node >= net->first_trained;
    if (!RN__SMALL)
        op->does_next = !next->lazy && !rn__has(rn__first_node(net, next), RN__PER_IMAGE);
}

/* Compiles the list into operations, with `fuses` for the fast execution; last_readers: room for
   [nodes]. */
static void rn__compile(rn_net *net, int fuses, int *last_readers) {
    rn__executor *x = net->executor;
    int next;
    for (int i = 0; i < net->node_count; i++) {
        last_readers[i] = -1;
        for (int k = 0; k < 2; k++)
            if (net->nodes[i].inputs[k] >= 0) last_readers[net->nodes[i].inputs[k]] = i;
    }
    for (int i = 0; i < net->node_count; i = next) {
        rn__operation *op = &x->operations[x->count];
        const int convolves = rn__has(&net->nodes[i], RN__CONVOLVES);
        memset(op, 0, sizeof *op);
        op->node = op->last = i;
        op->adds = rn__has(&net->nodes[i], RN__ADDS) != 0;
        if (rn__has(&net->nodes[i], RN__NORMALISES)) op->activation = rn__activation_of(net, i, i);
        if (fuses) rn__fuse(net, last_readers, op);
        next = op->last + 1;
        op->lazy = fuses && rn__lazy_normalisation(net, last_readers, op->last) == i;
        if (op->lazy && rn__only_statistics(net, i)) continue;
        x->count++;
        rn__connect(net, x->count - 1,
                    fuses && convolves
                        ? rn__lazy_normalisation(net, last_readers, net->nodes[i].inputs[0])
                        : -1);
    }
    for (int k = 0; k < x->count; k++) {
        rn__operation *op = &x->operations[k];
        if (fuses) rn__hand_on(net, last_readers, k);
        for (int i = 0; i < 2; i++)
            op->accumulates[i] =
                op->inputs[i] >= 0 && (x->operations[op->inputs[i]].last_reader != k ||
                                       (i == 0 && op->inputs[0] == op->inputs[1]));
    }
}

/* Numbers in a value of `count` images: NCHW, or in blocks of 16 channels for the fast
   execution. */
static size_t rn__value_count(const rn_net *net, int v, int count) {
    const rn_node *node = &net->nodes[v];
    size_t c = (size_t)(rn__is_naive(net) ? node->c : rn__blocks(node->c) * RN__BLOCK);
    size_t pixels = rn__multiply_size((size_t)node->h, (size_t)node->w);
    return rn__multiply_size(rn__multiply_size(c, (size_t)count), pixels);
}

/* ---- times. Forward does operation k at time k, and the loss is at `count`. Backward has two
   times an operation, from the last to the first: the second is for its backward, the first for
   computing it again, if it is. A segment that is computed again has all the first ones first:

       0 1 2 3 4 5 | 6 | 7 8    9 10    11  12  13 14 15 16
       forward     loss   -5      -4     1   2   3 -3 -2 -1        -k: the backward of k */

static int rn__segment_time(const rn__executor *x, const rn__operation *op) {
    return x->count + 2 * (x->count - op->segment[1]);
}

/* When operation k is computed again, */
static int rn__again_time(const rn__executor *x, int k) {
    const rn__operation *op = &x->operations[k];
    return rn__segment_time(x, op) + k - op->segment[0] + 1;
}

/* and when its backward is done. */
static int rn__backward_time(const rn__executor *x, int k) {
    const rn__operation *op = &x->operations[k];
    return rn__segment_time(x, op) + 2 * op->segment[1] - op->segment[0] - k;
}

/* >>naive passes ==============================================================================
   A pass goes over the operations: forward in their order, each making its value of its inputs';
   backward against it, each making the gradients of its inputs, and of its parameters, from that of
   its value, by the chain rule. Where an input has several readers their gradients add up: the
   first that backward meets writes, the others accumulate.

   This section has the loops, and what an operation does in naive execution, kind by kind: a
   straight call of the layers above. What it does in fast execution is in >>fast layers. For a net
   of an image x, one convolution, a ReLU and a linear layer:

       forward     value 1 = conv(x)    value 2 = relu(value 1)    value 3 = linear(value 2), logits
       loss        gradient 3
       backward    gradient 2, dw and db of linear, from gradient 3 and value 2
                   gradient 1 from gradient 2 and value 2
                   dw of conv from gradient 1 and x; the image needs no gradient */

/* What a pass works on. */
typedef struct rn__run {
    const rn_net *net;
    rn_mode mode;
    int first, count; /* images of the batch, a part of it at a time */
    const rn_real *images;
    int end;          /* forward does the operations before it */
    int place;        /* of the values, RN__AT_INFERENCE and so on */
    int again;        /* backward, or forward once more: statistics are there, moments not wanted */
    int expects;      /* units count as in inference: p_l F(x), whatever else is as in training */
    int alone;        /* a convolution is done without anything that is done with it */
    rn__meeting with; /* whom it works with */
    rn_net *probed;   /* whose probe looks on; NULL: none does */
    int find_broken;  /* forward stops behind the first operation whose value is not finite, */
    int broken;       /* and tells its node; -1: there is none */
    char *activations, *workspace;
} rn__run;

/* Parameters of a node, their gradients (NULL in inference), and its statistics: running ones in
   inference, in training those of the batch, [groups][mean, variance][C]. Norms of each image have
   [images][mean, 1 / sigma][C] in fast execution; the naive ones make them as they go. A frozen
   node is in inference. */
typedef struct rn__bound {
    rn_real *parameters[RN__SLOTS], *gradients[RN__SLOTS], *statistics;
} rn__bound;

/* An operation at work, forward or backward, with its operands in NCHW. Gradients that nobody wants
   have data NULL. */
struct rn__step {
    const rn_desc *desc;
    const rn_node *node;
    int backward, training;
    rn_tensor y, x, z, dy, dx, dz; /* value, inputs, and their gradients */
    rn__bound of;
    rn_tensor weight, dweight; /* of nodes that have a filter */
    int accumulate, accumulate_second;
    rn_key key; /* of dropout's mask */
};

/* Offsets are told by the planner, in bytes; -1 for what is never in memory. */
static rn_real *rn__memory_at(const rn__run *run, ptrdiff_t offset) {
    return offset < 0 ? NULL : (rn_real *)(void *)(run->activations + offset);
}

/* The value of operation k, and its gradient; NULL where there is none (or k is -1). */
static rn_real *rn__value_at(const rn__run *run, int k) {
    return k < 0 ? NULL : rn__memory_at(run, run->net->executor->operations[k].offset[run->place]);
}

static rn_real *rn__gradient_at(const rn__run *run, int k) {
    return k < 0 ? NULL : rn__memory_at(run, run->net->executor->operations[k].gradient_offset);
}

/* Of so many images; the last group may have fewer than the others. */
static int rn__group_count(const rn_desc *desc, int images) {
    return desc->bn_group ? rn__divide_up(images, desc->bn_group) : 1;
}

/* Those of the batch's groups from that of image `first` on: [BN][group][mean C, variance C], where
   node->statistics has counted 2 C for each BN before, frozen ones included. */
static rn_real *rn__batch_statistics(const rn_net *net, int i, int first) {
    const rn_node *node = &net->nodes[i];
    const ptrdiff_t group = net->desc.bn_group ? first / net->desc.bn_group : 0;
    const ptrdiff_t before = node->statistics - rn__frozen_statistics(net);
    return net->batch_statistics + rn__group_count(&net->desc, net->batch) * before +
           group * 2 * node->c;
}

/* Does node i do in this pass what it does in training, or in inference? */
static int rn__trains(const rn__run *run, int i) {
    return rn__is_training(run->mode) && i >= run->net->first_trained &&
           !(run->expects && run->net->nodes[i].whole);
}

/* Does operation k add its input's gradient i to what operations behind it have left there? */
static int rn__accumulates(const rn__run *run, int k, int i) {
    const rn__executor *x = run->net->executor;
    const rn__operation *op = &x->operations[k];
    return op->accumulates[i] &&
           (rn__last_taker(x, op->inputs[i]) > k || (i == 0 && op->inputs[0] == op->inputs[1]));
}

/* Where the parameters of node i are in this pass. */
RN__APART rn__bound rn__bind(const rn__run *run, int i) {
    const rn_net *net = run->net;
    const rn_node *node = &net->nodes[i];
    const int training = rn__trains(run, i);
    rn__bound of;
    memset(&of, 0, sizeof of);
    for (int k = 0; k < RN__SLOTS; k++) {
        const rn__slot *slot = rn__slot_of(node, k);
        ptrdiff_t at;
        if (!slot || !slot->learned) continue;
        at = rn__slot_offset(net->nodes, i, k);
        of.parameters[k] = net->parameters + at;
        if (training) of.gradients[k] = net->gradients + (at - rn__frozen_count(net));
    }
    if (rn__slot_of(node, RN__MEAN))
        of.statistics = training ? rn__batch_statistics(net, i, run->first)
                                 : net->statistics + node->statistics;
    if (rn__has(node, RN__PER_IMAGE) && !rn__is_naive(net))
        of.statistics = (rn_real *)(void *)run->workspace + net->part * node->statistics;
    return of;
}

/* Key of dropout's masks: the node, and where in the batch the images begin. */
static rn_key rn__dropout_key(const rn__run *run, int i) {
    const rn_net *net = run->net;
    const rn_key key = {net->desc.seed,
                        RN_PURPOSE_DROPOUT | (uint64_t)i << 8 | (uint64_t)run->first << 32,
                        net->step};
    return key;
}

/* ---- naive, kind by kind -------------------------------------------------------------------- */

#ifdef RESNET_NO_TRAIN
#define RN__BACKWARD(step) 0
#define RN__TRAINING(call) RN_OK
#else
#define RN__BACKWARD(step) (step)->backward
#define RN__TRAINING(call) call
#endif

/* rn__naive_conv2d and so on: one call forward, one backward. */
#define RN__NAIVE(name, forward, backward)                           \
    RN__FUNCTION rn_status rn__naive_##name(rn__step *s) {           \
        return RN__BACKWARD(s) ? RN__TRAINING(backward) : (forward); \
    }
/* Short words for arguments: what is wanted of the gradients, stride and padding, window, weight
   and bias with their gradients. */
#define RN__IN_TRAINING(forward, inference) (s->training ? RN__TRAINING(forward) : (inference))
#define RN__DX rn__wanted(&s->dx)
#define RN__GRID s->node->stride, s->node->padding
#define RN__WINDOW s->node->kernel, RN__GRID
#define RN__EPS_GROUP s->desc->bn_eps, s->desc->bn_group
#define RN__EPS_GROUPS s->desc->bn_eps, s->desc->norm_groups
#define RN__W s->of.parameters[RN__WEIGHT]
#define RN__B s->of.parameters[RN__BIAS]
#define RN__DW s->of.gradients[RN__WEIGHT]
#define RN__DB s->of.gradients[RN__BIAS]
#define RN__GW s->of.parameters[RN__GATE]
#define RN__DGW s->of.gradients[RN__GATE]

RN__FUNCTION rn_tensor *rn__wanted(rn_tensor *gradient) { return gradient->data ? gradient : NULL; }

/* Gives the sum's gradient to its terms, unless the planner has them share memory: the "1" of
   equation (5). */
RN__FUNCTION rn_status rn__naive_add_backward(rn__step *s) {
    rn_status status = RN_OK;
    if (s->dx.data && s->dx.data != s->dy.data)
        status = rn_scale(&s->dx, &s->dy, 1, s->accumulate, NULL);
    if (!status && s->dz.data && s->dz.data != s->dy.data)
        status = rn_scale(&s->dz, &s->dy, 1, s->accumulate_second, NULL);
    return status;
}

/* The images are read where the caller has them. */
RN__FUNCTION rn_status rn__naive_input(rn__step *s) {
    (void)s;
    return RN_OK;
}
/* Weight and bias are there or, as a bias may be, NULL. */
RN__NAIVE(conv2d, rn_conv2d_naive_forward(&s->y, &s->x, &s->weight, RN__B, RN__GRID, NULL),
          rn_conv2d_naive_backward(RN__DX, &s->dweight, RN__DB, &s->dy, &s->x, &s->weight, RN__GRID,
                                   s->accumulate, NULL))
/* In training by the statistics of the batch, which forward makes; else by running ones. */
RN__NAIVE(batch_norm,
          RN__IN_TRAINING(rn_batch_norm_forward(&s->y, s->of.statistics, &s->x, RN__W, RN__B,
                                                RN__EPS_GROUP, NULL),
                          rn_batch_norm_inference(&s->y, &s->x, RN__W, RN__B, s->of.statistics,
                                                  s->of.statistics + s->node->c, s->desc->bn_eps,
                                                  NULL)),
          rn_batch_norm_backward(RN__DX, RN__DW, RN__DB, &s->dy, &s->x, s->of.statistics, RN__W,
                                 RN__EPS_GROUP, s->accumulate, NULL))
/* In inference as in training. */
RN__NAIVE(group_norm, rn_group_norm_forward(&s->y, &s->x, RN__W, RN__B, RN__EPS_GROUPS, NULL),
          rn_group_norm_backward(RN__DX, RN__DW, RN__DB, &s->dy, &s->x, RN__W, RN__EPS_GROUPS,
                                 s->accumulate, NULL))
RN__NAIVE(evonorm_s0, rn_evonorm_forward(&s->y, &s->x, RN__W, RN__B, RN__GW, RN__EPS_GROUPS, NULL),
          rn_evonorm_backward(RN__DX, RN__DW, RN__DB, RN__DGW, &s->dy, &s->x, RN__W, RN__GW,
                              RN__EPS_GROUPS, s->accumulate, NULL))
/* Backward by the value, for the input may have given its memory to it. */
RN__NAIVE(relu, rn_relu_forward(&s->y, &s->x, NULL),
          rn_relu_backward(RN__DX, &s->dy, &s->y, s->accumulate, NULL))
/* z: the logits. */
RN__NAIVE(gate, rn_gate_forward(&s->y, &s->x, &s->z, s->node->complement, NULL),
          rn_gate_backward(RN__DX, rn__wanted(&s->dz), &s->dy, &s->x, &s->z, s->node->complement,
                           s->accumulate, s->accumulate_second, NULL))
/* In inference every element is multiplied by the probability to be kept. In training a whole one
   keeps all, or is left out with its unit. */
#define RN__RATIO (s->node->whole ? 0 : (double)s->node->dropout)
RN__NAIVE(dropout,
          RN__IN_TRAINING(rn_dropout(&s->y, &s->x, RN__RATIO, s->key, 0, NULL),
                          rn_scale(&s->y, &s->x, 1 - (double)s->node->dropout, 0, NULL)),
          rn_dropout(RN__DX, &s->dy, RN__RATIO, s->key, s->accumulate, NULL))
/* Backward looks for the largest number of each window again. */
RN__NAIVE(max_pool,
          (s->node->zeros ? rn_zero_max_pool_forward : rn_max_pool_forward)(&s->y, &s->x,
                                                                            RN__WINDOW, NULL),
          (s->node->zeros ? rn_zero_max_pool_backward : rn_max_pool_backward)(RN__DX, &s->dy, &s->x,
                                                                              RN__WINDOW,
                                                                              s->accumulate, NULL))
/* Nothing of forward is needed for backward by means. */
RN__NAIVE(avg_pool, rn_avg_pool_forward(&s->y, &s->x, s->node->kernel, s->node->stride, NULL),
          rn_avg_pool_backward(RN__DX, &s->dy, s->node->kernel, s->node->stride, s->accumulate,
                               NULL))
RN__NAIVE(global_avg_pool, rn_global_avg_pool_forward(&s->y, &s->x, NULL),
          rn_global_avg_pool_backward(RN__DX, &s->dy, s->accumulate, NULL))
/* The weight is a matrix, the bias is always there. */
RN__NAIVE(linear, rn_linear_forward(&s->y, &s->x, RN__W, RN__B, NULL),
          rn_linear_backward(RN__DX, RN__DW, RN__DB, &s->dy, &s->x, RN__W, s->accumulate, NULL))
/* A sum that is left out is its second term, and that gets all the gradient. */
RN__FUNCTION rn_status rn__naive_left_out(rn__step *s) {
    s->dx.data = NULL;
    return RN__BACKWARD(s) ? RN__TRAINING(rn__naive_add_backward(s))
                           : rn_scale(&s->y, &s->z, 1, 0, NULL);
}
/* x and z are the terms. */
RN__NAIVE(add, rn_add(&s->y, &s->x, &s->z, NULL), rn__naive_add_backward(s))
/* The same forward and backward. */
RN__NAIVE(scale, rn_scale(&s->y, &s->x, (double)s->node->scale, 0, NULL),
          rn_scale(RN__DX, &s->dy, (double)s->node->scale, s->accumulate, NULL))
/* Backward gives each pixel that was taken its gradient, and the others none. */
RN__NAIVE(pad_subsample,
          rn_pad_subsample_forward(&s->y, &s->x, s->node->stride, s->node->front, NULL),
          rn_pad_subsample_backward(RN__DX, &s->dy, s->node->stride, s->node->front, s->accumulate,
                                    NULL))

/* The value of operation k, or its gradient, at `data`. */
static rn_tensor rn__operand(const rn__run *run, int k, rn_real *data) {
    const rn_node *node;
    if (k < 0) return rn_tensor_in(NULL, 0, 0, 0, 0);
    node = &run->net->nodes[run->net->executor->operations[k].last];
    return rn_tensor_in(data, run->count, node->c, node->h, node->w);
}

/* Operation k with its operands. The images are read where the caller has them. */
RN__APART rn__step rn__make_step(const rn__run *run, int k, int backward) {
    const rn_net *net = run->net;
    const rn__operation *op = &net->executor->operations[k];
    const rn_node *node = rn__first_node(net, op);
    rn__step s;
    rn_tensor raw; /* the weight as it is stored */
    memset(&s, 0, sizeof s);
    s.desc = &net->desc;
    s.node = node;
    s.backward = backward;
    s.training = rn__trains(run, op->node);
    s.y = rn__operand(run, k, rn__value_at(run, k));
    s.x = rn__operand(run, op->inputs[0], rn__value_at(run, op->inputs[0]));
    s.z = rn__operand(run, op->inputs[1], rn__value_at(run, op->inputs[1]));
    if (op->inputs[0] == 0) memcpy(&s.x.data, &run->images, sizeof s.x.data); /* only read */
    if (backward) {
        s.dy = rn__operand(run, k, rn__gradient_at(run, k));
        s.dx = rn__operand(run, op->inputs[0], rn__gradient_at(run, op->inputs[0]));
        s.dz = rn__operand(run, op->inputs[1], rn__gradient_at(run, op->inputs[1]));
    }
    s.accumulate = rn__accumulates(run, k, 0);
    s.accumulate_second = rn__accumulates(run, k, 1);
    s.of = rn__bind(run, op->node);
    raw = rn_tensor_in(s.of.parameters[RN__WEIGHT], node->c, s.x.c, node->kernel, node->kernel);
    s.weight = s.dweight = raw;
    s.dweight.data = s.of.gradients[RN__WEIGHT];
    if (node->standardised) {
        s.weight.data = (rn_real *)(void *)run->workspace;
        rn_standardise_forward(&s.weight, &raw, net->desc.standardisation_eps, NULL);
    }
    s.key = rn__dropout_key(run, op->node);
    return s;
}

/* ---- the loops ------------------------------------------------------------------------------- */

/* Does operation k, naive or fast: see >>kinds, whose table says how. */
RN__APART void rn__run_operation(const rn__run *run, int k, int backward);

/* Begins a pass that may be probed, of the images of a run. */
static void rn__begin_probing(rn_net *net, rn__run *run) {
    run->probed = net;
    net->held = run->count;
    net->executor->place = run->place;
    net->executor->time = net->executor->rewritten = 0;
}

/* Notes the time in such a pass, and tells the probe that an operation is done. */
static void rn__report(rn_net *net, int time, int k, int backward) {
    const rn__operation *op = &net->executor->operations[k];
    net->executor->time = time;
    net->executor->rewritten = 0;
    if (net->probe) net->probe(net->probe_user, net, backward ? op->node : op->last, backward);
}

/* Are the batch statistics finite that operation k made, if it makes any? And EvoNorm's v: of a NaN
   there the fast sigmoid makes a number, so that the value would not show it. */
static int rn__statistics_finite(const rn__run *run, int k) {
    const rn_net *net = run->net;
    const rn__operation *op = &net->executor->operations[k];
    const int i = op->node;
    const rn_node *node = &net->nodes[i];
    if (op->left_out || !rn__trains(run, i)) return 1;
    if (rn__slot_of(node, RN__GATE) &&
        !rn__all_finite(net->parameters + rn__slot_offset(net->nodes, i, RN__GATE), node->c))
        return 0;
    return !rn__slot_of(node, RN__MEAN) ||
           rn__all_finite(rn__batch_statistics(net, i, run->first),
                          (ptrdiff_t)rn__group_count(&net->desc, run->count) * 2 * node->c);
}

/* And its value? A ReLU hides minus infinity, the statistics of the BN before it do not. */
static int rn__operation_finite(const rn__run *run, int k) {
    const rn__operation *op = &run->net->executor->operations[k];
    return (op->lazy || rn__rests(op, run->place) ||
            rn__all_finite(rn__value_at(run, k),
                           (ptrdiff_t)rn__value_count(run->net, op->last, run->count))) &&
           rn__statistics_finite(run, k);
}

/* All operations up to the end of the run, in their order. With find_broken it stops at the first
   that made what is not finite. */
static void rn__forward(rn__run *run) {
    run->broken = -1;
    for (int k = 0; k < run->end && run->broken < 0; k++) {
        rn__run_operation(run, k, 0);
        if (run->probed && k && !rn__rests(&run->net->executor->operations[k], run->place))
            rn__report(run->probed, k, k, 0);
        if (run->find_broken && k && !rn__operation_finite(run, k))
            run->broken = run->net->executor->operations[k].node;
    }
}

#ifndef RESNET_NO_TRAIN
/* Is any gradient of operation k's wanted, of an input or of parameters? */
static int rn__makes_gradients(const rn__run *run, int k) {
    const rn__operation *op = &run->net->executor->operations[k];
    return rn__slot_of(rn__first_node(run->net, op), RN__WEIGHT) ||
           rn__gradient_at(run, op->inputs[0]) || rn__gradient_at(run, op->inputs[1]);
}

/* All operations that train, against their order, but the images. When it comes to the last
   operation of a segment that is computed again, that is done first, into the places that backward
   reads. */
static void rn__backward(rn__run *forward) {
    rn__run run = *forward;
    const rn__executor *x = run.net->executor;
    const int first = rn__max(rn__first_backward(run.net), 1);
    run.place = RN__AT_BACKWARD;
    run.again = 1;
    for (int k = x->count - 1; k >= first; k--) {
        const int *segment = x->operations[k].segment;
        for (int i = segment[0]; i <= k && k == segment[1] - 1; i++)
            if (x->operations[i].again) rn__run_operation(&run, i, 0);
        if (rn__makes_gradients(&run, k)) rn__run_operation(&run, k, 1);
        if (!rn__rests(&x->operations[k], run.place))
            rn__report(run.probed, rn__backward_time(x, k), k, 1);
    }
}
#endif

/* >>simd =====================================================================================
   The inner loops of the fast layers, called kernels: what they compute, and how they are compiled.
   They are written once, in the section >>kernels below, which knows nothing of nets and threads,
   and compiled for each instruction set by including this file into itself with
       RN__ISA    suffix of the set's names
       RN__WIDTH  floats in a vector
       RN__TILE   pixels (or channels) whose sums a convolution holds in registers
       RN__PAIR   pixels of which it holds those of two blocks at once, which halves what it loads
                  for a product; 0 where a block is two vectors or more, and so does anyway
   Everywhere the channels are cut into blocks of 16, whatever the width of the vectors. A value of
   40 channels lies in memory as

       [image][block][row][column][16]

       image 0   block 0   c0 .. c15 | c0 .. c15 | ..     a pixel is 16 floats, one or more vectors
                 block 1   c16 .. c31 | ..
                 block 2   c32 .. c39 0 0 0 0 0 0 0 0 |   what only fills up the block is zero
       image 1   block 0   ..

   Steps and counts are in floats; a pixel means the 16 floats of one block. */
#ifndef RESNET_FILENAME
#define RESNET_FILENAME "resnet.h" /* define it if your copy has another name */
#endif

/* All constants by which work is cut. They decide speed and memory; those marked * decide bits,
   too, for they say which numbers are summed before which. Processors have at least 32 KB of first
   cache and 256 KB of second cache a core. */
enum {
    /* Registers and the first cache */
    RN__WEIGHTS_AHEAD = 32, /* rows of 16 weights: these are fetched 2 KB before their use */
    RN__PAGE = 1024, /* floats of a page of memory, where the processor's own fetching ends */
    RN__MOMENT_PIXELS = 128, /* * that are summed about one number */
    RN__L1_TAPS = 20,      /* squares of 16 x 16 weights, 1 KB each, of a stretch of input blocks */
    RN__DY_PIXELS = 256,   /* * of rows of dy, 16 KB a block, for sums of a weight gradient; */
    RN__LEAST_PIXELS = 16, /* * a row counts as so many at least */
    /* Winograd: output tiles of 4 x 4 pixels, which are 36 numbers when transformed */
    RN__EDGE = 4,
    RN__MATRICES = 36,
    RN__KERNEL_TILES = 16,        /* that a kernel takes at a time: a job has as many, if it can */
    RN__MOST_TILES = 64,          /* of a job whose weights are many: */
    RN__WIDE_CHANNELS = 128,      /* more input channels than these */
    RN__WEIGHT_TILES = 32,        /* * that a weight gradient takes at a time */
    RN__MATRICES_BLOCKS = 4,      /* input blocks of which the 36 matrices' weights stay in cache */
    RN__FILTER_ROWS = 2,          /* of 16 weights that are transformed at a time, on the stack */
    RN__LEAST_TILES = 4,          /* * an image that suits has so many, */
    RN__FILLED_PIXELS = 6,        /* * more than so many pixels of each on average, of 16, */
    RN__WEIGHTS_A_TILE = 1 << 14, /* * and at most so many weights C K for each */
    /* The second cache */
    RN__BAND_FLOATS = RN__SMALL ? 1 << 11 : 1 << 15, /* input of a band of rows: 128 KB */
    RN__LEAST_ROWS = 4,                              /* but a band has so many rows */
    RN__NEAR_PIXELS = 1 << 13, /* blocks' pixels of an output that stays there, 512 KB: larger
                                      ones are fetched before they are written */
    RN__TOGETHER_FLOATS =
        RN__SMALL ? 0 : 1 << 15, /* 1x1 weights that leave room: up to so many, both gradients are
                                      made image by image */
    /* Memory */
    RN__PACKED_FLOATS = RN__SMALL ? 0 : 1 << 15, /* weights that are packed at once, whatever the
                                                    images take; a block in small builds */
    RN__PARTIAL_FLOATS = 1 << 17, /* weight gradients of pieces: buffers are 512 KB or one */
    /* A piece: images whose weight gradients are summed by themselves. Powers of two, so that
       micro-batches can be whole pieces. */
    RN__PIECE_FLOATS = 1 << 17,     /* * of x and dy: 512 KB, */
    RN__PIECE_IMAGES = 8,           /* * and at most so many images; */
    RN__PIECE_TILES = 256,          /* * with Winograd so many tiles, */
    RN__WINOGRAD_PIECE_IMAGES = 16, /* * and images */
    /* Weights so many that jobs share them, not the images */
    RN__SHARED_FLOATS = 1 << 20, /* * Winograd's, transformed: more than 4 MB; */
    RN__SHARED_BLOCKS = 4,       /* output blocks of a job then */
    RN__SHARED_PAIRS = 16, /* * others: pairs of blocks, if they are more than an image, too */
    RN__FEW_IMAGES = 8     /* fewer are shared plane by plane */
};

/* What must hold between them: else the array has a negative size. */
#define RN__POWER_OF_TWO(x) (((x) & ((x)-1)) == 0)
RN__REQUIRE(aligned_pixels, RN__BLOCK * sizeof(float) % RN__ALIGN == 0);
RN__REQUIRE(all_packed_if_together, RN__PACKED_FLOATS >= RN__TOGETHER_FLOATS);
RN__REQUIRE(places_for_tiles, RN__MOST_TILES >= RN__KERNEL_TILES);
RN__REQUIRE(places_for_weights, RN__MOST_TILES >= RN__WEIGHT_TILES);
RN__REQUIRE(six_by_six, RN__MATRICES == (RN__EDGE + 2) * (RN__EDGE + 2));
RN__REQUIRE(a_tile_in_each_band, RN__LEAST_ROWS >= RN__EDGE);
RN__REQUIRE(whole_filter_rows, RN__BLOCK % RN__FILTER_ROWS == 0);
RN__REQUIRE(whole_pieces, RN__POWER_OF_TWO(RN__PIECE_IMAGES));
RN__REQUIRE(whole_winograd_pieces, RN__POWER_OF_TWO(RN__WINOGRAD_PIECE_IMAGES));

/* A step of SGD, whatever its form: with the gradient g + decay w, velocity = momentum velocity +
   into_velocity gradient, and w -= of_gradient gradient + of_velocity velocity. */
typedef struct rn__sgd_step {
    rn_real decay, momentum, into_velocity, of_gradient, of_velocity;
} rn__sgd_step;

#if RN__FAST

/* A convolution as its inner loop sees it: output pixel (y, x) sums, over blocks of input
   channels and over taps, what stands at y in_row + x 16 + tap.offset of the input, times the
   tap's 16 x 16 weights [input channel][output channel]. Strides are already taken out: see
   >>fast convolution. */
typedef struct rn__tap {
    ptrdiff_t offset; /* in the input */
    int index;        /* r S + s of its weights */
} rn__tap;

typedef struct rn__conv_rows {
    const rn__tap *taps;
    int tap_count, blocks, last; /* last: channels of the last input block */
    int rows, pixels;            /* of the output */
    ptrdiff_t in_block, in_row, out_row, out_pixel;
    int resume; /* the sums in the output go on, instead of beginning with the bias */
    int paired; /* 1: two blocks of the output; distances between their weights, sums, biases */
    ptrdiff_t pair_weight, pair_out, pair_bias;
    int matrices; /* 36 for Winograd, else 1, each with its weights; distances between them */
    ptrdiff_t in_matrix, out_matrix;
    int adds; /* 1: adds what lies `addend` floats behind the output; 0 floats: itself */
    ptrdiff_t addend;
    int fetches; /* 1: the output is fetched a page ahead, for writing reads it first; and what */
    ptrdiff_t fetch; /* lies so many floats behind it */
    /* What will be read next is fetched into the cache while this is computed: a pixel for each of
       the input, in blocks next_block apart. The second is a lazy value's partner. */
    int nexts; /* 0: nothing */
    const float *next[2];
    ptrdiff_t next_block;
} rn__conv_rows;

/* The weight gradient of one tap and pair of blocks: sums over pixels of x[c] dy[k]. */
typedef struct rn__outer_rows {
    int rows, pixels, channels; /* channels: of the input's block */
    ptrdiff_t x_row, dy_row;
    ptrdiff_t x_block, dy_block; /* to the next block, for who walks over them */
} rn__outer_rows;

/* A transform of Winograd's: out and in are squares of pixels, whose rows and columns lie these
   steps apart. */
typedef void (*rn__transform)(float *out, ptrdiff_t out_row, ptrdiff_t out_column, const float *in,
                              ptrdiff_t in_row, ptrdiff_t in_column, int accumulate);

/* Batch normalisation of one block of channels, [16] each. */
typedef struct rn__coefficients {
    /* output = (input - mean) scale + bias: input scale + (bias - mean scale) would lose the digits
       of a mean that is large beside the deviation */
    float mean[RN__BLOCK], scale[RN__BLOCK], bias[RN__BLOCK];
    /* dx = a g + b (x - mean) + c, with g as in bn_sums */
    float a[RN__BLOCK], b[RN__BLOCK], c[RN__BLOCK];
    /* EvoNorm-S0: output = x s scale + bias with s = sigmoid(a x), so that a is what its formula
       calls v; dx = scale dy (s + a x s (1 - s)) + b (x - mean) */
} rn__coefficients;

/* The kernels of an instruction set. Outputs come first; `pixels` counts 16 floats each. Those that
   a build does not have are NULL: of training, of kinds that are left out, and in small ones
   Winograd's. */
typedef struct rn__kernels {
    const char *name;
    int pairs; /* does conv_rows take pairs? */
    void (*conv_rows)(float *out, const rn__conv_rows *shape, const float *in, const float *weight,
                      const float *bias);
    /* dw [16 input channels][16 output channels] += sum over pixels */
    void (*conv_weight)(float *dw, const rn__outer_rows *shape, const float *x, const float *dy);
    rn__transform winograd_input, winograd_output, winograd_gradient, winograd_filter,
        winograd_weight;
    /* Copies pixels that lie `step` floats apart; what reads a convolution's input. */
    void (*read_row)(float *to, const float *from, ptrdiff_t pixels, ptrdiff_t step);
    void (*sum)(float *sums, const float *x, ptrdiff_t pixels);
    void (*moments)(float *mean, float *m2, const float *x, ptrdiff_t pixels);
    /* out = (in - mean) scale + bias, or EvoNorm's, through its rn__activation, plus addend (NULL:
       none), a ReLU with `relu_after`; pixels of in lie `step` floats apart */
    void (*normalise)(float *out, const float *in, ptrdiff_t step, const float *addend,
                      ptrdiff_t pixels, const rn__coefficients *by, int activation, int relu_after);
    /* sums [3][16] of g and g (x - mean), with g = dy, or dy where the ReLU behind let x pass; of
       EvoNorm those of dy, dy x s and dy x^2 s (1 - s) */
    void (*bn_sums)(float *sums, const float *dy, const float *x, ptrdiff_t pixels,
                    const rn__coefficients *by, int activation);
    void (*bn_gradient)(float *dx, const float *dy, const float *x, ptrdiff_t pixels,
                        const rn__coefficients *by, int activation, int accumulate);
    /* b may be NULL */
    void (*add)(float *out, const float *a, const float *b, ptrdiff_t pixels, int relu);
    void (*relu_gradient)(float *dx, const float *dy, const float *out, ptrdiff_t pixels,
                          int accumulate);
    void (*scale)(float *out, const float *in, ptrdiff_t pixels, float factor, int accumulate);
    /* y = x g with the gate g = sigmoid(sign z); backward dx = dy g, dz = sign dy x g (1 - g), of
       which either may be NULL */
    void (*gate)(float *y, const float *x, const float *z, ptrdiff_t pixels, float sign);
    void (*gate_gradient)(float *dx, float *dz, const float *dy, const float *x, const float *z,
                          ptrdiff_t pixels, float sign, int accumulate, int accumulate_second);
    /* the largest of rows x pixels pixels, rows `step` floats apart */
    void (*largest)(float *out, const float *in, int rows, int pixels, ptrdiff_t step);
    /* one step, without `write` only tried: are all numbers finite that it makes? */
    int (*sgd)(float *weight, float *velocity, const float *gradient, ptrdiff_t pixels,
               const rn__sgd_step *step, int write);
} rn__kernels;

/* gcc converts between vectors from version 9 on. */
#if (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 9)) && !defined(RESNET_NO_SIMD)
#define RN__VECTORS
#endif

/* gcc leaves accumulators in memory unless told to unroll, and does not contract a * b + c under
   -std=c99 unless told; clang obeys pragmas of its own. */
#if defined(__clang__)
#define RN__UNROLL _Pragma("clang loop unroll(full)")
#define RN__CONTRACT _Pragma("clang fp contract(fast)")
#elif defined(__GNUC__)
#define RN__UNROLL _Pragma("GCC unroll 32")
#define RN__CONTRACT
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#else
#define RN__UNROLL
#define RN__CONTRACT
#endif

/* A loop of a constant number of steps, written out: i from 0 on. In small builds only the sums of
   a convolution are, in RN__NAME(conv_tile). */
#define RN__WRITTEN_OUT(i, count) \
    RN__UNROLL                    \
    for (int i = 0; i < (count); i++)
#if RN__SMALL
#define RN__UNROLLED(i, count) for (int i = 0; i < (count); i++)
#else
#define RN__UNROLLED(i, count) RN__WRITTEN_OUT(i, count)
#endif

#if defined(__GNUC__) || defined(__clang__)
#define RN__INLINE static inline __attribute__((always_inline))
#else
#define RN__INLINE static inline
#endif
#if (defined(__GNUC__) || defined(__clang__)) && !RN__SMALL
#define RN__PREFETCH(p) __builtin_prefetch(p)
#else
#define RN__PREFETCH(p) ((void)(p))
#endif

#define RN__ISA _portable
#if defined(RN__VECTORS) && defined(__aarch64__)
#define RN__WIDTH 4
#define RN__TILE 6
#elif defined(RN__VECTORS) && (defined(__SSE2__) || defined(__wasm_simd128__))
#define RN__WIDTH 4
#define RN__TILE 3
#else
#define RN__WIDTH 1
#define RN__TILE 1
#endif
#define RN__PAIR 0
#include RESNET_FILENAME

#if defined(RN__VECTORS) && defined(__x86_64__) && defined(__SSE2__)
#define RN__X86

#define RN__ISA _avx2
#define RN__WIDTH 8
#define RN__TILE 6
#define RN__PAIR 0
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma") /* until the options are popped */
#endif
#include RESNET_FILENAME
#ifdef __clang__
#pragma clang attribute pop
#endif

#define RN__ISA _avx512
#define RN__WIDTH 16
#define RN__TILE 16
#define RN__PAIR 14
#ifdef __clang__ /* a prefer-vector-width would make it drop the whole attribute */
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")
#endif
#include RESNET_FILENAME
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* The set asked for, the best one for RN_ISA_AUTO; NULL if this machine or build lacks it. */
RN__FUNCTION const rn__kernels *rn__choose_kernels(rn_isa isa) {
#ifdef RN__X86
    if (isa == RN_ISA_AVX512 || isa == RN_ISA_AUTO)
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            return &rn__kernels_avx512;
    if (isa == RN_ISA_AVX2 || isa == RN_ISA_AUTO)
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return &rn__kernels_avx2;
#endif
    return isa == RN_ISA_AUTO || isa == RN_ISA_PORTABLE ? &rn__kernels_portable : NULL;
}

#endif /* RN__FAST */
#endif /* first half of the implementation */

#ifdef RN__WIDTH

/* >>kernels ==================================================================================
   Compiled by the self-inclusions of >>simd only, once for each instruction set. Outputs come
   first. In: pointers into blocked values, steps and counts. Nothing here knows a net, a thread or
   how work is cut; what is summed, is summed in the order of the arguments. */

/* The seam to the compiler's vectors: a type RN__V of RN__WIDTH floats, + - * between vectors and
   with a float, and these macros. They are the same text for every set, so that none has to be
   undefined. */
#define RN__NAME(name) RN__PASTE(rn__##name, RN__ISA)
#define RN__V RN__NAME(v)
#define RN__LANES (RN__BLOCK / RN__WIDTH)  /* vectors of a pixel */
#define RN__CHAINS (RN__LANES < 4 ? 4 : 2) /* sums in flight, to hide the adder's latency */
#define RN__EACH_LANE RN__UNROLLED(l, RN__LANES)
#define RN__EACH_SUM RN__WRITTEN_OUT(l, RN__LANES) /* that a convolution holds in registers */

#if RN__WIDTH > 1
typedef float RN__V __attribute__((vector_size(4 * RN__WIDTH)));
typedef float RN__NAME(memory) __attribute__((vector_size(4 * RN__WIDTH), aligned(4), may_alias));
typedef int RN__NAME(mask) __attribute__((vector_size(4 * RN__WIDTH)));
#define RN__LOAD(p) (*(const RN__NAME(memory) *)(p))
#define RN__STORE(p, v) (*(RN__NAME(memory) *)(p) = (v))
/* v where the bits of x, as a signed integer, are above limit, else zero. */
#define RN__WHERE_ABOVE(x, limit, v) \
    ((RN__V)((RN__NAME(mask))(v) & ((RN__NAME(mask))(x) > (limit))))
/* a where a > b, else b: of a NaN the second */
#define RN__LARGER(a, b) \
    ((RN__V)(((RN__NAME(mask))(a) & ((a) > (b))) | ((RN__NAME(mask))(b) & ~((a) > (b)))))
#define RN__TO_WHOLE(v) __builtin_convertvector(v, RN__NAME(mask)) /* towards zero */
#define RN__TO_FLOATS(n) __builtin_convertvector(n, RN__V)
#define RN__AS_FLOATS(n) ((RN__V)(n))
#else /* vectors of one float */
typedef float RN__V;
typedef int32_t RN__NAME(mask);
#define RN__LOAD(p) (*(p))
#define RN__STORE(p, v) (*(p) = (v))
#define RN__WHERE_ABOVE(x, limit, v) (rn__float_bits(x) > (limit) ? (v) : 0)
#define RN__LARGER(a, b) ((a) > (b) ? (a) : (b))
#define RN__TO_WHOLE(v) ((int32_t)(v))
#define RN__TO_FLOATS(n) ((float)(n))
#define RN__AS_FLOATS(n) rn__float_of_bits(n)
#endif

/* v where x is positive, else zero; and x or, where it is a negative number, zero. Bits of floats
   compare like integers, whatever -ffast-math makes of NaN: a NaN above those of minus infinity
   goes through and is found. */
#define RN__WHERE_POSITIVE(x, v) RN__WHERE_ABOVE(x, 0, v)
#define RN__RECTIFY(x) RN__WHERE_ABOVE(x, -0x800000, x)

/* Calls a kernel with a flag as its last argument, 1 for any but 0, which is a constant once it is
   inlined: else gcc would test it for every vector. */
#define RN__WITH(flag, kernel, ...) \
    ((flag) ? RN__NAME(kernel)(__VA_ARGS__, 1) : RN__NAME(kernel)(__VA_ARGS__, 0))

/* Writes the sums of a tile, with what is added to them. */
RN__INLINE void RN__NAME(write_tile)(const int tile, const int paired, float *const to[RN__TILE],
                                     RN__V sum[2][RN__TILE][RN__LANES],
                                     const rn__conv_rows *shape) {
    const ptrdiff_t addend = shape->addend, pair = shape->pair_out, fetch = shape->fetch;
    const int adds = shape->adds, fetches = !RN__SMALL && shape->fetches;
    RN__WRITTEN_OUT(i, tile)
    RN__WRITTEN_OUT(k, paired + 1) {
        float *p = to[i] + k * pair;
        if (adds) RN__EACH_SUM sum[k][i][l] += RN__LOAD(p + addend + l * RN__WIDTH);
        RN__EACH_SUM RN__STORE(p + l * RN__WIDTH, sum[k][i][l]);
    }
    if (!fetches) return;
    RN__WRITTEN_OUT(i, tile)
    RN__WRITTEN_OUT(k, paired + 1) {
        RN__PREFETCH(to[i] + k * pair + RN__PAGE);
        RN__PREFETCH(to[i] + k * pair + fetch);
    }
}

/* One tile of a convolution: `tile` output pixels of one block or, paired, of two (constants once
   inlined), all in registers:

       input pixels x 1 channel      weights of that channel        sums
       x0 x1 .. x5                   16 (or 32) output channels     tile x 16 (or 32)

           each x, one after the other, times the row of weights is added to the sums of its pixel

   The first half reads at in[0] and is written to out[0], the second half at [1], so that a tile is
   `tile` pixels of a row or those of two rows of a narrow image. in[0] is `first` floats behind the
   beginning of what the call reads. */
RN__INLINE void RN__NAME(conv_tile)(const int tile, const int paired, float *const out[2],
                                    const rn__conv_rows *shape, const float *const in[2],
                                    ptrdiff_t first, const float *weight, const float *bias) {
    RN__CONTRACT
    const int half = tile / 2;
    for (int m = 0; m < shape->matrices; m++) {
        const RN__V zero = {0};
        RN__V sum[2][RN__TILE][RN__LANES]; /* in registers */
        float *to[RN__TILE];
        RN__WRITTEN_OUT(i, tile) { /* begins with nothing, the bias or the sums so far */
            to[i] =
                i < half ? out[0] + i * shape->out_pixel : out[1] + (i - half) * shape->out_pixel;
            to[i] += m * shape->out_matrix;
            RN__WRITTEN_OUT(k, paired + 1) {
                const float *from = bias ? bias + m * RN__BLOCK + k * shape->pair_bias : NULL;
                if (shape->resume) from = to[i] + k * shape->pair_out;
                RN__EACH_SUM sum[k][i][l] = zero;
                if (from) RN__EACH_SUM sum[k][i][l] = RN__LOAD(from + l * RN__WIDTH);
            }
        }
        for (int b = 0; b < shape->blocks; b++) {
            const int channels = b + 1 < shape->blocks ? RN__BLOCK : shape->last;
            for (int k = 0; !RN__SMALL && k < shape->nexts; k++) { /* fetched beside this tile */
                const float *next = shape->next[k] + b * shape->next_block + first;
                RN__WRITTEN_OUT(i, tile) RN__PREFETCH(next + i * RN__BLOCK);
            }
            for (int t = 0; t < shape->tap_count; t++, weight += RN__BLOCK * RN__BLOCK) {
                const ptrdiff_t at =
                    m * shape->in_matrix + b * shape->in_block + shape->taps[t].offset;
                const float *p = in[0] + at, *q = in[1] + at, *w = weight;
                for (int c = 0; c < channels; c++, p++, q++, w += RN__BLOCK) {
                    RN__V row[2][RN__LANES];
                    if (RN__PAIR) /* it computes faster than memory reads; the others lose by it */
                        RN__PREFETCH(in[0] + at + c * RN__BLOCK + RN__PAGE);
                    RN__WRITTEN_OUT(k, paired + 1) {
                        const float *at_k = w + k * shape->pair_weight;
                        /* with few pixels in a tile, weights stream through the first cache */
                        RN__PREFETCH(at_k + RN__WEIGHTS_AHEAD * RN__BLOCK);
                        RN__EACH_SUM row[k][l] = RN__LOAD(at_k + l * RN__WIDTH);
                    }
                    RN__WRITTEN_OUT(i, tile) {
                        const float x = i < half ? p[i * RN__BLOCK] : q[(i - half) * RN__BLOCK];
                        RN__WRITTEN_OUT(k, paired + 1) RN__EACH_SUM sum[k][i][l] += row[k][l] * x;
                    }
                }
            }
        }
        RN__NAME(write_tile)(tile, paired, to, sum, shape);
    }
}

/* A tile's width becomes a constant: one case each. Widths above `most` are never reached and fold
   away. */
/* clang-format off */
#define RN__CASE(n, most, paired)                                                                  \
    case n: if (n <= (most)) RN__NAME(conv_tile)(n <= (most) ? n : 1, paired, to, shape, from,     \
                                                 from[0] - in, weight, bias); break;
#define RN__CASES(m, p)                                                                            \
    RN__CASE(1, m, p) RN__CASE(2, m, p) RN__CASE(3, m, p) RN__CASE(4, m, p) RN__CASE(5, m, p)      \
    RN__CASE(6, m, p) RN__CASE(7, m, p) RN__CASE(8, m, p) RN__CASE(9, m, p) RN__CASE(10, m, p)     \
    RN__CASE(11, m, p) RN__CASE(12, m, p) RN__CASE(13, m, p) RN__CASE(14, m, p)                    \
    RN__CASE(15, m, p) RN__CASE(16, m, p)
/* clang-format on */

/* Cuts rows into tiles of equal width, as many pixels as registers hold; two short rows of equal
   places are one tile. */
static void RN__NAME(conv_rows)(float *out, const rn__conv_rows *shape, const float *in,
                                const float *weight, const float *bias) {
    const int joined = shape->rows > 1 && shape->in_row == (ptrdiff_t)shape->pixels * RN__BLOCK &&
                       shape->out_row == shape->pixels * shape->out_pixel;
    const int rows = joined ? 1 : shape->rows; /* a whole image without borders is one row */
    const int pixels = joined ? shape->rows * shape->pixels : shape->pixels;
    const int paired = RN__PAIR && shape->paired, most = paired ? RN__PAIR : RN__TILE;
    int y = 0;
    while (y < rows) {
        const int lines = 2 * pixels <= most && y + 1 < rows ? 2 : 1;
        int tiles = lines == 2 ? 1 : rn__divide_up(pixels, most), x = 0;
        for (; tiles > 0; tiles--) {
            const int width = rn__divide_up(pixels - x, tiles); /* of equal width, but for one */
            const int half = lines * width / 2;
            const float *from[2];
            float *to[2];
            from[0] = in + y * shape->in_row + (ptrdiff_t)x * RN__BLOCK;
            from[1] = from[0] + (lines == 2 ? shape->in_row : (ptrdiff_t)half * RN__BLOCK);
            to[0] = out + y * shape->out_row + x * shape->out_pixel;
            to[1] = to[0] + (lines == 2 ? shape->out_row : half * shape->out_pixel);
            /* clang-format off */
            if (paired) switch (lines * width) { RN__CASES(RN__PAIR, 1) default: break; }
            else switch (lines * width) { RN__CASES(RN__TILE, 0) default: break; }
            /* clang-format on */
            x += width;
        }
        y += lines;
    }
}

#if RN__TRAINS
/* Channels of a tile of outer products: what divides a block, and leaves room in the registers. */
#define RN__OUTER (RN__TILE < 2 ? 1 : RN__TILE < 4 ? 2 : RN__TILE < 16 ? 4 : 16)

/* The outer products of `tile` input channels (a constant once inlined) and 16 output channels:

       dw [tile][16]  +=  sum over pixels of  x [tile], one number each,  times  dy [16]

   in registers until the last pixel. */
RN__INLINE void RN__NAME(outer_tile)(const int tile, float *dw, const rn__outer_rows *shape,
                                     const float *x, const float *dy) {
    RN__CONTRACT
    const RN__V zero = {0};
    RN__V sum[RN__OUTER][RN__LANES];
    RN__UNROLLED(i, tile) RN__EACH_LANE sum[i][l] = zero;
    for (int y = 0; y < shape->rows; y++) {
        const float *p = x + y * shape->x_row, *q = dy + y * shape->dy_row;
        for (int j = 0; j < shape->pixels; j++, p += RN__BLOCK, q += RN__BLOCK) {
            RN__V row[RN__LANES];
            RN__EACH_LANE row[l] = RN__LOAD(q + l * RN__WIDTH);
            RN__UNROLLED(i, tile) {
                const float value = p[i];
                RN__EACH_LANE sum[i][l] += row[l] * value;
            }
        }
    }
    RN__UNROLLED(i, tile) RN__EACH_LANE {
            float *to = dw + i * RN__BLOCK + l * RN__WIDTH;
            RN__STORE(to, RN__LOAD(to) + sum[i][l]);
        }
}

/* All channels of a block, a tile at a time, each of which reads all pixels again. Channels that
   are not there are zero and do no harm. */
static void RN__NAME(conv_weight)(float *dw, const rn__outer_rows *shape, const float *x,
                                  const float *dy) {
    if (shape->channels <= 4 && RN__OUTER > 4) /* an image's colours */
        RN__NAME(outer_tile)(RN__OUTER > 4 ? 4 : RN__OUTER, dw, shape, x, dy);
    else
        for (int c = 0; c < shape->channels; c += RN__OUTER)
            RN__NAME(outer_tile)(RN__OUTER, dw + c * RN__BLOCK, shape, x + c, dy);
}
#endif

/* ---- Winograd F(4x4, 3x3) ------------------------------------------------------------------
   Lavin and Gray 2015: a 4 x 4 tile of a 3x3 convolution of stride 1 takes 36 products a pair of
   channels instead of 144: y = A^T [(G w G^T) . (B^T x B)] A with x the 6 x 6 pixels the tile
   reads, w the 3 x 3 weights and . the product number by number:

              4  0 -5  0  1  0             1/4    0    0
              0 -4 -4  1  1  0            -1/6 -1/6 -1/6
       B^T =  0  4 -4 -1  1  0       G =  -1/6  1/6 -1/6     A^T =  1  1  1  1  1  0
              0 -2 -1  2  1  0            1/24 1/12  1/6            0  1 -1  2 -2  0
              0  2 -1 -2  1  0            1/24-1/12  1/6            0  1  1  4  4  0
              0  4  0 -5  0  1              0    0    1             0  1 -1  8 -8  1

   Every transform is such a short sum along columns and then along rows. Backward each matrix comes
   transposed: the gradient of m = (G w G^T) . (B^T x B) is A dy A^T, and that of w is G^T (..)
   G. */

/* B^T: 6 pixels of x to 6 numbers. */
RN__INLINE void RN__NAME(winograd_line_input)(RN__V *out, const RN__V *d) {
    RN__CONTRACT
    const RN__V a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    const RN__V c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    out[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = c + e;
    out[4] = c - e;
    out[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

/* A^T: 6 products to 4 pixels of y. */
RN__INLINE void RN__NAME(winograd_line_output)(RN__V *out, const RN__V *m) {
    RN__CONTRACT
    const RN__V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    out[0] = m[0] + a + c;
    out[1] = b + 2.0f * d;
    out[2] = a + 4.0f * c;
    out[3] = b + 8.0f * d + m[5];
}

/* A: 4 pixels of dy to 6 numbers. */
RN__INLINE void RN__NAME(winograd_line_gradient)(RN__V *out, const RN__V *y) {
    RN__CONTRACT
    const RN__V a = y[0] + y[2], b = y[1] + y[3];
    const RN__V c = y[0] + 4.0f * y[2], d = 2.0f * y[1] + 8.0f * y[3];
    out[0] = y[0];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = c + d;
    out[4] = c - d;
    out[5] = y[3];
}

/* G: 3 weights to 6 numbers. */
RN__INLINE void RN__NAME(winograd_line_filter)(RN__V *out, const RN__V *w) {
    RN__CONTRACT
    const RN__V a = (w[0] + w[2]) * (1.0f / 6), b = w[1] * (1.0f / 6);
    const RN__V c = w[0] * (1.0f / 24) + w[2] * (1.0f / 6), d = w[1] * (1.0f / 12);
    out[0] = w[0] * 0.25f;
    out[1] = -a - b;
    out[2] = b - a;
    out[3] = c + d;
    out[4] = c - d;
    out[5] = w[2];
}

/* G^T: 6 sums to the gradients of 3 weights. */
RN__INLINE void RN__NAME(winograd_line_weight)(RN__V *out, const RN__V *u) {
    RN__CONTRACT
    const RN__V a = (u[1] + u[2]) * (1.0f / 6), b = u[3] + u[4];
    out[0] = u[0] * 0.25f + b * (1.0f / 24) - a;
    out[1] = (u[2] - u[1]) * (1.0f / 6) + (u[3] - u[4]) * (1.0f / 12);
    out[2] = b * (1.0f / 6) - a + u[5];
}

/* The two-dimensional transform of `from` x `from` pixels to `to` x `to`: rows and columns lie
   `in` and `out` steps apart. */
#define RN__WINOGRAD(name, from, to)                                                              \
    static void RN__NAME(winograd_##name)(float *out, ptrdiff_t out_row, ptrdiff_t out_column,    \
                                          const float *in, ptrdiff_t in_row, ptrdiff_t in_column, \
                                          int accumulate) {                                       \
        for (int l = 0; l < RN__BLOCK; l += RN__WIDTH) {                                          \
            RN__V columns[from][to], line[6];                                                     \
            RN__UNROLLED(j, from) {                                                               \
                const float *p = in + j * in_column + l;                                          \
                RN__UNROLLED(i, from) line[i] = RN__LOAD(p), p += in_row;                         \
                RN__NAME(winograd_line_##name)(columns[j], line);                                 \
            }                                                                                     \
            RN__UNROLLED(i, to) {                                                                 \
                RN__V result[6];                                                                  \
                float *p = out + i * out_row + l;                                                 \
                RN__UNROLLED(j, from) line[j] = columns[j][i];                                    \
                RN__NAME(winograd_line_##name)(result, line);                                     \
                RN__UNROLLED(j, to) {                                                             \
                    if (accumulate) result[j] += RN__LOAD(p);                                     \
                    RN__STORE(p, result[j]);                                                      \
                    p += out_column;                                                              \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    }
#if !RN__SMALL
RN__WINOGRAD(input, 6, 6)
RN__WINOGRAD(output, 6, 4)
RN__WINOGRAD(filter, 3, 6)
#endif
#if RN__TRAINS
RN__WINOGRAD(gradient, 4, 6)
RN__WINOGRAD(weight, 6, 3)
#endif

/* Pixels that lie `step` floats apart, put next to each other. */
static void RN__NAME(read_row)(float *to, const float *from, ptrdiff_t pixels, ptrdiff_t step) {
    for (ptrdiff_t i = 0; i < pixels; i++, to += RN__BLOCK, from += step)
        RN__EACH_LANE RN__STORE(to + l * RN__WIDTH, RN__LOAD(from + l * RN__WIDTH));
}

/* Sums over pixels, channel by channel. Some run beside each other, each over every so manyth
   pixel, for an addition takes some cycles; at the end they are added in their order. */
static void RN__NAME(sum)(float *sums, const float *x, ptrdiff_t pixels) {
    const RN__V zero = {0};
    RN__V sum[RN__CHAINS][RN__LANES];
    RN__UNROLLED(j, RN__CHAINS) RN__EACH_LANE sum[j][l] = zero;
    for (ptrdiff_t i = 0; i < pixels; i += RN__CHAINS, x += RN__CHAINS * RN__BLOCK) {
        RN__UNROLLED(j, RN__CHAINS)
            if (i + j < pixels)
                RN__EACH_LANE sum[j][l] += RN__LOAD(x + j * RN__BLOCK + l * RN__WIDTH);
    }
    RN__UNROLLED(j, RN__CHAINS - 1) RN__EACH_LANE sum[0][l] += sum[j + 1][l];
    RN__EACH_LANE RN__STORE(sums + l * RN__WIDTH, sum[0][l]);
}

/* Mean and sum of squares about it, m2. Squares about 0 would lose the digits of a mean that is
   large beside the deviation; so of some pixels at a time x - K is taken, with K the mean of those
   before, or at first one of these pixels. With s the sum of x - K over n pixels, and t that of its
   squares,
       mean = K + s / n,    m2 = t - s^2 / n
   and with those before (`done` values of mean K, and m2) they are merged (Chan et al. 1979):
       mean = K + (s / n) n / (done + n),    m2 += t - s^2 / n + (s / n)^2 done n / (done + n) */
RN__FUNCTION void RN__NAME(moments)(float *mean, float *m2, const float *x, ptrdiff_t pixels) {
    RN__CONTRACT
    enum { CHAINS = RN__LANES == 1 ? 4 : RN__LANES == 2 ? 2 : 1 }; /* as registers hold */
    const ptrdiff_t most = RN__MOMENT_PIXELS;
    ptrdiff_t count;
    for (ptrdiff_t done = 0; done < pixels; done += count, x += count * RN__BLOCK) {
        RN__V sum[CHAINS][RN__LANES], squares[CHAINS][RN__LANES], about[RN__LANES];
        const float *from;
        count = pixels - done < most ? pixels - done : most;
        from = done ? mean : x + count * 9 / 16 * RN__BLOCK; /* no pixel of an edge, mostly */
        RN__EACH_LANE about[l] = RN__LOAD(from + l * RN__WIDTH);
        RN__UNROLLED(j, CHAINS) RN__EACH_LANE sum[j][l] = squares[j][l] = about[l] - about[l];
        from = x;
        for (ptrdiff_t i = 0; i < count; i += CHAINS, from += CHAINS * RN__BLOCK)
            RN__UNROLLED(j, CHAINS)
                if (i + j < count) RN__EACH_LANE {
                        const RN__V v = RN__LOAD(from + j * RN__BLOCK + l * RN__WIDTH) - about[l];
                        sum[j][l] += v;
                        squares[j][l] += v * v;
                    }
        RN__UNROLLED(j, CHAINS - 1) RN__EACH_LANE {
                sum[0][l] += sum[j + 1][l];
                squares[0][l] += squares[j + 1][l];
            }
        RN__EACH_LANE {
            const float share = (float)count / (float)(done + count);
            const RN__V delta = sum[0][l] * (1 / (float)count);
            RN__V here = squares[0][l] - sum[0][l] * delta;
            here = RN__RECTIFY(here); /* of equal numbers rounding may leave less than 0 */
            if (done) here += RN__LOAD(m2 + l * RN__WIDTH) + delta * delta * ((float)done * share);
            RN__STORE(mean + l * RN__WIDTH, about[l] + delta * share);
            RN__STORE(m2 + l * RN__WIDTH, here);
        }
    }
}

/* The sigmoid of a logit and what is missing to 1, the sigmoid of its negative. e^-z by Cody and
   Waite's reduction, 2^n e^f with f within half a ln 2, and the polynomial of Cephes. Beyond 87
   there is nothing left of either. Of a NaN the comparisons make some number. */
RN__INLINE void RN__NAME(sigmoid_of_number)(RN__V *gate, RN__V *rest, const RN__V *logit) {
    RN__CONTRACT
    const RN__V z = *logit, zero = {0}, most = zero + 87.0f;
    const RN__V within = RN__LARGER(z, -most), t = RN__LARGER(-within, -most);
    const RN__NAME(mask) n = RN__TO_WHOLE(t * 1.44269504f + 128.5f) - 128;
    const RN__V whole = RN__TO_FLOATS(n), f = t - whole * 0.693359375f + whole * 2.12194440e-4f;
    RN__V e = f * 1.9875691500e-4f + 1.3981999507e-3f;
    e = e * f + 8.3334519073e-3f;
    e = e * f + 4.1665795894e-2f;
    e = e * f + 1.6666665459e-1f;
    e = e * f + 5.0000001201e-1f;
    e = (e * f * f + f + 1.0f) * RN__AS_FLOATS((n + 127) << 23);
    *gate = 1.0f / (e + 1.0f);
    *rest = e * *gate;
}

/* The same, with a NaN put back. */
RN__INLINE void RN__NAME(sigmoid)(RN__V *gate, RN__V *rest, const RN__V *logit) {
    const RN__V z = *logit;
    RN__NAME(sigmoid_of_number)(gate, rest, logit);
    *gate += RN__WHERE_ABOVE(z, 0x7f800000, z) + RN__WHERE_ABOVE(-z, 0x7f800000, z);
}

/* Vector l of a field of the coefficients `by`. */
#define RN__BY(field) RN__LOAD(by.field + l * RN__WIDTH)

/* (in - mean) scale + bias; then what is fused with it: a ReLU, an addition, the ReLU behind that.
   What is read is fetched a page ahead, where the processor's own fetching ends. */
RN__INLINE void RN__NAME(normalise_with)(float *out, const float *in, ptrdiff_t step,
                                         const float *addend, ptrdiff_t pixels,
                                         const rn__coefficients *by, const int adds,
                                         const int relu_after, const int relu) {
    RN__CONTRACT
    RN__V mean[RN__LANES], scale[RN__LANES], bias[RN__LANES];
    RN__EACH_LANE scale[l] = RN__LOAD(by->scale + l * RN__WIDTH);
    RN__EACH_LANE bias[l] = RN__LOAD(by->bias + l * RN__WIDTH);
    RN__EACH_LANE mean[l] = RN__LOAD(by->mean + l * RN__WIDTH);
    for (ptrdiff_t i = 0; i < pixels; i++, in += step, out += RN__BLOCK) {
        RN__PREFETCH(in + RN__PAGE);
        RN__EACH_LANE {
            RN__V y = (RN__LOAD(in + l * RN__WIDTH) - mean[l]) * scale[l] + bias[l];
            if (relu) y = RN__RECTIFY(y);
            if (adds) y += RN__LOAD(addend + i * RN__BLOCK + l * RN__WIDTH);
            if (relu_after) y = RN__RECTIFY(y);
            RN__STORE(out + l * RN__WIDTH, y);
        }
    }
}

/* EvoNorm-S0: x s scale + bias with s = sigmoid(a x), and what is fused with it. A NaN of x comes
   through as x. */
RN__INLINE void RN__NAME(evonorm_with)(float *out, const float *in, ptrdiff_t step,
                                       const float *addend, ptrdiff_t pixels,
                                       const rn__coefficients *of, const int relu_after,
                                       const int adds) {
    RN__CONTRACT
    const rn__coefficients by = *of;
    for (ptrdiff_t i = 0; i < pixels; i++, in += step, out += RN__BLOCK) {
        RN__PREFETCH(in + RN__PAGE);
        RN__EACH_LANE {
            const RN__V x = RN__LOAD(in + l * RN__WIDTH), logit = x * RN__BY(a);
            RN__V gate, rest, y;
            RN__NAME(sigmoid_of_number)(&gate, &rest, &logit);
            y = x * gate * RN__BY(scale) + RN__BY(bias);
            if (adds) y += RN__LOAD(addend + i * RN__BLOCK + l * RN__WIDTH);
            if (relu_after) y = RN__RECTIFY(y);
            RN__STORE(out + l * RN__WIDTH, y);
        }
    }
}

RN__FUNCTION void RN__NAME(evonorm)(float *out, const float *in, ptrdiff_t step,
                                    const float *addend, ptrdiff_t pixels,
                                    const rn__coefficients *by, int relu_after) {
    if (RN__SMALL || addend || relu_after)
        RN__NAME(evonorm_with)(out, in, step, addend, pixels, by, relu_after, addend != NULL);
    else
        RN__NAME(evonorm_with)(out, in, step, NULL, pixels, by, 0, 0);
}

/* Of the combinations of flags those that nets use are compiled apart, but in small builds. */
static void RN__NAME(normalise)(float *out, const float *in, ptrdiff_t step, const float *addend,
                                ptrdiff_t pixels, const rn__coefficients *by, int activation,
                                int relu_after) {
    const int adds = addend != NULL, relu = activation == RN__RECTIFIED;
    if (RN__HAS_KIND(RN_EVONORM_S0) && activation == RN__GATED)
        RN__NAME(evonorm)(out, in, step, addend, pixels, by, relu_after);
    else if (!RN__SMALL && adds && relu_after && !relu)
        RN__NAME(normalise_with)(out, in, step, addend, pixels, by, 1, 1, 0);
    else if (RN__SMALL || adds || relu_after)
        RN__NAME(normalise_with)(out, in, step, addend, pixels, by, adds, relu_after, relu);
    else
        RN__WITH(relu, normalise_with, out, in, step, NULL, pixels, by, 0, 0);
}

#if RN__TRAINS
/* Backward through BN and ReLU. RN__MASKED is g: the gradient dy of vector l, or zero where the
   ReLU behind the normalisation stopped x, from which the mean is already taken:

       g = x scale + bias > 0 ? dy : 0

   The coefficients are copied, so that no output can be among them, and they can stay in
   registers. */
#define RN__MASKED(g, x) (relu ? RN__WHERE_POSITIVE(x * RN__BY(scale) + RN__BY(bias), g) : g)

/* The sums of g and of g (x - mean), of even and odd pixels beside each other. */
RN__INLINE void RN__NAME(bn_sums_with)(float *sums, const float *dy, const float *x,
                                       ptrdiff_t pixels, const rn__coefficients *of,
                                       const int relu) {
    RN__CONTRACT
    const rn__coefficients by = *of;
    const RN__V zero = {0};
    RN__V first[2][RN__LANES], second[2][RN__LANES];
    RN__EACH_LANE first[0][l] = first[1][l] = second[0][l] = second[1][l] = zero;
    for (ptrdiff_t i = 0; i < pixels; i += 2, x += 2 * RN__BLOCK, dy += 2 * RN__BLOCK) {
        RN__PREFETCH(x + RN__PAGE);
        RN__PREFETCH(x + RN__PAGE + RN__BLOCK);
        RN__UNROLLED(j, 2)
            if (i + j < pixels) RN__EACH_LANE {
                    const RN__V v = RN__LOAD(x + j * RN__BLOCK + l * RN__WIDTH) - RN__BY(mean);
                    const RN__V d = RN__LOAD(dy + j * RN__BLOCK + l * RN__WIDTH);
                    const RN__V g = RN__MASKED(d, v);
                    first[j][l] += g;
                    second[j][l] += g * v;
                }
    }
    RN__EACH_LANE {
        RN__STORE(sums + l * RN__WIDTH, first[0][l] + first[1][l]);
        RN__STORE(sums + RN__BLOCK + l * RN__WIDTH, second[0][l] + second[1][l]);
    }
}

/* EvoNorm-S0: the sums of dy, of dy x s, and of dy x^2 s (1 - s). */
static void RN__NAME(evonorm_sums)(float *sums, const float *dy, const float *x, ptrdiff_t pixels,
                                   const rn__coefficients *of) {
    RN__CONTRACT
    const rn__coefficients by = *of;
    const RN__V zero = {0};
    RN__V sum[3][RN__LANES];
    RN__UNROLLED(k, 3) RN__EACH_LANE sum[k][l] = zero;
    for (ptrdiff_t i = 0; i < pixels; i++, x += RN__BLOCK, dy += RN__BLOCK) RN__EACH_LANE {
            const RN__V v = RN__LOAD(x + l * RN__WIDTH), logit = v * RN__BY(a);
            RN__V g = RN__LOAD(dy + l * RN__WIDTH), gate, rest;
            RN__NAME(sigmoid_of_number)(&gate, &rest, &logit);
            sum[0][l] += g;
            g = g * v * gate;
            sum[1][l] += g;
            sum[2][l] += g * v * rest;
        }
    RN__UNROLLED(k, 3) RN__EACH_LANE RN__STORE(sums + k * RN__BLOCK + l * RN__WIDTH, sum[k][l]);
}

static void RN__NAME(bn_sums)(float *sums, const float *dy, const float *x, ptrdiff_t pixels,
                              const rn__coefficients *by, int activation) {
    if (activation == RN__GATED)
        RN__NAME(evonorm_sums)(sums, dy, x, pixels, by);
    else
        RN__WITH(activation, bn_sums_with, sums, dy, x, pixels, by);
}

/* dx = a g + b (x - mean) + c, with the coefficients that these sums gave. */
RN__INLINE void RN__NAME(bn_gradient_with)(float *dx, const float *dy, const float *x,
                                           ptrdiff_t pixels, const rn__coefficients *of,
                                           const int relu, const int accumulate) {
    RN__CONTRACT
    const rn__coefficients by = *of;
    for (ptrdiff_t i = 0; i < pixels; i++, dx += RN__BLOCK, dy += RN__BLOCK, x += RN__BLOCK) {
        RN__PREFETCH(x + RN__PAGE);
        RN__PREFETCH(dy + RN__PAGE);
        if (accumulate) RN__PREFETCH(dx + RN__PAGE);
        RN__EACH_LANE {
            const RN__V v = RN__LOAD(x + l * RN__WIDTH) - RN__BY(mean);
            const RN__V d = RN__LOAD(dy + l * RN__WIDTH);
            const RN__V g = RN__MASKED(d, v);
            RN__V to = RN__BY(a) * g + (RN__BY(b) * v + RN__BY(c));
            if (accumulate) to += RN__LOAD(dx + l * RN__WIDTH);
            RN__STORE(dx + l * RN__WIDTH, to);
        }
    }
}

/* EvoNorm-S0: dx = scale dy (s + a x s (1 - s)) + b (x - mean). */
static void RN__NAME(evonorm_gradient)(float *dx, const float *dy, const float *x, ptrdiff_t pixels,
                                       const rn__coefficients *of, int accumulate) {
    RN__CONTRACT
    const rn__coefficients by = *of;
    for (ptrdiff_t i = 0; i < pixels; i++, dx += RN__BLOCK, dy += RN__BLOCK, x += RN__BLOCK)
        RN__EACH_LANE {
            const RN__V v = RN__LOAD(x + l * RN__WIDTH), logit = v * RN__BY(a);
            RN__V gate, rest, to;
            RN__NAME(sigmoid_of_number)(&gate, &rest, &logit);
            to = RN__LOAD(dy + l * RN__WIDTH) * RN__BY(scale) * (gate + logit * gate * rest) +
                 (v - RN__BY(mean)) * RN__BY(b);
            if (accumulate) to += RN__LOAD(dx + l * RN__WIDTH);
            RN__STORE(dx + l * RN__WIDTH, to);
        }
}

/* A gradient is accumulated where a pre-activated unit's first BN adds to that of the shortcut. */
static void RN__NAME(bn_gradient)(float *dx, const float *dy, const float *x, ptrdiff_t pixels,
                                  const rn__coefficients *by, int activation, int accumulate) {
    if (activation == RN__GATED)
        RN__NAME(evonorm_gradient)(dx, dy, x, pixels, by, accumulate);
    else if (activation)
        RN__WITH(accumulate, bn_gradient_with, dx, dy, x, pixels, by, 1);
    else
        RN__NAME(bn_gradient_with)(dx, dy, x, pixels, by, 0, accumulate);
}
#endif

/* For element-wise kernels: i runs over vectors, in steps of RN__WIDTH floats. */
#define RN__EACH_VECTOR for (ptrdiff_t i = 0; i < pixels * RN__BLOCK; i += RN__WIDTH)

/* out = a + b, or only a; through a ReLU. */
RN__INLINE void RN__NAME(add_with)(float *out, const float *a, const float *b, ptrdiff_t pixels,
                                   const int adds, const int relu) {
    RN__EACH_VECTOR {
        RN__V v = RN__LOAD(a + i);
        if (adds) v += RN__LOAD(b + i);
        if (relu) v = RN__RECTIFY(v);
        RN__STORE(out + i, v);
    }
}

/* Without b only the ReLU is left to do. */
static void RN__NAME(add)(float *out, const float *a, const float *b, ptrdiff_t pixels, int relu) {
    if (RN__SMALL)
        RN__NAME(add_with)(out, a, b, pixels, b != NULL, relu);
    else if (b)
        RN__WITH(relu, add_with, out, a, b, pixels, 1);
    else
        RN__NAME(add_with)(out, a, b, pixels, 0, relu);
}

#if RN__TRAINS
/* dy where the ReLU's output is positive. */
static void RN__NAME(relu_gradient)(float *dx, const float *dy, const float *out, ptrdiff_t pixels,
                                    int accumulate) {
    RN__EACH_VECTOR {
        const RN__V y = RN__LOAD(out + i), d = RN__LOAD(dy + i);
        RN__V g = RN__WHERE_POSITIVE(y, d);
        if (accumulate) g += RN__LOAD(dx + i);
        RN__STORE(dx + i, g);
    }
}
#endif

/* out = in times a factor; a copy or an addition if that is 1. */
static void RN__NAME(scale)(float *out, const float *in, ptrdiff_t pixels, float factor,
                            int accumulate) {
    RN__EACH_VECTOR {
        RN__V v = RN__LOAD(in + i) * factor;
        if (accumulate) v += RN__LOAD(out + i);
        RN__STORE(out + i, v);
    }
}

/* y = x g with g = sigmoid(sign z). */
RN__FUNCTION void RN__NAME(gate)(float *y, const float *x, const float *z, ptrdiff_t pixels,
                                 float sign) {
    RN__EACH_VECTOR {
        RN__V logit = RN__LOAD(z + i) * sign, gate, rest;
        RN__NAME(sigmoid)(&gate, &rest, &logit);
        RN__STORE(y + i, RN__LOAD(x + i) * gate);
    }
}

#if RN__TRAINS
/* dx = dy g, and dz = dy x g (1 - g) sign; 1 - g comes from the sigmoid without cancelling. */
static void RN__NAME(gate_gradient)(float *dx, float *dz, const float *dy, const float *x,
                                    const float *z, ptrdiff_t pixels, float sign, int accumulate,
                                    int accumulate_second) {
    RN__EACH_VECTOR {
        RN__V logit = RN__LOAD(z + i) * sign, gate, rest, to_x, to_z;
        RN__NAME(sigmoid)(&gate, &rest, &logit);
        to_x = RN__LOAD(dy + i) * gate;
        to_z = to_x * RN__LOAD(x + i) * rest * sign;
        if (dx && accumulate) to_x += RN__LOAD(dx + i);
        if (dz && accumulate_second) to_z += RN__LOAD(dz + i);
        if (dx) RN__STORE(dx + i, to_x);
        if (dz) RN__STORE(dz + i, to_z);
    }
}
#endif

/* The largest pixel by pixel of a window of max-pool, channel by channel. */
RN__FUNCTION void RN__NAME(largest)(float *out, const float *in, int rows, int pixels,
                                    ptrdiff_t step) {
    for (int l = 0; l < RN__BLOCK; l += RN__WIDTH) {
        RN__V most = RN__LOAD(in + l);
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < pixels; x++) {
                const RN__V v = RN__LOAD(in + y * step + x * RN__BLOCK + l);
                most = RN__LARGER(v, most);
            }
        RN__STORE(out + l, most);
    }
}

#if RN__TRAINS
/* Counts in bad what is not finite, told by its bits: an exponent of ones, whatever the sign. */
#define RN__COUNT_BAD(v) \
    (bad += RN__WHERE_ABOVE(v, 0x7f7fffff, one) + RN__WHERE_ABOVE(-(v), 0x7f7fffff, one))

/* A step of SGD, see rn__sgd_step. It counts what is not finite as it goes, and so needs no second
   look at the weights; the counts of the vector's lanes are added at the end. */
static int RN__NAME(sgd)(float *weight, float *velocity, const float *gradient, ptrdiff_t pixels,
                         const rn__sgd_step *step, int write) {
    RN__CONTRACT
    const rn__sgd_step by = *step;
    const RN__V zero = {0}, one = zero + 1.0f;
    RN__V bad = zero;
    float counts[RN__BLOCK] = {0};
    RN__EACH_VECTOR {
        RN__V w = RN__LOAD(weight + i), v = RN__LOAD(velocity + i);
        const RN__V g = RN__LOAD(gradient + i) + w * by.decay;
        v = v * by.momentum + g * by.into_velocity;
        w -= g * by.of_gradient + v * by.of_velocity;
        RN__COUNT_BAD(v);
        RN__COUNT_BAD(w);
        if (!write) continue;
        RN__STORE(velocity + i, v);
        RN__STORE(weight + i, w);
    }
    RN__STORE(counts, bad);
    for (int i = 1; i < RN__WIDTH; i++) counts[0] += counts[i];
    return counts[0] <= 0;
}
#define RN__OF_TRAINING(name) RN__NAME(name)
#else
#define RN__OF_TRAINING(name) NULL
#endif

#if RN__SMALL
#define RN__OF_WINOGRAD(name) NULL
#else
#define RN__OF_WINOGRAD(name) RN__NAME(name)
#endif
#define RN__STRING_(text) #text
#define RN__STRING(text) RN__STRING_(text)
/* clang-format off */
static const rn__kernels RN__NAME(kernels) = {
    &RN__STRING(RN__ISA)[1], RN__PAIR > 0,
    RN__NAME(conv_rows), RN__OF_TRAINING(conv_weight), RN__OF_WINOGRAD(winograd_input),
    RN__OF_WINOGRAD(winograd_output), RN__OF_TRAINING(winograd_gradient),
    RN__OF_WINOGRAD(winograd_filter), RN__OF_TRAINING(winograd_weight), RN__NAME(read_row),
    RN__NAME(sum), RN__TRAINS || RN__HAS_IMAGE_NORM ? RN__NAME(moments) : NULL,
    RN__NAME(normalise), RN__OF_TRAINING(bn_sums), RN__OF_TRAINING(bn_gradient), RN__NAME(add),
    RN__OF_TRAINING(relu_gradient), RN__NAME(scale), RN__HAS_KIND(RN_GATE) ? RN__NAME(gate) : NULL,
    RN__OF_TRAINING(gate_gradient), RN__HAS_KIND(RN_MAX_POOL) ? RN__NAME(largest) : NULL,
    RN__OF_TRAINING(sgd)};
/* clang-format on */

#undef RN__ISA
#undef RN__WIDTH
#undef RN__TILE
#undef RN__PAIR

#elif defined(RESNET_IMPLEMENTATION) && !defined(RN__SECOND_HALF)
#define RN__SECOND_HALF

/* >>fast convolution =========================================================================
   In: images, or gradients of them, in blocks of 16 channels, and weights as they are stored. Out:
   a convolution's output, the gradient of its input, or the gradient of its weights. First come
   blocked values and what all fast layers run on; then convolutions, which are planned once and run
   as often as one likes; then linear layers, which are convolutions too. */

#if RN__FAST

enum { RN__SUMS = 3 }; /* of a plane: most that a normalisation's backward takes */

/* n images of c channels, as [n][blocks of 16 channels][h][w][16] floats, 64-byte aligned. What
   fills up the last block is zero, and every layer keeps it so. A plane is one block of one image:

       channels 0..15 of image 0:  (0,0) c0 c1 .. c15 | (0,1) c0 c1 .. c15 | ...  plane 0
       channels 16.. of image 0:   (0,0) c16 .. 0 0 0 | (0,1) ...                 plane 1
       channels 0..15 of image 1:  ...                                            plane 2

   A convolution can read a lazy value, which stands nowhere in memory: it is computed where it is
   read. RN__NORMALISED is the output of a BN and its ReLU, computed from the BN's input `data`.
   RN__BN_GRADIENT is the gradient of a BN's input, computed from the gradient of the output (behind
   the ReLU) `data` and from the BN's input `partner`. The BN's coefficients are [groups][blocks],
   for groups of `group` images. As in >>program, BN stands for any normalisation. */
typedef enum rn__lazy { RN__PLAIN, RN__NORMALISED, RN__BN_GRADIENT } rn__lazy;
typedef struct rn__blocked {
    float *data; /* NULL: there is no such value, or nobody wants it */
    int n, c, h, w;
    rn__lazy lazy; /* the rest is for lazy values alone */
    const float *partner;
    const rn__coefficients *coefficients;
    int group;
    int activation; /* rn__activation behind the BN */
} rn__blocked;

/* What the fast layers run on. Each layer takes its temporary memory from the start of the
   workspace, and for each thread from the start of the thread's own. The threads' own memory lies
   in one place for all layers: if it moved, its cache lines would wander between the cores. How
   much a layer takes, say the rooms of the plans. */
typedef struct rn__engine {
    const rn__kernels *kernels;
    int threads;           /* at most, each with memory of its own */
    int workers;           /* of these take part */
    rn__team *team;        /* of these; NULL: OpenMP's threads, or one alone */
    int direct;            /* no Winograd */
    char *workspace, *own; /* own: of thread 0; each other thread's lies own_bytes behind */
    size_t own_bytes;
    /* What neighbouring operations hand on about a BN. Every operation has an engine of its own,
       but this lies at the same place of the workspace for all. `forward` each reader makes for
       itself, `backward` the BN makes for the convolution before it. */
    struct {
        /* [images][blocks][RN__SUMS][16], of each plane: mean and squares or, backward, two or
           three sums; NULL where nothing is measured */
        float *partial;
        rn__coefficients *forward, *backward; /* [groups][blocks] */
        /* [K][2] of weights w that are standardised or scaled, (w - mean) times a factor: these */
        float *filters;
        float *biases; /* [K] of a convolution into which a batch norm or a factor is folded */
    } handed;
} rn__engine;

/* An engine for planning, with one worker; who runs it adds helpers and the threads' own memory. */
static rn__engine rn__make_engine(const rn__kernels *kernels, int threads, char *workspace) {
    rn__engine engine;
    memset(&engine, 0, sizeof engine);
    engine.kernels = kernels;
    engine.threads = threads;
    engine.workers = 1;
    engine.workspace = workspace;
    return engine;
}

/* Takes what the threads have of their own from the workspace, `bytes` each. */
RN__FUNCTION void rn__take_own(rn__engine *engine, size_t bytes) {
    engine->own = engine->workspace;
    engine->own_bytes = bytes;
    engine->workspace += bytes * (size_t)engine->threads;
}

/* Takes memory for what operations of this mode hand on, n images at a time, from the workspace;
   returns its bytes. Running statistics need no moments. */
RN__FUNCTION size_t rn__carve_handed(rn__engine *engine, const rn__executor *x, int n,
                                     rn_mode mode) {
    const int measures = rn__is_training(mode) || x->statistics_bytes > 0;
    size_t planes = rn__multiply_size((size_t)n, (size_t)rn__blocks(x->most_channels));
    rn__arena arena = {engine->workspace, 0};
    if (measures)
        engine->handed.partial =
            (float *)rn__carve(&arena, planes, RN__SUMS * RN__BLOCK * sizeof(float));
    engine->handed.forward =
        (rn__coefficients *)rn__carve(&arena, planes, sizeof(rn__coefficients));
    engine->handed.backward = engine->handed.forward;
    if (!RN__SMALL)
        engine->handed.backward =
            (rn__coefficients *)rn__carve(&arena, planes, sizeof(rn__coefficients));
    engine->handed.filters = (float *)rn__carve(&arena, (size_t)x->most_filters, 2 * sizeof(float));
    if (x->most_biases)
        engine->handed.biases = (float *)rn__carve(&arena, (size_t)x->most_biases, sizeof(float));
    if (engine->workspace) engine->workspace += arena.used;
    return arena.used;
}

/* A plain value at `data`; NULL for one that is not there, or for its shape alone. */
RN__FUNCTION rn__blocked rn__blocked_in(float *data, int n, int c, int h, int w) {
    rn__blocked v = {data, n, c, h, w, RN__PLAIN, NULL, NULL, 0, 0};
    return v;
}

/* Floats that such a value takes, with what fills up the last block; SIZE_MAX if they overflow. */
static size_t rn__blocked_floats(int n, int c, int h, int w) {
    size_t pixels = rn__multiply_size((size_t)h, (size_t)w);
    size_t planes = rn__multiply_size((size_t)n, (size_t)rn__blocks(c));
    return rn__multiply_size(rn__multiply_size(pixels, planes), RN__BLOCK);
}

/* A value in the workspace, of which the engine then keeps the rest. */
static rn__blocked rn__take(rn__engine *engine, int n, int c, int h, int w) {
    rn__blocked v = rn__blocked_in((float *)(void *)engine->workspace, n, c, h, w);
    engine->workspace += rn__blocked_floats(n, c, h, w) * sizeof(float);
    return v;
}

static ptrdiff_t rn__plane_pixels(const rn__blocked *v) { return (ptrdiff_t)v->h * v->w; }

/* Where a plane begins, image x blocks + block; NULL in a value that is not there. */
static float *rn__plane(const rn__blocked *v, int plane) {
    return v->data ? v->data + plane * rn__plane_pixels(v) * RN__BLOCK : NULL;
}

static void rn__clear_plane(const rn__blocked *v, int plane) {
    memset(rn__plane(v, plane), 0, (size_t)rn__plane_pixels(v) * RN__BLOCK * sizeof(float));
}

/* The coefficients of a plane of a lazy value: those of its group of images and its block. */
static const rn__coefficients *rn__coefficients_of(const rn__blocked *v, int plane) {
    const int blocks = rn__blocks(v->c);
    return v->coefficients + plane / blocks / v->group * blocks + plane % blocks;
}

/* One operation at work. Most work plane by plane: forward they make y of x (and z), backward dx
   (and dz) of dy. What is not there or not wanted has data NULL. */
struct rn__task {
    rn__engine engine;
    const rn__kernels *kernels;
    void (*job)(const rn__task *task, int plane); /* to do to every plane of the output */
    const rn__run *run;                           /* operation k of it, in a net */
    const rn__operation *op;
    const rn_node *node; /* windows and the like */
    int k, training, backward;
    rn__blocked y, x, z, dy, dx, dz;
    int accumulate, accumulate_second; /* on top of what is in dx, in dz */
    int flag;                          /* a ReLU behind the addition; copying: out of the blocks */
    float factor;                      /* scale's factor, dropout's ratio */
    rn_key key;                        /* of dropout */
    rn_tensor tensor;                  /* outside of the net */
    float *partial;                    /* [images][blocks][RN__SUMS][16] */
    int planes;                        /* of one call of rn__planes_job */
};

/* A task of which as yet only engine and job are known. */
static rn__task rn__make_task(const rn__engine *engine, void (*job)(const rn__task *, int)) {
    rn__task task;
    memset(&task, 0, sizeof task);
    task.engine = *engine;
    task.kernels = engine->kernels;
    task.job = job;
    return task;
}

/* What a task writes, and what it makes it of. */
static const rn__blocked *rn__to(const rn__task *p) { return RN__BACKWARD(p) ? &p->dx : &p->y; }
static const rn__blocked *rn__from(const rn__task *p) { return RN__BACKWARD(p) ? &p->dy : &p->x; }

/* The planes of an image, or a plane. */
static void rn__planes_job(void *context, int i, int thread) {
    const rn__task *task = (const rn__task *)context;
    (void)thread;
    for (int plane = i * task->planes; plane < (i + 1) * task->planes; plane++)
        task->job(task, plane);
}

/* A job of the threads is an image; with few images it is a plane. */
static void rn__run_task(rn__task *task) {
    const rn__blocked *to = rn__to(task);
    const int blocks = rn__blocks(to->c);
    task->planes = to->n < RN__FEW_IMAGES ? 1 : blocks;
    rn__parallel(task->engine.team, task->engine.workers, to->n * blocks / task->planes,
                 rn__planes_job, task);
}

/* Between a plane of y and the tensor: into the plane, or (flag) out of it. */
static void rn__block_plane(const rn__task *task, int plane) {
    const rn__blocked *v = &task->y;
    const int blocks = rn__blocks(v->c), first = plane % blocks * RN__BLOCK;
    if (!task->flag) rn__clear_plane(v, plane);
    for (int c = first; c < rn__min(first + RN__BLOCK, v->c); c++)
        for (int h = 0; h < v->h; h++) {
            float *inside = rn__plane(v, plane) + (ptrdiff_t)h * v->w * RN__BLOCK + c - first;
            float *outside = rn__at(&task->tensor, plane / blocks, c, h, 0);
            for (int w = 0; w < v->w; w++, inside += RN__BLOCK, outside += task->tensor.stride_w)
                if (!task->flag)
                    *inside = *outside;
                else
                    *outside = task->accumulate ? *outside + *inside : *inside;
        }
}

/* From NCHW, or any strides, into blocks; and back. */
RN__FUNCTION void rn__block(const rn__engine *engine, rn__blocked to, rn_tensor from) {
    rn__task task = rn__make_task(engine, rn__block_plane);
    task.y = to, task.tensor = from;
    rn__run_task(&task);
}

/* Out of blocks into any strides, or (accumulate) added to what is there. */
RN__FUNCTION void rn__unblock(const rn__engine *engine, rn_tensor to, rn__blocked from,
                              int accumulate) {
    rn__task task = rn__make_task(engine, rn__block_plane);
    task.y = from, task.tensor = to;
    task.flag = 1;
    task.accumulate = accumulate;
    rn__run_task(&task);
}

/* Copies `pixels` pixels of a plane, from float `first` of the plane on, into `to`; a lazy value is
   computed on the way. The pixels lie `step` floats apart (a gradient's one behind the other). */
static void rn__read_pixels(const rn__kernels *kernels, float *to, const rn__blocked *v, int plane,
                            ptrdiff_t first, ptrdiff_t pixels, ptrdiff_t step) {
    const ptrdiff_t at = plane * rn__plane_pixels(v) * RN__BLOCK + first;
    if (v->lazy == RN__PLAIN)
        kernels->read_row(to, v->data + at, pixels, step);
    else if (v->lazy == RN__NORMALISED)
        kernels->normalise(to, v->data + at, step, NULL, pixels, rn__coefficients_of(v, plane),
                           v->activation, 0);
    else
        kernels->bn_gradient(to, v->data + at, v->partner + at, pixels,
                             rn__coefficients_of(v, plane), v->activation, 0);
}

/* ---- convolutions: the plan -----------------------------------------------------------------
   A convolution goes three ways: forward (y of x), input gradient (dx of dy) and weight gradient
   (dw of dy and x). The first two are alike: they sum products of an image `in` and of weights into
   an image `out`. The third reads two images; it walks over them as forward does over x and y.

   What follows from shapes, options and threads alone is planned once and then only read, by any
   number of runs at a time:

       rn__conv          a convolution
         forward           rn__value_plan: how y is made
         input             rn__value_plan: how dx is made
         weights           rn__weight_plan: how dw is made
           geometry          which pixels and weights are multiplied with each other
           split             how the work is cut into jobs: made once for the images and workers of
                             the plan, and by runs that have fewer
           layout            where in the workspace things lie

   The loops of a direct convolution, tap by tap, from the net to the registers:

       for each job: an image, a band of its rows, a slice of its output blocks    rn__conv_job
       |   the band of `in` is in the second cache (read, padded, normalised there)
       +- for each output block, or pair of them                                   rn__direct_band
          +- for each stretch of input blocks
             |   its weights are in the first cache
             +- for each tile of up to 16 pixels of a row                            conv_rows
                |   its sums are in registers: pixels x 16 (or 32) channels
                +- for each input block, tap and input channel                     conv_tile
                      sums += input (one number a pixel) x 16 weights

   And those of Winograd's, where 4 x 4 pixels of the output are 36 products, see >>kernels:

       for each job: images, a band, a slice                                       rn__conv_job
       |   the band is in the second cache, as above
       +- until 16 (or 64) tiles are together: 6 x 6 pixels around each tile,
       |  transformed to 36 numbers a channel                                      winograd_input
       +- for each output block, or pair of them                              winograd_products
          +- for each of the 36 matrices: [tiles x in channels] by
          |  [in channels x 16], packed and transformed weights                    conv_rows
          +- for each tile: 36 numbers a channel back to 4 x 4 pixels              winograd_output

   Words: a band is some consecutive rows of an image; a slice some consecutive output blocks; a
   tile what a kernel has in registers or, with Winograd, 4 x 4 pixels; a piece a number of images
   whose weight gradients are summed by themselves. */

/* The shape of a convolution's weights, [K][C][R][S], and how it is applied. */
typedef struct rn__filter {
    int k, c, r, s, stride, padding;
    int behind; /* rows and columns of zeros more at the bottom and right than at top and left */
} rn__filter;

static rn__filter rn__filter_of(const rn_tensor *weight, int stride, int padding) {
    rn__filter filter = {weight->n, weight->c, weight->h, weight->w, stride, padding, 0};
    return filter;
}

/* A layer's weights as they are stored, and where their gradients are added. */
typedef struct rn__weights {
    const float *weight;    /* [K][C][R][S] */
    const float *bias;      /* [K]; NULL: none */
    const float *packed;    /* weights packed beforehand for forward, see rn__prepack; NULL: not */
    float *dweight, *dbias; /* NULL: not wanted */
    const float *filters;   /* [K][2]: mean and 1 / sigma of each filter, by which weights are
                               standardised when they are packed; NULL: they are not. Or with
                               the scale of a batch norm that is folded into them */
} rn__weights;

/* What an output pixel reads along one axis of the input. */
typedef struct rn__axis {
    int first;  /* where output pixel 0 starts to read; negative: in the padding */
    int reach;  /* places from there to the last that it reads */
    int phases; /* into which the input is sorted, see below */
} rn__axis;

/* Which pixels of `in` and which weights are multiplied with each other to make `out`.

   Strides are taken out, so that the kernels always read neighbours. A strided forward convolution
   sorts the columns (and rows) of its input by phase, the place modulo the stride, when it copies
   them into the scratch image. With stride 2, 3 taps and padding 1:

       columns of the input          -1   0   1   2   3   4   5   6 ...
       a row of the scratch image   | -1   1   3   5 ... | 0   2   4   6 ... |
                                      phase 0              phase 1
       output x reads  2x-1, 2x, 2x+1:  column x of phase 0, x of phase 1, x+1 of phase 0

   The input gradient of a strided convolution sorts its output instead: pixel (y, x) of dx is in
   phase (y mod stride, x mod stride), and each phase is a convolution of stride 1 of its own with
   those taps that reach it. `taps` has them phase by phase. */
typedef struct rn__geometry {
    rn__filter filter;
    int backward;                    /* 1: from dy to dx, with `in` dy and `out` dx */
    int winograd;                    /* through Winograd's transforms, else directly, tap by tap */
    int in_c, in_blocks, out_blocks; /* channels of `in`; blocks of channels */
    int in_step, out_step;           /* the stride of `in`, or of `out`; the other is 1 */
    int edge;              /* rows and columns come in whole tiles of edge x edge: 4, or 1 */
    int columns;           /* of a phase of the output at most, in whole tiles */
    rn__axis y, x;         /* x.phases x y.phases phases of the scratch image */
    int phase_columns;     /* of a phase of the scratch image */
    ptrdiff_t scratch_row; /* floats: all phases of a row */
    size_t block_floats;   /* packed weights of an output block */
    size_t pair_floats;    /* a weight gradient by taps of a pair of blocks */
    const rn__tap *taps;   /* [R S], ordered by phase of the output */
    const int *phase_taps; /* [phases + 1]: where the taps of each phase start */
} rn__geometry;

/* How images are cut into jobs for the workers: a job has `images` of them, a band and a slice. An
   output's sum is the same in any job, so that this may depend on the workers. */
typedef struct rn__split {
    int rows;                  /* of a phase of the output at most, in whole tiles */
    int bands, slices, images; /* a weight gradient has pieces of so many images */
    int tiles;                 /* Winograd's at a time */
    int dy_rows;               /* of a weight gradient: rows of dy that are read at a time */
    int in_matrix, out_matrix; /* floats between the 36 matrices of such tiles: of what they
                                        read; of their products, or of dy */
} rn__split;

/* Where things lie: bytes from the start of the workspace, or of a thread's own. */
typedef struct rn__layout {
    size_t weights; /* packed, [out block][phase][in block][tap][16 in][16 out], transformed
                       [out block][36][in block][16][16]; or the total of their gradient, by taps */
    size_t bias;    /* [out block][16], transformed [out block][36][16]; or what its gradient sums,
                       [images][out blocks][16] */
    size_t partial; /* [buffers] the weight gradients of pieces, like the total */
    /* a thread's own: */
    size_t scratch; /* the scratch image [in block][row][phase][column][16] */
    size_t tiles;   /* transformed, what they read; then products, or dy */
    size_t dy;      /* [out block][row][column][16], rows that are lazy or end inside a tile */
    size_t dw;      /* of a piece, transformed weights: [out block][in block][36][16][16] */
} rn__layout;

/* How a value is made: y or dx. */
typedef struct rn__value_plan {
    rn__geometry geometry;
    rn__layout at;
    rn__split splits[2]; /* of n images of h rows, for one worker and for all threads */
    int n, h;
    int packed_blocks; /* output blocks whose weights are packed at a time */
} rn__value_plan;

/* How the gradient of the weights is made.

   It is a sum over pieces of a fixed number of images, added in their order on top of what the
   gradient was before: a sum that depends on shapes alone, and not on how many images a call has,
   as long as micro-batches are whole pieces. So a piece has a power of two of images. Either the
   jobs share the pieces, and each sums its own in a buffer: a round of as many pieces as there are
   buffers, then a round of additions (where weights are few, there are many buffers, and few
   rounds). Or, where weights are many and images small, the jobs share the weights (by_weights),
   and each walks over all pieces. */
typedef struct rn__weight_plan {
    rn__split split;
    rn__layout at;
    int by_weights;
    int k_blocks; /* output blocks of a job */
    int buffers;  /* the fewest for partial sums; whole rounds of the workers may take more */
} rn__weight_plan;

typedef struct rn__conv {
    rn__value_plan forward;
#if RN__TRAINS
    rn__value_plan input;
    rn__weight_plan weights;
    int together;     /* both gradients are made at once, image by image */
#endif
    rn__room room[2]; /* workspace: forward alone; training */
} rn__conv;

/* Does the convolution read the rows of an image as they lie, without padding or stride? */
static int rn__as_it_lies(const rn__filter *f) {
    return f->r * f->s == 1 && f->stride == 1 && !f->padding && !f->behind;
}

/* Is it a 3x3 convolution of stride 1 for Winograd? Its images must fill tiles well, and there must
   be enough of them for the transformed weights, which are four times as many. Told by the shape of
   one image alone, so that the bits do not depend on how many come in a call. */
static int rn__suits_winograd(const rn__filter *f, int backward, int h, int w) {
    const ptrdiff_t tiles = (ptrdiff_t)rn__divide_up(h, RN__EDGE) * rn__divide_up(w, RN__EDGE);
    return !RN__SMALL && f->r == 3 && f->s == 3 && f->stride == 1 && f->padding == 1 &&
           !f->behind && (backward ? f->k : f->c) >= RN__BLOCK / 2 && tiles >= RN__LEAST_TILES &&
           (ptrdiff_t)h * w > RN__FILLED_PIXELS * tiles &&
           (int64_t)f->c * f->k <= (int64_t)tiles * RN__WEIGHTS_A_TILE;
}

/* Forward, output pixel 0 reads places -padding to -padding + taps - 1. Backward it is read by the
   output of the convolution at (padding - tap + phase) / stride for those taps where that is whole:
   for tap taps - 1 of phase 0 the first, for tap 0 of phase stride - 1 the last. */
static rn__axis rn__find_axis(const rn__filter *f, int backward, int taps) {
    const int step = f->stride, least = f->padding - taps + 1;
    rn__axis axis = {-f->padding, taps, 0};
    if (backward) {
        axis.first = rn__divide_up(least, step);
        axis.reach = (f->padding + step - 1) / step - axis.first + 1;
    }
    axis.phases = rn__min(backward ? 1 : step, axis.reach);
    return axis;
}

/* Everything but the taps. */
static rn__geometry rn__find_geometry(const rn__filter *f, int backward, int winograd, int out_w) {
    rn__geometry g;
    memset(&g, 0, sizeof g);
    g.filter = *f;
    g.backward = backward;
    g.winograd = winograd;
    g.in_c = backward ? f->k : f->c; /* backward, filters are what is read */
    g.in_blocks = rn__blocks(g.in_c);
    g.out_blocks = rn__blocks(backward ? f->c : f->k);
    g.in_step = backward ? 1 : f->stride;
    g.out_step = backward ? f->stride : 1;
    g.edge = winograd ? RN__EDGE : 1;
    g.columns = rn__divide_up(rn__divide_up(out_w, g.out_step), g.edge) * g.edge;
    g.y = rn__find_axis(f, backward, f->r);
    g.x = rn__find_axis(f, backward, f->s);
    g.phase_columns =
        g.columns + (g.x.reach - 1) / g.x.phases; /* and what the last ones read beyond */
    g.scratch_row = (ptrdiff_t)g.x.phases * g.phase_columns * RN__BLOCK;
    g.pair_floats = (size_t)(f->r * f->s) * RN__BLOCK * RN__BLOCK;
    g.block_floats = rn__multiply_size((size_t)g.in_blocks * RN__BLOCK * RN__BLOCK,
                                       (size_t)(winograd ? RN__MATRICES : f->r * f->s));
    return g;
}

/* The taps of each phase of the output, in the order of the weights that forward and backward read:
   where in the scratch image each reads for pixel (0, 0). (Measured only, there is no memory.) */
static void rn__find_taps(rn__geometry *g, rn__arena *arena) {
    const rn__filter *f = &g->filter;
    const int step = g->out_step, phases = step * step, last = f->r * f->s - 1;
    rn__tap *taps = (rn__tap *)rn__carve(arena, (size_t)last + 1, sizeof(rn__tap));
    int *phase_taps = (int *)rn__carve(arena, (size_t)phases + 1, sizeof(int));
    int count = 0;
    if (!taps) return;
    for (int phase = 0; phase < phases; phase++) {
        phase_taps[phase] = count;
        for (int i = 0; i <= last; i++) {
            const int index = RN__BACKWARD(g) ? last - i : i, r = index / f->s, c = index % f->s;
            int y = RN__BACKWARD(g) ? phase / step + f->padding - r : r - f->padding;
            int x = RN__BACKWARD(g) ? phase % step + f->padding - c : c - f->padding;
            if (y % step || x % step) continue; /* does not reach this phase */
            y = y / step - g->y.first;
            x = x / step - g->x.first; /* places behind the first that is read */
            taps[count].index = index;
            taps[count++].offset =
                y * g->scratch_row +
                (x % g->x.phases * g->phase_columns + x / g->x.phases) * RN__BLOCK;
        }
    }
    phase_taps[phases] = count;
    g->taps = taps;
    g->phase_taps = phase_taps;
}

/* Does it go through Winograd's transforms? Never in small builds, which have none. */
static int rn__is_winograd(const rn__geometry *g) { return !RN__SMALL && g->winograd; }

/* Matrices of weights of a pair of blocks: Winograd's are multiplied one by one. */
static int rn__matrices(const rn__geometry *g) { return rn__is_winograd(g) ? RN__MATRICES : 1; }

/* Floats of a block of the scratch image for `rows` rows of the output. */
static ptrdiff_t rn__scratch_block(const rn__geometry *g, int rows) {
    return g->scratch_row * ((ptrdiff_t)(rows - 1) * g->y.phases + g->y.reach);
}

/* Tiles in Winograd's form are [36][block][tile][16]: floats between two of the 36. They lie a
   cache line farther apart than they must, or all would fall into the same few sets of the first
   cache. */
static int rn__matrix_step(int blocks, int tiles) { return (blocks * tiles + 1) * RN__BLOCK; }

/* The rows are cut into bands whose input stays in the second cache; into more of them, and then
   into slices, if there are fewer images than workers. But each job reads its input anew, so that
   there are no more than it takes; and Winograd's bands must have the tiles that a kernel takes at
   a time, or a job gets several images for them.

   So a 1x1 convolution that reads 64 channels of 32 x 32 pixels, 8 KB a row, has bands of 16 rows,
   2 an image; one of 16 channels has a band an image, and so have all with fewer pixels. Winograd's
   at 8 x 8 pixels take 4 images a job, for 16 tiles. For one image and 2 workers, those at 32 x 32
   pixels have 2 bands, and those at 16 x 16 or 8 x 8, which have too few tiles for that, 2
   slices. */
static rn__split rn__find_split(const rn__geometry *g, int n, int h, int workers) {
    const int most = g->in_c > RN__WIDE_CHANNELS ? RN__MOST_TILES : RN__KERNEL_TILES;
    const int wanted = rn__divide_up(workers, rn__max(n, 1));
    const ptrdiff_t least = RN__LEAST_ROWS;
    ptrdiff_t fit = RN__BAND_FLOATS / (g->scratch_row * g->in_blocks * g->y.phases);
    rn__split s = {0, 0, 0, 1, 0, 0, 0, 0};
    s.rows = rn__divide_up(rn__divide_up(h, g->out_step), g->edge) * g->edge;
    fit = fit < least ? least : fit > s.rows ? s.rows : fit; /* rows of a band */
    s.bands = rn__divide_up(s.rows, (int)fit);
    s.bands = rn__max(s.bands, rn__min(wanted, s.rows / RN__LEAST_ROWS)); /* one for each worker */
    if (rn__is_winograd(g)) {
        const int pixels = RN__KERNEL_TILES * RN__EDGE * RN__EDGE;
        int tiles;
        s.bands = rn__min(s.bands, rn__max(1, s.rows * g->columns / pixels));
        tiles = rn__divide_up(s.rows / RN__EDGE, s.bands) * (g->columns / RN__EDGE);
        if (s.bands == 1) s.images = rn__max(1, rn__min(most / tiles, n));
        s.tiles = rn__min(most, tiles * s.images);
        s.in_matrix = rn__matrix_step(g->in_blocks, s.tiles);
        s.out_matrix = rn__matrix_step(rn__min(2, g->out_blocks), s.tiles); /* of a pair */
    }
    s.slices = rn__min(rn__divide_up(wanted, s.bands), g->out_blocks);
    return s;
}

/* The first row of band b, and the most rows of a band: bands are equal, but for a tile's rows. */
static int rn__band_row(const rn__geometry *g, const rn__split *s, int b) {
    return b * (s->rows / g->edge) / s->bands * g->edge;
}

static int rn__band_rows(const rn__geometry *g, const rn__split *s) {
    return rn__divide_up(s->rows / g->edge, s->bands) * g->edge;
}

static float *rn__carve_floats(rn__arena *arena, size_t count, size_t floats) {
    return (float *)rn__carve(arena, count, rn__multiply_size(floats, sizeof(float)));
}

/* Sets count x floats floats aside in an arena that is only measured: where they begin. */
static size_t rn__reserve(rn__arena *arena, size_t count, size_t floats) {
    const size_t at = arena->used;
    rn__carve_floats(arena, count, floats);
    return at;
}

/* What a thread has of its own. A single thread's lines cannot wander, and take less memory among
   the rest. */
static rn__arena *rn__own_arena(rn__room *room, int threads) {
    return threads > 1 ? &room->own : &room->shared;
}

/* The plan of forward or input gradient, from its geometry, for n images of h rows. The bytes are
   those of one worker, who needs the most of his own. All weights are packed at once if they take
   no more floats than RN__PACKED_FLOATS, or than `images`, which all input and output have. */
static rn__value_plan rn__find_value_plan(const rn__geometry *g, int n, int h, int threads,
                                          int copies, size_t images, rn__room *room) {
    const size_t blocks = (size_t)g->out_blocks, least = RN__PACKED_FLOATS;
    const size_t fit = (images > least && !RN__SMALL ? images : least) / g->block_floats;
    rn__arena *shared = &room->shared, *own = rn__own_arena(room, threads);
    const rn__split s = rn__find_split(g, n, h, 1);
    rn__value_plan plan;
    memset(&plan, 0, sizeof plan);
    plan.geometry = *g;
    plan.splits[0] = s, plan.splits[1] = rn__find_split(g, n, h, threads);
    plan.n = n, plan.h = h;
    plan.packed_blocks = fit < blocks ? rn__max(1, (int)fit) : g->out_blocks;
    if (!RN__BACKWARD(g))
        plan.at.bias = rn__reserve(shared, blocks, (size_t)rn__matrices(g) * RN__BLOCK);
    plan.at.weights = rn__reserve(shared, (size_t)plan.packed_blocks, g->block_floats);
    if (copies)
        plan.at.scratch = rn__reserve(own, (size_t)g->in_blocks,
                                      (size_t)rn__scratch_block(g, rn__band_rows(g, &s)));
    plan.at.tiles = rn__reserve(own, RN__MATRICES, (size_t)(s.in_matrix + s.out_matrix));
    return plan;
}

#if RN__TRAINS
/* The plan of the weight gradient but for its memory. g is forward's geometry, which makes oh x ow
   pixels of rows of w; image: floats of one image of x and dy. */
static rn__weight_plan rn__find_weight_plan(const rn__geometry *g, int n, int w, int oh, int ow,
                                            size_t image) {
    const size_t pairs = (size_t)g->in_blocks * (size_t)g->out_blocks;
    const size_t floats = g->block_floats * (size_t)g->out_blocks;
    rn__weight_plan plan;
    rn__split *s = &plan.split;
    size_t fit = RN__PIECE_FLOATS / (image ? image : 1);
    memset(&plan, 0, sizeof plan);
    *s = rn__find_split(g, n, oh, 1);
    s->images = rn__is_winograd(g) ? RN__WINOGRAD_PIECE_IMAGES : RN__PIECE_IMAGES;
    if (rn__is_winograd(g)) {
        const int tiles = s->rows / RN__EDGE * (g->columns / RN__EDGE);
        fit = (size_t)(RN__PIECE_TILES / tiles);
        s->tiles = tiles;
        s->dy_rows = RN__EDGE;
        plan.by_weights = floats > RN__SHARED_FLOATS;
    } else {
        s->dy_rows = rn__max(1, rn__min(RN__DY_PIXELS / rn__max(ow, RN__LEAST_PIXELS), oh));
        plan.by_weights = (n == 1 && w == 1) || /* the rows of a linear layer */
                          (pairs >= RN__SHARED_PAIRS && floats > image);
    }
    while (s->images > 1 && (size_t)s->images > fit) s->images /= 2; /* stays a power of two */
    if (rn__is_winograd(g)) { /* tiles of all images of the piece, one after the other */
        s->tiles = rn__min(RN__WEIGHT_TILES, s->tiles * s->images);
        s->in_matrix = rn__matrix_step(g->in_blocks, s->tiles);
        s->out_matrix = rn__matrix_step(g->out_blocks, s->tiles);
    }
    plan.k_blocks = !plan.by_weights     ? g->out_blocks
                    : rn__is_winograd(g) ? rn__min(RN__SHARED_BLOCKS, g->out_blocks)
                                         : 1;
    fit = RN__PARTIAL_FLOATS / rn__multiply_size(g->pair_floats, pairs); /* buffers */
    plan.buffers = rn__max(1, (int)fit);
    return plan;
}

/* Its memory. A round has as many pieces as fit into RN__PARTIAL_FLOATS, rounded up to a number
   that the workers share evenly: with up to `threads` of them, so many buffers are enough. */
static void rn__lay_out_weights(rn__weight_plan *plan, const rn__geometry *g, int n, int threads,
                                int copies_x, int copies_dy, rn__room *room) {
    const rn__split *s = &plan->split;
    const size_t k = (size_t)g->out_blocks, pairs = k * (size_t)g->in_blocks;
    const int buffers = rn__min(plan->buffers + threads - 1, rn__divide_up(n, s->images));
    const int rows = rn__is_winograd(g) ? rn__band_rows(g, s) : s->dy_rows;
    rn__arena *shared = &room->shared, *own = rn__own_arena(room, threads);
    rn__layout *at = &plan->at;
    if (copies_x)
        at->scratch = rn__reserve(own, (size_t)g->in_blocks, (size_t)rn__scratch_block(g, rows));
    if (copies_dy) at->dy = rn__reserve(own, k, (size_t)(g->columns * s->dy_rows) * RN__BLOCK);
    at->tiles = rn__reserve(own, RN__MATRICES, (size_t)(s->in_matrix + s->out_matrix));
    if (rn__is_winograd(g)) at->dw = rn__reserve(own, (size_t)plan->k_blocks, g->block_floats);
    at->weights = rn__reserve(shared, pairs, g->pair_floats);
    if (!plan->by_weights)
        at->partial = rn__reserve(shared, (size_t)buffers * pairs, g->pair_floats);
    at->bias = rn__reserve(shared, (size_t)n * k, RN__BLOCK);
}

#endif

/* Do the counts of a convolution fit the machine's integers: planes and jobs, and the floats of an
   image, of rows and tiles as a thread reads them, and of packed weights? Asked before any of them
   is worked out. */
static int rn__conv_fits(const rn__filter *f, int n, int h, int w) {
    const rn__wide in_blocks = (rn__wide)rn__blocks(f->c), out_blocks = (rn__wide)rn__blocks(f->k);
    const rn__wide oh = (rn__wide)rn__window_output(h + f->behind, f->r, f->stride, f->padding);
    const rn__wide ow = (rn__wide)rn__window_output(w + f->behind, f->s, f->stride, f->padding);
    const rn__wide height = (rn__wide)h, width = (rn__wide)w, block = RN__BLOCK,
                   images = (rn__wide)n;
    const rn__wide taps = (rn__wide)f->r * (rn__wide)f->s, both = in_blocks + out_blocks + 1;
    const rn__wide step = 4 * (rn__wide)f->stride, integers = (rn__wide)INT_MAX;
    const rn__wide row =
        block * both * (width + ow + 2 * (rn__wide)f->padding + (rn__wide)f->s + step);
    const rn__wide matrices = RN__SMALL || taps >= 10 ? 0 : RN__MATRICES; /* Winograd's have 9 */
    rn__wide most = row * (20 + (rn__wide)f->r + step);
    most = rn__larger(most, block * block * in_blocks * out_blocks * rn__larger(taps, matrices));
    most = rn__larger(most, block * (in_blocks * height * width + out_blocks * oh * ow));
    most = rn__larger(most, (rn__wide)(RN__MATRICES * RN__MOST_TILES) * block * both);
    return most < (rn__wide)(PTRDIFF_MAX / (ptrdiff_t)sizeof(float)) &&
           images * (both + height + oh + 8) < integers && (height + 8) * (width + 8) < integers &&
           (oh + 8) * (ow + 8) < integers && both * (width + ow + 8) * 20 < integers &&
           in_blocks * out_blocks < integers && taps * 2 * block * block < integers;
}

/* Plans a convolution of up to n images of h x w. The taps lie in the arena; without memory it is
   only measured, and the plan tells no more than the workspace. lazy: operands may be lazy. A call
   may have fewer images, and fewer rows if they are read as they lie. */
RN__FUNCTION rn__conv rn__plan_conv(const rn__engine *engine, rn__filter f, int n, int h, int w,
                                    int training, int lazy, rn__arena *arena) {
    const int oh = rn__window_output(h + f.behind, f.r, f.stride, f.padding),
              threads = engine->threads;
    const int ow = rn__window_output(w + f.behind, f.s, f.stride, f.padding);
    const int copies = lazy || !rn__as_it_lies(&f);
    const size_t image =
        rn__add_size(rn__blocked_floats(1, f.c, h, w), rn__blocked_floats(1, f.k, oh, ow));
    const size_t images = rn__multiply_size((size_t)n, image);
    rn__room weights = {{NULL, 0}, {NULL, 0}}, input = weights;
    rn__geometry g;
    rn__conv conv;
    memset(&conv, 0, sizeof conv);
    conv.room[0].shared.used = conv.room[1].shared.used = SIZE_MAX; /* more than there is */
    if (!rn__conv_fits(&f, n, h, w)) return conv;
    conv.room[0].shared.used = 0;
    g = rn__find_geometry(&f, 0, !engine->direct && rn__suits_winograd(&f, 0, oh, ow), ow);
    rn__find_taps(&g, arena);
    conv.forward = rn__find_value_plan(&g, n, oh, threads, copies, images, &conv.room[0]);
#if !RN__TRAINS
    (void)training, (void)weights, (void)input;
    conv.room[1] = conv.room[0];
#else
    if (!training) return conv;
    conv.weights = rn__find_weight_plan(&g, n, w, oh, ow, image);
    rn__lay_out_weights(&conv.weights, &g, n, threads, copies,
                        lazy || (rn__is_winograd(&g) && (oh % RN__EDGE || ow % RN__EDGE)),
                        &weights);
    /* Made at once, image by image, so that what both gradients read is still in cache for the
       second. It pays for 1x1 convolutions, which compute little for what they read, unless their
       weights fill the cache. They are all packed at once then: see the constants. */
    conv.together = f.r * f.s == 1 && !conv.weights.by_weights &&
                    g.block_floats * (size_t)g.out_blocks <= RN__TOGETHER_FLOATS;
    g = rn__find_geometry(&f, 1, !engine->direct && rn__suits_winograd(&f, 1, h, w), w);
    rn__find_taps(&g, arena);
    conv.input =
        rn__find_value_plan(&g, n, h, threads, copies, images, conv.together ? &weights : &input);
    conv.room[1] = rn__larger_room(rn__larger_room(weights, input), conv.room[0]);
#endif
    return conv;
}

/* ---- weights, as stored and as packed -------------------------------------------------------
   Weights are stored by output channel, [K][C][R][S]. The kernels read them in squares of 16 input
   channels x 16 output channels, a square a tap, in just the order in which they need them:

       stored                                   packed, of an output block
       k 0:  c 0: r s | c 1: r s | ..           in block 0: tap 0: [16 c][16 k] | tap 1: ..
       k 1:  c 0: r s | c 1: r s | ..           in block 1: tap 0: ..

   (backward, from dy to dx, k and c change places). rn__pack is all that knows how a weight is
   stored; it copies those of one output channel at a time, as they are or standardised. Gradients
   go back as they are, so that those of standardised weights are gradients by what was packed: see
   rn__standardise_gradients. */

/* Copies `count` weights of an output channel, or gradients of them, which lie so far apart. */
static void rn__copy_weights(float *to, ptrdiff_t to_step, const float *from, ptrdiff_t from_step,
                             int count) {
    for (; count > 0; count--, to += to_step, from += from_step) *to = *from;
}

/* The same, (w - mean) / sigma. */
static void rn__copy_standardised(float *to, ptrdiff_t to_step, const float *from,
                                  ptrdiff_t from_step, int count, const float filter[2]) {
    const float mean = filter[0], inverse = filter[1];
    for (; count > 0; count--, to += to_step, from += from_step) *to = (*from - mean) * inverse;
}

/* Packs rows [row, row + rows) of the taps of a phase, [tap][rows][16], of a pair of blocks (output
   block x in_blocks + input block) from the stored weights. Channels that only fill up a block are
   zero. Or (back_to not NULL) puts gradients back from there to where those are stored. */
static void rn__pack(const rn__geometry *g, int pair, int row, int rows, int phase, float *packed,
                     const rn__weights *weights, float *back_to) {
    const float *stored = weights->weight, *filters = weights->filters;
    const rn__filter *f = &g->filter;
    const int out = pair / g->in_blocks * RN__BLOCK, in = pair % g->in_blocks * RN__BLOCK + row;
    const int back = RN__BACKWARD(g), size = f->r * f->s;
    const int k_first = back ? in : out, c_first = back ? out : in;
    const int k_most = back ? rows : RN__BLOCK, c_most = back ? RN__BLOCK : rows;
    const int k_step = back ? RN__BLOCK : 1, c_step = back ? 1 : RN__BLOCK;
    const int k_count = rn__min(k_most, f->k - k_first), c_count = rn__min(c_most, f->c - c_first);
    const int tap_count = g->phase_taps[phase + 1] - g->phase_taps[phase];
    const rn__tap *taps = g->taps + g->phase_taps[phase];
    if (!back_to && (k_count < k_most || c_count < c_most))
        memset(packed, 0, (size_t)(tap_count * rows * RN__BLOCK) * sizeof(float));
    for (int k = 0; k < k_count; k++)
        for (int t = 0; t < tap_count; t++) {
            const ptrdiff_t at = ((ptrdiff_t)(k_first + k) * f->c + c_first) * size + taps[t].index;
            float *column = packed + t * rows * RN__BLOCK + k * k_step;
            if (back_to)
                rn__copy_weights(back_to + at, size, column, c_step, c_count);
            else if (filters)
                rn__copy_standardised(column, c_step, stored + at, size, c_count,
                                      filters + 2 * (k_first + k));
            else
                rn__copy_weights(column, c_step, stored + at, size, c_count);
        }
}

/* ---- convolutions: a run -------------------------------------------------------------------- */

/* A convolution at work: one way of it, with its operands. */
typedef struct rn__conv_run {
    const rn__engine *engine;
    const rn__kernels *kernels; /* of the engine */
    const rn__geometry *g;      /* of the plan, as the next */
    const rn__layout *at;
    rn__split split;     /* for these images and workers; of a weight gradient the plan's */
    rn__blocked out, in; /* of a weight gradient dy, which is only read here, and x */
    const rn__weights *weights;
    const float *addend;   /* added to the output: itself, or another value of its shape; NULL */
    const rn__task *after; /* to do to every plane when a job has made its planes; NULL */
    const float *bias;     /* as the kernels read it; NULL: none */
    float *packed;         /* weights of output blocks [first_block, last_block) */
    int first_block, last_block;
    /* of a weight gradient: */
    const rn__weight_plan *plan;
    const struct rn__conv_run
        *input;       /* the input gradient, to make of each image first; NULL: not */
    int first, count; /* pieces of this round */
} rn__conv_run;

/* What a job does: bands [band, band_end) of images [n, n_end), for output blocks [k, k_end). */
typedef struct rn__region {
    int n, n_end, band, band_end, k, k_end, thread;
} rn__region;

/* The workspace of a run from byte `at` on: what is common, and what a thread has of its own. */
static float *rn__shared(const rn__engine *engine, size_t at) {
    return (float *)(void *)(engine->workspace + at);
}

/* An array of a thread's own, at `at` bytes from where that begins. */
static float *rn__own(const rn__conv_run *r, size_t at, int thread) {
    const rn__engine *engine = r->engine;
    char *own =
        engine->threads > 1 ? engine->own + (size_t)thread * engine->own_bytes : engine->workspace;
    return (float *)(void *)(own + at);
}

/* Where the packed weights of an output block begin, for a phase of the output. */
static float *rn__packed(const rn__conv_run *r, int block, int phase) {
    return r->packed + (size_t)(block - r->first_block) * r->g->block_floats +
           (ptrdiff_t)r->g->phase_taps[phase] * r->g->in_blocks * RN__BLOCK * RN__BLOCK;
}

/* Packs the weights for one block of the output; Winograd's are transformed, a few rows at a time,
   for they stand on the stack. */
static void rn__pack_job(void *context, int i, int thread) {
    const rn__conv_run *r = (const rn__conv_run *)context;
    const rn__geometry *g = r->g;
    const int block = r->first_block + i, square = RN__BLOCK * RN__BLOCK;
    const int step = g->in_blocks * square, rows = RN__FILTER_ROWS;
    float taps[9 * RN__FILTER_ROWS * RN__BLOCK];
    (void)thread;
    for (int phase = 0; phase < g->out_step * g->out_step; phase++) {
        float *to = rn__packed(r, block, phase);
        for (int pair = block * g->in_blocks; pair < (block + 1) * g->in_blocks; pair++) {
            if (!rn__is_winograd(g)) {
                rn__pack(g, pair, 0, RN__BLOCK, phase, to, r->weights, NULL);
                to += (g->phase_taps[phase + 1] - g->phase_taps[phase]) * square;
            }
            for (int c = 0; c < RN__BLOCK && rn__is_winograd(g); c++, to += RN__BLOCK) {
                if (c % rows == 0) rn__pack(g, pair, c, rows, phase, taps, r->weights, NULL);
                r->kernels->winograd_filter(to, 6 * step, step, taps + c % rows * RN__BLOCK,
                                            3 * rows * RN__BLOCK, rows * RN__BLOCK, 0);
            }
        }
    }
}

/* Row `row` of a plane of the input as a row of the scratch image: phase behind phase, see
   rn__geometry, with zeros for the padding. A lazy value is computed on the way; its padding is
   zero, too, for it pads what the convolution reads. */
static void rn__read_row(const rn__conv_run *r, float *to, int plane, int row) {
    const rn__geometry *g = r->g;
    const int step = g->in_step, w = r->in.w;
    if (row < 0 || row >= r->in.h) {
        memset(to, 0, (size_t)g->scratch_row * sizeof(float));
        return;
    }
    for (int phase = 0; phase < g->x.phases; phase++, to += g->phase_columns * RN__BLOCK) {
        int at = g->x.first + phase; /* column i of this phase is column at + i step of the input */
        /* columns [begin, end) of the phase are in the image, the others in the padding */
        int begin = at < 0 ? rn__min(rn__divide_up(-at, step), g->phase_columns) : 0;
        int end = rn__max(begin, rn__min(rn__divide_up(w - at, step), g->phase_columns));
        memset(to, 0, (size_t)begin * RN__BLOCK * sizeof(float));
        rn__read_pixels(r->kernels, to + begin * RN__BLOCK, &r->in, plane,
                        ((ptrdiff_t)row * w + at + begin * step) * RN__BLOCK, end - begin,
                        (ptrdiff_t)step * RN__BLOCK);
        memset(to + end * RN__BLOCK, 0,
               (size_t)(g->phase_columns - end) * RN__BLOCK * sizeof(float));
    }
}

/* What rows [first, first + rows) of the output read of image n. Where nothing is to be done to it,
   that is the image itself; else it is read into the thread's scratch image. *step floats lie
   between its blocks. */
static const float *rn__read_band(const rn__conv_run *r, int n, int first, int rows, int thread,
                                  ptrdiff_t *step) {
    const rn__geometry *g = r->g;
    const int blocks = g->in_blocks, count = (rows - 1) * g->y.phases + g->y.reach;
    const int as_it_lies = rn__as_it_lies(&g->filter), in_place = as_it_lies && !r->in.lazy;
    float *scratch = rn__own(r, r->at->scratch, thread), *to = scratch;
    *step = in_place ? rn__plane_pixels(&r->in) * RN__BLOCK : rn__scratch_block(g, rows);
    if (in_place) return rn__plane(&r->in, n * blocks) + first * g->scratch_row;
    for (int block = n * blocks; block < (n + 1) * blocks; block++, to += *step)
        if (as_it_lies)
            rn__read_pixels(r->kernels, to, &r->in, block, first * g->scratch_row,
                            (ptrdiff_t)count * r->in.w, RN__BLOCK);
        else
            for (int i = 0; i < count; i++) {
                const int row = (first + i / g->y.phases) * g->in_step + i % g->y.phases;
                rn__read_row(r, to + i * g->scratch_row, block, row + g->y.first);
            }
    return scratch;
}

/* Is the output more than the second cache holds? */
static int rn__is_far(const rn__conv_run *r) {
    return r->out.n * r->g->out_blocks * rn__plane_pixels(&r->out) > RN__NEAR_PIXELS;
}

/* Reading is all memory, and computing none, so some of what will be read is fetched meanwhile: of
   a lazy value the band behind row `last` of image n; and with the output its addend, a page ahead,
   for it is needed now, or what the task behind reads with it, which is needed when that runs. */
static void rn__look_ahead(const rn__conv_run *r, int n, int last, rn__conv_rows *shape) {
    const rn__blocked *in = &r->in;
    const int here = last < r->split.rows; /* the next band is in this image, or in the next */
    const ptrdiff_t at = here ? (ptrdiff_t)last * in->w * RN__BLOCK : 0;
    const float *with = r->addend ? r->addend : r->after ? r->after->x.data : NULL;
    shape->fetch = with ? with - r->out.data : 0;
    if (shape->fetch && r->addend) shape->fetch += RN__PAGE;
    shape->fetches = rn__is_far(r);
    shape->next_block = rn__plane_pixels(in) * RN__BLOCK;
    if (!in->lazy || !rn__as_it_lies(&r->g->filter) || (!here && n + 1 == in->n)) return;
    shape->next[0] = rn__plane(in, (here ? n : n + 1) * r->g->in_blocks) + at;
    shape->nexts = in->lazy == RN__BN_GRADIENT ? 2 : 1;
    if (shape->nexts > 1) shape->next[1] = in->partner + (shape->next[0] - in->data);
}

/* A band of an image, tap by tap. The input blocks are taken in stretches whose weights stay in the
   first cache, each of which goes on with the sums in the output; unless the output is also what is
   added at the end. */
static void rn__direct_band(const rn__conv_run *r, const rn__region *job) {
    const rn__geometry *g = r->g;
    const int blocks = g->in_blocks, step = g->out_step, in_place = r->addend == r->out.data;
    const int first = rn__band_row(g, &r->split, job->band);
    const int last = rn__band_row(g, &r->split, job->band + 1);
    const int stretches = rn__divide_up(blocks * g->filter.r * g->filter.s, RN__L1_TAPS);
    const int stretch = in_place ? blocks : rn__divide_up(blocks, stretches);
    const float *in;
    rn__conv_rows shape;
    memset(&shape, 0, sizeof shape);
    shape.matrices = 1;
    shape.in_row = g->scratch_row * g->y.phases; /* phases of rows take turns */
    shape.out_pixel = (ptrdiff_t)step * RN__BLOCK;
    shape.out_row = shape.out_pixel * r->out.w;
    shape.addend = r->addend ? r->addend - r->out.data : 0;
    shape.pair_weight = (ptrdiff_t)g->block_floats;
    shape.pair_out = rn__plane_pixels(&r->out) * RN__BLOCK;
    shape.pair_bias = RN__BLOCK;
    in = rn__read_band(r, job->n, first, last - first, job->thread, &shape.in_block);
    if (!RN__SMALL) rn__look_ahead(r, job->n, last, &shape);
    if (stretch < blocks) shape.nexts = 0; /* blocks would be counted anew in each */
    for (int k = job->k; k < job->k_end; k += 1 + shape.paired, shape.nexts = 0)
        for (int phase = 0; phase < step * step; phase++) { /* one, unless a stride is undone */
            const int y = phase / step, x = phase % step;   /* its first pixel of the output */
            const float *weight = rn__packed(r, k, phase);
            float *out = rn__plane(&r->out, job->n * g->out_blocks + k);
            shape.paired = r->kernels->pairs && k + 1 < job->k_end;
            shape.taps = g->taps + g->phase_taps[phase];
            shape.tap_count = g->phase_taps[phase + 1] - g->phase_taps[phase];
            shape.rows = rn__min(last, rn__divide_up(r->out.h - y, step)) - first;
            shape.pixels = rn__divide_up(r->out.w - x, step);
            if (shape.rows <= 0 || shape.pixels <= 0) continue; /* no such phase */
            out += ((ptrdiff_t)(first * step + y) * r->out.w + x) * RN__BLOCK;
            for (int b = 0; b < blocks;
                 b += stretch, weight += stretch * shape.tap_count * RN__BLOCK * RN__BLOCK) {
                shape.resume = b > 0; /* the stretch before left its sums in the output */
                shape.adds = r->addend && b + stretch >= blocks;
                shape.blocks = rn__min(stretch, blocks - b);
                shape.last = rn__min(RN__BLOCK, r->in.c - (b + shape.blocks - 1) * RN__BLOCK);
                r->kernels->conv_rows(out, &shape, in + b * shape.in_block, weight,
                                      r->bias ? r->bias + k * RN__BLOCK : NULL);
            }
        }
}

/* ---- Winograd F(4x4, 3x3) -------------------------------------------------------------------
   A tile is 4 x 4 pixels of the output, which read 6 x 6 of the input. The tiles of a job are taken
   some at a time, so that their 36 matrix products have enough rows for the kernel:

       6 x 6 pixels  --- B^T x B --->  tiles [36][in block][tile][16]
                                          |   36 products, C x K weights each
       4 x 4 pixels  <-- A^T m A ----  tiles [36][out block][tile][16]

   The weight gradient goes the other way: dy's tiles through A, 36 products of both kinds of tiles
   summed over all tiles, and the sums through G^T into 3 x 3 taps. */

/* Some tiles that are transformed and multiplied together. */
typedef struct rn__tiles {
    float *in, *out; /* transformed: what the tiles read; products, or what dy has there */
    int count;
    struct {
        int n, y, x; /* the image and the first pixel */
    } at[RN__MOST_TILES];
} rn__tiles;

/* Writes the output's pixels in a block, from its products; a tile that hangs over the edge goes
   through a buffer. */
RN__APART void rn__winograd_pixels(const rn__conv_run *r, const rn__tiles *tiles, int block,
                                   const float *products) {
    const ptrdiff_t row = (ptrdiff_t)r->out.w * RN__BLOCK, step = r->split.out_matrix;
    float edge[RN__EDGE * RN__EDGE * RN__BLOCK];
    for (int t = 0; t < tiles->count; t++, products += RN__BLOCK) {
        const int y = tiles->at[t].y, x = tiles->at[t].x;
        const int rows = rn__min(RN__EDGE, r->out.h - y), columns = rn__min(RN__EDGE, r->out.w - x);
        const int whole = rows == RN__EDGE && columns == RN__EDGE;
        float *out =
            rn__plane(&r->out, tiles->at[t].n * r->g->out_blocks + block) + y * row + x * RN__BLOCK;
        r->kernels->winograd_output(whole ? out : edge, whole ? row : RN__EDGE * RN__BLOCK,
                                    RN__BLOCK, products, 6 * step, step, whole && r->addend);
        for (int i = 0; i < rows && !whole; i++, out += row)
            r->kernels->add(out, edge + i * RN__EDGE * RN__BLOCK, r->addend ? out : NULL, columns,
                            0);
    }
}

/* Multiplies the transformed tiles with the weights of output blocks [k, k_end), a pair of blocks
   at a time if the kernels take pairs, and writes the output. */
static void rn__winograd_products(const rn__conv_run *r, const rn__tiles *tiles, int k, int k_end) {
    const rn__geometry *g = r->g;
    const rn__tap tap = {0, 0};
    rn__conv_rows shape;
    memset(&shape, 0, sizeof shape);
    shape.taps = &tap;
    shape.tap_count = shape.rows = 1;
    shape.blocks = g->in_blocks;
    shape.last = r->in.c - (g->in_blocks - 1) * RN__BLOCK;
    shape.pixels = tiles->count;
    shape.in_block = shape.pair_out = (ptrdiff_t)r->split.tiles * RN__BLOCK;
    shape.out_pixel = RN__BLOCK;
    /* all matrices in one call as long as the weights stay in cache, tile after tile */
    shape.matrices = g->in_blocks > RN__MATRICES_BLOCKS ? 1 : RN__MATRICES;
    shape.in_matrix = r->split.in_matrix;
    shape.out_matrix = r->split.out_matrix;
    shape.pair_weight = (ptrdiff_t)g->block_floats;
    shape.pair_bias = RN__MATRICES * RN__BLOCK;
    for (; k < k_end; k += 1 + shape.paired) {
        const float *weight = rn__packed(r, k, 0);
        shape.paired = r->kernels->pairs && k + 1 < k_end;
        for (int m = 0; m < RN__MATRICES; m += shape.matrices)
            r->kernels->conv_rows(tiles->out + m * shape.out_matrix, &shape,
                                  tiles->in + m * shape.in_matrix,
                                  weight + (ptrdiff_t)m * g->in_blocks * RN__BLOCK * RN__BLOCK,
                                  r->bias ? r->bias + (k * RN__MATRICES + m) * RN__BLOCK : NULL);
        for (int i = 0; i <= shape.paired; i++)
            rn__winograd_pixels(r, tiles, k + i, tiles->out + i * shape.pair_out);
    }
}

/* Adds the sums of products of x and dy to the weight gradient dw of output blocks [k, k_end): tap
   by tap, or of transformed ones matrix by matrix. */
static void rn__outer(const rn__conv_run *r, rn__outer_rows shape, float *dw, int k, int k_end,
                      const float *x, const float *dy) {
    const rn__geometry *g = r->g;
    const int count = rn__is_winograd(g) ? RN__MATRICES : g->filter.r * g->filter.s;
    for (; k < k_end; k++)
        for (int c = 0; c < g->in_blocks; c++) {
            const float *from = x + c * shape.x_block, *by = dy + k * shape.dy_block;
            shape.channels = rn__min(RN__BLOCK, r->in.c - c * RN__BLOCK);
            for (int t = 0; t < count; t++, dw += RN__BLOCK * RN__BLOCK, by += r->split.out_matrix)
                r->kernels->conv_weight(
                    dw, &shape,
                    from + (rn__is_winograd(g) ? t * r->split.in_matrix : g->taps[t].offset), by);
        }
}

/* Makes the output of the job's tiles, or adds to their weight gradient dw. */
static void rn__multiply_tiles(const rn__conv_run *r, const rn__region *job, rn__tiles *tiles,
                               float *dw) {
    const ptrdiff_t block = (ptrdiff_t)r->split.tiles * RN__BLOCK;
    const rn__outer_rows shape = {1, tiles->count, 0, 0, 0, block, block};
    if (dw)
        rn__outer(r, shape, dw, job->k, job->k_end, tiles->in, tiles->out);
    else
        rn__winograd_products(r, tiles, job->k, job->k_end);
    tiles->count = 0;
}

/* Rows [first, first + rows) of image n of dy, the job's blocks, as rn__read_band gives those of x:
   in their place or, if they are lazy or do not fill up tiles, copied, with zeros beyond the
   edge. */
static const float *rn__read_dy(const rn__conv_run *r, const rn__region *job, int n, int first,
                                int rows, ptrdiff_t *step) {
    const rn__blocked *dy = &r->out;
    const int blocks = r->g->out_blocks, columns = r->g->columns;
    const int there = rn__min(rows, dy->h - first);
    const int lines = columns == dy->w ? there : 1; /* read at a time */
    /* tiles that hang over the edge need zeros there */
    const int in_place = !dy->lazy && dy->h % r->g->edge == 0 && dy->w % r->g->edge == 0;
    const ptrdiff_t row = (ptrdiff_t)dy->w * RN__BLOCK, to = (ptrdiff_t)columns * RN__BLOCK;
    float *copy = rn__own(r, r->at->dy, job->thread);
    *step = in_place ? row * dy->h : to * r->split.dy_rows; /* from block to block */
    if (in_place) return rn__plane(dy, n * blocks) + first * row;
    for (int k = job->k; k < job->k_end; k++) {
        if (to > row || there < rows)
            memset(copy + k * *step, 0, (size_t)(to * rows) * sizeof(float));
        for (int y = 0; y < there; y += lines)
            rn__read_pixels(r->kernels, copy + k * *step + y * to, dy, n * blocks + k,
                            (first + y) * row, (ptrdiff_t)lines * dy->w, RN__BLOCK);
    }
    return copy;
}

/* Fetches the pixels of a tile of the output, which lie in four places, so that they are there when
   its products are written. Inlined, or gcc takes it for a call without effect. */
RN__INLINE void rn__fetch_tile(const rn__conv_run *r, int n, int block, int y, int x) {
    const ptrdiff_t row = (ptrdiff_t)r->out.w * RN__BLOCK;
    const float *at;
    if (y + RN__EDGE > r->out.h || x + RN__EDGE > r->out.w) return; /* goes through a buffer */
    at = rn__plane(&r->out, n * r->g->out_blocks + block) + y * row + x * RN__BLOCK;
    for (int i = 0; i < 16; i++) RN__PREFETCH(at + i / 4 * row + i % 4 * RN__BLOCK);
}

/* Walks over the tiles of a job: to make the output, or to add to its weight gradient dw. */
static void rn__winograd_walk(const rn__conv_run *r, const rn__region *job, float *dw) {
    const rn__geometry *g = r->g;
    const rn__split *s = &r->split;
    const ptrdiff_t block = (ptrdiff_t)s->tiles * RN__BLOCK,
                    row = (ptrdiff_t)g->columns * RN__BLOCK;
    const ptrdiff_t step = s->in_matrix, step_dy = s->out_matrix;
    const int fetches = !dw && rn__is_far(r);
    rn__tiles tiles;
    tiles.in = rn__own(r, r->at->tiles, job->thread);
    tiles.out = tiles.in + RN__MATRICES * step;
    tiles.count = 0;
    for (int n = job->n; n < job->n_end; n++)
        for (int b = job->band; b < job->band_end; b++) {
            const int first = rn__band_row(g, s, b), last = rn__band_row(g, s, b + 1);
            ptrdiff_t in_block, dy_block = 0;
            const float *in = rn__read_band(r, n, first, last - first, job->thread, &in_block);
            const float *dy = NULL;
            for (int y = first; y < last; y += RN__EDGE, in += RN__EDGE * g->scratch_row) {
                if (dw) dy = rn__read_dy(r, job, n, y, RN__EDGE, &dy_block);
                for (int x = 0; x < g->columns; x += RN__EDGE) {
                    const int t = tiles.count++;
                    float *to = tiles.in + t * RN__BLOCK, *to_dy = tiles.out + t * RN__BLOCK;
                    tiles.at[t].n = n, tiles.at[t].y = y, tiles.at[t].x = x;
                    for (int k = 0; k < g->in_blocks; k++)
                        r->kernels->winograd_input(to + k * block, 6 * step, step,
                                                   in + k * in_block + x * RN__BLOCK,
                                                   g->scratch_row, RN__BLOCK, 0);
                    for (int k = job->k; k < job->k_end && fetches; k++)
                        rn__fetch_tile(r, n, k, y, x);
                    for (int k = job->k; k < job->k_end && dw; k++)
                        r->kernels->winograd_gradient(to_dy + k * block, 6 * step_dy, step_dy,
                                                      dy + k * dy_block + x * RN__BLOCK, row,
                                                      RN__BLOCK, 0);
                    if (tiles.count == s->tiles) rn__multiply_tiles(r, job, &tiles, dw);
                }
            }
        }
    /* the last, fewer ones; until here they were gathered across rows, bands and images */
    if (tiles.count) rn__multiply_tiles(r, job, &tiles, dw);
}

/* ---- output and input gradient -------------------------------------------------------------- */

/* Job i: its slice of the output blocks changes first, then its band, then its images, so that
   threads that work at the same time read the same images. */
static void rn__conv_job(void *context, int i, int thread) {
    const rn__conv_run *r = (const rn__conv_run *)context;
    const rn__split *s = &r->split;
    const int slice = i % s->slices, band = i / s->slices % s->bands;
    const int blocks = r->last_block - r->first_block, all = r->g->out_blocks;
    const int n = i / s->slices / s->bands * s->images, n_end = rn__min(n + s->images, r->in.n);
    const int k = r->first_block + slice * blocks / s->slices;
    const int k_end = r->first_block + (slice + 1) * blocks / s->slices;
    const rn__region job = {n, n_end, band, band + 1, k, k_end, thread};
    if (rn__is_winograd(r->g))
        rn__winograd_walk(r, &job, NULL);
    else
        rn__direct_band(r, &job);
    for (int plane = n * all; plane < n_end * all && r->after; plane++)
        if (plane % all >= k && plane % all < k_end) r->after->job(r->after, plane);
}

/* A run that is ready but for its packed weights and bias, and for what a weight gradient sets
   itself. after is done by the jobs, if they make whole planes; else r.after is NULL, and the
   caller has to do it. */
static rn__conv_run rn__start_run(const rn__engine *engine, const rn__value_plan *plan,
                                  const rn__weights *weights, rn__blocked out, rn__blocked in,
                                  const float *addend, const rn__task *after) {
    const int workers = engine->workers, all = workers == engine->threads;
    const int planned = out.n == plan->n && out.h == plan->h && (all || workers == 1);
    rn__conv_run r;
    memset(&r, 0, sizeof r);
    r.engine = engine;
    r.kernels = engine->kernels;
    r.g = &plan->geometry;
    r.at = &plan->at;
    r.split = planned ? plan->splits[workers > 1] : rn__find_split(r.g, out.n, out.h, workers);
    r.out = out, r.in = in;
    r.weights = weights;
    r.addend = addend;
    /* A slice makes whole planes, too, but while others still read the input: what writes elsewhere
       than into the output might write there. */
    if (r.split.bands == 1 && after && (r.split.slices == 1 || after->y.data == out.data))
        r.after = after;
    r.packed = rn__shared(engine, plan->at.weights);
    return r;
}

/* Packs the weights of the next output blocks. */
static void rn__pack_blocks(rn__conv_run *r, int most) {
    r->first_block = r->last_block;
    r->last_block = rn__min(r->g->out_blocks, r->first_block + most);
    rn__parallel(r->engine->team, r->engine->workers, r->last_block - r->first_block, rn__pack_job,
                 r);
}

/* Runs for all output blocks: at once, if their weights are packed beforehand or fit together. */
static void rn__run_conv(rn__conv_run *r, const float *packed, int packed_blocks) {
    const rn__split *s = &r->split;
    const int jobs = rn__divide_up(r->out.n, s->images) * s->bands * s->slices;
    if (packed) r->packed = (float *)packed; /* only read */
    do {
        if (packed)
            r->last_block = r->g->out_blocks;
        else
            rn__pack_blocks(r, packed_blocks);
        rn__parallel(r->engine->team, r->engine->workers, jobs, rn__conv_job, r);
    } while (r->last_block < r->g->out_blocks);
}

/* May forward add any value to its output? Winograd's adds only what is there. */
static int rn__adds_others(const rn__conv *conv) {
    return !rn__is_winograd(&conv->forward.geometry);
}

/* y = the convolution of x, plus the bias, plus addend: y itself or, see above, another value of
   its shape; or NULL. after->job is called for every plane of y, while that is in cache if the jobs
   make whole planes (NULL: not).

   The bias is laid out as the kernels read it. Column 1 of A^T is all ones, so that a bias at
   (1, 1) of the 6 x 6 products reaches all outputs of a tile. */
RN__FUNCTION void rn__conv_forward(const rn__engine *engine, const rn__conv *conv,
                                   const rn__weights *weights, rn__blocked y, rn__blocked x,
                                   const float *addend, rn__task *after) {
    rn__conv_run r = rn__start_run(engine, &conv->forward, weights, y, x, addend, after);
    const int matrices = rn__matrices(r.g), at = rn__is_winograd(r.g) ? 7 : 0;
    float *bias = rn__shared(engine, r.at->bias);
    if (weights->bias) {
        r.bias = bias;
        memset(bias, 0, (size_t)(r.g->out_blocks * matrices) * RN__BLOCK * sizeof(float));
        for (int c = 0; c < y.c; c++)
            bias[(c / RN__BLOCK * matrices + at) * RN__BLOCK + c % RN__BLOCK] = weights->bias[c];
    }
    rn__run_conv(&r, weights->packed, conv->forward.packed_blocks);
    if (after && !r.after) rn__run_task(after);
}

/* What rn_freeze keeps of a convolution. */
static size_t rn__packed_floats(const rn__conv *conv) {
    const rn__geometry *g = &conv->forward.geometry;
    return (size_t)g->out_blocks * g->block_floats;
}

/* Packs all weights for forward into `packed`, of as many floats as rn__packed_floats says. */
RN__FUNCTION void rn__prepack(const rn__engine *engine, const rn__conv *conv,
                              const rn__weights *weights, float *packed) {
    const rn__blocked none = rn__blocked_in(NULL, 1, 1, 1, 1);
    rn__conv_run r = rn__start_run(engine, &conv->forward, weights, none, none, NULL, NULL);
    r.packed = packed;
    rn__pack_blocks(&r, r.g->out_blocks);
}

#if RN__TRAINS
/* ---- weight gradient ------------------------------------------------------------------------ */

/* The gradient of the weights at work: pieces of images, a round of them at a time.

       piece 0: images 0 .. 7     partial sums 0  \
       piece 1: images 8 .. 15    partial sums 1   >  added to the total in this order
       piece 2: ..                ..              /

   whoever makes which piece, and however many are made at once. */

/* Adds the job's images to the weight gradient dw, tap by tap. */
static void rn__direct_walk(const rn__conv_run *r, const rn__region *job, float *dw) {
    const ptrdiff_t x_row = r->g->scratch_row * r->g->y.phases;
    rn__outer_rows shape = {0, r->out.w, 0, x_row, (ptrdiff_t)r->out.w * RN__BLOCK, 0, 0};
    for (int n = job->n; n < job->n_end; n++)
        for (int y = 0; y < r->out.h; y += shape.rows) {
            const float *x, *dy;
            shape.rows = rn__min(r->split.dy_rows, r->out.h - y);
            x = rn__read_band(r, n, y, shape.rows, job->thread, &shape.x_block);
            dy = rn__read_dy(r, job, n, y, shape.rows, &shape.dy_block);
            rn__outer(r, shape, dw, job->k, job->k_end, x, dy);
        }
}

/* Adds a piece of the images to the weight gradient `to` of output blocks [k, k_end), by taps; with
   their input gradient, image by image. */
static void rn__add_piece(const rn__conv_run *r, int piece, int k, int k_end, float *to,
                          int thread) {
    const rn__conv_run *input = r->input;
    const int images = r->split.images, last = rn__min((piece + 1) * images, r->in.n);
    const int jobs = input ? input->split.bands * input->split.slices : 0; /* of an image */
    const int square = RN__BLOCK * RN__BLOCK, rows = (k_end - k) * r->g->in_blocks * RN__BLOCK;
    float *dw = rn__is_winograd(r->g) ? rn__own(r, r->at->dw, thread) : to;
    rn__region job = {0, 0, 0, r->split.bands, k, k_end, thread};
    if (rn__is_winograd(r->g))
        memset(dw, 0, (size_t)(k_end - k) * r->g->block_floats * sizeof(float));
    for (job.n = piece * images; job.n < last; job.n = job.n_end) {
        job.n_end = input ? job.n + 1 : last; /* dy and x are in cache for the second gradient */
        for (int i = 0; i < jobs; i++) rn__conv_job((void *)input, job.n * jobs + i, thread);
        if (rn__is_winograd(r->g))
            rn__winograd_walk(r, &job, dw);
        else
            rn__direct_walk(r, &job, dw);
    }
    for (int c = 0; c < rows && rn__is_winograd(r->g); c++, to += RN__BLOCK, dw += RN__BLOCK) {
        r->kernels->winograd_weight(to, 3 * square, square, dw, 6 * square, square, 1);
        /* behind the last row of a square, over the other 8 taps, or the other 35 matrices */
        if (c % RN__BLOCK == RN__BLOCK - 1) to += 8 * square, dw += 35 * square;
    }
}

/* The total of pairs [pair, end) out of the stored gradient, or back into it. */
static void rn__move_total(const rn__conv_run *r, int pair, int end, int back) {
    float *total = rn__shared(r->engine, r->at->weights), *dweight = r->weights->dweight;
    const size_t floats = r->g->pair_floats;
    rn__weights stored = *r->weights;
    stored.weight = dweight, stored.filters = NULL;
    for (; pair < end; pair++)
        rn__pack(r->g, pair, 0, RN__BLOCK, 0, total + (size_t)pair * floats, &stored,
                 back ? dweight : NULL);
}

/* A part of the weights over all images, or a piece of the images. */
static void rn__weight_job(void *context, int i, int thread) {
    const rn__conv_run *r = (const rn__conv_run *)context;
    const int in_blocks = r->g->in_blocks, shared = r->plan->by_weights;
    const int k = shared ? i * r->plan->k_blocks : 0;
    const int k_end = rn__min(k + r->plan->k_blocks, r->g->out_blocks);
    const int first = shared ? 0 : r->first + i;
    const int end = shared ? rn__divide_up(r->in.n, r->split.images) : first + 1;
    const size_t floats = r->g->pair_floats * (size_t)in_blocks; /* of an output block */
    float *to = rn__shared(r->engine, shared ? r->at->weights : r->at->partial);
    to += (size_t)(shared ? k : i * k_end) * floats;
    if (shared)
        rn__move_total(r, k * in_blocks, k_end * in_blocks, 0);
    else
        memset(to, 0, (size_t)k_end * floats * sizeof(float));
    for (int piece = first; piece < end; piece++) rn__add_piece(r, piece, k, k_end, to, thread);
    if (shared) rn__move_total(r, k * in_blocks, k_end * in_blocks, 1);
}

/* Adds the pieces of a round to the total of a pair of blocks. That comes out of the gradient
   before the first round, and goes back into it after the last one. */
static void rn__fold_job(void *context, int pair, int thread) {
    const rn__conv_run *r = (const rn__conv_run *)context;
    const size_t floats = r->g->pair_floats, at = (size_t)pair * floats;
    const size_t all = floats * (size_t)(r->g->in_blocks * r->g->out_blocks);
    float *total = rn__shared(r->engine, r->at->weights) + at;
    const float *partial = rn__shared(r->engine, r->at->partial) + at;
    (void)thread;
    if (!r->first) rn__move_total(r, pair, pair + 1, 0);
    for (int i = 0; i < r->count; i++, partial += all)
        r->kernels->add(total, total, partial, (ptrdiff_t)(floats / RN__BLOCK), 0);
    if ((r->first + r->count) * r->split.images >= r->in.n) rn__move_total(r, pair, pair + 1, 1);
}

/* The sums of a plane of dy. */
static void rn__bias_job(void *context, int plane, int thread) {
    const rn__conv_run *r = (const rn__conv_run *)context;
    (void)thread;
    r->kernels->sum(rn__shared(r->engine, r->at->bias) + (ptrdiff_t)plane * RN__BLOCK,
                    rn__plane(&r->out, plane), rn__plane_pixels(&r->out));
}

/* Adds to the gradients of weights and bias, and makes `input` besides (NULL: not). */
RN__APART void rn__weight_gradient(const rn__engine *engine, const rn__conv *conv,
                                   const rn__weights *weights, rn__blocked dy, rn__blocked x,
                                   const rn__conv_run *input) {
    const rn__weight_plan *plan = &conv->weights;
    const int workers = engine->workers, pieces = rn__divide_up(x.n, plan->split.images);
    const int round = rn__divide_up(plan->buffers, workers) * workers, n = dy.n;
    const int blocks = conv->forward.geometry.out_blocks;
    const float *sums = rn__shared(engine, plan->at.bias);
    rn__conv_run r = rn__start_run(engine, &conv->forward, weights, dy, x, NULL, NULL);
    r.plan = plan, r.at = &plan->at, r.split = plan->split;
    r.input = input;
    if (weights->dweight && plan->by_weights)
        rn__parallel(engine->team, workers, rn__divide_up(blocks, plan->k_blocks), rn__weight_job,
                     &r);
    for (; weights->dweight && !plan->by_weights && r.first < pieces; r.first += r.count) {
        r.count = rn__min(round, pieces - r.first);
        rn__parallel(engine->team, workers, r.count, rn__weight_job, &r);
        rn__parallel(engine->team, workers, blocks * r.g->in_blocks, rn__fold_job, &r);
    }
    if (!weights->dbias) return;
    rn__parallel(engine->team, workers, n * blocks, rn__bias_job, &r);
    for (int i = 0; i < n; i++, sums += blocks * RN__BLOCK) /* image by image, in their order */
        for (int k = 0; k < dy.c; k++) weights->dbias[k] += sums[k];
}

/* The gradients that are wanted: dx.data may be NULL, too. accumulate is dx's; those of weights and
   bias are always added to. after->job is called for every plane of dx. Who makes what:

       together  a job makes whole planes  dx                     dw                 after
       yes       yes                       jobs of dw, each image jobs of dw         in these jobs
       yes       no (several bands)        the same               the same           at the end
       no        yes                       a run                  a second run       in dx's jobs
       no        no                        a run                  a third run        a second run */
RN__FUNCTION void rn__conv_backward(const rn__engine *engine, const rn__conv *conv,
                                    const rn__weights *weights, rn__blocked dx, rn__blocked dy,
                                    rn__blocked x, int accumulate, rn__task *after) {
    const int together = conv->together && dx.data && weights->dweight;
    const float *addend = accumulate ? dx.data : NULL;
    rn__conv_run input;
    if (dx.data) input = rn__start_run(engine, &conv->input, weights, dx, dy, addend, after);
    if (!dx.data || input.after) after = NULL;
    if (together) /* the jobs of the weight gradient make dx, too, for which all is packed */
        rn__pack_blocks(&input, conv->input.packed_blocks);
    else if (dx.data)
        rn__run_conv(&input, NULL, conv->input.packed_blocks);
    if (after && !together) rn__run_task(after);
    if (weights->dweight || weights->dbias)
        rn__weight_gradient(engine, conv, weights, dy, x, together ? &input : NULL);
    if (after && together) rn__run_task(after);
}

#endif /* RN__TRAINS */

/* ---- linear layers --------------------------------------------------------------------------
   A linear layer is a 1 x 1 convolution of one image that has the images of the batch as its rows:

       n images of c x 1 x 1  =  1 image of c x n x 1

   so that its kernels find many pixels for the same weights. */

/* A value of h = w = 1, filling channels and all, as such an image. */
static rn_tensor rn__as_rows(rn__blocked v) {
    rn_tensor t = rn_tensor_in(v.data, 1, rn__blocks(v.c) * RN__BLOCK, v.n, 1);
    t.stride_c = 1;
    t.stride_h = t.c;
    return t;
}

/* Takes the rows from the workspace, and copies them there or (back) from there. */
static rn__blocked rn__take_rows(rn__engine *engine, rn__blocked v, int copy) {
    rn__blocked rows = rn__take(engine, 1, rn__blocks(v.c) * RN__BLOCK, v.n, 1);
    if (copy) rn__block(engine, rows, rn__as_rows(v));
    rows.c = v.c;
    return rows;
}

/* And back: what fills up the last block comes along. */
static void rn__put_rows(const rn__engine *engine, rn__blocked v, rn__blocked rows,
                         int accumulate) {
    rows.c = rn__blocks(v.c) * RN__BLOCK;
    rn__unblock(engine, rn__as_rows(v), rows, accumulate);
}

/* Its plan is that of the convolution, and room for the rows of x, y and their gradients. */
RN__FUNCTION rn__conv rn__plan_linear(const rn__engine *engine, rn__filter f, int n, int training,
                                      rn__arena *arena) {
    const size_t floats =
        rn__add_size(rn__multiply_size((size_t)2, rn__blocked_floats(1, f.c, n, 1)),
                     rn__blocked_floats(1, f.k, n, 1));
    rn__conv conv = rn__plan_conv(engine, f, 1, n, 1, training, 0, arena);
    for (int i = 0; i < 2; i++)
        conv.room[i].shared.used =
            rn__add_size(conv.room[i].shared.used, rn__multiply_size(floats, sizeof(float)));
    return conv;
}

/* y = W x + b for every row. */
RN__FUNCTION void rn__linear_forward(const rn__engine *engine, const rn__conv *conv,
                                     const rn__weights *weights, rn__blocked out, rn__blocked in) {
    rn__engine rest = *engine;
    rn__blocked x = rn__take_rows(&rest, in, 1), y = rn__take_rows(&rest, out, 0);
    rn__conv_forward(&rest, conv, weights, y, x, NULL, NULL);
    rn__put_rows(&rest, out, y, 0);
}

#if RN__TRAINS
/* The images' bias gradients are added one after the other, however many a call has. */
RN__FUNCTION void rn__linear_backward(const rn__engine *engine, const rn__conv *conv,
                                      const rn__weights *weights, rn__blocked dx, rn__blocked dy,
                                      rn__blocked x, int accumulate) {
    rn__engine rest = *engine;
    rn__blocked in = rn__take_rows(&rest, x, 1), g = rn__take_rows(&rest, dy, 1);
    rn__blocked to = rn__take_rows(&rest, x, 0);
    rn__weights alone = *weights;
    alone.dbias = NULL;
    if (!dx.data) to.data = NULL;
    rn__conv_backward(&rest, conv, &alone, to, g, in, 0, NULL);
    if (dx.data) rn__put_rows(&rest, dx, to, accumulate);
    for (int n = 0; weights->dbias && n < dy.n; n++)
        for (int k = 0; k < dy.c; k++)
            weights->dbias[k] += dy.data[(ptrdiff_t)n * rn__blocks(dy.c) * RN__BLOCK + k];
}
#endif

/* >>fast layers ==============================================================================
   In: blocked values, and an operation of the program. Out: its value, or the gradients of its
   inputs and parameters. All but convolutions go plane by plane, forward and backward in one
   function; and most BNs are no layer at all, but a scale and shift that convolutions apply as they
   read. What a bottleneck unit of the full pre-activation net then does, operation by operation,
   each over the whole batch (a, b: outputs of conv1, conv2; dx, da, db: the gradients of values;
   N(a): a through BN and ReLU; E1 to E3: the gradients of what bn1 to bn3 put out, ReLU included):

       forward    bn1     makes statistics of the moments that were left with x
                  conv1   reads N(x)                 writes a, leaves its moments
                  bn2     makes statistics of these
                  conv2   reads N(a)                 writes b, leaves its moments
                  bn3     makes statistics of these
                  conv3   reads N(b), and x to add   writes x', leaves its moments

       backward   conv3   reads dx', then b for its weights        writes E3, leaves the sums of bn3
                  bn3     makes of these dgamma, dbeta and the coefficients of db
                  conv2   reads db = c(E3, b) twice, for its input's gradient and, in a pass of its
                          own, for its weights, then with N(a)     writes E2, leaves the sums of bn2
                  bn2     makes of these dgamma, dbeta and the coefficients of da
                  conv1   reads da = c(E2, a), then N(x)           writes E1, leaves the sums of bn1
                  bn1     adds its gradient c(E1, x) to dx', which thereby is dx

   1x1 convolutions make both gradients image by image, so that what both read is in cache for the
   second. In stage 1 of ResNet-164 at batch 128 a unit's x has 64 channels of 32x32: a plane of 16
   channels is 64 KB, an image 256 KB, the value 32 MB; a and b have a quarter of that. So nothing
   stays in a cache from one operation to the next, but the weights and what a job works in do. */

/* ---- scale and shift --------------------------------------------------------------------------
   A normalisation is a scale and a shift of each channel, by coefficients that belong to a group of
   images: these functions make them, of statistics, and the statistics of moments. (EvoNorm-S0
   scales x sigmoid(v x), by kernels of its own; all else is as in group norm.) */

/* What there is to know of a normalisation. */
typedef struct rn__norm {
    /* [groups][2][C]: means and biased variances; of norms of each image means and 1 / sigma */
    float *statistics;
    const float *weight, *bias, *gate; /* [C]; gate: EvoNorm's v, else NULL */
    float *dweight, *dbias, *dgate;    /* [C], added to */
    rn__wide eps;
    float factor; /* of the output, see rn__factor_of; in inference alone */
    int group;    /* images that share statistics; 0: all */
    int channels; /* that share them, too; 0: a batch norm, whose channels stand alone */
} rn__norm;

/* [blocks] coefficients of c channels by one group's statistics. */
RN__FUNCTION void rn__make_coefficients(rn__coefficients *made, int c, const float *statistics,
                                        const rn__norm *norm) {
    memset(made, 0, (size_t)rn__blocks(c) * sizeof *made);
    for (int first = 0; first < c; first += RN__BLOCK, made++) {
        const int count = rn__min(RN__BLOCK, c - first);
        const float *mean = statistics + first, *spread = mean + c;
        const float *weight = norm->weight + first, *bias = norm->bias + first;
        for (int i = 0; i < count; i++)
            made->mean[i] = mean[i], made->bias[i] = bias[i] * norm->factor;
        for (int i = 0; i < count && norm->channels; i++) made->scale[i] = weight[i] * spread[i];
        for (int i = 0; i < count && !norm->channels; i++)
            made->scale[i] =
                (float)((rn__wide)weight[i] / rn__sqrt((rn__wide)spread[i] + norm->eps));
        for (int i = 0; i < count; i++) made->scale[i] *= norm->factor;
        /* The fast sigmoid makes a number of a gate that is not finite: the scale shows it. */
        for (int i = 0; i < count && norm->gate; i++)
            if (rn__not_finite(made->a[i] = norm->gate[first + i])) made->scale[i] = made->a[i];
    }
}

/* The output of a BN and of the activation behind it, as the lazy value that coefficients of groups
   of `group` images make of its input. */
static rn__blocked rn__through(rn__blocked in, const rn__coefficients *coefficients, int group,
                               int activation) {
    in.lazy = RN__NORMALISED;
    in.coefficients = coefficients;
    in.group = group;
    in.activation = activation;
    return in;
}

/* A normalisation of x at work, group by group: in the order of groups, moments or sums of planes
   and the coefficients that are made. */
typedef struct rn__groups {
    const rn__norm *norm;
    const rn__blocked *x;
    const float *partial;
    rn__coefficients *made;
} rn__groups;

/* Does a job for each of `count` groups or blocks; a few are not worth another thread. */
static void rn__each_group(const rn__engine *engine, rn__groups *groups, int count, rn__job job) {
    const int few = count < RN__FEW_IMAGES;
    rn__parallel(few ? NULL : engine->team, few ? 1 : engine->workers, count, job, groups);
}

static void rn__coefficients_job(void *context, int g, int thread) {
    const rn__groups *of = (const rn__groups *)context;
    const int c = of->x->c;
    (void)thread;
    rn__make_coefficients(of->made + (ptrdiff_t)g * rn__blocks(c), c,
                          of->norm->statistics + (ptrdiff_t)g * 2 * c, of->norm);
}

/* The same by statistics, of the batch, of each image, or running ones. */
RN__FUNCTION rn__blocked rn__normalised_by(const rn__engine *engine, const rn__norm *norm,
                                           rn__blocked in, int activation) {
    const int size = rn__group_size(norm->group, in.n);
    rn__groups groups = {norm, &in, NULL, engine->handed.forward};
    rn__each_group(engine, &groups, rn__divide_up(in.n, size), rn__coefficients_job);
    return rn__through(in, groups.made, size, activation);
}

/* Where a plane's moments, or backward its sums, are: [RN__SUMS][16]. */
static float *rn__partial_of(const rn__task *task, int plane) {
    return task->partial + (ptrdiff_t)plane * RN__SUMS * RN__BLOCK;
}

/* y = x + z, through a ReLU with `flag`; then its moments, while it is in cache. */
static void rn__add_plane(const rn__task *task, int plane) {
    const ptrdiff_t pixels = rn__plane_pixels(&task->y);
    float *y = rn__plane(&task->y, plane);
    if (task->z.data || task->flag || y != rn__plane(&task->x, plane))
        task->kernels->add(y, rn__plane(&task->x, plane), rn__plane(&task->z, plane), pixels,
                           task->flag);
    if ((RN__TRAINS || RN__HAS_IMAGE_NORM) && task->partial) {
        float *partial = rn__partial_of(task, plane);
        task->kernels->moments(partial, partial + RN__BLOCK, y, pixels);
    }
}

/* The task of an addition, y = x + z (z.data NULL: nothing is added), whose moments then go to
   `partial` (NULL: nowhere). y may be x or z. */
RN__APART rn__task rn__addition(const rn__engine *engine, rn__blocked y, rn__blocked x,
                                rn__blocked z, float *partial) {
    rn__task task = rn__make_task(engine, rn__add_plane);
    task.y = y, task.x = x, task.z = z;
    task.partial = partial;
    return task;
}

/* Writes the lazy x: forward, normalised, plus z through a ReLU if task->flag; backward a gradient.
   The output may be what is read. */
static void rn__materialise_plane(const rn__task *task, int plane) {
    const rn__blocked *x = &task->x;
    const ptrdiff_t pixels = rn__plane_pixels(x);
    float *to = rn__plane(rn__to(task), plane);
    if (RN__BACKWARD(task))
        task->kernels->bn_gradient(to, rn__plane(x, plane), x->partner + plane * pixels * RN__BLOCK,
                                   pixels, rn__coefficients_of(x, plane), x->activation,
                                   task->accumulate);
    else
        task->kernels->normalise(to, rn__plane(x, plane), RN__BLOCK, rn__plane(&task->z, plane),
                                 pixels, rn__coefficients_of(x, plane), x->activation, task->flag);
}

/* Where the first moment, or sum, of channel i of an image is; the others lie 16 apart. */
static const float *rn__moment_of(const float *of_image, int i) {
    const unsigned channel = (unsigned)i;
    return of_image + channel / RN__BLOCK * (RN__SUMS * RN__BLOCK) + channel % RN__BLOCK;
}

/* Means and 1 / sigma of an image's groups of channels, of the moments of its planes. Those of a
   group's channels are merged: its mean is that of their means, and to their squares come those of
   their means' distances, once for each value. */
static void rn__image_statistics_job(void *context, int image, int thread) {
    const rn__groups *of = (const rn__groups *)context;
    const int c = of->x->c, size = of->norm->channels;
    const rn__wide values = (rn__wide)rn__plane_pixels(of->x);
    const float *moments = of->partial + (ptrdiff_t)image * rn__blocks(c) * RN__SUMS * RN__BLOCK;
    float *statistics = of->norm->statistics + (ptrdiff_t)image * 2 * c;
    (void)thread;
    for (int first = 0; first < c; first += size) {
        rn__wide mean = 0, squares = 0;
        float inverse;
        for (int i = first; i < first + size; i++) mean += (rn__wide)*rn__moment_of(moments, i);
        mean /= (rn__wide)size;
        for (int i = first; i < first + size; i++) {
            const float *p = rn__moment_of(moments, i);
            const rn__wide distance = (rn__wide)p[0] - mean;
            squares += (rn__wide)p[RN__BLOCK] + values * distance * distance;
        }
        squares += squares - squares; /* infinite: not a number, which shows; 1 / sigma were 0 */
        inverse = (float)(1 / rn__sqrt(squares / (values * (rn__wide)size) + of->norm->eps));
        for (int i = first; i < first + size; i++) {
            statistics[i] = (float)mean;
            statistics[c + i] = inverse;
        }
    }
}

/* The statistics of a normalisation of `in`, of the moments of planes, which what made `in` has
   handed on (measured) or a pass over it finds. Those of a batch norm are merged image by image
   (Chan et al. 1979): of p values with mean u and squares U about it, and q values with v and V,

       mean = u + (v - u) q / (p + q),    squares = U + V + (v - u)^2 p q / (p + q) */
RN__FUNCTION void rn__bn_statistics(const rn__engine *engine, const rn__norm *norm, rn__blocked in,
                                    int measured) {
    const rn__wide values = (rn__wide)rn__plane_pixels(&in);
    const int size = rn__group_size(norm->group, in.n), blocks = rn__blocks(in.c);
    rn__task task =
        rn__addition(engine, in, in, rn__blocked_in(NULL, 0, 0, 0, 0), engine->handed.partial);
    float *statistics = norm->statistics;
    if (!measured) rn__run_task(&task);
    if (norm->channels) {
        rn__groups images = {norm, &in, task.partial, NULL};
        rn__each_group(engine, &images, in.n, rn__image_statistics_job);
        return;
    }
    if (!RN__TRAINS) return; /* those of the batch */
    for (int first = 0; first < in.n; first += size, statistics += 2 * in.c)
        for (int block = 0; block < blocks; block++) {
            rn__wide count = 0, mean[RN__BLOCK] = {0}, m2[RN__BLOCK] = {0};
            for (int n = first; n < rn__min(first + size, in.n); n++) {
                const float *p = rn__partial_of(&task, n * blocks + block);
                const rn__wide share = values / (count + values), both = count * share;
                count += values;
                for (int c = 0; c < RN__BLOCK; c++) {
                    const rn__wide delta = (rn__wide)p[c] - mean[c];
                    mean[c] += delta * share;
                    m2[c] += (rn__wide)p[RN__BLOCK + c] + delta * delta * both;
                }
            }
            for (int c = 0; c < RN__BLOCK && block * RN__BLOCK + c < in.c; c++) {
                statistics[block * RN__BLOCK + c] = (float)mean[c];
                statistics[in.c + block * RN__BLOCK + c] = (float)(m2[c] / count);
            }
        }
}

/* The sums of a plane (two; of EvoNorm three), for the gradient of the norm that x went through. */
static void rn__bn_sums_plane(const rn__task *task, int plane) {
    const rn__blocked *x = &task->x;
    float *partial = rn__partial_of(task, plane);
    task->kernels->bn_sums(partial, rn__plane(&task->dy, plane), rn__plane(x, plane),
                           rn__plane_pixels(x), rn__coefficients_of(x, plane), x->activation);
}

/* The task that sums g and g (x - mean) of every plane: g is dy where the ReLU behind the BN let
   its value pass, else 0; x the lazy value of rn__through: the BN's input, with the coefficients
   for the mask. */
RN__APART rn__task rn__bn_sums(const rn__engine *engine, rn__blocked dy, rn__blocked x) {
    rn__task task = rn__make_task(engine, rn__bn_sums_plane);
    task.y = task.dy = dy, task.x = x; /* a sum for every plane of y */
    task.partial = engine->handed.partial;
    return task;
}

/* The gradient of a BN's input x, from that of its output, as the lazy value that the coefficients
   handed on make of both. */
static rn__blocked rn__lazy_gradient(const rn__engine *engine, float *dy, rn__blocked x) {
    x.partner = x.data;
    x.data = dy;
    x.lazy = RN__BN_GRADIENT;
    x.coefficients = engine->handed.backward;
    return x;
}

/* Backward of a norm of each image, of the sums of its planes. For group norm, with G and X of a
   channel as in rn__bn_backward and r = 1 / sigma (see the formulas of rn_group_norm_backward),

       dbias += G,    dweight += r X,
       dx = weight r g - r^3 (sum of weight X)/m (x - mean) - r (sum of weight G)/m

   where the sums go over the m values of an image's group of channels. For EvoNorm the sums are of
   dy, dy x s and dy x^2 s (1 - s), the last for its v. First the gradients of a block's parameters.
   They are summed over images in pieces, so that parts of a batch, which are whole pieces, give the
   bits of the batch. */
static void rn__image_gradients_job(void *context, int block, int thread) {
    const rn__groups *of = (const rn__groups *)context;
    const rn__norm *norm = of->norm;
    const int c = of->x->c;
    const ptrdiff_t step = (ptrdiff_t)rn__blocks(c) * RN__SUMS * RN__BLOCK; /* to the next image */
    (void)thread;
    for (int i = block * RN__BLOCK; i < rn__min((block + 1) * RN__BLOCK, c); i++) {
        const float *inverse = norm->statistics + c + i, *p = rn__moment_of(of->partial, i);
        double total[RN__SUMS] = {0, 0, 0};
        for (int n = 0; n < of->x->n; n++, p += step, inverse += 2 * c) {
            total[0] += (double)p[0];
            total[1] += (double)p[RN__BLOCK] * (double)*inverse;
            if (norm->gate)
                total[2] += (double)p[2 * RN__BLOCK] * (double)*inverse * (double)norm->weight[i];
            if ((n + 1) % RN__PIECE_IMAGES && n + 1 < of->x->n) continue;
            norm->dbias[i] += (float)total[0];
            norm->dweight[i] += (float)total[1];
            if (norm->gate) norm->dgate[i] += (float)total[2];
            memset(total, 0, sizeof total);
        }
    }
}

/* Then the coefficients of an image's dx. */
static void rn__image_backward_job(void *context, int image, int thread) {
    const rn__groups *of = (const rn__groups *)context;
    const rn__norm *norm = of->norm;
    const int c = of->x->c, blocks = rn__blocks(c), size = norm->channels;
    const double m = (double)rn__plane_pixels(of->x) * size;
    const float *sums = of->partial + (ptrdiff_t)image * blocks * RN__SUMS * RN__BLOCK;
    const float *inverses = norm->statistics + (2 * image + 1) * (ptrdiff_t)c;
    rn__coefficients *made = of->made + (ptrdiff_t)image * blocks;
    (void)thread;
    for (int first = 0; first < c; first += size) {
        const double inverse = (double)inverses[first];
        double sum_g = 0, sum_gx = 0;
        for (int i = first; i < first + size; i++) {
            const float *p = rn__moment_of(sums, i);
            sum_g += (double)norm->weight[i] * (double)p[0];
            sum_gx += (double)norm->weight[i] * (double)p[RN__BLOCK];
        }
        for (int i = first; i < first + size; i++) {
            rn__coefficients *to = &made[i / RN__BLOCK];
            const int lane = i % RN__BLOCK;
            to->b[lane] = (float)(-inverse * inverse * inverse * sum_gx / m);
            if (norm->gate) continue;
            to->a[lane] = to->scale[lane];
            to->c[lane] = (float)(-inverse * sum_g / m);
        }
    }
}

/* The gradient of the BN's input as a lazy value, from that of its output dy and its input x,
   normalised; dweight and dbias are added to. measured: what made dy has handed on the sums. With
   G and X the sums of g and g (x - mean) over a channel of m values (see rn_batch_norm_backward),

       dbias += G,    dweight += X / root,    dx = s g - (s X / (root^2 m)) (x - mean) - s G / m,

   where root = sqrt(variance + eps) and s = weight / root: three coefficients a, b, c. (In the
   paper's words root is sigma, dbias dbeta, dweight dgamma.) */
RN__FUNCTION rn__blocked rn__bn_backward(const rn__engine *engine, const rn__norm *norm,
                                         rn__blocked dy, rn__blocked x, int measured) {
    const int blocks = rn__blocks(x.c);
    const float *statistics = norm->statistics;
    rn__task task = rn__bn_sums(engine, dy, x);
    rn__coefficients *made = engine->handed.backward;
    if (!measured) rn__run_task(&task);
    /* mean, scale and bias too, for the mask */
    memcpy(made, x.coefficients,
           (size_t)rn__divide_up(x.n, x.group) * (size_t)blocks * sizeof *made);
    if (norm->channels) {
        rn__groups images = {norm, &x, task.partial, made};
        rn__each_group(engine, &images, blocks, rn__image_gradients_job);
        rn__each_group(engine, &images, x.n, rn__image_backward_job);
        return rn__lazy_gradient(engine, dy.data, x);
    }
    for (int first = 0; first < x.n; first += x.group, statistics += 2 * x.c)
        for (int block = 0; block < blocks; block++, made++) {
            const int end = rn__min(first + x.group, x.n), at = block * RN__BLOCK;
            const double values = (double)rn__plane_pixels(&x) * (end - first);
            double sum_g[RN__BLOCK] = {0}, sum_gx[RN__BLOCK] = {0};
            for (int n = first; n < end; n++) {
                const float *partial = rn__partial_of(&task, n * blocks + block);
                for (int c = 0; c < RN__BLOCK; c++) {
                    sum_g[c] += (double)partial[c];
                    sum_gx[c] += (double)partial[RN__BLOCK + c];
                }
            }
            for (int c = 0; c < RN__BLOCK && at + c < x.c; c++) {
                const double inverse = 1 / sqrt((double)statistics[x.c + at + c] + norm->eps);
                const double scale = (double)norm->weight[at + c] * inverse;
                norm->dbias[at + c] += (float)sum_g[c];
                norm->dweight[at + c] += (float)(sum_gx[c] * inverse);
                made->a[c] = (float)scale;
                made->b[c] = (float)(-scale * inverse * inverse * sum_gx[c] / values);
                made->c[c] = (float)(-scale * sum_g[c] / values);
            }
        }
    return rn__lazy_gradient(engine, dy.data, x);
}

/* ---- layers that go plane by plane, both directions in one function ------------------------- */

/* Backward masks by the value y, which is positive where the input was; dx may be dy. */
static void rn__relu_plane(const rn__task *task, int plane) {
    const ptrdiff_t pixels = rn__plane_pixels(&task->y);
    float *y = rn__plane(&task->y, plane);
    if (RN__BACKWARD(task))
        task->kernels->relu_gradient(rn__plane(&task->dx, plane), rn__plane(&task->dy, plane), y,
                                     pixels, task->accumulate);
    else
        task->kernels->add(y, rn__plane(&task->x, plane), NULL, pixels, 1);
}

/* The input, or backward the gradient, times task->factor. */
static void rn__scale_plane(const rn__task *task, int plane) {
    const rn__blocked *to = rn__to(task);
    task->kernels->scale(rn__plane(to, plane), rn__plane(rn__from(task), plane),
                         rn__plane_pixels(to), task->factor, task->accumulate);
}

#if RN__TRAINS
/* x times a mask of 0 and 1, the one of rn_dropout: a draw has the bits of four elements, and
   elements count in NCHW order, so that the mask of a blocked value is the same. */
static void rn__dropout_plane(const rn__task *task, int plane) {
    const rn__blocked *to = rn__to(task);
    const int blocks = rn__blocks(to->c), first = plane % blocks * RN__BLOCK;
    const int lanes = rn__min(RN__BLOCK, to->c - first);
    const uint64_t pixels = (uint64_t)rn__plane_pixels(to);
    const uint64_t channel = (uint64_t)(plane / blocks) * (uint64_t)to->c + (uint64_t)first;
    const uint64_t stream = rn__stream(task->key);
    const uint32_t least = rn__least_kept((double)task->factor);
    float *out = rn__plane(to, plane);
    const float *in = rn__plane(rn__from(task), plane);
    uint64_t i, draws[RN__BLOCK];
    for (i = 0; i < pixels; i++, out += RN__BLOCK, in += RN__BLOCK) {
        float kept[RN__BLOCK] = {0};
        for (int lane = 0; lane < lanes; lane++) {
            const uint64_t at = (channel + (uint64_t)lane) * pixels + i;
            if (at % 4 == 0 || i == 0) draws[lane] = rn__draw(stream, at / 4);
            /* no branch: it would be mispredicted half the time */
            kept[lane] =
                rn__float_of_bits(rn__float_bits(in[lane]) & -rn__keeps(draws[lane], at, least));
        }
        task->kernels->add(out, kept, task->accumulate ? out : NULL, 1, 0);
    }
}
#endif

/* y = x sigmoid(z), or x (1 - sigmoid(z)), which is x sigmoid(-z). */
static void rn__gate_plane(const rn__task *task, int plane) {
    const float *x = rn__plane(&task->x, plane), *z = rn__plane(&task->z, plane);
    const float sign = task->node->complement ? -1.0f : 1.0f;
    const ptrdiff_t pixels = rn__plane_pixels(&task->x);
    if (RN__BACKWARD(task))
        task->kernels->gate_gradient(rn__plane(&task->dx, plane), rn__plane(&task->dz, plane),
                                     rn__plane(&task->dy, plane), x, z, pixels, sign,
                                     task->accumulate, task->accumulate_second);
    else
        task->kernels->gate(rn__plane(&task->y, plane), x, z, pixels, sign);
}

/* Backward the window's largest value, the first of them, gets the gradient: of each of the 16
   channels another. Where the padding's zeros count, a window that reaches over the edge has 0 at
   least, and where that is its value no pixel gets anything. */
static void rn__max_pool_plane(const rn__task *task, int plane) {
    const rn_node *node = task->node;
    const rn__blocked *pooled = RN__BACKWARD(task) ? &task->dy : &task->y;
    const int width = task->x.w;
    const rn_tensor image = rn_tensor_in(NULL, 1, 1, task->x.h, width);
    const float *x = rn__plane(&task->x, plane);
    float *p = rn__plane(pooled, plane), *dx = rn__plane(&task->dx, plane);
    ptrdiff_t best[RN__BLOCK], at;
    if (RN__BACKWARD(task) && !task->accumulate) rn__clear_plane(&task->dx, plane);
    for (int i = 0; i < pooled->h * pooled->w; i++, p += RN__BLOCK) {
        const rn__window v = rn__window_at(i / pooled->w, i % pooled->w, &image, node->kernel,
                                           node->kernel, node->stride, node->padding);
        const int zero = node->zeros && rn__reaches_over(&v, node->kernel);
        at = ((ptrdiff_t)v.h0 * width + v.w0) * RN__BLOCK;
        if (!RN__BACKWARD(task)) {
            task->kernels->largest(p, x + at, v.h1 - v.h0, v.w1 - v.w0,
                                   (ptrdiff_t)width * RN__BLOCK);
            if (zero) task->kernels->add(p, p, NULL, 1, 1);
            continue;
        }
        for (int lane = 0; lane < RN__BLOCK; lane++) best[lane] = at + lane;
        for (int h = v.h0; h < v.h1; h++) {
            at = ((ptrdiff_t)h * width + v.w0) * RN__BLOCK;
            for (int w = v.w0; w < v.w1; w++, at += RN__BLOCK)
                for (int lane = 0; lane < RN__BLOCK; lane++)
                    if (x[at + lane] > x[best[lane]]) best[lane] = at + lane;
        }
        for (int lane = 0; lane < RN__BLOCK; lane++)
            if (!zero || !(x[best[lane]] <= 0)) dx[best[lane]] += p[lane];
    }
}

/* Every pixel under a window gives an equal share to its mean, and gets as much of the gradient. */
static void rn__avg_pool_plane(const rn__task *task, int plane) {
    const rn_node *node = task->node;
    const rn__blocked *pooled = RN__BACKWARD(task) ? &task->dy : &task->y;
    const rn__blocked *image = RN__BACKWARD(task) ? &task->dx : &task->x;
    const rn_tensor size = rn_tensor_in(NULL, 1, 1, image->h, image->w);
    float *p = rn__plane(pooled, plane), *pixels = rn__plane(image, plane);
    if (RN__BACKWARD(task) && !task->accumulate) rn__clear_plane(image, plane);
    for (int i = 0; i < pooled->h * pooled->w; i++, p += RN__BLOCK) {
        const rn__window v = rn__window_at(i / pooled->w, i % pooled->w, &size, node->kernel,
                                           node->kernel, node->stride, 0);
        const float share = 1 / (float)((v.h1 - v.h0) * (v.w1 - v.w0));
        for (int h = v.h0; h < v.h1; h++)
            for (int w = v.w0; w < v.w1; w++) {
                float *at = pixels + ((ptrdiff_t)h * image->w + w) * RN__BLOCK;
                if (RN__BACKWARD(task))
                    task->kernels->scale(at, p, 1, share, 1);
                else
                    task->kernels->scale(p, at, 1, share, h > v.h0 || w > v.w0);
            }
    }
}

/* The mean of a plane; backward each pixel gets an equal share. */
static void rn__global_avg_pool_plane(const rn__task *task, int plane) {
    ptrdiff_t i, pixels = rn__plane_pixels(&task->x);
    float *to = rn__plane(rn__to(task), plane), *from = rn__plane(rn__from(task), plane);
    const float share = 1 / (float)pixels;
    for (i = 0; i < pixels && RN__BACKWARD(task); i++, to += RN__BLOCK)
        task->kernels->scale(to, from, 1, share, task->accumulate);
    if (RN__BACKWARD(task)) return;
    task->kernels->sum(to, from, pixels);
    task->kernels->scale(to, to, 1, share, 0);
}

/* Channel c of y gets channel c - front of x, every stride-th pixel; backward channel c of dx gets
   c + front of dy, its pixels stride apart. */
static void rn__pad_subsample_plane(const rn__task *task, int plane) {
    const rn__blocked *a = rn__to(task), *b = rn__from(task), *smaller = RN__BACKWARD(task) ? b : a;
    const int blocks = rn__blocks(a->c), first = plane % blocks * RN__BLOCK;
    const int front = RN__BACKWARD(task) ? task->node->front : -task->node->front;
    const int a_step = RN__BACKWARD(task) ? task->node->stride : 1;
    const int b_step = RN__BACKWARD(task) ? 1 : task->node->stride;
    if (!task->accumulate) rn__clear_plane(a, plane);
    for (int lane = 0; lane < rn__min(RN__BLOCK, a->c - first); lane++) {
        const int c = first + lane + front;
        float *to = rn__plane(a, plane) + lane;
        const float *from;
        if (c < 0 || c >= b->c) continue;
        from = rn__plane(b, plane / blocks * rn__blocks(b->c) + c / RN__BLOCK) + c % RN__BLOCK;
        for (int h = 0; h < smaller->h; h++)
            for (int w = 0; w < smaller->w; w++)
                to[(h * a->w + w) * (ptrdiff_t)a_step * RN__BLOCK] +=
                    from[(h * b->w + w) * (ptrdiff_t)b_step * RN__BLOCK];
    }
}

/* ---- operations, kind by kind ---------------------------------------------------------------- */

/* For measuring; and at work, in the workspace of a run. */
static rn__engine rn__engine_of(const rn_net *net) {
    rn__engine engine = rn__make_engine(net->executor->kernels, net->desc.threads, NULL);
    engine.direct = net->desc.direct;
    return engine;
}

static rn__engine rn__engine_at_work(const rn__run *run) {
    const rn__executor *x = run->net->executor;
    rn__engine engine = rn__engine_of(run->net);
    engine.workspace = run->workspace + x->statistics_bytes;
    engine.team = run->with.team;
    engine.workers = run->with.workers;
    rn__take_own(&engine, x->own_bytes[run->mode]);
    rn__carve_handed(&engine, x, run->net->part, run->mode);
    return engine;
}

/* What the value of node i, which an addition takes, is multiplied by: in training a unit's
   residual function is whole, in inference it counts as often as it was there. */
static float rn__factor_of(const rn__run *run, int i) {
    const rn__operation *op = rn__operation_of(run->net, i);
    const int survival = op->node == i && !run->alone ? rn__survival_of(run->net, op) : -1;
    return survival < 0 || rn__trains(run, survival) ? 1 : 1 - run->net->nodes[survival].dropout;
}

/* The packed weights or coefficients of node i; NULL: none. */
static float *rn__packed_of(const rn__run *run, int i) {
    const rn__executor *x = run->net->executor;
    return run->mode == RN_INFERENCE && x->prepacked && !run->alone ? x->packed[i] : NULL;
}

/* Images that share statistics of the normalisation at node i; 0: all. */
static int rn__norm_group(const rn__run *run, int i) {
    if (rn__has(&run->net->nodes[i], RN__PER_IMAGE)) return 1;
    return rn__trains(run, i) ? run->net->desc.bn_group : 0;
}

/* The normalisation at node i: by the statistics of each image, of the batch's groups or by running
   ones. */
static rn__norm rn__norm_of(const rn__run *run, int i) {
    const rn__bound of = rn__bind(run, i);
    const rn_node *node = &run->net->nodes[i];
    rn__norm norm;
    norm.statistics = of.statistics;
    norm.weight = of.parameters[RN__WEIGHT], norm.bias = of.parameters[RN__BIAS];
    norm.gate = of.parameters[RN__GATE];
    norm.dweight = of.gradients[RN__WEIGHT], norm.dbias = of.gradients[RN__BIAS];
    norm.dgate = of.gradients[RN__GATE];
    norm.eps = rn__wide_of(run->net->desc.bn_eps);
    norm.factor = rn__factor_of(run, i);
    norm.group = rn__norm_group(run, i);
    norm.channels = rn__has(node, RN__PER_IMAGE) ? node->c / run->net->desc.norm_groups : 0;
    return norm;
}

/* What it makes of a value; by coefficients made beforehand, if rn_freeze made some. */
static rn__blocked rn__normalised_value(const rn__engine *engine, const rn__run *run, int i,
                                        int activation, rn__blocked in) {
    const float *packed = rn__packed_of(run, i);
    rn__norm norm;
    if (packed)
        return rn__through(in, (const rn__coefficients *)(const void *)packed, in.n, activation);
    norm = rn__norm_of(run, i);
    return rn__normalised_by(engine, &norm, in, activation);
}

/* The value or gradient of operation k, at `data`. */
static rn__blocked rn__blocked_operand(const rn__run *run, int k, float *data) {
    const rn_node *node;
    if (k < 0) return rn__blocked_in(NULL, 0, 0, 0, 0);
    node = &run->net->nodes[run->net->executor->operations[k].last];
    return rn__blocked_in(data, run->count, node->c, node->h, node->w);
}

/* Operation k with its operands; what it does to every plane is the kind's to say. */
RN__APART rn__task rn__task_of(const rn__run *run, int k, int backward) {
    const rn__operation *op = &run->net->executor->operations[k];
    const rn__engine engine = rn__engine_at_work(run);
    const int read = rn__read_of(run->net, op);
    rn__task p;
    p = rn__make_task(&engine, NULL);
    p.run = run;
    p.k = k;
    p.op = op;
    p.node = rn__first_node(run->net, op);
    p.training = rn__trains(run, p.op->node);
    p.backward = backward;
    p.y = rn__blocked_operand(run, k, rn__value_at(run, k));
    p.x = rn__blocked_operand(run, read, rn__value_at(run, read));
    p.z = rn__blocked_operand(run, op->inputs[1], rn__value_at(run, op->inputs[1]));
    if (op->read_by >= 0 && !rn__is_left_out(op, run->place))
        p.x = rn__normalised_value(&engine, run, op->read_by, op->activation, p.x);
    if (!backward) return p;
    p.dy = rn__blocked_operand(run, k, rn__gradient_at(run, k));
    p.dx = rn__blocked_operand(run, op->inputs[0], rn__gradient_at(run, op->inputs[0]));
    p.dz = rn__blocked_operand(run, op->inputs[1], rn__gradient_at(run, op->inputs[1]));
    p.accumulate = rn__accumulates(run, k, 0), p.accumulate_second = rn__accumulates(run, k, 1);
    return p;
}

/* The images come from NCHW into blocks: the only place where a net's input changes its layout, as
   rn__copy_logits is for its output. */
RN__FUNCTION void rn__fast_input(rn__task *p) {
    rn_tensor images = rn_tensor_in(NULL, p->y.n, p->y.c, p->y.h, p->y.w);
    memcpy(&images.data, &p->run->images, sizeof images.data); /* only read */
    rn__block(&p->engine, p->y, images);
}

/* Kinds that are a plane's job and no more. */
#define RN__PLANE_BY_PLANE(name)                     \
    RN__FUNCTION void rn__fast_##name(rn__task *p) { \
        p->job = rn__##name##_plane;                 \
        rn__run_task(p);                             \
    }
RN__PLANE_BY_PLANE(relu)
RN__PLANE_BY_PLANE(gate)
RN__PLANE_BY_PLANE(max_pool)
RN__PLANE_BY_PLANE(avg_pool)
RN__PLANE_BY_PLANE(global_avg_pool)
RN__PLANE_BY_PLANE(pad_subsample)

/* The same forward and backward. */
RN__FUNCTION void rn__fast_scale(rn__task *p) {
    p->job = rn__scale_plane;
    p->factor = p->node->scale;
    rn__run_task(p);
}

/* In inference every element is multiplied by the probability to be kept. */
RN__FUNCTION void rn__fast_dropout(rn__task *p) {
    p->job = rn__scale_plane;
    p->factor = 1 - p->node->dropout;
#if RN__TRAINS
    if (p->training) p->job = rn__dropout_plane, p->factor = p->node->dropout;
    p->key = rn__dropout_key(p->run, p->op->node);
    if (p->training && p->node->whole) { /* it keeps all */
        p->job = rn__scale_plane, p->factor = 1;
        if (rn__to(p)->data == rn__from(p)->data) return;
    }
#endif
    rn__run_task(p);
}

/* The plan of node i's filter, whose taps lie in the arena. What does not convolve is a linear
   layer: a 1x1 convolution that has the images as its rows, or in small builds as its images. */
RN__APART rn__conv rn__plan_node(const rn_net *net, int i, rn__arena *arena) {
    const rn_node *node = &net->nodes[i], *x = &net->nodes[node->inputs[0]];
    const rn__engine engine = rn__engine_of(net);
    const rn__filter filter = {node->c,      x->c,          node->kernel,        node->kernel,
                               node->stride, node->padding, node->padding_behind};
    const int training = !rn__only_infers(net, i);
    const int lazy = rn__has(node, RN__CONVOLVES);
    return lazy || RN__SMALL
               ? rn__plan_conv(&engine, filter, net->part, x->h, x->w, training, lazy, arena)
               : rn__plan_linear(&engine, filter, net->part, training, arena);
}

/* The plan of an operation that has a filter. */
static const rn__conv *rn__conv_of(const rn_net *net, const rn__operation *op) {
    return &net->executor->convs[op->conv];
}

/* The filters of a weight that is standardised, and its gradient, at work. The numbers of a filter,
   in the order in which they are stored, are taken for pixels of 16 channels, and what is left over
   goes alone. */
typedef struct rn__filters {
    const rn__kernels *kernels;
    const float *weight; /* [K][count] */
    ptrdiff_t count;
    rn__wide eps;
    float *moments;  /* [K][2]: mean and 1 / sigma */
    float *gradient; /* [K][count], by the standardised weight; becomes that by the weight itself */
} rn__filters;

static rn__filters rn__filters_of(const rn__engine *engine, const rn__run *run, int i) {
    const rn_node *node = &run->net->nodes[i];
    rn__filters f;
    memset(&f, 0, sizeof f);
    f.kernels = engine->kernels;
    f.weight = rn__bind(run, i).parameters[RN__WEIGHT];
    f.count = (ptrdiff_t)rn__input_channels(run->net->nodes, i) * node->kernel * node->kernel;
    f.eps = rn__wide_of(run->net->desc.standardisation_eps);
    f.moments = engine->handed.filters;
    return f;
}

static void rn__filter_moments_job(void *context, int k, int thread) {
    const rn__filters *f = (const rn__filters *)context;
    const float *w = f->weight + k * f->count;
    const ptrdiff_t pixels = RN__SMALL ? 0 : f->count / RN__BLOCK; /* there is no kernel then */
    float mean[RN__BLOCK], squares[RN__BLOCK];
    rn__wide sum = 0, total = 0;
    (void)thread;
    if (pixels) f->kernels->moments(mean, squares, w, pixels);
    for (int c = 0; c < RN__BLOCK && pixels; c++) sum += (rn__wide)mean[c] * (rn__wide)pixels;
    for (ptrdiff_t i = pixels * RN__BLOCK; i < f->count; i++) sum += (rn__wide)w[i];
    sum /= (rn__wide)f->count;
    for (int c = 0; c < RN__BLOCK && pixels; c++) {
        const rn__wide distance = (rn__wide)mean[c] - sum;
        total += (rn__wide)squares[c] + (rn__wide)pixels * (distance * distance);
    }
    for (ptrdiff_t i = pixels * RN__BLOCK; i < f->count; i++) {
        const rn__wide distance = (rn__wide)w[i] - sum;
        total += distance * distance;
    }
    f->moments[2 * k] = (float)sum;
    f->moments[2 * k + 1] = (float)(1 / rn__sqrt(total / (rn__wide)f->count + f->eps));
}

#ifndef RESNET_NO_TRAIN
/* As the gradient of a batch norm of weight 1, of `count` values. */
static void rn__filter_gradient_job(void *context, int k, int thread) {
    const rn__filters *f = (const rn__filters *)context;
    const float *w = f->weight + k * f->count;
    float *g = f->gradient + k * f->count, sums[RN__SUMS * RN__BLOCK];
    const ptrdiff_t pixels = f->count / RN__BLOCK;
    double sum_g = 0, sum_gx = 0, inverse, mean;
    rn__coefficients by;
    memset(&by, 0, sizeof by);
    rn__filter_moments_job(context, k, thread);
    mean = (double)f->moments[2 * k], inverse = (double)f->moments[2 * k + 1];
    for (int c = 0; c < RN__BLOCK; c++) by.mean[c] = f->moments[2 * k];
    f->kernels->bn_sums(sums, g, w, pixels, &by, RN__NO_ACTIVATION);
    for (int c = 0; c < RN__BLOCK; c++)
        sum_g += (double)sums[c], sum_gx += (double)sums[RN__BLOCK + c];
    for (ptrdiff_t i = pixels * RN__BLOCK; i < f->count; i++)
        sum_g += (double)g[i], sum_gx += (double)g[i] * ((double)w[i] - mean);
    for (int c = 0; c < RN__BLOCK; c++) {
        by.a[c] = (float)inverse;
        by.b[c] = (float)(-inverse * inverse * inverse * sum_gx / (double)f->count);
        by.c[c] = (float)(-inverse * sum_g / (double)f->count);
    }
    f->kernels->bn_gradient(g, g, w, pixels, &by, RN__NO_ACTIVATION, 0);
    for (ptrdiff_t i = pixels * RN__BLOCK; i < f->count; i++)
        g[i] = by.a[0] * g[i] + by.b[0] * (w[i] - by.mean[0]) + by.c[0];
}

/* See rn__standardise_gradients: that of node i. */
static void rn__standardise_gradient(const rn__run *run, int i) {
    const rn__engine engine = rn__engine_at_work(run);
    const rn__bound of = rn__bind(run, i);
    rn__filters filters = rn__filters_of(&engine, run, i);
    filters.gradient = of.gradients[RN__WEIGHT];
    rn__parallel(engine.team, engine.workers, run->net->nodes[i].c, rn__filter_gradient_job,
                 &filters);
}
#endif

/* Folds the batch norm behind convolution i into how its weights are packed, and into its bias. */
RN__FUNCTION void rn__fold(const rn__engine *engine, const rn__run *run, int i,
                           rn__weights *weights) {
    const rn__norm norm = rn__norm_of(run, i + 1);
    const int channels = run->net->nodes[i].c;
    float *filter = engine->handed.filters, *bias = engine->handed.biases;
    for (int k = 0; k < channels; k++, filter += 2) {
        const rn__wide sigma = rn__sqrt((rn__wide)norm.statistics[channels + k] + norm.eps);
        const float scale = (float)((rn__wide)norm.weight[k] / sigma);
        if (!weights->filters) filter[0] = 0, filter[1] = 1;
        filter[1] *= scale;
        bias[k] = (weights->bias ? weights->bias[k] : 0) - norm.statistics[k];
        bias[k] = bias[k] * scale + norm.bias[k];
    }
    weights->filters = engine->handed.filters, weights->bias = bias;
}

/* Multiplies what the convolution makes by a factor: all its filters, and its bias. */
RN__FUNCTION void rn__scale_weights(const rn__engine *engine, int channels, float factor,
                                    rn__weights *weights) {
    float *filter = engine->handed.filters, *bias = engine->handed.biases;
    for (int k = 0; k < channels; k++, filter += 2) {
        if (!weights->filters) filter[0] = 0, filter[1] = 1;
        filter[1] *= factor;
        if (weights->bias) bias[k] = weights->bias[k] * factor;
    }
    weights->filters = engine->handed.filters;
    if (weights->bias) weights->bias = bias;
}

/* The weights of node i: as they are stored, and packed if rn_freeze did it. Those to standardise
   come with the moments of their filters, made here. */
static rn__weights rn__weights_of(const rn__engine *engine, const rn__run *run, int i) {
    const rn__bound of = rn__bind(run, i);
    rn__weights weights;
    float factor;
    weights.weight = of.parameters[RN__WEIGHT], weights.bias = of.parameters[RN__BIAS];
    weights.dweight = of.gradients[RN__WEIGHT], weights.dbias = of.gradients[RN__BIAS];
    weights.packed = rn__packed_of(run, i);
    weights.filters = NULL;
    if (run->net->nodes[i].standardised && !weights.packed) {
        rn__filters filters = rn__filters_of(engine, run, i);
        weights.filters = filters.moments;
        rn__parallel(engine->team, engine->workers, run->net->nodes[i].c, rn__filter_moments_job,
                     &filters);
    }
    if (rn__folds(rn__operation_of(run->net, i))) rn__fold(engine, run, i, &weights);
    factor = rn__factor_of(run, i);
    if (factor < 1) rn__scale_weights(engine, run->net->nodes[i].c, factor, &weights);
    return weights;
}

/* In fast execution, too, a linear layer is an operation of its own, see >>fast convolution. */
RN__FUNCTION void rn__fast_linear(rn__task *p) {
    const rn__weights weights = rn__weights_of(&p->engine, p->run, p->op->node);
#if RN__TRAINS
    if (p->backward) {
        rn__linear_backward(&p->engine, rn__conv_of(p->run->net, p->op), &weights, p->dx, p->dy,
                            p->x, p->accumulate);
        return;
    }
#endif
    if (RN__SMALL)
        rn__conv_forward(&p->engine, rn__conv_of(p->run->net, p->op), &weights, p->y, p->x, NULL,
                         NULL);
    else
        rn__linear_forward(&p->engine, rn__conv_of(p->run->net, p->op), &weights, p->y, p->x);
}

/* The ReLU behind an addition masks the gradient in place, by the value. (That of a BN's output,
   which is not stored, the kernels mask.) */
RN__APART void rn__mask_gradient(const rn__task *p) {
    rn__task mask = *p;
    mask.job = rn__relu_plane;
    mask.dx = p->dy;
    mask.accumulate = 0;
    if (p->op->after_add) rn__run_task(&mask);
}

/* Gives the gradient of a sum to a term of it, unless the planner has them share memory. */
RN__APART void rn__hand_gradient(const rn__task *p, rn__blocked to, int accumulate) {
    rn__task hand = *p;
    hand.job = rn__scale_plane;
    hand.factor = 1;
    hand.dx = to;
    hand.accumulate = accumulate;
    if (to.data && to.data != p->dy.data) rn__run_task(&hand);
}

/* Does this pass make the statistics of the normalisation at node i? */
static int rn__measures(const rn__run *run, int i) {
    return (rn__trains(run, i) || rn__has(&run->net->nodes[i], RN__PER_IMAGE)) && !run->again;
}

/* Where the moments of the value go, if a normalisation behind wants them. */
static float *rn__moments_to(const rn__task *p) {
    return p->op->leaves_moments && rn__measures(p->run, p->op[1].node) ? p->engine.handed.partial
                                                                        : NULL;
}

/* Additions that no convolution or BN does: those of gated and scaled branches. */
static void rn__fast_add(rn__task *p) {
    if (RN__BACKWARD(p)) {
        rn__mask_gradient(p);
        rn__hand_gradient(p, p->dx, p->accumulate);
        rn__hand_gradient(p, p->dz, p->accumulate_second);
        return;
    }
    p->job = rn__add_plane;
    p->flag = p->op->after_add;
    p->partial = rn__moments_to(p);
    rn__run_task(p);
}

/* What adds where its first term is left out: the value is its second term alone, which gets all of
   the gradient. */
static void rn__fast_left_out(rn__task *p) {
    if (RN__BACKWARD(p)) p->dx.data = NULL;
    p->x = p->z;
    p->z.data = NULL;
    rn__fast_add(p);
}

/* Turns p, of a normalisation forward, into the task that writes its value. */
RN__APART void rn__prepare_normalisation(rn__task *p) {
    /* Not by handed.forward, by which the convolution before may still read its input. */
    if (!p->training) p->engine.handed.forward = p->engine.handed.backward;
    p->job = rn__materialise_plane;
    p->flag = p->op->after_add;
    p->x = rn__normalised_value(&p->engine, p->run, p->op->node, p->op->activation, p->x);
}

/* With the addition of a shortcut and the moments for the BN behind it, or, in inference, with that
   whole BN, while the output is in cache. */
RN__APART void rn__conv2d_forward(rn__task *p) {
    const rn__weights weights = rn__weights_of(&p->engine, p->run, p->op->node);
    const int next = rn__does_next(p->op) && !rn__trains(p->run, p->op[1].node);
    float *moments = rn__moments_to(p);
    const float *addend = NULL;
    /* Winograd can add what is there already, but no other array: the task behind it does. */
    if (p->z.data == p->y.data || rn__adds_others(rn__conv_of(p->run->net, p->op))) {
        addend = p->z.data;
        p->z.data = NULL;
    }
    {
        rn__task with = next ? rn__task_of(p->run, p->k + 1, 0)
                             : rn__addition(&p->engine, p->y, p->y, p->z, moments);
        if (next)
            rn__prepare_normalisation(&with);
        else
            with.flag = p->op->after_add;
        rn__conv_forward(&p->engine, rn__conv_of(p->run->net, p->op), &weights, p->y, p->x, addend,
                         p->z.data || moments || next || with.flag ? &with : NULL);
    }
}

#if RN__TRAINS
/* The gradient of the output may be a lazy one, of the BN behind; the sums for a lazy BN in front
   are taken while the input's gradient is in cache. */
RN__APART void rn__conv2d_backward(rn__task *p) {
    const rn__weights weights = rn__weights_of(&p->engine, p->run, p->op->node);
    rn__hand_gradient(p, p->dz, p->accumulate_second);
    if (p->op->lazy_gradient) {
        p->dy = rn__lazy_gradient(&p->engine, rn__gradient_at(p->run, p->k + 1), p->y);
        p->dy.group = rn__group_size(rn__norm_group(p->run, p->op[1].node), p->y.n);
        p->dy.activation = p->op[1].activation;
    }
    {
        rn__task with = rn__bn_sums(&p->engine, p->dx, p->x);
        rn__conv_backward(&p->engine, rn__conv_of(p->run->net, p->op), &weights, p->dx, p->dy, p->x,
                          p->accumulate, p->op->leaves_sums ? &with : NULL);
    }
}
#else
#define rn__conv2d_backward rn__conv2d_forward /* never called */
#endif

/* Apart, so that neither takes the other's stack. */
RN__FUNCTION void rn__fast_conv2d(rn__task *p) {
    (RN__BACKWARD(p) ? rn__conv2d_backward : rn__conv2d_forward)(p);
}

/* Forward it makes its statistics, of the moments that the operation before left if there are any
   and no probe has rewritten the value; then it writes its value, unless that is lazy or, in
   inference, the convolution before it did. Backward it makes the coefficients of its gradient, of
   the sums that the convolution behind left if it is lazy; then it writes the gradient, unless the
   convolution before it reads it by these coefficients. */
RN__FUNCTION void rn__fast_normalisation(rn__task *p) {
    const int rewritten = p->run->net->executor->rewritten;
    const rn__operation *op = p->op;
    const rn__norm norm = rn__norm_of(p->run, op->node);
    if (RN__BACKWARD(p)) {
        rn__mask_gradient(p);
        rn__hand_gradient(p, p->dz, p->accumulate_second);
        p->job = rn__materialise_plane;
        p->x = rn__normalised_value(&p->engine, p->run, op->node, op->activation, p->x);
        p->x = rn__bn_backward(&p->engine, &norm, p->dy, p->x,
                               op[1].leaves_sums && op->lazy && !rewritten);
        if (!op[-1].lazy_gradient && p->dx.data) rn__run_task(p);
        return;
    }
    if ((RN__TRAINS || RN__HAS_IMAGE_NORM) && rn__measures(p->run, op->node))
        rn__bn_statistics(&p->engine, &norm, p->x, op[-1].leaves_moments && !rewritten);
    if (op->lazy || (!p->training && rn__does_next(op - 1))) return;
    rn__prepare_normalisation(p);
    rn__run_task(p);
}

/* ---- the convolution of level 2: blocked copies of its tensors in the workspace -------------- */

static int rn__has_gaps(const rn_tensor *t) {
    return t->stride_w != 1 || t->stride_h != t->w || t->stride_c != t->stride_h * t->h ||
           t->stride_n != t->stride_c * t->c;
}

/* What such a call says. */
typedef struct rn__call {
    const char *function;
    const rn_tensor *x, *weight, *weight_gradient; /* the last may be NULL */
    int stride, padding;
    rn_isa isa;
    int threads;
    void *workspace;
    size_t workspace_bytes;
} rn__call;

/* Its engine, or why there is none. */
static rn_status rn__open_engine(rn__engine *engine, const rn__call *call, rn_error *error) {
    const char *function = call->function;
    const rn_tensor *weight = call->weight, *weight_gradient = call->weight_gradient;
    const size_t needs =
        rn_conv2d_bytes(call->x, weight, call->stride, call->padding, call->threads);
    *engine =
        rn__make_engine(rn__choose_kernels(call->isa), call->threads, (char *)call->workspace);
    engine->workers = rn__workers(call->threads);
    RN__FAIL_IF(rn__has_gaps(weight) || (weight_gradient && rn__has_gaps(weight_gradient)),
                RN_BAD_ARGUMENT, "%s: %s is a view with gaps; copy it first", function,
                rn__has_gaps(weight) ? "weight" : "weight_gradient");
    RN__FAIL_IF(!engine->kernels, RN_BAD_ARGUMENT,
                "%s: this machine or build lacks the instruction set asked for; take "
                "RN_ISA_AUTO",
                function);
    RN__TRY(rn__expect_within(function, "threads", call->threads, 1, SHRT_MAX, error));
    RN__FAIL_IF(!needs, RN_TOO_LARGE,
                "%s: a size overflows; take fewer images at a time, or smaller ones", function);
    RN__FAIL_IF(!call->workspace || (uintptr_t)call->workspace % RN__ALIGN, RN_BAD_ARGUMENT,
                "%s: workspace must be %zu bytes aligned to %d", function, needs, RN__ALIGN);
    RN__FAIL_IF(call->workspace_bytes < needs, RN_TOO_SMALL,
                "%s: the workspace has %zu bytes and needs %zu, see rn_conv2d_bytes", function,
                call->workspace_bytes, needs);
    return RN_OK;
}

/* Its plan, whose taps lie in the workspace, and what the threads have of their own. */
static rn__conv rn__take_plan(rn__engine *engine, const rn__call *call) {
    const rn__filter filter = rn__filter_of(call->weight, call->stride, call->padding);
    rn__arena arena = {NULL, 0};
    rn__conv conv;
    arena.base = engine->workspace;
    conv = rn__plan_conv(engine, filter, call->x->n, call->x->h, call->x->w, 1, 0, &arena);
    engine->workspace += arena.used;
    rn__take_own(engine, conv.room[1].own.used);
    return conv;
}

/* A tensor in blocks, or (copy 0) room for it. */
static rn__blocked rn__take_tensor(rn__engine *engine, const rn_tensor *t, int copy) {
    rn__blocked v = rn__take(engine, t->n, t->c, t->h, t->w);
    if (copy) rn__block(engine, v, *t);
    return v;
}

#endif /* RN__FAST */

/* Blocked copies of x, y and a gradient, then what the plan takes. */
RNDEF size_t rn_conv2d_bytes(const rn_tensor *x, const rn_tensor *f, int stride, int padding,
                             int threads) {
    size_t bytes = 0;
#if RN__FAST
    const rn__engine engine = rn__make_engine(NULL, threads, NULL);
    rn__arena taps = {NULL, 0};
    rn__conv conv;
    rn_tensor y = {NULL, x->n, f->n, 0, 0, 0, 0, 0, 0};
    if (stride < 1 || threads < 1 || threads > SHRT_MAX) return 0;
    y.h = rn__window_output(x->h, f->h, stride, padding);
    y.w = rn__window_output(x->w, f->w, stride, padding);
    if (rn__check_conv2d(__func__, "output", &y, x, f, stride, padding, NULL)) return 0;
    bytes = rn__multiply_size(2, rn__blocked_floats(x->n, x->c, x->h, x->w));
    bytes = rn__add_size(bytes, rn__blocked_floats(x->n, f->n, y.h, y.w));
    conv = rn__plan_conv(&engine, rn__filter_of(f, stride, padding), x->n, x->h, x->w, 1, 0, &taps);
    bytes = rn__add_size(rn__multiply_size(bytes, sizeof(float)), taps.used);
    bytes = rn__add_size(bytes, rn__room_bytes(conv.room[1], threads));
#endif
    (void)x, (void)f, (void)stride, (void)padding, (void)threads;
    return bytes > PTRDIFF_MAX ? 0 : bytes;
}

/* Into blocks, convolved there, and back. */
RNDEF rn_status rn_conv2d_forward(rn_tensor *y, const rn_tensor *x, const rn_tensor *f,
                                  const rn_real *bias, int stride, int padding, rn_isa isa,
                                  int threads, void *workspace, size_t workspace_bytes,
                                  rn_error *error) {
#if RN__FAST
    const rn__call call = {__func__, x,   f,       NULL,      stride,
                           padding,  isa, threads, workspace, workspace_bytes};
    const rn__weights weights = {f->data, bias, NULL, NULL, NULL, NULL};
    rn__engine engine;
    rn__conv conv;
    rn__blocked in, out;
    RN__TRY(rn__check_conv2d(__func__, "output", y, x, f, stride, padding, error));
    RN__TRY(rn__open_engine(&engine, &call, error));
    conv = rn__take_plan(&engine, &call);
    in = rn__take_tensor(&engine, x, 1);
    out = rn__take_tensor(&engine, y, 0);
    rn__conv_forward(&engine, &conv, &weights, out, in, NULL, NULL);
    rn__unblock(&engine, *y, out, 0);
    return RN_OK;
#else
    (void)y, (void)x, (void)f, (void)bias, (void)stride, (void)padding, (void)isa, (void)threads;
    (void)workspace, (void)workspace_bytes;
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s: RESNET_REAL is not float; take rn_conv2d_naive_forward", __func__);
#endif
}

#ifndef RESNET_NO_TRAIN
/* Likewise; x is needed for the gradient of the weights alone. */
RNDEF rn_status rn_conv2d_backward(rn_tensor *dx, rn_tensor *dw, rn_real *db, const rn_tensor *dy,
                                   const rn_tensor *x, const rn_tensor *f, int stride, int padding,
                                   int accumulate, rn_isa isa, int threads, void *workspace,
                                   size_t workspace_bytes, rn_error *error) {
#if RN__FAST
    const rn__call call = {__func__, x,   f,       dw,        stride,
                           padding,  isa, threads, workspace, workspace_bytes};
    const rn__weights weights = {f->data, NULL, NULL, dw ? dw->data : NULL, db, NULL};
    rn__engine engine;
    rn__conv conv;
    rn__blocked in, din, dout;
    RN__TRY(rn__check_conv2d(__func__, "output_gradient", dy, x, f, stride, padding, error));
    RN__TRY(rn__expect_like(__func__, "input_gradient", dx, x, error));
    RN__TRY(rn__expect_like(__func__, "weight_gradient", dw, f, error));
    RN__TRY(rn__open_engine(&engine, &call, error));
    conv = rn__take_plan(&engine, &call);
    in = rn__take_tensor(&engine, x, dw != NULL);
    dout = rn__take_tensor(&engine, dy, 1);
    din = rn__take_tensor(&engine, x, 0);
    if (!dx) din.data = NULL;
    rn__conv_backward(&engine, &conv, &weights, din, dout, in, 0, NULL);
    if (dx) rn__unblock(&engine, *dx, din, accumulate);
    return RN_OK;
#else
    (void)dx, (void)dw, (void)db, (void)dy, (void)x, (void)f, (void)stride, (void)padding;
    (void)accumulate, (void)isa, (void)threads, (void)workspace, (void)workspace_bytes;
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s: RESNET_REAL is not float; take rn_conv2d_naive_backward", __func__);
#endif
}
#endif

/* >>kinds ====================================================================================
   Every kind of node, one row each: its name, its properties, its parameters and statistics, its
   shape, its words for the printer, and what it does, naive and fast, forward and backward. The
   types are with >>nodes. Another way to run a net would be one more column.

   How the rest of the file uses a row: rn__emit asks for shape and slots, rn__compile for what can
   be fused, the planner for what backward keeps and what may lie in place, rn__run_operation for
   the function to call, rn_next_parameter and by it files, optimiser and initialisation for the
   slots. */

/* Windows of the node's kernel, stride and padding; all of these 1, 1, 0: as the input. */
static void rn__shape_windows(rn_node *node, const rn_node *input) {
    const int more = node->padding_behind;
    node->h = (short)rn__window_output(input->h + more, node->kernel, node->stride, node->padding);
    node->w = (short)rn__window_output(input->w + more, node->kernel, node->stride, node->padding);
}

/* Windows that are cut at the bottom and right edge. */
static void rn__shape_cut_windows(rn_node *node, const rn_node *input) {
    node->h = (short)rn__avg_pool_output(input->h, node->kernel, node->stride);
    node->w = (short)rn__avg_pool_output(input->w, node->kernel, node->stride);
}

/* Whatever the input's size, a number a channel. */
static void rn__shape_one_pixel(rn_node *node, const rn_node *input) {
    (void)input;
    node->h = node->w = 1;
}

/* What the printer writes behind the name; nothing in small builds. */
RN__FUNCTION void rn__describe_window(const rn_desc *desc, const rn_node *node, rn__text *out) {
    (void)desc;
    rn__format(out, " %dx%d", node->kernel, node->kernel);
    if (node->padding_behind) rn__format(out, " padded %d+%d", node->padding, node->padding + 1);
    if (node->standardised) rn__puts(out, " standardised");
    if (node->zeros) rn__puts(out, " with zeros");
}
RN__FUNCTION void rn__describe_groups(const rn_desc *desc, const rn_node *node, rn__text *out) {
    (void)node;
    rn__format(out, " %d group%s", desc->norm_groups, desc->norm_groups > 1 ? "s" : "");
}
RN__FUNCTION void rn__describe_front(const rn_desc *desc, const rn_node *node, rn__text *out) {
    (void)desc;
    rn__format(out, " %d zero channels in front", node->front);
}
RN__FUNCTION void rn__describe_scale(const rn_desc *desc, const rn_node *node, rn__text *out) {
    (void)desc;
    rn__format(out, " %.3f", (double)node->scale);
}
RN__FUNCTION void rn__describe_dropout(const rn_desc *desc, const rn_node *node, rn__text *out) {
    (void)desc;
    rn__format(out, " %.3f%s", (double)node->dropout, node->whole ? " of steps" : "");
}
RN__FUNCTION void rn__describe_gate(const rn_desc *desc, const rn_node *node, rn__text *out) {
    (void)desc;
    rn__puts(out, node->complement ? " x (1 - sigmoid)" : " x sigmoid");
}

#if RN__SMALL
#define RN__DESCRIBE(what) NULL
#else
#define RN__DESCRIBE(what) rn__describe_##what
#endif
/* Naive and fast, as far as a build has them. */
#define RN__IF_KIND(kind, function) (RN__HAS_KIND(kind) ? (function) : NULL)
#if RN__SMALL
#define RN__TWO_FUNCTIONS(kind, naive, fast) NULL, RN__IF_KIND(kind, rn__fast_##fast)
#elif RN__FAST
#define RN__TWO_FUNCTIONS(kind, naive, fast) \
    RN__IF_KIND(kind, rn__naive_##naive), RN__IF_KIND(kind, rn__fast_##fast)
#else
#define RN__TWO_FUNCTIONS(kind, naive, fast) RN__IF_KIND(kind, rn__naive_##naive), NULL
#endif
#define RN__FUNCTIONS(kind, name) RN__TWO_FUNCTIONS(kind, name, name)
/* Slots: suffix, role, dimensions, first value, learned, is a weight, only with bias. */
static const rn__slot rn__filter_slots[RN__SLOTS] = {{"weight", RN_CONV_WEIGHT, 4, RN__HE, 1, 1, 0},
                                                     {"bias", RN_CONV_BIAS, 1, RN__GIVEN, 1, 0, 1}};
static const rn__slot rn__linear_slots[RN__SLOTS] = {
    {"weight", RN_LINEAR_WEIGHT, 2, RN__UNIFORM, 1, 1, 0},
    {"bias", RN_LINEAR_BIAS, 1, RN__ZERO, 1, 0, 0}};
static const rn__slot rn__norm_slots[RN__SLOTS] = {
    {"weight", RN_BN_WEIGHT, 1, RN__ONE, 1, 0, 0},
    {"bias", RN_BN_BIAS, 1, RN__ZERO, 1, 0, 0},
    {"running_mean", RN_RUNNING_MEAN, 1, RN__ZERO, 0, 0, 0},
    {"running_var", RN_RUNNING_VAR, 1, RN__ONE, 0, 0, 0}};

static const rn__slot rn__group_norm_slots[RN__SLOTS] = {
    {"weight", RN_GN_WEIGHT, 1, RN__ONE, 1, 0, 0}, {"bias", RN_GN_BIAS, 1, RN__ZERO, 1, 0, 0}};
static const rn__slot rn__evonorm_slots[RN__SLOTS] = {
    {"weight", RN_EVONORM_WEIGHT, 1, RN__ONE, 1, 0, 0},
    {"bias", RN_EVONORM_BIAS, 1, RN__ZERO, 1, 0, 0},
    {NULL, RN_RUNNING_MEAN, 0, RN__ZERO, 0, 0, 0},
    {NULL, RN_RUNNING_VAR, 0, RN__ZERO, 0, 0, 0},
    {"v", RN_EVONORM_V, 1, RN__ONE, 1, 0, 0}};

/* Each number of the value depends on the number at its place alone. */
enum { RN__POINTWISE = RN__IN_PLACE | RN__GRADIENT_IN_PLACE };

/* Rows in the order of rn_kind: name, properties, slots, shape, description, functions. */
static const rn__kind rn__kinds[] = {
    {"input", 0, NULL, NULL, NULL, RN__FUNCTIONS(RN_INPUT, input)},
    {"conv2d", RN__KEEPS_INPUT | RN__HAS_FILTER | RN__CONVOLVES, rn__filter_slots,
     rn__shape_windows, RN__DESCRIBE(window), RN__FUNCTIONS(RN_CONV2D, conv2d)},
    {"batch_norm", RN__KEEPS_INPUT | RN__POINTWISE | RN__NORMALISES, rn__norm_slots,
     rn__shape_windows, NULL, RN__TWO_FUNCTIONS(RN_BATCH_NORM, batch_norm, normalisation)},
    {"relu", RN__KEEPS_OUTPUT | RN__POINTWISE | RN__ACTIVATES, NULL, rn__shape_windows, NULL,
     RN__FUNCTIONS(RN_RELU, relu)},
    {"gate", RN__KEEPS_INPUT, NULL, rn__shape_windows, RN__DESCRIBE(gate),
     RN__FUNCTIONS(RN_GATE, gate)},
    {"dropout", RN__POINTWISE | RN__DROPS, NULL, rn__shape_windows, RN__DESCRIBE(dropout),
     RN__FUNCTIONS(RN_DROPOUT, dropout)},
    {"max_pool", RN__KEEPS_INPUT, NULL, rn__shape_windows, RN__DESCRIBE(window),
     RN__FUNCTIONS(RN_MAX_POOL, max_pool)},
    {"global_avg_pool", 0, NULL, rn__shape_one_pixel, NULL,
     RN__FUNCTIONS(RN_GLOBAL_AVG_POOL, global_avg_pool)},
    {"linear", RN__KEEPS_INPUT | RN__HAS_FILTER, rn__linear_slots, rn__shape_one_pixel, NULL,
     RN__FUNCTIONS(RN_LINEAR, linear)},
    {"add", RN__IN_PLACE | RN__ADDS, NULL, rn__shape_windows, NULL, RN__FUNCTIONS(RN_ADD, add)},
    {"scale", RN__POINTWISE, NULL, rn__shape_windows, RN__DESCRIBE(scale),
     RN__FUNCTIONS(RN_SCALE, scale)},
    {"pad_subsample", 0, NULL, rn__shape_windows, RN__DESCRIBE(front),
     RN__FUNCTIONS(RN_PAD_SUBSAMPLE, pad_subsample)},
    {"avg_pool", 0, NULL, rn__shape_cut_windows, RN__DESCRIBE(window),
     RN__FUNCTIONS(RN_AVG_POOL, avg_pool)},
    {"group_norm", RN__KEEPS_INPUT | RN__POINTWISE | RN__NORMALISES | RN__PER_IMAGE,
     rn__group_norm_slots, rn__shape_windows, RN__DESCRIBE(groups),
     RN__TWO_FUNCTIONS(RN_GROUP_NORM, group_norm, normalisation)},
    {"evonorm_s0", RN__KEEPS_INPUT | RN__POINTWISE | RN__NORMALISES | RN__PER_IMAGE | RN__GATES,
     rn__evonorm_slots, rn__shape_windows, RN__DESCRIBE(groups),
     RN__TWO_FUNCTIONS(RN_EVONORM_S0, evonorm_s0, normalisation)},
};
RN__REQUIRE(a_row_for_each_kind, sizeof rn__kinds / sizeof rn__kinds[0] == RN_KINDS);

static const rn__kind *rn__kind_of(rn_kind kind) { return &rn__kinds[kind]; }

/* Naive and fast are two ways to do an operation; its row of the table has a function for each. */
RN__APART void rn__run_operation(const rn__run *run, int k, int backward) {
    const rn_net *net = run->net;
    const rn__operation *op = &net->executor->operations[k];
    const rn__kind *kind = rn__kind_of(rn__first_node(net, op)->kind);
    const int left_out = rn__is_left_out(op, run->place);
    if (rn__rests(op, run->place)) return;
    if (rn__is_naive(net)) {
        rn__step step = rn__make_step(run, k, backward);
        rn_status status = (left_out ? rn__naive_left_out : kind->naive)(&step);
        RESNET_ASSERT(status == RN_OK); /* it checks shapes; the nodes have them right */
        (void)status;
        return;
    }
#if RN__FAST
    {
        rn__task task = rn__task_of(run, k, backward);
        (left_out ? rn__fast_left_out : kind->fast)(&task);
    }
#endif
}

/* >>planner ==================================================================================
   In: the operations. Out: which bytes the value and the gradient of each take, and when. Every
   buffer is a span of time (see >>program for the times); spans that overlap in time never overlap
   in memory:

       bytes ^   .------------.      .-------.
             |   |  value 4   |      | again |
             |   '------------'.-----+-------+--.
             |  .--------------+-.   | gradient |
             |  |   value 3      |   '----------'
             '--+----------------+-------------------> time
                 forward        loss    backward

   Values and gradients that may share (in-place activations; the gradient of an addition, which
   equation (5) hands on unchanged) are merged into one span first. The same code measures and
   places. */

/* The life of a buffer, and its place: of a value, of a gradient, or of a value that is computed
   again for backward. */
typedef struct rn__span {
    size_t bytes, offset;
    int start, end; /* first and last time; start -1: does not exist */
    int root;       /* the span whose memory it shares, itself if none */
    int outer;      /* a value that is read from outside of its segment */
    /* Root spans that are placed and alive, a tree in the order of offsets; -1: none. */
    int left, right, parent; /* parent -2: never placed */
    size_t gap, most;        /* free bytes just before it; the most of it and all below it */
    int ended;               /* of span number t, but not about it: the first of all spans that
                                ended at time t; -1 */
    int next;                /* another one that ended when this one did; -1 */
} rn__span;

typedef struct rn__plan {
    rn_net *net;
    int n, training;
    int first;                            /* operation with a backward, of those that train */
    int keep_convolutions;                /* their outputs are never computed again */
    rn__span *values, *gradients, *again; /* [n] each, one array; again: values in backward */
    int tree;                             /* the root of the placed spans, -1 if none */
    int time;                             /* spans that ended before it are out of the tree */
    size_t bytes;                         /* the highest end of any span */
} rn__plan;

/* Operation k reads the value of operation v: in forward, in backward too if it keeps it, and when
   it is itself computed again. */
static void rn__plan_reading(rn__plan *plan, int v, int k, int keeps) {
    const rn__executor *x = plan->net->executor;
    rn__span *value = &plan->values[v], *again = &plan->again[v];
    value->end = rn__max(value->end, k);
    if (!RN__TRAINS || !plan->training) return;
    if (keeps) again->end = rn__max(again->end, rn__backward_time(x, k));
    if (x->operations[k].again) again->end = rn__max(again->end, rn__again_time(x, k));
    if (k >= x->operations[v].segment[1]) value->outer = 1;
}

/* Of the value of operation k, or of its gradient. */
static size_t rn__value_bytes(const rn_net *net, int k) {
    return rn__align_size(rn__multiply_size(
        rn__value_count(net, net->executor->operations[k].last, net->part), sizeof(rn_real)));
}

/* When the value of operation k, all whose readers are planned, is in memory: up to its last use,
   or up to that in forward and again in backward. It can be dropped in between if it lies in a
   segment of several operations and nothing outside of that reads it. */
static void rn__plan_value(rn__plan *plan, int k) {
    rn__executor *x = plan->net->executor;
    rn__operation *op = &x->operations[k];
    rn__span *value = &plan->values[k], *again = &plan->again[k];
    const int repeated =
        k > 0 && op->segment[1] - op->segment[0] > 1 && !value->outer &&
        !(plan->keep_convolutions && rn__has(rn__first_node(plan->net, op), RN__CONVOLVES));
    value->start = k;
    value->end = rn__max(value->end, k);
    value->bytes = rn__value_bytes(plan->net, k);
    if (RN__TRAINS && plan->training && op->keeps_output)
        again->end = rn__max(again->end, rn__backward_time(x, k));
    if (!again->end) return;
    if (!repeated) {
        value->end = rn__max(value->end, again->end);
        return;
    }
    op->again = 1;
    again->start = rn__again_time(x, k);
    again->bytes = value->bytes;
}

/* From the last operation to the first, so that all readers of a value come before its maker. */
static void rn__plan_values(rn__plan *plan) {
    const rn__executor *x = plan->net->executor;
    int n = plan->n;
    for (int i = 0; i < 3 * n; i++) {
        memset(&plan->values[i], 0, sizeof plan->values[i]);
        plan->values[i].start = -1;
        plan->values[i].root = i;
        plan->values[i].parent = -2;
        plan->values[i].ended = -1;
    }
    plan->values[n - 1].end = n; /* the loss reads it */
    for (int k = n - 1; k >= 0; k--) {
        const rn__operation *op = &x->operations[k];
        if (!op->lazy && (k > 0 || !rn__is_naive(plan->net))) /* naive reads the caller's images */
            rn__plan_value(plan, k);
        if (k > 0) rn__plan_reading(plan, rn__read_of(plan->net, op), k, op->keeps_inputs);
        if (op->inputs[1] >= 0) /* a sum does not ask for its terms again */
            rn__plan_reading(plan, op->inputs[1], k, op->keeps_inputs && !op->adds);
    }
}

/* The last time of the gradient of operation k's value: that of its backward or, if the convolution
   before computes its own from it, of that one's. */
static int rn__gradient_end(const rn__executor *x, int k) {
    return rn__backward_time(x, k - x->operations[k - 1].lazy_gradient);
}

/* A gradient lives from the backward of its value's last reader to that of its maker. */
static void rn__plan_gradients(rn__plan *plan) {
    const rn__executor *x = plan->net->executor;
    int n = plan->n;
    for (int k = plan->first; k < n; k++) {
        const rn__operation *op = &x->operations[k];
        rn__span *span = &plan->gradients[k];
        if (op->lazy_gradient) continue;
        span->bytes = rn__value_bytes(plan->net, k);
        span->start = op->last_reader < 0 ? n : rn__backward_time(x, op->last_reader);
        span->end = rn__gradient_end(x, k);
    }
}

/* Makes `span` share the memory of `with`, whose life it prolongs. */
static void rn__share(rn__plan *plan, rn__span *span, const rn__span *with) {
    rn__span *root = &plan->values[with->root];
    span->root = with->root;
    root->end = rn__max(root->end, span->end);
}

/* When the memory of a span is free again. */
static int rn__root_ends(const rn__plan *plan, const rn__span *span) {
    return plan->values[span->root].end;
}

/* The last operation besides k that takes the value of operation v; -1 if there is none. */
static int rn__other_reader(const rn__executor *x, int v, int k) {
    for (int i = x->operations[v].last_reader; i > v; i--)
        if (i != k && (x->operations[i].inputs[0] == v || x->operations[i].inputs[1] == v))
            return i;
    return -1;
}

/* May both terms of addition k have its gradient for theirs? Others add to the gradient of a term
   that has more readers; by then the operation that made the other term must have read it. */
static int rn__both_share(const rn__executor *x, int k) {
    const int a = x->operations[k].inputs[0], b = x->operations[k].inputs[1];
    const int other_a = rn__other_reader(x, a, k), other_b = rn__other_reader(x, b, k);
    return (other_a < 0 || other_b < 0) && other_a < b && other_b < a;
}

/* May the gradient of input i of operation k lie where that of its value is? Of an addition both,
   for equation (5) hands the gradient on unchanged; where it is fused with what makes its first
   term, there is only the second. A term that others read, too, gets their gradients added, which
   must not happen before the operation has read its own. */
static int rn__may_share_gradient(const rn_net *net, int k, int i) {
    const rn__executor *x = net->executor;
    const rn__operation *op = &x->operations[k];
    const rn_node *node = rn__first_node(net, op);
    const int is_addition = rn__has(node, RN__ADDS); /* and nothing else */
    if (!op->adds) return i == 0 && rn__has(node, RN__GRADIENT_IN_PLACE);
    if (is_addition) return i == 0 || rn__both_share(x, k);
    return i == 1 && op->inputs[0] != op->inputs[1] &&
           rn__other_reader(x, op->inputs[1], k) < k - op[-1].lazy_gradient; /* read later then */
}

/* Merges spans that may share: forward a value takes over the memory of an input whose last use is
   this operation, backward the gradient of an input that of a value's gradient, which is read here
   for the last time. So a residual net's trunk is one buffer forward, where each unit adds to it,
   and one backward: the "1" of equation (5) costs nothing. */
static void rn__plan_sharing(rn__plan *plan) {
    const rn__executor *x = plan->net->executor;
    int n = plan->n;
    for (int k = 1; k < n; k++) {
        rn__span *output = &plan->values[k];
        const int place = x->operations[k].in_place - 1;
        const int v = place < 0 ? -1 : x->operations[k].inputs[place];
        if (output->start < 0 || v < 0 || plan->values[v].start < 0) continue;
        if (rn__root_ends(plan, &plan->values[v]) == k) rn__share(plan, output, &plan->values[v]);
    }
    for (int k = n - 1; k >= plan->first && RN__TRAINS && plan->training; k--) {
        const rn__operation *op = &x->operations[k];
        rn__span *output = &plan->gradients[k];
        if (rn__root_ends(plan, output) != rn__gradient_end(x, k)) continue;
        for (int i = 0; i < 2; i++) {
            rn__span *input = op->inputs[i] < 0 ? NULL : &plan->gradients[op->inputs[i]];
            if (rn__may_share_gradient(plan->net, k, i) && input->start == rn__backward_time(x, k))
                rn__share(plan, input, output);
        }
    }
}

/* The tree of placed spans is a splay tree (Sleator and Tarjan 1985), so that n spans are placed in
   n log n steps, each at the lowest gap that is large enough. */
static void rn__link(rn__span *spans, int parent, int right, int child) {
    *(right ? &spans[parent].right : &spans[parent].left) = child;
    if (child >= 0) spans[child].parent = parent;
}

/* What span i says of the spans below it. */
static void rn__sum_up(rn__span *spans, int i) {
    const rn__span *at = &spans[i];
    size_t most = at->gap;
    if (at->left >= 0 && spans[at->left].most > most) most = spans[at->left].most;
    if (at->right >= 0 && spans[at->right].most > most) most = spans[at->right].most;
    spans[i].most = most;
}

/* Lifts span i above its parent; the order stays. */
static void rn__rotate(rn__span *spans, int i) {
    const int parent = spans[i].parent, above = spans[parent].parent;
    const int right = spans[parent].right == i;
    rn__link(spans, parent, right, right ? spans[i].left : spans[i].right);
    spans[i].parent = -1;
    if (above >= 0) rn__link(spans, above, spans[above].right == parent, i);
    rn__link(spans, i, !right, parent);
    rn__sum_up(spans, parent);
}

/* Lifts span i to the root of its tree. */
static void rn__splay(rn__span *spans, int i) {
    while (spans[i].parent >= 0) {
        const int parent = spans[i].parent, above = spans[parent].parent;
        const int line = above >= 0 && (spans[parent].right == i) == (spans[above].right == parent);
        if (above >= 0) rn__rotate(spans, line ? parent : i);
        rn__rotate(spans, i);
    }
    rn__sum_up(spans, i);
}

/* Takes span i out; its bytes become a part of the gap before the next one. */
static void rn__remove(rn__plan *plan, int i) {
    rn__span *spans = plan->values;
    int left, next;
    rn__splay(spans, i);
    left = spans[i].left;
    next = spans[i].right;
    plan->tree = next >= 0 ? next : left;
    if (plan->tree >= 0) spans[plan->tree].parent = -1;
    if (next < 0) return;
    if (left >= 0) spans[left].parent = -1;
    while (spans[next].left >= 0) next = spans[next].left;
    rn__splay(spans, next);
    spans[next].gap += spans[i].gap + spans[i].bytes;
    rn__link(spans, next, 0, left);
    rn__sum_up(spans, next);
    plan->tree = next;
}

/* Of the spans that are placed, the first behind a gap of so many bytes, or else the last one. */
static int rn__first_gap(const rn__plan *plan, size_t bytes) {
    const rn__span *spans = plan->values;
    int i = plan->tree, found = spans[i].most >= bytes;
    for (;;) {
        const int left = spans[i].left;
        if (found && left >= 0 && spans[left].most >= bytes)
            i = left;
        else if ((found && spans[i].gap >= bytes) || spans[i].right < 0)
            return i;
        else
            i = spans[i].right;
    }
}

/* First fit: the lowest gap between the spans still alive that is large enough. A step may ask for
   a span twice, which reads one value as its input and as its addend. */
static void rn__place(rn__plan *plan, rn__span *span, int time) {
    rn__span *spans = plan->values;
    const int i = (int)(span - spans);
    size_t end;
    if (span->start != time || span->root != i || span->parent != -2) return;
    for (; plan->time < time; plan->time++) {
        int old = spans[plan->time].ended;
        for (; old >= 0; old = spans[old].next) rn__remove(plan, old);
    }
    span->left = span->right = span->parent = -1;
    span->offset = span->gap = 0;
    if (plan->tree >= 0) {
        const int beside = rn__first_gap(plan, span->bytes);
        rn__span *at = &spans[beside];
        const int before = at->gap >= span->bytes;
        rn__splay(spans, beside);
        span->offset = before ? at->offset - at->gap : rn__add_size(at->offset, at->bytes);
        if (before) {
            at->gap -= span->bytes;
            rn__link(spans, i, 0, at->left);
            at->left = -1;
        }
        rn__link(spans, i, before, beside);
        rn__sum_up(spans, beside);
    }
    rn__sum_up(spans, i);
    plan->tree = i;
    if (span->end < 3 * plan->n) span->next = spans[span->end].ended, spans[span->end].ended = i;
    end = rn__add_size(span->offset, span->bytes);
    if (end > plan->bytes) plan->bytes = end;
}

/* The spans of backward, in the order of time: before a segment's backward what is computed again,
   and with each operation the gradients that it makes. */
static void rn__place_backward(rn__plan *plan) {
    const rn__executor *x = plan->net->executor;
    rn__place(plan, &plan->gradients[plan->n - 1], plan->n);
    for (int k = plan->n - 1; k >= plan->first; k--) {
        const rn__operation *op = &x->operations[k];
        for (int i = op->segment[0]; i <= k && k == op->segment[1] - 1; i++)
            if (x->operations[i].again) rn__place(plan, &plan->again[i], rn__again_time(x, i));
        for (int i = 0; i < 2; i++)
            if (op->inputs[i] >= 0)
                rn__place(plan, &plan->gradients[op->inputs[i]], rn__backward_time(x, k));
    }
}

/* Where a span lies in the activations; -1: it does not exist. */
static ptrdiff_t rn__offset(const rn__plan *plan, const rn__span *span) {
    return span->start < 0 ? -1 : (ptrdiff_t)plan->values[span->root].offset;
}

/* Plans one mode into the operations' offsets and activation_bytes, which it returns; they have
   their segments. */
static size_t rn__plan_mode(rn_net *net, rn_mode mode, int keep_convolutions, rn__span *spans) {
    rn__executor *x = net->executor;
    rn__plan plan;
    int n = x->count;
    memset(&plan, 0, sizeof plan);
    plan.net = net;
    plan.n = n;
    plan.training = rn__is_training(mode);
    plan.first = rn__max(rn__first_backward(net), 1);
    plan.keep_convolutions = keep_convolutions;
    plan.values = spans;
    plan.gradients = spans + n;
    plan.again = spans + 2 * n;
    plan.tree = -1;
    rn__plan_values(&plan);
    if (rn__is_training(mode)) rn__plan_gradients(&plan);
    rn__plan_sharing(&plan);
    for (int k = 0; k < n; k++) rn__place(&plan, &plan.values[k], k);
    if (rn__is_training(mode)) rn__place_backward(&plan);
    for (int k = 0; k < n; k++) {
        rn__operation *op = &x->operations[k];
        op->offset[rn__is_training(mode) ? RN__AT_TRAINING : RN__AT_INFERENCE] =
            rn__offset(&plan, &plan.values[k]);
        op->offset[RN__AT_BACKWARD] =
            rn__offset(&plan, plan.again[k].start < 0 ? &plan.values[k] : &plan.again[k]);
        op->gradient_offset = rn__offset(&plan, &plan.gradients[k]);
    }
    return x->activation_bytes[mode] = plan.bytes;
}

/* ---- what is computed again ------------------------------------------------------------------ */

/* Which values are. */
typedef struct rn__repetition {
    int units;             /* the first ones that train; the stem is one */
    int keep_convolutions; /* but not these values */
    size_t segment_bytes;  /* most of a segment's values and the outputs of segments before it */
} rn__repetition;

/* The operation behind the unit that begins with operation k. */
static int rn__unit_end(const rn_net *net, int k) {
    const rn__executor *x = net->executor;
    const rn_node *unit = rn__first_node(net, &x->operations[k]), *node = unit;
    while (node->stage == unit->stage && node->unit == unit->unit)
        node = rn__first_node(net, &x->operations[++k]);
    return k;
}

/* Operations [begin, end) are computed again together. */
static void rn__make_segment(rn__executor *x, int begin, int end) {
    for (int k = begin; k < end; k++)
        x->operations[k].segment[0] = begin, x->operations[k].segment[1] = end;
}

/* Cuts the first units that train into segments, each of as many units as fit; every other
   operation is a segment of its own, and its value is kept. What must fit are the values of a
   segment, which are in memory together when it is computed again, beside the outputs of the
   segments before it, which are kept (Chen et al. 2016):

       units   0 1 2 | 3 4 5 | 6 7 8 | 9 ...
       kept        o       o       o   everything      o: the output of a unit                    */
static void rn__cut_segments(rn_net *net, const rn__repetition *repetition) {
    const size_t most = repetition->segment_bytes;
    rn__executor *x = net->executor;
    int first = rn__max(rn__first_backward(net), 1), begin = first, end, units = repetition->units;
    size_t outputs = 0, output = 0, inner = 0;
    for (int k = 0; k < x->count; k++) {
        rn__make_segment(x, k, k + 1);
        x->operations[k].again = 0;
    }
    for (; units > 0; units--, begin = end) {
        const size_t before = output;
        size_t bytes = 0;
        end = rn__unit_end(net, begin);
        for (int k = begin; k < end; k++) {
            const rn__operation *op = &x->operations[k];
            if (op->lazy) continue;
            output = rn__multiply_size(rn__value_count(net, op->last, net->part), sizeof(rn_real));
            if (!repetition->keep_convolutions || !rn__has(rn__first_node(net, op), RN__CONVOLVES))
                bytes = rn__add_size(bytes, output);
        }
        if (begin > first && rn__add_size(rn__add_size(outputs, inner), bytes) > most) {
            rn__make_segment(x, first, begin);
            first = begin;
            inner = 0;
            outputs = rn__add_size(outputs, before);
        }
        inner = rn__add_size(inner, bytes);
    }
    rn__make_segment(x, first, begin);
}

/* The bytes of the activations then. */
static size_t rn__plan_repetition(rn_net *net, const rn__repetition *repetition, rn__span *spans) {
    rn__cut_segments(net, repetition);
    return rn__plan_mode(net, RN_TRAINING, repetition->keep_convolutions, spans);
}

/* Reduces the units of a repetition that fits into `room` to the fewest that do, by halving. */
static void rn__fewest_units(rn_net *net, rn__repetition *repetition, size_t room,
                             rn__span *spans) {
    rn__repetition fewer = *repetition;
    int too_few = 0;
    while (repetition->units - too_few > 1) {
        fewer.units = (too_few + repetition->units) / 2;
        if (rn__plan_repetition(net, &fewer, spans) <= room)
            *repetition = fewer;
        else
            too_few = fewer.units;
    }
}

/* Plans training so that the activations take at most `room` bytes and as little as possible is
   computed again, or, if nothing fits, so that they take the least. Tries segments of all sizes,
   each with the fewest units. */
static void rn__plan_training(rn_net *net, size_t room, rn__span *spans) {
    rn__repetition none = {0, 0, 0}, best = none, least = none, it = none;
    size_t all = rn__plan_repetition(net, &none, spans), least_bytes = all, bytes;
    int found = all <= room, units = 0;
    for (int k = rn__max(rn__first_backward(net), 1);
         rn__first_node(net, &net->executor->operations[k])->stage >= 0; units++)
        k = rn__unit_end(net, k);
    for (it.keep_convolutions = 1; it.keep_convolutions >= 0 && !found; it.keep_convolutions--)
        for (it.segment_bytes = all; it.segment_bytes > all / 256 + 3;
             it.segment_bytes -= it.segment_bytes / 4) {
            it.units = found ? best.units - 1 : units;
            bytes = rn__plan_repetition(net, &it, spans);
            if (bytes < least_bytes) least = it, least_bytes = bytes;
            if (bytes > room) continue;
            rn__fewest_units(net, &it, room, spans);
            best = it;
            found = 1;
        }
    rn__plan_repetition(net, found ? &best : &least, spans);
}

/* What planning needs for a moment. */
static size_t rn__scratch_bytes(int nodes) {
    return rn__align_size(rn__multiply_size(3 * (size_t)nodes, sizeof(rn__span)));
}

/* >>nets =====================================================================================
   A net's one block of memory, made and given back. Head: the struct, the nodes, the operations.
   Body: parameters, statistics; of training gradients, velocity, statistics of the batch, logits;
   plans of the convolutions; activations and workspace.

       | rn_net executor nodes operations | parameters statistics ... | activations workspace |
         what the number of nodes tells            what the list tells        what the plan tells

   The same code first measures the block and then carves it. A net over weights of the caller has
   parameters and statistics elsewhere, and the rest as any. */

/* How a net is laid out, as a set of these: only measured; over weights of the caller. */
enum { RN__MEASURED = 1, RN__OVER = 2 };

/* Kernels for the machine, of the instruction set that the description asks for. */
static rn_status rn__take_kernels(rn_net *net, rn_error *error) {
#if RN__FAST
    net->executor->kernels = rn__choose_kernels(net->desc.isa);
    if (net->executor->kernels) return RN_OK;
#endif
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "this machine or build has no %s kernels; take isa auto",
                    rn__isa_names[net->desc.isa]);
}

#if RN__FAST
/* Do the filters of nodes i and k have the same plan? */
static int rn__same_plan(const rn_net *net, int i, int k) {
    const rn_node *a = &net->nodes[i], *x = &net->nodes[a->inputs[0]];
    const rn_node *b = &net->nodes[k], *y = &net->nodes[b->inputs[0]];
    return rn__only_infers(net, i) == rn__only_infers(net, k) && a->kind == b->kind &&
           a->c == b->c && a->kernel == b->kernel && a->stride == b->stride &&
           a->padding == b->padding && a->padding_behind == b->padding_behind && x->c == y->c &&
           x->h == y->h && x->w == y->w;
}

/* Plans all convolutions and linear layers into the arena (base NULL: only measures), and the
   workspace. Shapes are few: a stage has up to three convolutions a unit, those of its first unit,
   a shortcut, gates. */
static void rn__plan_convs(rn__arena *arena, rn_net *net) {
    enum { MOST = 16 * (RN_MAX_STAGES + 1) };
    rn__executor *x = net->executor;
    rn__engine none;
    rn__room most[2];
    int first[MOST], count = 0, i, k, mode;
    memset(most, 0, sizeof most);
    for (i = 0; i < net->node_count; i++) /* also those that are no operation of their own */
        if (rn__has(&net->nodes[i], RN__NORMALISES) && !rn__is_folded(net, i))
            x->most_channels = rn__max(x->most_channels, net->nodes[i].c);
    /* Which operations have the plan of which first one. */
    for (k = 0; k < x->count; k++) {
        const rn_node *node = rn__first_node(net, &x->operations[k]);
        const int others = /* weights and bias are not used as they are stored */
            rn__folds(&x->operations[k]) || rn__survival_of(net, &x->operations[k]) >= 0;
        if (!rn__has(node, RN__HAS_FILTER)) continue;
        if (others || node->standardised) x->most_filters = rn__max(x->most_filters, node->c);
        if (others) x->most_biases = rn__max(x->most_biases, node->c);
        for (i = 0; i < count && !rn__same_plan(net, x->operations[k].node, first[i]);) i++;
        RESNET_ASSERT(i < MOST);
        if (i == count) first[count++] = x->operations[k].node;
        x->operations[k].conv = (signed char)i;
    }
    x->convs = (rn__conv *)rn__carve(arena, (size_t)count, sizeof(rn__conv));
    for (i = 0; i < count; i++) {
        const rn__conv conv = rn__plan_node(net, first[i], arena);
        for (mode = 0; mode < 2; mode++)
            most[mode] =
                rn__larger_room(most[mode], conv.room[rn__only_infers(net, first[i]) ? 0 : mode]);
        if (x->convs) x->convs[i] = conv;
    }
    /* The statistics of images, each thread's own, what BNs hand on, the hungriest plan. */
    for (mode = 0; mode < 2; mode++) {
        size_t bytes =
            rn__add_size(x->statistics_bytes, rn__room_bytes(most[mode], net->desc.threads));
        none = rn__make_engine(NULL, 0, NULL);
        x->own_bytes[mode] = most[mode].own.used;
        x->workspace_bytes[mode] =
            rn__add_size(bytes, rn__carve_handed(&none, x, net->part, (rn_mode)mode));
    }
}
#endif

/* Naive execution works in memory for the largest weight that is standardised. */
static void rn__plan_naive(rn_net *net) {
    size_t most = 0;
    for (int i = 0; i < net->node_count; i++) {
        rn_parameter p;
        if (!net->nodes[i].standardised || !rn__describe_slot(net->nodes, i, RN__WEIGHT, &p))
            continue;
        if ((size_t)p.count > most) most = (size_t)p.count;
    }
    net->executor->workspace_bytes[RN_INFERENCE] = net->executor->workspace_bytes[RN_TRAINING] =
        rn__align_size(rn__multiply_size(most, sizeof(rn_real)));
}

/* Of so many operations in the block. */
static size_t rn__operation_bytes(int count) {
    return rn__align_size(rn__multiply_size((size_t)count, sizeof(rn__operation)));
}

/* The first arrays of the block. There are at most as many operations as nodes. */
static rn_net *rn__carve_head(rn__arena *arena, int nodes) {
    rn_net *net = (rn_net *)rn__carve(arena, 1, sizeof *net);
    rn__executor *x = (rn__executor *)rn__carve(arena, 1, sizeof *x);
    rn_node *list = (rn_node *)rn__carve(arena, (size_t)nodes, sizeof *list);
    rn__operation *operations =
        (rn__operation *)rn__carve(arena, (size_t)nodes, sizeof *operations);
    if (!net) return NULL;
    memset(net, 0, sizeof *net);
    memset(x, 0, sizeof *x);
    net->nodes = list;
    net->node_count = nodes;
    net->executor = x;
    x->operations = operations;
    return net;
}

/* The other arrays: what the list tells of weights, what the program and the plan tell of the rest.
   The activations of predictions and of training take the same memory. */
static void rn__carve_body(rn__arena *arena, rn_net *net, const rn__builder *built) {
    rn__executor *x = net->executor;
    size_t parameters = (size_t)built->parameters, bytes = 0;
    const int training = rn__is_training(net->mode);
    net->parameter_count = built->parameters;
    net->trained_count = built->parameters - net->nodes[net->first_trained].parameters;
    net->statistic_count = built->statistics;
    if (!net->read_only) {
        net->parameters = (rn_real *)rn__carve(arena, parameters, sizeof(rn_real));
        net->statistics = (rn_real *)rn__carve(arena, (size_t)built->statistics, sizeof(rn_real));
    }
    if (training) {
        parameters = (size_t)net->trained_count;
        net->gradients = (rn_real *)rn__carve(arena, parameters, sizeof(rn_real));
        net->velocity = (rn_real *)rn__carve(arena, parameters, sizeof(rn_real));
        net->batch_statistics = (rn_real *)rn__carve(
            arena, (size_t)(built->statistics - rn__frozen_statistics(net)),
            rn__multiply_size((size_t)rn__group_count(&net->desc, net->batch), sizeof(rn_real)));
        net->logits = (rn_real *)rn__carve(
            arena, rn__multiply_size((size_t)net->batch, (size_t)net->desc.classes),
            sizeof(rn_real));
    }
#if RN__FAST
    x->statistics_bytes = rn__align_size(rn__multiply_size(
        rn__multiply_size((size_t)built->image_statistics, (size_t)net->part), sizeof(float)));
    if (!rn__is_naive(net)) rn__plan_convs(arena, net);
#endif
    if (rn__is_naive(net)) rn__plan_naive(net);
    for (int mode = 0; mode <= training; mode++) {
        size_t room = rn__add_size(x->activation_bytes[mode], x->workspace_bytes[mode]);
        if (room > bytes) bytes = room;
    }
    x->activations = (char *)rn__carve(arena, bytes, 1);
}

/* Is every kind of node compiled? */
static rn_status rn__check_kinds(const rn_net *net, rn_error *error) {
#ifdef RESNET_KINDS
    for (int i = 0; i < net->node_count; i++) {
        const rn__kind *kind = rn__kind_of(net->nodes[i].kind);
        RN__FAIL_IF(!kind->fast && !kind->naive, RN_BAD_DESCRIPTION,
                    "the net has a node of kind %s, which is compiled only if RESNET_KINDS says so",
                    kind->name);
    }
#endif
    (void)net, (void)error;
    return RN_OK;
}

/* Lays the whole net out in `room` bytes at base (aligned), with net->bytes the size of the whole
   block. RN__MEASURED, head and scratch must fit, and the rest is only counted. While it plans, the
   spans lie where the body will be:

       base | head | spans, for a moment                  |
            | head, with as many operations as there are | body ...                              */
static rn_status rn__lay_out(rn_net **made, const rn_desc *desc, int batch, rn_mode mode,
                             char *base, size_t room, int how, rn_error *error) {
    const int measure = how & RN__MEASURED;
    rn__builder built;
    rn__arena arena = {NULL, 0}, measured = {NULL, 0};
    rn__span *spans;
    rn_net *net;
    size_t most = (size_t)-1;      /* that activations may take */
    size_t sketch;                 /* bytes while it plans */
    rn__build(&built, desc, NULL); /* counts the nodes */
    rn__carve_head(&arena, built.count);
    sketch = rn__add_size(arena.used, rn__scratch_bytes(built.count));
    RN__FAIL_IF(room < sketch, RN_TOO_SMALL,
                "the buffer has %zu bytes; the list of %d nodes alone takes %zu", room, built.count,
                sketch);
    arena.base = base;
    arena.used = 0;
    net = *made = rn__carve_head(&arena, built.count);
    spans = (rn__span *)(void *)(base + arena.used);
    net->desc = *desc;
    net->mode = mode;
    net->batch = batch;
    net->part = desc->micro_batch ? rn__min(desc->micro_batch, batch) : batch;
    net->read_only = (how & RN__OVER) != 0;
    rn__build(&built, desc, net->nodes);
    RN__TRY(rn__check_kinds(net, error));
    net->first_trained = rn__first_trained(net);
    if (!rn__is_naive(net)) RN__TRY(rn__take_kernels(net, error));
    rn__compile(net, !rn__is_naive(net) && !desc->unfused, (int *)(void *)spans);
    arena.used -= rn__operation_bytes(built.count) - rn__operation_bytes(net->executor->count);
    measured.used = arena.used;
    rn__carve_body(&measured, net, &built); /* as yet without activations */
    if (desc->budget && desc->budget < PTRDIFF_MAX)
        most = desc->budget > measured.used ? (size_t)desc->budget - measured.used : 0;
    rn__plan_mode(net, RN_INFERENCE, 0, spans);
    if (rn__is_training(mode)) rn__plan_training(net, most, spans);
    measured.used = arena.used;
    rn__carve_body(&measured, net, &built);
    net->bytes = measured.used > sketch ? measured.used : sketch;
    RN__FAIL_IF(net->bytes > PTRDIFF_MAX, RN_TOO_LARGE,
                "the net needs more bytes than this machine can address; use "
                "a smaller batch, width or image");
    if (rn__is_training(mode) && desc->budget && net->bytes > desc->budget)
        return rn__fail(
            error, RN_TOO_SMALL,
            "the budget is %llu bytes and this net takes at least %zu for training at "
            "batch %d, however much is computed again; a smaller micro_batch takes less",
            (rn__llu)desc->budget, net->bytes, batch);
    RN__FAIL_IF(!measure && room < net->bytes, RN_TOO_SMALL,
                "the buffer has %zu bytes (aligned to %d) and the net needs %zu", room, RN__ALIGN,
                net->bytes);
    if (!measure) rn__carve_body(&arena, net, &built);
    return RN_OK;
}

/* Checks what a net is to be made of, and resolves the description. */
static rn_status rn__check_creation(rn_desc *desc, int batch, rn_mode mode, rn_error *error) {
    RN__FAIL_IF(batch < 1, RN_BAD_ARGUMENT, "batch is %d and must be at least 1", batch);
#ifdef RESNET_NO_TRAIN
    RN__FAIL_IF(mode != RN_INFERENCE, RN_BAD_ARGUMENT,
                "compiled with RESNET_NO_TRAIN: only RN_INFERENCE");
#endif
    RN__FAIL_IF(mode != RN_INFERENCE && mode != RN_TRAINING, RN_BAD_ARGUMENT,
                "mode must be RN_INFERENCE or RN_TRAINING");
    RN__FAIL_IF(RN__SMALL && (desc->naive || desc->unfused), RN_BAD_ARGUMENT,
                "compiled with RESNET_SMALL, without these: let desc.naive, desc.unfused be 0");
    return rn_resolve(desc, error);
}

/* Writes what is to be told of a net and its spans; returns the length of that. */
typedef size_t (*rn__look)(const rn_net *net, const rn__span *spans, rn__text *out);

/* Lays a net out in memory that is given back at once, only to look at it: returns its bytes or,
   with `look`, what that makes of it; 0 with an error. */
static size_t rn__sketch(const rn_desc *asked, int batch, rn_mode mode, int how,
                         const rn_memory *memory, rn__look look, rn__text *out, rn_error *error) {
    rn_desc desc = *asked;
    rn__builder built;
    rn__arena arena = {NULL, 0};
    rn_net *net = NULL;
    size_t room, result = 0;
    void *block;
    char *base;
    if (rn__check_creation(&desc, batch, mode, error)) return 0;
#ifndef RESNET_MALLOC
    if (!memory || (!memory->buffer && !memory->alloc)) {
        rn__fail(error, RN_NO_MEMORY,
                 "there is no memory to plan in; define RESNET_MALLOC, or see rn_bytes_in");
        return 0;
    }
#endif
    rn__build(&built, &desc, NULL);
    rn__carve_head(&arena, built.count);
    room = rn__add_size(arena.used, rn__scratch_bytes(built.count));
    base = (char *)rn__allocate(memory, room, &block, error);
    if (!base) return 0;
    if (!rn__lay_out(&net, &desc, batch, mode, base, room, how | RN__MEASURED, error))
        result = look ? look(net, (const rn__span *)(void *)(base + arena.used), out) : net->bytes;
    rn__release(memory, block);
    return result;
}

/* The size is found by laying the net out, as rn_create does. */
RNDEF size_t rn_bytes_in(const rn_desc *desc, int batch, rn_mode mode, const rn_memory *memory,
                         rn_error *error) {
    return rn__sketch(desc, batch, mode, 0, memory, NULL, NULL, error);
}

RNDEF size_t rn_bytes(const rn_desc *desc, int batch, rn_mode mode, rn_error *error) {
    return rn_bytes_in(desc, batch, mode, NULL, error);
}

RNDEF size_t rn_bytes_over(const rn_desc *desc, int batch, const rn_memory *memory,
                           rn_error *error) {
    return rn__sketch(desc, batch, RN_INFERENCE, RN__OVER, memory, NULL, NULL, error);
}

/* The threads that help in this process. A child that was forked must not even look at the team of
   its parent, for other threads may have that stack by then. */
static rn__team *rn__team_of(const rn_net *net) {
#ifdef RN__TEAMS
    const rn__executor *x = net->executor;
    return x->team && x->process == (int)getpid() ? x->team : NULL;
#else
    return net->executor->team;
#endif
}

/* Measures, takes the memory (of a caller's buffer all there is), lays out, starts the helpers. The
   contents of parameters and the like are for the caller to write. */
static rn_net *rn__create(const rn_desc *desc, int batch, rn_mode mode, int how,
                          const rn_memory *memory, rn_error *error) {
    rn_desc resolved = *desc;
    rn_net *net = NULL;
    void *block;
    char *base;
    size_t room = 0;
    if (rn__check_creation(&resolved, batch, mode, error)) return NULL;
    /* A buffer is as large as it is; else the size must be known first. */
    if (!memory || !memory->buffer) {
        room = rn__sketch(&resolved, batch, mode, how, memory, NULL, NULL, error);
        if (!room) return NULL;
    }
    base = (char *)rn__allocate(memory, room, &block, error);
    if (!base) return NULL;
    if (memory && memory->buffer) room = memory->bytes - (size_t)(base - (char *)block);
    if (rn__lay_out(&net, &resolved, batch, mode, base, room, how, error)) {
        rn__release(memory, block);
        return NULL;
    }
    net->block = block;
    if (memory) net->memory = *memory;
#ifdef RN__TEAMS
    net->executor->process = (int)getpid();
    if (net->executor->kernels && net->desc.threads > 1)
        net->executor->team = rn__start_team(rn__min(net->desc.threads, rn__processors()));
#endif
    return net;
}

/* Clears what training adds up; gradients and packed weights are of other weights now. */
static void rn__clear_progress(rn_net *net) {
    if (net->velocity) memset(net->velocity, 0, (size_t)net->trained_count * sizeof(rn_real));
    net->step = net->epoch = net->cursor = 0;
    memset(&net->trainer, 0, sizeof net->trainer);
    net->images = net->executor->prepacked = 0;
}

/* What a parameter begins with, its slot says; numbers are drawn in the order of the parameters, so
   that they depend on the seed and on the shapes before them alone. */
static void rn__initialise(rn_net *net) {
    const rn_key key = {net->desc.seed, RN_PURPOSE_INIT, 0};
    rn_parameter p;
    uint64_t index = 0; /* of a number among all */
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        /* fan-out: K R S, fan-in: C R S */
        const rn__initial initial = rn__slot_behind(net, &p)->initial;
        const int fan = p.shape[net->desc.init == RN_FAN_OUT ? 0 : 1] * p.shape[2] * p.shape[3];
        const double deviation = sqrt(2.0 / fan), limit = 1 / sqrt((double)p.shape[1]);
        for (ptrdiff_t i = 0; i < p.count; i++, index++) {
            double value = initial == RN__ONE;
            if (initial == RN__HE) value = deviation * rn_normal(key, index);
            if (initial == RN__UNIFORM) value = limit * (2 * rn_uniform(key, index) - 1);
            if (initial == RN__GIVEN) value = (double)net->nodes[p.node].initial_bias;
            p.data[i] = (rn_real)value;
        }
    }
    rn__clear_progress(net);
}

RNDEF rn_net *rn_create(const rn_desc *desc, int batch, rn_mode mode, const rn_memory *memory,
                        rn_error *error) {
    rn_net *net = rn__create(desc, batch, mode, 0, memory, error);
    if (net) rn__initialise(net);
    return net;
}

/* Points the net at the caller's arrays. memcpy takes their const away; a net that is read_only
   never writes through them. */
static rn_net *rn__lay_over(rn_net *net, const void *parameters, const void *statistics) {
    memcpy(&net->parameters, &parameters, sizeof parameters);
    memcpy(&net->statistics, &statistics, sizeof statistics);
    return net;
}

/* Checks the pointers; the numbers behind them are not looked at. */
RNDEF rn_net *rn_create_over(const rn_desc *desc, int batch, const rn_real *parameters,
                             const rn_real *statistics, const rn_memory *memory, rn_error *error) {
    rn_net *net = rn__create(desc, batch, RN_INFERENCE, RN__OVER, memory, error);
    const uintptr_t off = ((uintptr_t)parameters | (uintptr_t)statistics) % sizeof(rn_real);
    if (!net) return NULL;
    if (parameters && !off && (statistics || !net->statistic_count))
        return rn__lay_over(net, parameters, statistics);
    rn__fail(error, RN_BAD_ARGUMENT, "%s",
             off ? "parameters and statistics must be aligned to the "
                   "size of a number; copy them to where they are"
                 : "parameters and statistics must not be NULL");
    rn_destroy(net);
    return NULL;
}

/* The helpers first, who may still look at the net. */
RNDEF void rn_destroy(rn_net *net) {
    if (net) {
        rn_memory memory = net->memory;
#ifdef RN__TEAMS
        rn__end_team(rn__team_of(net));
#endif
        rn__release(&net->executor->packed_memory, net->executor->packed_block);
        rn__release(&memory, net->block);
    }
}

/* Refuses to write weights that are not the net's own. */
static rn_status rn__check_writable(const char *function, const rn_net *net, rn_error *error) {
    RN__FAIL_IF(net->read_only, RN_BAD_ARGUMENT,
                "%s: the net's weights are the caller's and only read, see rn_create_over; "
                "write into a net of rn_create",
                function);
    return RN_OK;
}

RNDEF void rn_initialise(rn_net *net) {
    if (!net->read_only) rn__initialise(net);
}

/* >>prediction ===============================================================================
   In: images and a net that is only read. Out: logits. A prediction is one pass forward, with
   running statistics, in a workspace of the caller's; what it needs of weights in another form is
   made in every call, or once, by rn_freeze. */

/* In fast execution a value of h = w = 1 (the logits) is a plain tensor whose images lie a blocked
   value apart. */
static rn_tensor rn__plain_vector(const rn_net *net, rn_tensor t) {
    if (!rn__is_naive(net)) t.stride_n = rn__blocks(t.c) * RN__BLOCK;
    return t;
}

/* Out of the activations to the caller's [count, classes]. */
RN__APART void rn__copy_logits(const rn__run *run, const rn_tensor *to) {
    const rn_net *net = run->net;
    const int last = net->executor->count - 1;
    const rn_tensor from = rn__plain_vector(net, rn__operand(run, last, rn__value_at(run, last)));
    RN__EACH(to, n, c, h, w) *rn__at(to, n, c, h, w) = *rn__at(&from, n, c, h, w);
}

/* Goes forward or backward through the net with all threads that can be had. */
static void rn__go(rn__run *run, rn__work work, void (*program)(rn__run *run)) {
    rn__team *team = rn__team_of(run->net);
    run->with = rn__meet(team, run->net->desc.threads);
    program(run);
    rn__part(team, &run->with, work, run->count);
}

/* A pass in memory that has activations, and workspace behind them; as yet of no images. */
static rn__run rn__run_of(const rn_net *net, rn_mode mode, char *memory) {
    rn__run run;
    memset(&run, 0, sizeof run);
    run.net = net;
    run.mode = mode;
    run.end = net->executor->count;
    run.place = rn__is_training(mode) ? RN__AT_TRAINING : RN__AT_INFERENCE;
    run.activations = memory;
    run.workspace = memory + net->executor->activation_bytes[mode];
    run.with.workers = 1;
    return run;
}

/* Goes on to the next images of a batch; 0 behind the last. */
static int rn__next_part(rn__run *run, const rn_real *images, int count) {
    const rn_node *image = &run->net->nodes[0];
    run->first += run->count;
    run->count = rn__min(run->net->part, count - run->first);
    run->images = images + (ptrdiff_t)run->first * image->c * image->h * image->w;
    return run->count > 0;
}

/* What predictions and training ask of every call. */
static rn_status rn__check_step(const rn_net *net, const rn_real *images, int count,
                                rn_error *error) {
    if (!net || !images) return rn__fail(error, RN_BAD_ARGUMENT, "net and images must not be NULL");
    RN__FAIL_IF(count < 1 || count > net->batch, RN_BAD_ARGUMENT,
                "%d images; this net takes 1 to %d at a time", count, net->batch);
    return RN_OK;
}

RNDEF size_t rn_predict_bytes(const rn_net *net) {
    const rn__executor *x = net->executor;
    return rn__add_size(x->activation_bytes[RN_INFERENCE], x->workspace_bytes[RN_INFERENCE]);
}

RNDEF void *rn_workspace(rn_net *net) {
    net->held = 0; /* nothing of what training left in it */
    return net->executor->activations;
}

#if RN__FAST
/* The weights of node i packed, or its coefficients, at `to` (NULL: only measures); returns their
   floats. */
static size_t rn__pack_node(const rn__engine *engine, const rn__run *run, int i, float *to) {
    const rn_net *net = run->net;
    const rn_node *node = &net->nodes[i];
    const rn__conv *conv = rn__conv_of(net, rn__operation_of(net, i));
    if (rn__has(node, RN__PER_IMAGE) || rn__is_folded(net, i)) return 0;
    if (rn__has(node, RN__NORMALISES)) {
        const rn__norm norm = rn__norm_of(run, i);
        if (to)
            rn__make_coefficients((rn__coefficients *)(void *)to, node->c, norm.statistics, &norm);
        return (size_t)rn__blocks(node->c) * sizeof(rn__coefficients) / sizeof(float);
    }
    if (!rn__has(node, RN__HAS_FILTER)) return 0;
    if (to) {
        const rn__weights weights = rn__weights_of(engine, run, i);
        rn__prepack(engine, conv, &weights, to);
    }
    return rn__packed_floats(conv);
}

/* Those of every node, in the arena (base NULL: only measures). */
static float **rn__pack_net(const rn_net *net, rn__arena *arena) {
    const rn__run run = rn__run_of(net, RN_INFERENCE, net->executor->activations);
    const rn__engine engine = rn__engine_at_work(&run);
    float **packed = (float **)rn__carve(arena, (size_t)net->node_count, sizeof *packed);
    for (int i = 0; i < net->node_count; i++) {
        size_t floats = rn__pack_node(&engine, &run, i, NULL);
        float *to = rn__carve_floats(arena, floats, 1);
        if (packed) packed[i] = floats ? to : NULL;
        if (packed && floats) rn__pack_node(&engine, &run, i, to);
    }
    return packed;
}
#endif

/* The same walk as for packing, without memory. */
RNDEF size_t rn_freeze_bytes(const rn_net *net) {
    rn__arena arena = {NULL, 0};
#if RN__FAST
    if (!rn__is_naive(net)) rn__pack_net(net, &arena);
#endif
    (void)net;
    return arena.used;
}

/* A second call writes into the memory of the first. */
RNDEF rn_status rn_freeze(rn_net *net, const rn_memory *memory, rn_error *error) {
#if RN__FAST
    rn__executor *x = net->executor;
    rn__arena arena = {NULL, 0};
    if (rn__is_naive(net)) return RN_OK;
    arena.base = (char *)x->packed;
    if (!x->packed) {
        rn_error inner = {RN_OK, ""};
        arena.base = (char *)rn__allocate(memory, rn_freeze_bytes(net), &x->packed_block, &inner);
        if (!arena.base) return rn__fail(error, inner.status, "packed weights: %s", inner.text);
        if (memory) x->packed_memory = *memory;
    }
    x->prepacked = 0; /* so that what was packed before is not read */
    x->packed = rn__pack_net(net, &arena);
    x->prepacked = 1;
    net->held = 0; /* nothing of what training left in the workspace */
#endif
    (void)net, (void)memory, (void)error;
    return RN_OK;
}

static rn_status rn__check_workspace(const rn_net *net, const void *workspace, rn_error *error) {
    RN__FAIL_IF(!workspace || (uintptr_t)workspace % RN__ALIGN, RN_BAD_ARGUMENT,
                "workspace must be %zu bytes aligned to %d; rn_workspace(net) is",
                rn_predict_bytes(net), RN__ALIGN);
    return RN_OK;
}

/* numbers [count, size], of each image. */
static rn_status rn__check_images_finite(const char *what, const rn_real *numbers, int count,
                                         ptrdiff_t size, rn_error *error) {
    for (int i = 0; i < count; i++)
        RN__FAIL_IF(!rn__all_finite(numbers + i * size, size), RN_NOT_FINITE,
                    "the %s of image %d are not finite; look at its pixels, then at the weights",
                    what, i);
    return RN_OK;
}

/* Part by part of the images, as many as memory is planned for; the bits of each do not depend on
   which others come along. */
static rn_status rn__predict(const rn_net *net, void *workspace, rn_net *probed,
                             const rn_real *images, int count, rn_real *logits, rn_error *error) {
    rn_tensor part;
    rn__run run;
    RN__TRY(rn__check_step(net, images, count, error));
    RN__TRY(rn__check_workspace(net, workspace, error));
    run = rn__run_of(net, RN_INFERENCE, (char *)workspace);
    while (rn__next_part(&run, images, count)) {
        if (probed) rn__begin_probing(probed, &run);
        part = rn_tensor_in(logits + (ptrdiff_t)run.first * net->desc.classes, run.count,
                            net->desc.classes, 1, 1);
        rn__go(&run, RN__PREDICTS, rn__forward);
        rn__copy_logits(&run, &part);
    }
    /* What is not finite anywhere in a net shows in the logits, but for minus infinity, of which a
       ReLU makes zero. */
    return rn__check_images_finite("logits", logits, count, net->desc.classes, error);
}

RNDEF rn_status rn_predict(const rn_net *net, void *workspace, const rn_real *images, int count,
                           rn_real *logits, rn_error *error) {
    return rn__predict(net, workspace, NULL, images, count, logits, error);
}

RNDEF rn_status rn_predict_probed(rn_net *net, const rn_real *images, int count, rn_real *logits,
                                  rn_error *error) {
    return rn__predict(net, net ? rn_workspace(net) : NULL, net, images, count, logits, error);
}

/* ---- features: the value of any node --------------------------------------------------------

   What operations store is read from memory behind the last of them that is needed. What is fused
   they do not store: a convolution with what follows it, a normalisation on the way into one. Then
   the pass ends before the operation that would take the value further, while all that this reads
   is there, and the value is made of that:

       wanted          operation that would do it     instead, into the caller's features
       conv            conv with add or BN            that convolution alone, in the place of both
       BN or ReLU      conv that reads through them   copy of what they read; BN [ReLU] in place
       BN, ReLU, add   BN [ReLU] add [ReLU]           copy of what it reads; these nodes in place
       the same        conv with these                that convolution alone, copy, these in place

   Those in place are done by their naive layers, and each makes a value of the same shape. */

/* Where a value begins that is not stored as it is wanted. */
typedef struct rn__source_value {
    int end;    /* operations that run before */
    int alone;  /* then this convolution alone; -1: none */
    int stored; /* the node that it begins with, in memory then, or once `alone` is done; 0: the
                   images */
} rn__source_value;

/* Is the value of operation k in memory when it is done? Not that of a convolution which goes on
   with the normalisation behind it. */
static int rn__stores(const rn__operation *op) { return !op->lazy && !rn__does_next(op); }

/* The operation that stores the value of node i; -1: none does. */
static int rn__stored_by(const rn_net *net, int i) {
    const int k = rn__index_of(net, i);
    const rn__operation *op = &net->executor->operations[k];
    return op->last == i && rn__stores(op) ? k : -1;
}

static rn__source_value rn__source_of(const rn_net *net, int node) {
    rn__source_value from;
    int k = rn__stored_by(net, node);
    from.stored = node;
    from.alone = -1;
    from.end = k + 1;
    if (node == 0) from.end = 0; /* the caller has it */
    if (k >= 0) return from;
    from.end = rn__index_of(net, node);
    /* Backwards to what is in memory before operation `end`, or to a convolution. */
    for (;; from.stored = net->nodes[from.stored].inputs[0]) {
        k = rn__stored_by(net, from.stored);
        if (from.stored == 0 || (k >= 0 && k < from.end)) return from;
        if (!rn__has(&net->nodes[from.stored], RN__CONVOLVES)) continue;
        from.alone = from.end = rn__index_of(net, from.stored);
        return from;
    }
}

/* A run with what is wanted of it: rn__go hands on the run, which is its first member. */
typedef struct rn__excerpt {
    rn__run run;
    int node;
    rn__source_value from;
    rn_tensor to; /* features of the images in memory */
} rn__excerpt;

/* A value in memory to the caller's tensor, or (accumulate) added to what is there. */
RN__APART void rn__extract(const rn__run *run, int i, rn_tensor to, int accumulate) {
    const int k = rn__index_of(run->net, i);
    rn_tensor from = rn__operand(run, k, rn__value_at(run, k));
    if (i == 0) memcpy(&from.data, &run->images, sizeof from.data); /* only read */
#if RN__FAST
    if (i && !rn__is_naive(run->net)) {
        const rn__engine engine = rn__engine_at_work(run);
        rn__unblock(&engine, to, rn__blocked_operand(run, k, from.data), accumulate);
        return;
    }
#endif
    RESNET_ASSERT(!accumulate);
    (void)accumulate;
    rn_tensor_copy(to, from, NULL);
}

#if RN__FAST && !RN__SMALL
/* Operation k, a convolution, without what is done with it. */
RN__APART void rn__convolve_alone(const rn__run *run, int k) {
    const rn__task p = rn__task_of(run, k, 0);
    rn__run alone = *run;
    rn__weights weights;
    alone.alone = rn__factor_of(run, p.op->node) < 1;
    weights = rn__weights_of(&p.engine, &alone, p.op->node);
    rn__conv_forward(&p.engine, rn__conv_of(run->net, p.op), &weights, p.y, p.x, NULL, NULL);
}

/* Node i, whose first input `value` is and then its value. */
RN__APART void rn__do_in_place(const rn__run *run, int i, rn_tensor value) {
    const rn_node *node = &run->net->nodes[i];
    rn_status status;
    rn__step s;
    RESNET_ASSERT(rn__has(node, RN__IN_PLACE));
    memset(&s, 0, sizeof s);
    s.desc = &run->net->desc;
    s.node = node;
    s.y = s.x = value;
    s.of = rn__bind(run, i);
    status = rn__kind_of(node->kind)->naive(&s);
    RESNET_ASSERT(status == RN_OK);
    (void)status;
}

/* Nodes from that which is in memory up to node i. */
static void rn__do_up_to(const rn__excerpt *want, int i) {
    const rn_node *node = &want->run.net->nodes[i];
    if (i == want->from.stored) {
        rn__extract(&want->run, i, want->to, 0);
        return;
    }
    rn__do_up_to(want, node->inputs[0]);
    if (rn__has(node, RN__ADDS)) /* the other term is in memory */
        rn__extract(&want->run, node->inputs[1], want->to, 1);
    else
        rn__do_in_place(&want->run, i, want->to);
}
#endif

static void rn__take_features(rn__run *run) {
    const rn__excerpt *want = (const rn__excerpt *)(const void *)run;
    rn__forward(run);
#if RN__FAST && !RN__SMALL
    if (want->from.alone >= 0) rn__convolve_alone(run, want->from.alone);
    rn__do_up_to(want, want->node);
#else
    rn__extract(run, want->node, want->to, 0);
#endif
}

/* Part by part, as rn_predict. */
RNDEF rn_status rn_features(const rn_net *net, void *workspace, const rn_real *images, int count,
                            int node, rn_real *features, rn_error *error) {
    rn__excerpt want;
    const rn_node *of;
    ptrdiff_t size; /* numbers of an image's features */
    RN__TRY(rn__check_step(net, images, count, error));
    RN__TRY(rn__check_workspace(net, workspace, error));
    RN__FAIL_IF(!features, RN_BAD_ARGUMENT, "features must not be NULL");
    RN__FAIL_IF(node < 0 || node >= net->node_count, RN_BAD_ARGUMENT,
                "node %d; this net has nodes 0 to %d, see rn_find_node and rn_describe", node,
                net->node_count - 1);
    of = &net->nodes[node];
    size = (ptrdiff_t)of->c * of->h * of->w;
    want.run = rn__run_of(net, RN_INFERENCE, (char *)workspace);
    want.node = node;
    want.from = rn__source_of(net, node);
    want.run.end = want.from.end;
    RN__FAIL_IF(RN__SMALL && (want.from.alone >= 0 || want.from.stored != node), RN_BAD_ARGUMENT,
                "compiled with RESNET_SMALL: the value of node %d is computed with others and not "
                "stored; take that of a node behind it",
                node);
    while (rn__next_part(&want.run, images, count)) {
        want.to =
            rn_tensor_in(features + want.run.first * size, want.run.count, of->c, of->h, of->w);
        rn__go(&want.run, RN__TAKES_FEATURES, rn__take_features);
    }
    return rn__check_images_finite("features", features, count, size, error);
}

/* >>training =================================================================================
   In: images and labels. Out: the loss, the gradients of all parameters that train, the batch's
   statistics. A batch goes through in parts that fit into memory, and the gradients of the parts
   add up:

       for each part    forward: values, statistics         rn__forward
                        the logits' gradient, of the loss   rn_softmax_cross_entropy_backward
                        backward: all other gradients       rn__backward

   rn_update then makes a step of them, and rn_train_step is both: see >>optimiser. rn__go (see
   >>prediction) begins a pass with the threads. Numbers that are not finite are looked for in
   logits and statistics alone, for what is not finite anywhere shows there; only when something is
   found, the pass is repeated to name the first node that made it. */

#ifndef RESNET_NO_TRAIN

/* Every BN that trains needs two values a channel in the smallest of its groups. */
static rn_status rn__check_groups_of(const rn_net *net, int count, rn_error *error) {
    const int least = rn__last_group(net->desc.bn_group, count);
    for (int i = net->first_trained; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        char name[64];
        if (!rn__has(node, RN__NORMALISES) || rn__has(node, RN__PER_IMAGE) ||
            rn__has_variance(least, node->h, node->w))
            continue;
        rn_node_name(net, i, name);
        return rn__fail(error, RN_BAD_SHAPE,
                        "%s: batch norm over one value a channel ([%d,%d,%d,%d]) has no variance; "
                        "train with 2 or more images a group, or larger images",
                        name, least, node->c, node->h, node->w);
    }
    return RN_OK;
}

/* Runs the step again to name the first node whose value is not finite. */
static rn_status rn__explain_not_finite(rn__run *run, rn_error *error) {
    const rn_net *net = run->net;
    const rn_node *image = &net->nodes[0];
    char name[64];
    RN__FAIL_IF(
        !rn__all_finite(run->images, (ptrdiff_t)run->count * image->c * image->h * image->w),
        RN_NOT_FINITE, "step %llu: the images hold infinite numbers or NaN; nothing was changed",
        (rn__llu)net->step);
    run->find_broken = 1;
    run->probed = NULL;
    rn__go(run, RN__GOES_FORWARD, rn__forward);
    RN__FAIL_IF(run->broken < 0, RN_NOT_FINITE,
                "step %llu: only the probe wrote what is not finite; nothing was changed",
                (rn__llu)net->step);
    rn_node_name(net, run->broken, name);
    return rn__fail(
        error, RN_NOT_FINITE,
        "step %llu: %s (%s, node %d) is the first that is not finite; nothing was changed: "
        "lower the learning rate or look at the data",
        (rn__llu)net->step, name, rn_kind_name(net->nodes[run->broken].kind), run->broken);
}

/* The loss that the net minimises. */
static rn_loss rn__loss_of(const rn_net *net) {
    rn_loss loss;
    loss.label_smoothing = net->desc.label_smoothing;
    loss.class_weights = net->class_weights;
    return loss;
}

/* Forward of the images in memory. */
static rn_status rn__forward_part(rn_net *net, rn__run *run, rn_tensor logits, rn_error *error) {
    int finite;
    rn__begin_probing(net, run);
    rn__go(run, RN__GOES_FORWARD, rn__forward);
    rn__copy_logits(run, &logits);
    /* A ReLU hides minus infinity, statistics do not. */
    finite = rn__all_finite(logits.data, (ptrdiff_t)logits.n * logits.c);
    for (int k = 0; k < net->executor->count; k++) finite = finite && rn__statistics_finite(run, k);
    if (finite) return RN_OK;
    net->images = net->held = 0; /* no gradients to update with */
    return rn__explain_not_finite(run, error);
}

/* The gradient of the logits, where backward begins. */
RN__APART void rn__begin_backward(const rn__run *run, const rn_tensor *logits, const int *labels,
                                  double scale) {
    const rn_net *net = run->net;
    const int last = net->executor->count - 1;
    const rn_loss loss = rn__loss_of(net);
    rn_tensor gradient = rn__plain_vector(net, rn__operand(run, last, rn__gradient_at(run, last)));
    memset(gradient.data, 0,
           rn__value_count(net, net->node_count - 1, run->count) * sizeof(rn_real));
    rn_softmax_cross_entropy_backward(&gradient, logits, labels, scale, &loss, NULL);
}

/* Where convolutions standardise their weights, the gradients so far are those by what they make of
   them: now those by the weights themselves. At the end, once, so that the parts of a batch add up
   to the same bits. */
static void rn__standardise_gradients(rn__run *run) {
    for (int i = run->net->first_trained; i < run->net->node_count; i++) {
        const rn_net *net = run->net;
        const rn__bound of = rn__bind(run, i);
        rn_tensor f, dw;
        if (!net->nodes[i].standardised) continue;
        f = rn_tensor_in(of.parameters[RN__WEIGHT], net->nodes[i].c,
                         rn__input_channels(net->nodes, i), net->nodes[i].kernel,
                         net->nodes[i].kernel);
        dw = f;
        dw.data = of.gradients[RN__WEIGHT];
        if (rn__is_naive(net))
            rn_standardise_backward(&dw, &dw, &f, net->desc.standardisation_eps, NULL);
#if RN__FAST
        else
            rn__standardise_gradient(run, i);
#endif
    }
}

/* Draws the units that a training step leaves out: their additions take no first term, and what
   nobody takes then is left out, too, back to the shortcut's end. With `all` none is left out. */
static void rn__draw_units(const rn_net *net, int all) {
    const rn_key key = {net->desc.seed, RN_PURPOSE_DEPTH, net->step};
    rn__operation *operations = net->executor->operations;
    if (!(net->desc.stochastic_depth > 0)) return;
    for (int k = net->executor->count - 2; k >= 0; k--) operations[k].left_out = 1;
    for (int k = net->executor->count - 1; k > 0; k--) {
        rn__operation *op = &operations[k];
        const int i = rn__survival_of(net, op);
        const rn_node *node = &net->nodes[rn__max(i, 0)];
        const uint64_t unit = (uint64_t)node->stage << 32 | (uint64_t)node->unit;
        if (op->left_out) continue; /* as yet: nobody takes it */
        if (i >= net->first_trained && !all && rn_uniform(key, unit) < (double)node->dropout)
            op->left_out = 1;
        for (int input = 0; input < 2; input++)
            if (op->inputs[input] >= 0 && !(input == 0 && op->left_out))
                operations[op->inputs[input]].left_out = 0;
    }
}

/* A batch in training mode: logits, statistics and loss, and gradients if `backward`. The loss is
   the mean over the batch, so that each image's gradient is divided by the weight of all: 1 each,
   or that of its class. */
static rn_status rn__propagate(const char *function, rn_net *net, const rn_real *images,
                               const int *labels, int count, int backward, rn_result *result,
                               rn_error *error) {
    rn_tensor all;
    rn__run run;
    rn_loss loss;
    double weight;
    RN__TRY(rn__check_step(net, images, count, error));
    RN__FAIL_IF(net->mode != RN_TRAINING || !labels, RN_BAD_ARGUMENT,
                "training needs labels and a net of RN_TRAINING");
    RN__TRY(rn__check_groups_of(net, count, error));
    loss = rn__loss_of(net);
    all = rn_tensor_in(net->logits, count, net->desc.classes, 1, 1);
    RN__TRY(rn__check_loss(function, &weight, &all, labels, &loss, error));
    if (backward) memset(net->gradients, 0, (size_t)net->trained_count * sizeof(rn_real));
    net->images = count;
    run = rn__run_of(net, RN_TRAINING, net->executor->activations);
    run.expects = !backward; /* who wants statistics, wants those of inference's units */
    rn__draw_units(net, run.expects);
    while (rn__next_part(&run, images, count)) {
        const rn_tensor logits = rn_tensor_images(all, run.first, run.count);
        RN__TRY(rn__forward_part(net, &run, logits, error));
        if (!backward) continue;
        rn__begin_backward(&run, &logits, labels + run.first, 1 / weight);
        rn__go(&run, RN__GOES_BACKWARD, rn__backward);
    }
    if (backward && net->desc.weight_standardisation)
        rn__go(&run, RN__UPDATES, rn__standardise_gradients); /* of no images */
    return result ? rn_softmax_cross_entropy_forward(result, &all, labels, &loss, error) : RN_OK;
}

RNDEF rn_status rn_backpropagate(rn_net *net, const rn_real *images, const int *labels, int count,
                                 rn_result *result, rn_error *error) {
    return rn__propagate("rn_backpropagate", net, images, labels, count, 1, result, error);
}

#endif /* RESNET_NO_TRAIN */

/* >>probes ===================================================================================
   In: a node, and the time in a pass. Out: its value or gradient, copied out of the net or into it
   or summed up where it is, or a sentence that says why that cannot be. The planner lets buffers
   share memory, so that a thing is there only from the time when it is written until another takes
   its place:

       time of writing  <=  now  <  time when another thing is written over it

   Both are worked out from the program's times when somebody asks, and nothing is noted in a pass
   but the time. What is fused or lazy is never there, and refused with the name of what is. */

/* The three things of a node that a training pass stores; inference has values alone, and ends
   before the times of the others. */
enum { RN__VALUE, RN__VALUE_AGAIN, RN__GRADIENT };

/* The time (see >>program) at which the pass last wrote such a thing of operation k or, if it has
   not yet, will first write it; and its offset. -1: it is never in memory. Every reader of a value
   writes its gradient. */
static int rn__time_of(const rn_net *net, int k, int what, ptrdiff_t *offset) {
    const rn__executor *x = net->executor;
    const rn__operation *op = &x->operations[k];
    const int last = rn__last_taker(x, k);
    int time = x->count;
    *offset = what == RN__VALUE         ? op->offset[x->place]
              : what == RN__VALUE_AGAIN ? op->offset[RN__AT_BACKWARD]
                                        : op->gradient_offset;
    if (*offset < 0 || (what == RN__VALUE_AGAIN && !op->again)) return -1;
    if (rn__rests(op, x->place)) return -1;
    if (what == RN__VALUE) return k;
    if (what == RN__VALUE_AGAIN) return rn__again_time(x, k);
    for (int i = last; i > k; i--) { /* the loss reads the last value */
        const int begun = rn__backward_time(x, i);
        if (rn__takes(&x->operations[i], k) && (i == last || begun <= x->time)) time = begun;
    }
    return time;
}

/* Of the value of operation k for the images in memory; its gradient has as many. */
static ptrdiff_t rn__held_bytes(const rn_net *net, int k) {
    const int v = net->executor->operations[k].last;
    return (ptrdiff_t)(rn__value_count(net, v, net->held) * sizeof(rn_real));
}

/* The operation whose value or gradient has since taken memory of k's at `offset`; -1: none has. */
static int rn__overwriter(const rn_net *net, int k, ptrdiff_t offset, int since) {
    const ptrdiff_t end = offset + rn__held_bytes(net, k);
    ptrdiff_t at;
    for (int i = 0; i < net->executor->count; i++)
        for (int what = RN__VALUE; what <= RN__GRADIENT; what++) {
            const int time = rn__time_of(net, i, what, &at);
            if (time > since && time <= net->executor->time && at < end &&
                offset < at + rn__held_bytes(net, i))
                return i;
        }
    return -1;
}

/* Why there is never such a thing in this execution. */
static rn_status rn__explain_absence(const rn_net *net, int v, int gradient, const char *subject,
                                     rn_error *error) {
    const rn__operation *op = rn__operation_of(net, v);
    const char *reason = "it is one step with";
    int other = op->last;
    char name[64];
    RN__FAIL_IF(v == 0, RN_BAD_ARGUMENT, "%s is not there: %s", subject,
                gradient ? "the images get none" : "the images are the caller's");
    RN__FAIL_IF(rn__rests(op, net->executor->place), RN_BAD_ARGUMENT,
                "%s is not there: its unit is left out of this step; take it in one whose probe "
                "reports it",
                subject);
    RN__FAIL_IF(gradient && (op->node < net->first_trained || op->node > v), RN_BAD_ARGUMENT,
                "%s is not there: frozen_below is %d, and backward ends behind that node; "
                "take that of a later node, or freeze less",
                subject, net->desc.frozen_below);
    if (!gradient && (op->lazy || op->node > v)) { /* frozen, it is no operation at all */
        reason = "its readers compute it from";
        other = rn__has(&net->nodes[v], RN__ACTIVATES) ? net->nodes[v].inputs[0] : v;
        other = net->nodes[other].inputs[0];
    } else if (!gradient && v == op->last) { /* a convolution in inference */
        other = op[1].last;
    } else if (v == op->last) { /* a lazy gradient */
        reason = "its step computes it from that of";
        other = op[1].last;
    }
    rn_node_name(net, other, name);
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s does not exist in the fast execution: %s %s (node %d); take that one%s",
                    subject, reason, name, other,
                    RN__SMALL ? "" : ", or desc.unfused = 1, or desc.naive = 1");
}

/* Where a value or gradient is in memory at this time. */
static rn_status rn__find(const rn_net *net, int v, int gradient, ptrdiff_t *offset,
                          const char *subject, rn_error *error) {
    const rn__executor *x = net->executor;
    const int k = rn__index_of(net, v);
    const rn__operation *op = &x->operations[k];
    const int last = rn__last_taker(x, k);
    int since = v == op->last ? rn__time_of(net, k, RN__VALUE_AGAIN, offset) : -1, other;
    char name[64];
    if (v == op->last && (gradient || since < 0 || since > x->time))
        since = rn__time_of(net, k, gradient ? RN__GRADIENT : RN__VALUE, offset);
    if (!gradient && rn__does_next(op) &&
        (x->place == RN__AT_INFERENCE || op[1].node < net->first_trained))
        since = -1;
    /* Never there; not there yet. */
    if (since < 0) return rn__explain_absence(net, v, gradient, subject, error);
    RN__FAIL_IF(since > x->time, RN_BAD_ARGUMENT,
                "%s does not exist yet: take it when the probe reports node %d%s", subject,
                !gradient  ? v
                : last < 0 ? op->node
                           : x->operations[last].node,
                gradient ? " in backward" : "");
    /* Or has been, and is no longer. */
    other = rn__overwriter(net, k, *offset, since);
    if (other >= 0) other = x->operations[other].last;
    if (gradient && op->after_add && x->time >= rn__backward_time(x, k))
        other = op->node; /* whose backward masks it where it is */
    if (other < 0) return RN_OK;
    rn_node_name(net, other, name);
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s is gone: %s (node %d) has its memory; take it in an earlier probe", subject,
                    name, other);
}

/* Is the gradient of operation k's value there, complete or not, and yet to be read by the
   operation that it is for, or (lazy) by the convolution before that? */
static int rn__gradient_lives(const rn_net *net, int k, int lazy, ptrdiff_t *offset) {
    const rn__executor *x = net->executor;
    const int since = rn__time_of(net, k, RN__GRADIENT, offset);
    return since >= 0 && since <= x->time &&
           x->time < (lazy ? rn__gradient_end(x, k) : rn__backward_time(x, k));
}

/* Would what is written be read as in the naive execution, and by nobody else? */
static rn_status rn__check_writing(const rn_net *net, int v, int gradient, const char *subject,
                                   rn_error *error) {
    const rn__executor *x = net->executor;
    const int own_k = rn__index_of(net, v);
    ptrdiff_t own, other;
    RN__FAIL_IF(gradient && !rn__gradient_lives(net, own_k, 0, &own), RN_BAD_ARGUMENT,
                "%s cannot be written: its step has read it; write it in an earlier probe",
                subject);
    for (int k = 0; k < x->count; k++) {
        const rn__operation *op = &x->operations[k];
        RN__FAIL_IF(gradient && k != own_k && rn__gradient_lives(net, k, 1, &other) && other == own,
                    RN_BAD_ARGUMENT,
                    "%s cannot be written: it is one with that of node %d, which is yet to "
                    "be read; write it in a later probe, or that of their addition",
                    subject, op->last);
        RN__FAIL_IF(!gradient && !rn__is_naive(net) && op->inputs[0] == own_k && k <= x->time &&
                        rn__has(rn__first_node(net, op), RN__NORMALISES),
                    RN_BAD_ARGUMENT,
                    "%s cannot be written: the batch norm at node %d has read it; write it "
                    "when the probe reports node %d, or take desc.naive = 1",
                    subject, op->node, v);
    }
    return RN_OK;
}

/* A value or gradient in memory, as a tensor in NCHW; its strides are those of the naive
   execution. */
static rn_status rn__look_up(const char *function, const rn_net *net, int v, int gradient,
                             int into_net, rn_tensor *inside, rn_error *error) {
    char name[64], subject[128];
    rn__text text = rn__text_in(subject, sizeof subject);
    ptrdiff_t offset;
    RN__FAIL_IF(!net->held || (gradient && net->executor->place == RN__AT_INFERENCE),
                RN_BAD_ARGUMENT,
                "%s: values and gradients are there in the probes of a training step and "
                "behind it, values also in those of rn_predict_probed; up to rn_workspace",
                function);
    RN__TRY(rn__expect_within(function, "node", v, 0, net->node_count - 1, error));
    rn_node_name(net, v, name);
    rn__format(&text, "%s: the %s of %s (node %d)", function, gradient ? "gradient" : "value", name,
               v);
    RN__TRY(rn__find(net, v, gradient, &offset, subject, error));
    if (into_net) RN__TRY(rn__check_writing(net, v, gradient, subject, error));
    *inside = rn_tensor_in((rn_real *)(void *)(net->executor->activations + offset), net->held,
                           net->nodes[v].c, net->nodes[v].h, net->nodes[v].w);
    return RN_OK;
}

/* Copies a value or gradient into the net or out of it, from or to the executor's layout. */
static rn_status rn__exchange(const char *function, const rn_net *net, int v, int gradient,
                              int into_net, rn_tensor outside, rn_error *error) {
    rn_tensor inside;
    RN__TRY(rn__look_up(function, net, v, gradient, into_net, &inside, error));
    RN__TRY(
        rn__expect(function, "tensor", &outside, inside.n, inside.c, inside.h, inside.w, error));
#if RN__FAST
    if (!rn__is_naive(net)) {
        const rn__engine engine = rn__engine_of(net);
        const rn__blocked in = rn__blocked_in(inside.data, inside.n, inside.c, inside.h, inside.w);
        if (into_net)
            rn__block(&engine, in, outside);
        else
            rn__unblock(&engine, outside, in, 0);
        return RN_OK;
    }
#endif
    return into_net ? rn_tensor_copy(inside, outside, error)
                    : rn_tensor_copy(outside, inside, error);
}

/* The four of them: value or gradient, out or in. Writing marks the net, so that what had been
   summed up of a value is measured again. */
RNDEF rn_status rn_read_value(const rn_net *net, int node, rn_tensor to, rn_error *error) {
    return rn__exchange(__func__, net, node, 0, 0, to, error);
}

RNDEF rn_status rn_write_value(rn_net *net, int node, rn_tensor from, rn_error *error) {
    RN__TRY(rn__exchange(__func__, net, node, 0, 1, from, error));
    net->executor->rewritten = 1;
    return RN_OK;
}

RNDEF rn_status rn_read_gradient(const rn_net *net, int node, rn_tensor to, rn_error *error) {
    return rn__exchange(__func__, net, node, 1, 0, to, error);
}

RNDEF rn_status rn_write_gradient(rn_net *net, int node, rn_tensor from, rn_error *error) {
    RN__TRY(rn__exchange(__func__, net, node, 1, 1, from, error));
    net->executor->rewritten = 1;
    return RN_OK;
}

/* ---- moments --------------------------------------------------------------------------------- */

/* The bin of a number, which is one of them whatever -ffast-math makes of infinities and NaN. */
static int rn__bin_of(const rn_moments *m, double number) {
    const double bin = (number - m->least) / (m->most - m->least) * m->bins;
    if (!rn__is_finite(bin)) return number > 0 ? m->bins - 1 : 0;
    return bin >= m->bins ? m->bins - 1 : bin > 0 ? (int)bin : 0;
}

RNDEF void rn_add_moments(rn_moments *m, rn_tensor tensor) {
    RN__EACH(&tensor, n, c, h, w) {
        const double number = rn__get(&tensor, n, c, h, w);
        m->count++;
        m->sum += number;
        m->squares += number * number;
        m->positive += number > 0;
        m->zeros += number <= 0 && number >= 0;
        if (fabs(number) > m->largest) m->largest = fabs(number);
        if (m->bins) m->histogram[rn__bin_of(m, number)]++;
    }
}

/* Where channels lie in blocks of 16, a value is a tensor for each block; else it is one. */
RNDEF rn_status rn_add_moments_of(rn_moments *moments, const rn_net *net, int node, int backward,
                                  rn_error *error) {
    rn_tensor t;
    RN__TRY(rn__look_up(__func__, net, node, backward, 0, &t, error));
    if (!rn__is_naive(net)) {
        t.stride_c = 1;
        t.stride_w = RN__BLOCK;
        t.stride_h = t.w * t.stride_w;
        t.stride_n = rn__blocks(t.c) * t.h * t.stride_h;
    }
    for (int left = t.c; left > 0; left -= t.c, t.data += t.h * t.stride_h) {
        t.c = rn__is_naive(net) ? left : rn__min(RN__BLOCK, left);
        rn_add_moments(moments, t);
    }
    return RN_OK;
}

/* >>optimiser ================================================================================
   In: gradients in net->gradients and the batch statistics of the last training forward, as
   rn_backpropagate left them. Out: parameters, velocity and running statistics one step further,
   or, if any number of them would not be finite, all as they were. And before that: the learning
   rate of each step.

   An update is therefore done twice: first tried, which writes nothing, then carried out. The
   trial costs little, for it reads what the update will find in the cache.

   Parameters lie one behind the other, so the update does not go tensor by tensor but by runs of
   tensors that agree about rate and weight decay, each shared among the threads in pieces:

       parameters  | conv1.weight | bn1.weight | bn1.bias | conv2.weight | ... | fc.bias |
       runs, if all parameters decay
                   |<------------------------------ 1 ------------------------------->|
       runs, if only weights do
                   |<---- 1 ----->|<-------- 2 ---------->|<---- 3 ----->|  ...           */

/* Learning rates over the steps of a training. The numbers are the paper's, in proportion: drops
   after 32,000 and 48,000 of 64,000 steps, and at their begin 400 at a tenth of the rate.

       constant          steps              cosine            one_cycle
       ----------          -----            --.                   .
                                             `-.               /   `.
                                ---            `.            /       `.
                         -         ---           `--       /           `.
       0        1        0  1/2  3/4  1      0        1    0   0.3       1     done          */
RNDEF rn_schedule rn_make_schedule(rn_schedule_kind kind, double learning_rate, uint64_t steps) {
    /* What another kind does not use is there all the same. */
    rn_schedule schedule = {kind, learning_rate, steps, {steps / 2, steps - (steps + 3) / 4}, 0, 0};
    if (kind == RN_STEPS) {
        schedule.warmup_steps = steps / 160;
        schedule.warmup_rate = learning_rate / 10;
    }
    return schedule;
}

/* Of step 0, 1, ...: what is left of the largest rate then. */
RNDEF double rn_learning_rate(const rn_schedule *schedule, uint64_t step) {
    double rate = schedule->learning_rate, steps = (double)(schedule->steps ? schedule->steps : 1);
    double done = (double)step / steps; /* the part of the training behind us */
    if (done > 1) done = 1;
    if (schedule->kind == RN_ONE_CYCLE) /* one step up counts as done: the first rate is above 0 */
        return rate * (done < 0.3 ? (done + 1 / steps) / (0.3 + 1 / steps) : (1 - done) / 0.7);
    if (step < schedule->warmup_steps) return schedule->warmup_rate;
    if (schedule->kind == RN_COSINE) return rate * 0.5 * (1 + cos(3.14159265358979323846 * done));
    if (schedule->kind == RN_STEPS)
        return rate * (step < schedule->drops[0] ? 1 : step < schedule->drops[1] ? 0.1 : 0.01);
    return rate;
}

RNDEF const char *rn_schedule_name(rn_schedule_kind kind) {
    return rn__name_of(rn__schedule_names, kind);
}

RNDEF rn_status rn_schedule_parse(rn_schedule_kind *kind, const char *name, rn_error *error) {
    return rn__parse_enum(kind, sizeof *kind, "schedule", rn__schedule_names, name, error);
}

#ifndef RESNET_NO_TRAIN

/* g = dE/dw + decay w;  v = momentum v + into_velocity g;  w -= of_gradient g + of_velocity v.
   Returns whether all v and w are finite. */
static int rn__naive_sgd(rn_real *weight, rn_real *velocity, const rn_real *gradient,
                         ptrdiff_t count, const rn__sgd_step *step, int write) {
    int bad = 0; /* gathered without a branch */
    for (ptrdiff_t i = 0; i < count; i++) {
        rn_real g = gradient[i] + step->decay * weight[i];
        rn_real v = step->momentum * velocity[i] + step->into_velocity * g;
        rn_real w = weight[i] - (step->of_gradient * g + step->of_velocity * v);
        bad |= rn__not_finite(v) | rn__not_finite(w);
        if (!write) continue;
        velocity[i] = v;
        weight[i] = w;
    }
    return !bad;
}

enum { RN__SGD_JOBS = 64 };

/* Parameters [first, first + count) of the net, which all learn in one way. */
typedef struct rn__sgd_run {
    const rn_net *net;
    rn__sgd_step step;
    ptrdiff_t first, count;   /* parameters */
    int write;                /* 0: only try */
    int jobs;                 /* that share it */
    int finite[RN__SGD_JOBS]; /* of each job */
} rn__sgd_run;

/* Job i: whole blocks of the vectorised kernel; what is left of the last block, one by one. */
static void rn__sgd_job(void *context, int i, int thread) {
    rn__sgd_run *run = (rn__sgd_run *)context;
    const ptrdiff_t blocks = run->count / RN__BLOCK, begin = blocks * i / run->jobs * RN__BLOCK;
    const ptrdiff_t end = i + 1 < run->jobs ? blocks * (i + 1) / run->jobs * RN__BLOCK : run->count;
    const ptrdiff_t first = run->first - rn__frozen_count(run->net); /* in velocity, gradients */
    rn_real *w = run->net->parameters + run->first, *v = run->net->velocity + first;
    const rn_real *g = run->net->gradients + first;
    ptrdiff_t at = begin; /* from here on the kernel leaves it to the plain loop */
    (void)thread;
    run->finite[i] = 1;
#if RN__FAST
    if (run->net->executor->kernels) {
        at += (end - begin) / RN__BLOCK * RN__BLOCK;
        run->finite[i] = run->net->executor->kernels->sgd(
            w + begin, v + begin, g + begin, (at - begin) / RN__BLOCK, &run->step, run->write);
    }
#endif
    run->finite[i] &= rn__naive_sgd(w + at, v + at, g + at, end - at, &run->step, run->write);
}

/* Does the run and puts the next one, still empty, behind it. 1 if all numbers are finite. */
static int rn__do_sgd(rn__sgd_run *run) {
    rn__team *team = rn__team_of(run->net);
    const rn__meeting with =
        rn__meet(team, run->net->executor->kernels ? run->net->desc.threads : 1);
    int finite = 1;
    run->jobs = run->count < 1 << 14 ? 1 : RN__SGD_JOBS; /* few are not worth a call to others */
    rn__parallel(with.team, with.workers, run->jobs, rn__sgd_job, run);
    rn__part(team, &with, RN__UPDATES, 0);
    for (int i = 0; i < run->jobs; i++) finite &= run->finite[i];
    run->first += run->count;
    run->count = 0;
    return finite;
}

/* How a tensor learns. The three forms of SGD differ in what the velocity takes of the gradient (1
   or the rate) and in what the weight takes of gradient and velocity, see rn_sgd. */
static rn__sgd_step rn__sgd_step_of(const rn_net *net, const rn_parameter *p, rn_real rate) {
    const rn_desc *desc = &net->desc;
    /* torch is what is neither of these */
    const int caffe = desc->sgd == RN_SGD_CAFFE, nesterov = desc->sgd == RN_SGD_NESTEROV;
    const int decays = desc->decay_scope == RN_DECAY_ALL || rn__slot_behind(net, p)->is_weight;
    const int shifts = p->index - 1 == RN__BIAS && rn__has(&net->nodes[p->node], RN__NORMALISES);
    const double times = shifts ? desc->norm_bias_rate : 1;
    rn__sgd_step step;
    rate *= (rn_real)times;
    step.decay = (rn_real)(decays ? desc->weight_decay / times : 0);
    step.momentum = (rn_real)desc->momentum;
    step.into_velocity = caffe ? rate : 1;
    step.of_gradient = nesterov ? rate : 0;
    step.of_velocity = caffe ? 1 : nesterov ? rate * step.momentum : rate;
    return step;
}

/* Updates all parameters (write 1), or tries to. 0 if some would not be finite; with `blame` every
   parameter is a run of its own, and it gets the first of those. */
static int rn__update_parameters(const rn_net *net, rn_real rate, int write, rn_parameter *blame) {
    rn__sgd_run run;
    rn_parameter p;
    memset(&p, 0, sizeof p);
    memset(&run, 0, sizeof run);
    run.net = net;
    run.first = rn__frozen_count(net);
    run.write = write;
    while (rn_next_parameter(net, &p)) {
        rn__sgd_step step;
        if (!p.gradient) continue; /* running statistics, and what is frozen */
        step = rn__sgd_step_of(net, &p, rate);
        /* A tensor that does not learn as the run does ends it and begins another. */
        if (run.count && memcmp(&step, &run.step, sizeof step) != 0 && !rn__do_sgd(&run)) return 0;
        run.step = step;
        run.count += p.count;
        if (blame && !rn__do_sgd(&run)) {
            *blame = p;
            return 0;
        }
    }
    return rn__do_sgd(&run);
}

/* Moves running statistics towards the batch statistics (write 1), or tries to: the node of the
   first whose numbers would not be finite, -1 if there is none. */
static int rn__move_statistics(rn_net *net, double momentum, int write) {
    for (int i = net->first_trained; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        rn_real *const mean = net->statistics + node->statistics;
        rn_real *const running[2] = {mean, mean + node->c};
        if (rn__slot_of(node, RN__MEAN) && !rn__operation_of(net, i)->left_out &&
            !rn__update_running(running, rn__batch_statistics(net, i, 0), net->images,
                                net->desc.bn_group, node->c, (double)node->h * node->w, momentum,
                                write))
            return i;
    }
    return -1;
}

/* Also used by rn_recalibrate, whose momentum is another. */
static void rn__update_statistics(rn_net *net, double momentum) {
    rn__move_statistics(net, momentum, 1);
    net->images = net->executor->prepacked = 0; /* the last forward is used up */
}

/* Tries parameters, then statistics; what fails is named. Only then are both changed. */
RNDEF rn_status rn_update(rn_net *net, double learning_rate, rn_error *error) {
    const rn_real rate = (rn_real)learning_rate;
    const char *what = "gradient or update"; /* would not be finite */
    rn_parameter blamed;
    int fails;
    memset(&blamed, 0, sizeof blamed);
    RN__FAIL_IF(net->mode != RN_TRAINING || !net->images, RN_BAD_ARGUMENT,
                "rn_update needs rn_backpropagate's gradients");
    RN__FAIL_IF(!rn__is_finite(learning_rate), RN_NOT_FINITE,
                "step %llu: the learning rate is not finite", (rn__llu)net->step);
    fails = !rn__update_parameters(net, rate, 0, NULL);
    if (fails)
        rn__update_parameters(net, rate, 0, &blamed);
    else {
        what = "running statistics";
        blamed.node = rn__move_statistics(net, net->desc.bn_momentum, 0);
        rn_node_name(net, blamed.node, blamed.name);
        fails = blamed.node >= 0;
    }
    RN__FAIL_IF(fails, RN_NOT_FINITE,
                "step %llu: the %s of %s (node %d) would not be finite; nothing was "
                "changed: lower the learning rate or look at the data",
                (rn__llu)net->step, what, blamed.name, blamed.node);
    rn__update_parameters(net, rate, 1, NULL);
    rn__update_statistics(net, net->desc.bn_momentum);
    net->step++;
    return RN_OK;
}

/* Gradients, then the update: nothing is changed before all gradients are there. */
RNDEF rn_status rn_train_step(rn_net *net, const rn_real *images, const int *labels, int count,
                              double learning_rate, rn_result *result, rn_error *error) {
    RN__TRY(rn_backpropagate(net, images, labels, count, result, error));
    return rn_update(net, learning_rate, error);
}

#endif /* RESNET_NO_TRAIN */

/* >>file access ==============================================================================
   In: a path and the caller's rn_files, or NULL for stdio. Out: an open file in an rn_archive,
   bytes of it, or a sentence for what failed.

       rn__open, rn__read  -->  rn_files  -->  the caller's functions, or rn__stdio_*
       (sentences)                             (fopen, or fopen64, or _wfopen, ...)

   Most of the section makes up for what stdio lacks: paths in UTF-8 on Windows, files above 2 GB
   where long has 32 bits, a rename that replaces, synchronising with the disk, and a saved file
   that keeps permissions and symbolic links as they were. */

#ifndef RESNET_NO_STDIO
#ifdef _WIN32
#include <io.h>
#ifdef __cplusplus
extern "C" {
#endif
/* All that is needed of <windows.h>, which would define thousands of names, min and max among them,
   in every program that includes this file. */
__declspec(dllimport) int __stdcall MultiByteToWideChar(unsigned int, unsigned long, const char *,
                                                        int, wchar_t *, int);
__declspec(dllimport) int __stdcall MoveFileExW(const wchar_t *, const wchar_t *, unsigned long);
#ifdef __cplusplus
}
#endif

/* The path as Windows wants it: 16-bit characters, from UTF-8 or, if it is not UTF-8, from the
   system's code page. 0 if it is too long. */
enum { RN__UTF16 = 520 };
static int rn__utf16(const char *path, wchar_t wide[RN__UTF16]) {
    const unsigned utf8 = 65001, strictly = 8, ansi = 0;
    return MultiByteToWideChar(utf8, strictly, path, -1, wide, RN__UTF16) ||
           MultiByteToWideChar(ansi, 0, path, -1, wide, RN__UTF16);
}

/* The rest of the file calls these three for fopen, rename and remove. */
static FILE *rn__fopen(const char *path, const char *mode) {
    wchar_t wide[RN__UTF16];
    /* Always binary: \n stays what it is. */
    return rn__utf16(path, wide) ? _wfopen(wide, *mode == 'w' ? L"wb" : L"rb") : NULL;
}

/* rename would refuse to replace a file. */
static int rn__rename(const char *from, const char *to) {
    const unsigned long replace = 1, write_through = 8;
    wchar_t wide[2][RN__UTF16];
    /* 0 for success, as of rename. */
    return !rn__utf16(from, wide[0]) || !rn__utf16(to, wide[1]) ||
           !MoveFileExW(wide[0], wide[1], replace | write_through);
}

static int rn__remove_file(const char *path) {
    wchar_t wide[RN__UTF16];
    return !rn__utf16(path, wide) || _wremove(wide);
}
/* Synchronises; seeks and tells with 64 bits, for long has 32. */
#define RN__FSYNC(file) _commit(_fileno(file))
#define RN__SEEK(file, at, from) _fseeki64(file, (int64_t)(at), from)
#define RN__TELL(file) _ftelli64(file)
#else
#define rn__fopen fopen
#define rn__rename rename
#define rn__remove_file remove
#endif

#if (defined(__unix__) || defined(__APPLE__)) && !defined(_WIN32)
#include <sys/stat.h>
#include <unistd.h>
#ifndef __cplusplus /* -std=c99 hides these, for they are POSIX's: declared as it declares them */
int(fileno)(FILE *file);
int fsync(int descriptor);
ssize_t readlink(const char *path, char *target, size_t capacity);
#endif
#define RN__FSYNC(file) fsync(fileno(file))
#if LONG_MAX == 0x7fffffff && defined(__GLIBC__) /* its off_t has 32 bits unless asked otherwise */
#ifndef __cplusplus
FILE *fopen64(const char *path, const char *mode);
int fseeko64(FILE *file, int64_t at, int from);
int64_t ftello64(FILE *file);
#endif
#undef rn__fopen
#define rn__fopen fopen64
#define RN__SEEK(file, at, from) fseeko64(file, (int64_t)(at), from)
#define RN__TELL(file) ftello64(file)
#elif LONG_MAX == 0x7fffffff /* other libraries: off_t has 64 */
#ifndef __cplusplus
int fseeko(FILE *file, off_t at, int from);
off_t ftello(FILE *file);
#endif
#define RN__SEEK(file, at, from) fseeko(file, (off_t)(at), from)
#define RN__TELL(file) ftello(file)
#endif

#define RN__HAS_LINKS
/* Replaces `path` by what its symbolic links lead to, so that saving replaces the file and not the
   link. NULL, or why nothing can be saved there. */
static const char *rn__find_target(char *path, size_t capacity) {
    struct stat there;
    int links;                             /* followed so far */
    for (links = 0; links < 40; links++) { /* more are a circle */
        char target[1024], *name = strrchr(path, '/');
        ptrdiff_t length = readlink(path, target, sizeof target);
        if (length < 0) /* no link: a file, or nothing yet */
            return stat(path, &there) || S_ISREG(there.st_mode) ? NULL : "is no plain file";
        /* A link that does not start with a slash counts from its own directory. */
        name = name && *target != '/' ? name + 1 : path;
        if (length + (name - path) >= (ptrdiff_t)capacity) break;
        memcpy(name, target, (size_t)length);
        name[length] = 0;
    }
    return "is a symbolic link that leads too far";
}

/* Gives a new file the permissions of the one that it will replace, before anything is in it: what
   others must not read they cannot read for a moment either. */
static void rn__keep_mode(const char *older, const char *newer) {
    struct stat there;
    if (!stat(older, &there))
        (void)chmod(newer, there.st_mode & 0777); /* not every disk has them */
}
#endif
#ifndef RN__FSYNC
#define RN__FSYNC(file) 0
#endif
#ifndef RN__SEEK
#define RN__SEEK(file, at, from) fseek(file, (long)(at), from)
#define RN__TELL(file) ftell(file)
#endif

/* rn_files by stdio; `user` is not used. */
static void *rn__stdio_open(void *user, const char *path, int write) {
    return (void)user, rn__fopen(path, write ? "wb" : "rb");
}

/* By going to the end of the file. */
static int rn__stdio_size(void *user, void *file, uint64_t *bytes) {
    FILE *f = (FILE *)file;
    int reads = fgetc(f) != EOF || !ferror(f); /* fopen opens directories, too; they do not read */
    /* -1 where it cannot be told: a pipe, a terminal */
    int64_t end = reads && !RN__SEEK(f, 0, SEEK_END) ? (int64_t)RN__TELL(f) : -1;
    *bytes = (uint64_t)end;
    return (void)user, end < 0;
}

/* RN__SEEK can take the offset: it is within the file, whose size RN__TELL could tell. Without need
   there is no seek, for it would empty the buffer. */
static size_t rn__stdio_read(void *user, void *file, uint64_t offset, void *data, size_t bytes) {
    FILE *f = (FILE *)file;
    int there = (uint64_t)RN__TELL(f) == offset || !RN__SEEK(f, offset, SEEK_SET);
    return (void)user, there ? fread(data, 1, bytes, f) : 0;
}

static size_t rn__stdio_write(void *user, void *file, const void *data, size_t bytes) {
    return (void)user, fwrite(data, 1, bytes, (FILE *)file);
}

static int rn__stdio_sync(void *user, void *file) {
    return (void)user, fflush((FILE *)file) || RN__FSYNC((FILE *)file);
}

static int rn__stdio_close(void *user, void *file) { return (void)user, fclose((FILE *)file); }

static int rn__stdio_rename(void *user, const char *from, const char *to) {
    return (void)user, rn__rename(from, to);
}

static int rn__stdio_remove(void *u, const char *path) { return (void)u, rn__remove_file(path); }
#endif
#ifndef RN__HAS_LINKS /* nothing to follow, nothing to keep */
#define rn__find_target(path, capacity) NULL
#define rn__keep_mode(older, newer) ((void)0)
#endif

/* rn_files of a file in memory, which `user` is, too: opening it finds it, closing does nothing. */
static void *rn__memory_open(void *user, const char *path, int write) {
    return (void)path, (void)write, user;
}

static int rn__memory_size(void *user, void *file, uint64_t *bytes) {
    *bytes = ((const rn_mapping *)file)->bytes;
    return (void)user, 0;
}

static size_t rn__memory_read(void *user, void *file, uint64_t offset, void *data, size_t bytes) {
    const rn_mapping *m = (const rn_mapping *)file;
    (void)user;
    if (offset > m->bytes) return 0;
    if (bytes > m->bytes - (size_t)offset) bytes = m->bytes - (size_t)offset;
    memcpy(data, (const char *)m->data + (size_t)offset, bytes);
    return bytes;
}

static int rn__memory_close(void *user, void *file) { return (void)user, (void)file, 0; }

RNDEF rn_files rn_files_in_memory(rn_mapping *file) {
    rn_files files;
    memset(&files, 0, sizeof files);
    files.user = file;
    files.open = rn__memory_open;
    files.size = rn__memory_size;
    files.read = rn__memory_read;
    files.close = rn__memory_close;
    return files;
}

/* Closes what is open; an archive that never was must be all zero, or come from rn__open. */
RNDEF void rn_archive_close(rn_archive *archive) {
    if (archive->file) archive->files.close(archive->files.user, archive->file);
    archive->file = NULL;
}

/* Opens any file, to be read or written. Nothing is read yet: in the archive stand the file, the
   functions to reach it, its path, and its size if it is to be read. */
static rn_status rn__open(rn_archive *a, const char *path, int write, const rn_files *files,
                          rn_error *error) {
    rn__text name = rn__text_in(a->path, sizeof a->path);
#ifndef RESNET_NO_STDIO
    static const rn_files stdio = {
        NULL,           rn__stdio_open,  rn__stdio_size,   rn__stdio_read,  rn__stdio_write,
        rn__stdio_sync, rn__stdio_close, rn__stdio_rename, rn__stdio_remove};
    if (!files) files = &stdio; /* without stdio there is no default */
#endif
    memset(a, 0, sizeof *a);
    rn__puts(&name, path);
    /* Reading and saving need different functions; two are needed by both. */
    RN__FAIL_IF(!files || !files->open || !files->close ||
                    (write ? !files->write || !files->sync || !files->rename || !files->remove
                           : !files->size || !files->read),
                RN_BAD_ARGUMENT,
                "rn_files lacks a function, or (without stdio) is NULL: reading takes open, size, "
                "read, close; saving open, write, sync, close, rename, remove");
    a->files = *files;
    a->file = files->open(files->user, path, write);
    RN__FAIL_IF(!a->file, write ? RN_IO : RN_NO_FILE, "cannot open %s; %s", path,
                write ? "is the directory there?" : "is it there, and may it be read?");
    /* Directories open on some systems; then their size cannot be told. */
    if (write || !files->size(files->user, a->file, &a->bytes)) return RN_OK;
    rn_archive_close(a);
    return rn__fail(error, RN_IO, "%s cannot be read as a file; is it a directory?", path);
}

/* Reads bytes [at, at + bytes), all of them or it fails. */
static rn_status rn__read(rn_archive *a, uint64_t at, void *data, size_t bytes, rn_error *error) {
    /* Beyond the end, without overflow. */
    RN__FAIL_IF(a->bytes < bytes || a->bytes - bytes < at, RN_BAD_FILE,
                "%s has %llu bytes, but %llu should be there; is it cut?", a->path,
                (rn__llu)a->bytes, (rn__llu)(at + bytes));
    if (a->files.read(a->files.user, a->file, at, data, bytes) == bytes) return RN_OK;
    return rn__fail(error, RN_IO, "%s: reading %zu bytes at %llu failed; is the disk in order?",
                    a->path, bytes, (rn__llu)at);
}

/* >>data =====================================================================================
   In: CIFAR and IDX files, or whatever an rn_source reads. Out: mini-batches of normalised numbers
   with labels.

       files --rn_load_cifar, rn_load_idx--> rn_data (bytes in memory) --.
       any other place (a database, a camera) -------------------------- rn_source --rn_batch-->
                                                  images [count,C,H,W], labels [count]

   A file is read as records that all have the same size. Of CIFAR-10 and CIFAR-100 a record is an
   image with its label or labels, without any header:

       | label | 1024 bytes red | 1024 bytes green | 1024 bytes blue |              CIFAR-10
       | coarse label | fine label | red | green | blue |                           CIFAR-100

   Of an IDX file it is an image or a label, behind a header; all numbers have the highest byte
   first:

       | 0 | 0 | type | n | size 1 | ... | size n |  records ...      type 8: bytes, 9: signed
         1   1    1     1      4              4                       11: two bytes, 12: four  */

/* Channels that a description can normalise. */
enum { RN__MEANS = (int)(sizeof((rn_desc *)0)->mean / sizeof(float)) };

static size_t rn__image_bytes(const rn_source *s) {
    return (size_t)s->channels * (size_t)s->height * (size_t)s->width;
}

/* The read of a source in memory. It also tells that a source is an rn_data. */
static int rn__data_read(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const rn_data *data = (const rn_data *)user;
    const size_t size = rn__image_bytes(&data->source);
    if (index < 0 || index >= data->source.count) return 1;
    memcpy(pixels, data->pixels + (size_t)index * size, size);
    *label = data->labels[index];
    return 0;
}

RNDEF void rn_data_free(rn_data *data) {
    if (!data) return;
    rn__release(&data->memory, data->block);
    memset(data, 0, sizeof *data);
}

/* `path` is whose image it is: a file, or "the source". */
static rn_status rn__check_label(const char *path, uint64_t index, int label, int classes,
                                 rn_error *error) {
    if (label >= 0 && label < classes) return RN_OK;
    return rn__fail(error, RN_BAD_FILE, "%s: image %llu has label %d; labels should be 0 to %d",
                    path, (rn__llu)index, label, classes - 1);
}

/* An open file of `count` records, which lie at its end, behind whatever header it has. */
typedef struct rn__records {
    rn_archive file;
    uint64_t count;
    uint64_t first;            /* the image that the first record belongs to */
    uint64_t labels, pixels;   /* bytes of a record: these, then those; one may be 0 */
    int label_at, label_bytes; /* of the labels' bytes those of the label that counts */
    int is_signed;             /* the label */
    int channels;              /* of interleaved pixels (RGBRGB...); 0: planes, as we store them */
} rn__records;

/* A whole number of some bytes, the highest first. */
static int64_t rn__big_endian(const uint8_t *b, int bytes, int is_signed) {
    int64_t value = is_signed && *b > 127 ? -1 : 0;
    for (; bytes > 0; bytes--) value = value * 256 + *b++;
    return value;
}

/* One block for all images: pixels, labels, and room for one image, which rn__load_records uses. */
static rn_status rn__allocate_data(rn_data *data, uint64_t images, const rn_memory *memory,
                                   rn_error *error) {
    const rn_source *s = &data->source;
    /* Bytes of an image: at most 4 x 2^14 x 2^14, see rn__open_idx. */
    const uint64_t size = (uint64_t)s->channels * (uint64_t)s->height * (uint64_t)s->width;
    rn_error inner; /* is told again, with what it was for */
    /* size + 1 bytes for each image and its label, and one image more: below PTRDIFF_MAX. */
    RN__FAIL_IF(images >= PTRDIFF_MAX / (size + 1), RN_TOO_LARGE,
                "%llu images [%d,%d,%d] are more than memory can address", (rn__llu)images,
                s->channels, s->height, s->width);
    data->source.count = (ptrdiff_t)images;
    if (memory) data->memory = *memory;
    data->pixels =
        (uint8_t *)rn__allocate(memory, (size_t)(images * (size + 1) + size), &data->block, &inner);
    RN__FAIL_IF(!data->pixels, inner.status, "images: %s", inner.text);
    data->labels = data->pixels + (size_t)(images * size);
    return RN_OK;
}

/* Labels and pixels of all records to their place; interleaved pixels are sorted into planes. */
static rn_status rn__load_records(rn_data *data, rn__records *r, rn_error *error) {
    const size_t channels = (size_t)r->channels, pixels = (size_t)r->pixels;
    const size_t plane = channels ? pixels / channels : 0; /* bytes of a channel */
    uint64_t at = r->file.bytes - r->count * (r->labels + r->pixels), i;
    /* b: the labels of a record; room: for interleaved pixels, behind all labels. */
    uint8_t b[4], *room = data->labels + data->source.count;
    int label;
    if (!r->labels && !channels) /* the whole file as we store it */
        return rn__read(&r->file, at, data->pixels, (size_t)r->count * pixels, error);
    for (i = 0; i < r->count; i++) {
        uint8_t *to = data->pixels + (size_t)(r->first + i) * pixels;
        if (r->labels) {
            RN__TRY(rn__read(&r->file, at, b, (size_t)r->labels, error));
            label = (int)rn__big_endian(b + r->label_at, r->label_bytes, r->is_signed);
            RN__TRY(rn__check_label(r->file.path, i, label, data->source.classes, error));
            data->labels[(size_t)(r->first + i)] = (uint8_t)label;
            at += r->labels;
        }
        if (!pixels) continue;
        RN__TRY(rn__read(&r->file, at, channels ? room : to, pixels, error));
        /* Number k of RGBRGB... is of channel k mod 3 and pixel k / 3. */
        for (size_t k = 0; k < plane * channels; k++)
            to[k % channels * plane + k / channels] = room[k];
        at += r->pixels;
    }
    return RN_OK;
}

/* The end of both loaders: memory for all images, the records of all parts, and the files closed,
   whether `status` says that they could be opened or not. */
static rn_status rn__load_parts(rn_data *data, rn__records *parts, int count, uint64_t images,
                                const rn_memory *memory, rn_status status, rn_error *error) {
    if (!status) status = rn__allocate_data(data, images, memory, error);
    for (int i = 0; i < count; i++) {
        if (!status) status = rn__load_records(data, &parts[i], error);
        rn_archive_close(&parts[i].file);
    }
    if (status) rn_data_free(data);
    return status;
}

/* For sentences: is the file there? */
static int rn__is_there(const char *path, const rn_files *files) {
    rn_archive file;
    /* Other failures than a missing file count as missing. */
    const int there = !rn__open(&file, path, 0, files, NULL);
    rn_archive_close(&file);
    return there;
}

/* Opens one file of a data set below `directory`, as its archive unpacks it:

       cifar-10-batches-bin/   data_batch_1.bin to data_batch_5.bin (parts 0 to 4), test_batch.bin
       cifar-100-binary/       train.bin, test.bin         for 20 (coarse) or 100 (fine) classes

   Where it is not there, the sentence says how to get it, or to unpack it. */
static rn_status rn__open_cifar(rn__records *r, const char *directory, int classes, int train,
                                int part, const rn_files *files, rn_error *error) {
    const int set = classes == 10 ? 10 : 100; /* the number in its name */
    RN__TEXT(path, 1024);
    rn_status status;
    rn__format(&path, "%s/cifar-%s/", directory, set == 10 ? "10-batches-bin" : "100-binary");
    if (set == 10 && train)
        rn__format(&path, "data_batch_%d.bin", part + 1);
    else
        rn__puts(&path, set == 10 ? "test_batch.bin" : train ? "train.bin" : "test.bin");
    status = rn__open(&r->file, path.data, 0, files, error);
    r->labels = set == 100 ? 2 : 1; /* coarse and fine, of which the second has 100 classes */
    r->label_at = classes == 100;
    r->label_bytes = 1;
    r->pixels = 3 * 32 * 32;
    r->count = r->file.bytes / (r->labels + r->pixels);
    /* Whole records, and one at least. */
    RN__FAIL_IF(!status && (!r->count || r->file.bytes % (r->labels + r->pixels)), RN_BAD_FILE,
                "%s has %llu bytes, not one or more records of %llu; remove its directory, and "
                "tools/get_cifar.sh fetches it anew",
                path.data, (rn__llu)r->file.bytes, (rn__llu)(r->labels + r->pixels));
    if (status != RN_NO_FILE) return status;
    rn__fail(error, status, "cannot open %s; tools/get_cifar.sh cifar%d fetches it into \"%s\"",
             path.data, set, directory);
    path = rn__text_in(path.data, path.capacity);
    rn__format(&path, "%s/cifar-%d-binary.tar.gz", directory, set);
    if (!rn__is_there(path.data, files)) return status;
    return rn__fail(error, status, "%s is not unpacked; run: tar xzf %s -C %s", path.data,
                    path.data, directory);
}

/* All files are opened first: then the number of images is known, and the memory that they take. */
RNDEF rn_status rn_load_cifar(rn_data *data, const char *directory, int classes, int train,
                              const rn_memory *memory, const rn_files *files, rn_error *error) {
    const rn_source source = {0, 3, 32, 32, classes, rn__data_read, data};
    const int count = classes == 10 && train ? 5 : 1; /* files */
    rn__records parts[5];
    uint64_t images = 0;
    rn_status status = RN_OK;
    memset(data, 0, sizeof *data);
    memset(parts, 0, sizeof parts);
    RN__FAIL_IF(!directory || !*directory || strlen(directory) > 900 ||
                    (classes != 10 && classes != 20 && classes != 100),
                RN_BAD_ARGUMENT,
                "rn_load_cifar: a directory of at most 900 bytes, and 10, 20 or 100 classes");
    /* Known before any file is read, but for the count. */
    data->source = source;
    for (int i = 0; !status && i < count; i++) {
        status = rn__open_cifar(&parts[i], directory, classes, train, i, files, error);
        parts[i].first = images;
        images += parts[i].count;
    }
    return rn__load_parts(data, parts, count, images, memory, status, error);
}

/* Opens an IDX file: the sizes of its header, those beyond them 1, and what a record is. Images are
   bytes [count,h,w], [count,h,w,c] or [count,c,h,w], labels are numbers [count]. */
static rn_status rn__open_idx(rn__records *r, const char *path, int images, uint64_t size[4],
                              const rn_files *files, rn_error *error) {
    RN__TEXT(packed, 512); /* the name of a file that gunzip has not seen */
    rn_status status = rn__open(&r->file, path, 0, files, error);
    uint64_t bytes; /* that the file should have */
    uint8_t b[20];  /* the header, of at most four sizes */
    int i, bad = 0; /* a size that is out of range */
    rn__format(&packed, "%s.gz", path);
    RN__FAIL_IF(status == RN_NO_FILE && rn__is_there(packed.data, files), status,
                "%s is not there, but compressed it is: gunzip %s", path, packed.data);
    RN__TRY(status);
    RN__TRY(rn__read(&r->file, 0, b, images ? 16 : 8, error));
    /* gzip's first bytes: */
    RN__FAIL_IF(b[0] == 0x1f && b[1] == 0x8b, RN_BAD_FILE,
                "%s is compressed; take what this writes: gunzip < %s > NAME", path, path);
    r->label_bytes = b[2] == 8 || b[2] == 9 ? 1 : b[2] == 11 ? 2 : b[2] == 12 ? 4 : 0;
    r->is_signed = b[2] != 8; /* types 9, 11 and 12 are signed */
    RN__FAIL_IF(
        b[0] || b[1] || (images ? b[2] != 8 || b[3] < 3 || b[3] > 4 : !r->label_bytes || b[3] != 1),
        RN_BAD_FILE, "%s starts with %d %d %d %d and not as IDX %s", path, b[0], b[1], b[2], b[3],
        images ? "images, 0 0 8 3 or 0 0 8 4" : "labels, 0 0, then 8, 9, 11 or 12, then 1");
    /* There is one size more. */
    if (b[3] == 4) RN__TRY(rn__read(&r->file, 0, b, sizeof b, error));
    for (i = 0; i < 4; i++) {
        size[i] = i < b[3] ? (uint64_t)rn__big_endian(b + 4 + 4 * i, 4, 0) : 1;
        bad |= !size[i] || (i && size[i] > 16384);
    }
    RN__FAIL_IF(
        bad || (size[1] > RN__MEANS && size[3] > RN__MEANS), RN_BAD_FILE,
        "%s is [%llu,%llu,%llu,%llu] by its header; behind a count above 0, sizes should be "
        "1 to 16384, and the last or the second 1 to %d, the channels",
        path, (rn__llu)size[0], (rn__llu)size[1], (rn__llu)size[2], (rn__llu)size[3], RN__MEANS);
    r->count = size[0];
    r->labels = images ? 0 : (uint64_t)r->label_bytes;
    r->pixels = images ? size[1] * size[2] * size[3] : 0;
    /* No overflow: at most 2^32 images of 4 channels of 2^14 x 2^14. */
    bytes = 4 + 4 * (uint64_t)b[3] + (r->labels + r->pixels) * r->count;
    if (r->file.bytes == bytes) return RN_OK;
    return rn__fail(error, RN_BAD_FILE, "%s has %llu bytes, but %llu by its header; is it whole?",
                    path, (rn__llu)r->file.bytes, (rn__llu)bytes);
}

/* Two files with as many records each. Which of the images' sizes counts channels is seen by their
   sizes: [count,28,28], [count,32,32,3] and [count,3,32,32] are all taken for what they are. */
RNDEF rn_status rn_load_idx(rn_data *data, const char *images_path, const char *labels_path,
                            int classes, const rn_memory *memory, const rn_files *files,
                            rn_error *error) {
    rn__records parts[2]; /* images, labels */
    rn_source source = {0, 0, 0, 0, classes, rn__data_read, data};
    uint64_t size[4] = {0, 0, 0, 0}, count[4]; /* of the images' header, of the labels' */
    rn_status status;
    int last; /* is the size that counts channels; of three sizes it is 1 */
    memset(data, 0, sizeof *data);
    memset(parts, 0, sizeof parts);
    RN__FAIL_IF(!images_path || !labels_path || classes < 1 || classes > 256, RN_BAD_ARGUMENT,
                "rn_load_idx takes two paths and 1 to 256 classes");
    status = rn__open_idx(&parts[0], images_path, 1, size, files, error);
    if (!status) status = rn__open_idx(&parts[1], labels_path, 0, count, files, error);
    /* Channels last: their number is at most 4. Else they are first. */
    last = size[3] <= RN__MEANS;
    parts[0].channels = last && size[3] > 1 ? (int)size[3] : 0;
    source.channels = (int)size[last ? 3 : 1];
    source.height = (int)size[last ? 1 : 2];
    source.width = (int)size[last ? 2 : 3];
    data->source = source;
    if (!status && parts[0].count != parts[1].count)
        status = rn__fail(error, RN_BAD_FILE, "%s holds %llu images, %s %llu labels", images_path,
                          (rn__llu)parts[0].count, labels_path, (rn__llu)parts[1].count);
    return rn__load_parts(data, parts, 2, parts[0].count, memory, status, error);
}

/* One image of any source into `pixels`, with its label, or a sentence. */
static rn_status rn__read_image(const rn_source *source, ptrdiff_t index, uint8_t *pixels,
                                int *label, rn_error *error) {
    *label = -1;
    RN__FAIL_IF(source->read(source->user, index, pixels, label), RN_IO,
                "the source cannot read image %lld of %lld", (rn__lld)index,
                (rn__lld)source->count);
    return rn__check_label("the source", (uint64_t)index, *label, source->classes, error);
}

/* A description has as many means and deviations as an image may have channels. */
static rn_status rn__check_means(const char *function, int channels, rn_error *error) {
    if (channels <= RN__MEANS) return RN_OK;
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s: images of %d channels, but a description has means for %d; normalise them "
                    "yourself: rn_train_step and rn_predict take any numbers",
                    function, channels, RN__MEANS);
}

/* What can be read, and has images that fit memory and a description. */
static rn_status rn__check_source(const char *function, const rn_source *s, rn_error *error) {
    if (s->read && s->count > 0 && s->classes > 0 &&
        rn_tensor_bytes(1, s->channels, s->height, s->width))
        return rn__check_means(function, s->channels, error);
    return rn__fail(error, RN_BAD_ARGUMENT,
                    "%s: the source lacks read, or has %lld images [%d,%d,%d]", function,
                    (rn__lld)s->count, s->channels, s->height, s->width);
}

/* A whole number of at most eight bytes, the lowest first. */
static uint64_t rn__little_endian(const uint8_t *b, size_t bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | b[bytes];
    return value;
}

/* A hash that goes on from `sum`, eight bytes at a time, the same on every machine. */
static uint64_t rn__hash(uint64_t sum, const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 8)
        sum = rn__mix(sum ^ rn__little_endian(data + i, bytes - i < 8 ? bytes - i : 8)) + 1;
    return sum;
}

/* Looks at all images of a source. `sums` (or NULL) are, of each channel, the sum of all pixels and
   that of their squares; *checksum (or NULL) goes on over the label and the pixels of each image.
   An image in memory is looked at where it lies; only other sources need room for one. */
static rn_status rn__look_at_all(const char *function, const rn_source *source, uint64_t (*sums)[2],
                                 uint64_t *checksum, rn_error *error) {
    const rn_data *data = source->read == rn__data_read ? (const rn_data *)source->user : NULL;
    const size_t size = rn__image_bytes(source);
    uint8_t *room = NULL; /* for one image, if it must be read */
    void *block = NULL;
    rn_status status = RN_OK;
    RN__TRY(rn__check_source(function, source, error));
    if (!data) room = (uint8_t *)rn__allocate(NULL, size, &block, error);
    if (!data && !room) return RN_NO_MEMORY;
    for (ptrdiff_t image = 0; image < source->count; image++) {
        const uint8_t *pixels = data ? data->pixels + (size_t)image * size : room;
        int label = data && checksum ? data->labels[image] : 0;
        if (!data) status = rn__read_image(source, image, room, &label, error);
        if (status) break;
        if (checksum) *checksum = rn__hash(rn__mix(*checksum ^ (uint64_t)label) + 1, pixels, size);
        for (int c = 0; sums && c < source->channels; c++)
            for (size_t i = size / (size_t)source->channels; i > 0; i--, pixels++) {
                sums[c][0] += *pixels; /* 2^48 pixels are needed for squares to overflow */
                sums[c][1] += (unsigned)*pixels * *pixels;
            }
    }
    rn__release(NULL, block);
    return status;
}

/* Mean m and deviation sqrt(E[x^2] - m^2) of each channel, from sums of whole numbers, which are
   exact. */
RNDEF rn_status rn_measure(rn_desc *desc, const rn_source *source, rn_error *error) {
    uint64_t sums[RN__MEANS][2] = {{0}};
    RN__TRY(rn__look_at_all(__func__, source, sums, NULL, error));
    for (int c = 0; c < source->channels; c++) {
        /* Over all pixels of the channel, as bytes; then 0 to 1. */
        const double values = (double)source->height * source->width * (double)source->count;
        const double mean = (double)sums[c][0] / values;
        const double variance = (double)sums[c][1] / values - mean * mean;
        desc->mean[c] = (float)(mean / 255);
        desc->deviation[c] = (float)(sqrt(fmax(variance, 0)) / 255);
        if ((double)desc->deviation[c] < RN__LEAST_DEVIATION) desc->deviation[c] = 1;
    }
    desc->channels = source->channels, desc->height = source->height, desc->width = source->width;
    desc->classes = source->classes;
    return RN_OK;
}

/* Over the sizes, for the same bytes in another shape are other data, and all images. */
RNDEF rn_status rn_source_checksum(const rn_source *source, uint64_t *checksum, rn_error *error) {
    const int sizes[] = {source->channels, source->height, source->width, source->classes};
    uint64_t sum = *checksum;
    for (int i = 0; i < 4; i++) sum = rn__mix(sum ^ (uint64_t)sizes[i]) + 1;
    RN__TRY(rn__look_at_all(__func__, source, NULL, &sum, error));
    *checksum = sum;
    return RN_OK;
}

/* What the net sees of a pixel, which is 0 to 1: (pixel - mean) / deviation. A deviation of zero
   counts as 1, as in rn_resolve. */
static double rn__normalised(const rn_desc *desc, int channel, double pixel) {
    const double deviation = (double)desc->deviation[channel];
    return (pixel - (double)desc->mean[channel]) / (fabs(deviation) > 0 ? deviation : 1);
}

/* Colours of normalised images from RGB into the order of the net: the one place that does it. */
static void rn__order_channels(const rn_desc *desc, const rn_tensor *images) {
    rn_tensor red = rn_tensor_channels(*images, 0, 1), blue = rn_tensor_channels(*images, 2, 1);
    if (!desc->channel_order || images->c != 3) return;
    RN__EACH(&red, n, c, y, x) {
        rn_real *r = rn__at(&red, n, c, y, x), *b = rn__at(&blue, n, c, y, x), swapped = *r;
        *r = *b;
        *b = swapped;
    }
}

/* Pads, crops and mirrors a normalised image as its position in the epoch decides. To pad by p and
   crop at random is to move the image by -p to p rows and columns, with zeros coming in:

       1 2 3 4        0 0 0 0
       5 6 7 8   -->  0 1 2 3        dy = dx = -1: down and to the right by one
       9 . . .        0 5 6 7

   It is done in place, row by row, in the order in which no row is overwritten before it has moved.
   Random numbers 3i, 3i + 1 and 3i + 2 of the epoch's stream belong to position i; but where flips
   alternate, number 3i + 2 of epoch 0 belongs to image i of the source, and decides for all. */
static void rn__augment(rn_real *image, const rn_source *source, const rn_augment *augment,
                        rn_key key, uint64_t position) {
    const rn_key order = {key.seed, RN_PURPOSE_SHUFFLE, key.epoch};
    const rn_key first = {key.seed, RN_PURPOSE_AUGMENT, 0};
    /* Where a crop can begin, in either direction. */
    int places = 2 * augment->pad + 1, width = source->width;
    int dy = (int)(rn_uniform(key, 3 * position) * places) - augment->pad;
    int dx = (int)(rn_uniform(key, 3 * position + 1) * places) - augment->pad;
    int flip = augment->flip == 1 && rn_uniform(key, 3 * position + 2) < 0.5;
    int from = rn__max(dx, 0), to = rn__max(-dx, 0); /* column `from` moves to column `to` */
    ptrdiff_t rows = (ptrdiff_t)source->channels * source->height, i;
    if (augment->flip == 2) {
        const uint64_t index = rn_shuffle(order, position, (uint64_t)source->count);
        flip = (rn_uniform(first, 3 * index + 2) < 0.5) != (key.epoch % 2 != 0);
    }
    for (i = 0; i < rows; i++) {
        /* Rows move up: the first one first. Down: the last one first. Row h comes to row `at`. */
        ptrdiff_t at = dy >= 0 ? i : rows - 1 - i, h = at % source->height + dy;
        int count = h < 0 || h >= source->height ? 0 : width - from - to; /* that stay in sight */
        rn_real *row = image + at * width;
        if (count)
            memmove(row + to, row + (ptrdiff_t)dy * width + from, (size_t)count * sizeof *row);
        for (int w = 0; w < to; w++) row[w] = 0;
        for (int w = to + count; w < width; w++) row[w] = 0;
        for (int w = 0; flip && w < width / 2; w++) { /* mirrors the row */
            rn_real swapped = row[w];
            row[w] = row[width - 1 - w];
            row[width - 1 - w] = swapped;
        }
    }
}

/* Where an image's bytes lie before they become numbers: at the end of the image's own memory,
   which is 4 or 8 times as large. Turned into numbers from the first on, no byte is overwritten
   before it is read, for number j ends before byte j + 1:

       | number 0 | number 1 | ...            | b0 | b1 | b2 | ... |         size bytes
       |<------------------ size numbers ------------------------->|         */
static uint8_t *rn__bytes_of(rn_real *image, ptrdiff_t size) {
    return (uint8_t *)(image + size) - size;
}

/* The bytes of images, of RGB, become the numbers that a net takes. Bytes have 256 values, so what
   becomes of each is looked up, channel by channel. */
static void rn__number_bytes(rn_tensor *images, const rn_desc *desc) {
    const ptrdiff_t plane = images->stride_c, size = images->stride_n;
    rn_real table[256]; /* what a byte becomes */
    for (int c = 0; c < images->c; c++) {
        for (int v = 0; v < 256; v++) table[v] = (rn_real)rn__normalised(desc, c, v / 255.0);
        for (int i = 0; i < images->n; i++) {
            rn_real *image = images->data + i * size;
            const uint8_t *pixels = rn__bytes_of(image, size);
            for (ptrdiff_t j = c * plane; j < (c + 1) * plane; j++) image[j] = table[pixels[j]];
        }
    }
    rn__order_channels(desc, images);
}

/* Images of a source or a crop must be those that a net takes. A zero in the description is a
   default, which a net has resolved. */
static rn_status rn__check_size(const rn_desc *desc, int channels, int height, int width,
                                rn_error *error) {
    if ((!desc->channels || desc->channels == channels) &&
        (!desc->height || desc->height == height) && (!desc->width || desc->width == width))
        return RN_OK;
    return rn__fail(error, RN_BAD_SHAPE,
                    "images [%d,%d,%d] for a net that takes [%d,%d,%d]; give it such, or make a "
                    "net for these",
                    channels, height, width, desc->channels, desc->height, desc->width);
}

/* All images as bytes, each at the end of its place; then numbers; then augmented. */
RNDEF rn_status rn_batch(const rn_source *source, const rn_desc *desc, const rn_augment *augment,
                         uint64_t epoch, ptrdiff_t first, int count, rn_real *images, int *labels,
                         rn_error *error) {
    const rn_key order = {desc->seed, RN_PURPOSE_SHUFFLE, epoch};
    const rn_key changes = {desc->seed, RN_PURPOSE_AUGMENT, epoch};
    rn_tensor all;
    ptrdiff_t size; /* bytes of an image */
    RN__TRY(rn__check_source("rn_batch", source, error));
    /* Positions [first, first + count) of the epoch are there, without overflow. */
    RN__FAIL_IF(first < 0 || count < 1 || first > source->count - count, RN_BAD_ARGUMENT,
                "rn_batch: the source has no %d images from %lld of %lld", count, (rn__lld)first,
                (rn__lld)source->count);
    if (augment) { /* a part of the image is always left */
        RN__TRY(rn__expect_within("rn_batch", "pad", augment->pad, 0,
                                  rn__min(source->height, source->width) - 1, error));
        RN__TRY(rn__expect_within("rn_batch", "flip", augment->flip, 0, 2, error));
    }
    RN__FAIL_IF(!rn_tensor_bytes(count, source->channels, source->height, source->width),
                RN_TOO_LARGE, "rn_batch: %d images [%d,%d,%d] are more than memory can address",
                count, source->channels, source->height, source->width);
    RN__TRY(rn__check_size(desc, source->channels, source->height, source->width, error));
    all = rn_tensor_in(images, count, source->channels, source->height, source->width);
    size = all.stride_n;
    for (int i = 0; i < count; i++) {
        uint64_t index = (uint64_t)(first + i);
        /* Training takes another order in each epoch, tests the order of the source. */
        if (augment) index = rn_shuffle(order, index, (uint64_t)source->count);
        RN__TRY(rn__read_image(source, (ptrdiff_t)index, rn__bytes_of(images + i * size, size),
                               &labels[i], error));
    }
    rn__number_bytes(&all, desc);
    for (int i = 0; augment && i < count; i++)
        rn__augment(images + i * size, source, augment, changes, (uint64_t)(first + i));
    return RN_OK;
}

#ifndef RESNET_NO_TRAIN
/* Twice over the same images: in training mode, whose batch statistics enter the running ones with
   momentum (images of this batch) / (images so far), so that they become the mean over all; then in
   inference mode, for the results alone. */
RNDEF rn_status rn_recalibrate(rn_net *net, const rn_source *source, int batches, rn_real *images,
                               int *labels, rn_result results[2], rn_error *error) {
    const rn_loss loss = rn__loss_of(net);
    /* part: of a batch; sums: of all, in training and in inference mode. */
    rn_result part, sums[2] = {{0, 0}, {0, 0}};
    double weight, weights; /* of a batch's labels, and of all so far: losses count by them */
    ptrdiff_t first;
    int mode, b, count; /* mode 0: training, 1: inference */
    RN__TRY(rn__expect_within("rn_recalibrate", "batches", batches, 1, INT_MAX, error));
    RN__FAIL_IF(batches - 1 > (source->count - 1) / net->batch, RN_BAD_ARGUMENT,
                "rn_recalibrate: the source has %lld images, too few for %d batches of %d",
                (rn__lld)source->count, batches, net->batch);
    for (mode = 0; mode < 2; mode++)
        for (b = 0, first = 0, weights = 0; b < batches; b++, first += count) {
            count = source->count - first < net->batch ? (int)(source->count - first) : net->batch;
            const rn_tensor logits = rn_tensor_in(net->logits, count, net->desc.classes, 1, 1);
            RN__TRY(rn_batch(source, &net->desc, NULL, 0, first, count, images, labels, error));
            RN__TRY(rn__check_loss("rn_recalibrate", &weight, &logits, labels, &loss, error));
            /* Training mode: the batch's statistics join the running ones. */
            if (mode == 0) {
                RN__TRY(
                    rn__propagate("rn_recalibrate", net, images, labels, count, 0, &part, error));
                rn__update_statistics(net, (double)count / (double)(first + count));
            } else {
                RN__TRY(rn_predict(net, rn_workspace(net), images, count, net->logits, error));
                RN__TRY(rn_softmax_cross_entropy_forward(&part, &logits, labels, &loss, error));
            }
            /* A mean that goes on: += (new - mean) x share of the new. */
            weights += weight;
            sums[mode].loss += (part.loss - sums[mode].loss) * weight / weights;
            sums[mode].correct += part.correct;
        }
    if (results) memcpy(results, sums, sizeof sums);
    return RN_OK;
}
#endif

/* >>pictures =================================================================================
   In: a picture of any size, bytes 0 to 255, RGB. Out: an image [1,C,H,W] as a net takes it, or
   what a net says of several parts of the picture.

       rn_picture --window, rn_resample--> 0..1 --jitter, lighting--> 0..1 --rn_normalise--> net
        (bytes)                                   (training only)
       rn_picture --crop, rn_crop_picture--> bytes --rn_preprocess--> net

   A window is a part of the picture; its sides need not be whole numbers. "The size x size centre
   of the picture scaled to a shorter side of `scale`" is never made by scaling the whole picture:
   it is the window below, which is resampled to size x size at once.

       +------------------- width -------------------+
       |              .---------------.              |   s = shorter side x size / scale,
       |              |     s x s     |              |   of 224 and 256: 7/8 of the height
       |              '---------------'              |
       +---------------------------------------------+     */

/* It has pixels, and no more than memory can address. */
static int rn__is_picture(const rn_picture *p) {
    size_t bytes = rn__multiply_size((size_t)p->channels, (size_t)p->height);
    return p->channels > 0 && p->height > 0 && p->width > 0 &&
           rn__multiply_size(bytes, (size_t)p->width) <= PTRDIFF_MAX;
}

/* RGBRGB...: a pixel's channels lie side by side. Strides of what is no picture are 0, so that none
   overflows; rn_resample refuses it. */
RNDEF rn_picture rn_interleaved(const uint8_t *pixels, int channels, int height, int width) {
    rn_picture p = {pixels, channels, height, width, 1, 0, channels};
    if (rn__is_picture(&p)) p.stride_h = (ptrdiff_t)width * channels;
    return p;
}

/* RR...GG...BB...: a plane for each channel. */
RNDEF rn_picture rn_planar(const uint8_t *pixels, int channels, int height, int width) {
    rn_picture p = {pixels, channels, height, width, 0, width, 1};
    if (rn__is_picture(&p)) p.stride_c = (ptrdiff_t)height * width;
    return p;
}

/* A square of side = shorter side of the picture x size / scale, where a scale below size counts as
   size. `down` and `right` say where it lies: 0 is the top and left edge, 1 the bottom and
   right. */
static rn_window rn__square(int height, int width, int size, double scale, double down,
                            double right, int flip) {
    const double shorter = rn__min(height, width); /* below 1: no picture, an empty window */
    const double side = shorter < 1 || size < 1 ? 0 : shorter * size / fmax(scale, size);
    const rn_window w = {down * (height - side), right * (width - side), side, side, flip};
    return w;
}

RNDEF rn_window rn_centre_window(int height, int width, int size, int scale) {
    return rn__square(height, width, size, scale, 0.5, 0.5, 0);
}

/* Windows 0 to 4, and 5 to 9 the same five mirrored:

       0 --- 1        i % 5 / 2: down,  i % 5 % 2: right
       |  4  |
       2 --- 3                                                */
RNDEF void rn_ten_windows(int height, int width, int size, int scale, rn_window windows[10]) {
    for (int i = 0; i < 10; i++)
        windows[i] = i % 5 == 4 ? rn_centre_window(height, width, size, scale)
                                : rn__square(height, width, size, scale, i % 5 / 2, i % 5 % 2, 0);
    for (int i = 5; i < 10; i++) windows[i].flip = 1;
}

/* Random numbers 64i to 64i + 63 of the stream belong to position i, the last one to the mirror. */
RNDEF rn_window rn_scale_window(int height, int width, int size, int least, int most, rn_key key,
                                uint64_t position) {
    /* A whole number from least to most, each as likely; then where the square lies. */
    const double scale = least + floor(rn_uniform(key, 64 * position) * ((double)most - least + 1));
    return rn__square(height, width, size, scale, rn_uniform(key, 64 * position + 1),
                      rn_uniform(key, 64 * position + 2),
                      rn_uniform(key, 64 * position + 63) < 0.5);
}

/* Ten tries, of five random numbers each: the first that is not larger than the picture, else the
   largest square in its centre. */
RNDEF rn_window rn_aspect_window(int height, int width, rn_key key, uint64_t position) {
    const int flip = rn_uniform(key, 64 * position + 63) < 0.5;
    uint64_t at = 64 * position; /* of the random numbers */
    rn_window w;
    for (int i = 0; i < 10 && height > 0 && width > 0; i++, at += 5) {
        /* w h = area and w / h = aspect, or turned h / w = aspect: sides are roots. */
        const double area = (0.08 + 0.92 * rn_uniform(key, at)) * height * width;
        const double aspect = 3.0 / 4 + (4.0 / 3 - 3.0 / 4) * rn_uniform(key, at + 1);
        const int turned = rn_uniform(key, at + 2) < 0.5;
        w.width = floor(sqrt(turned ? area / aspect : area * aspect) + 0.5);
        w.height = floor(sqrt(turned ? area * aspect : area / aspect) + 0.5);
        if (w.height < 1 || w.width < 1 || w.height > height || w.width > width) continue;
        /* Anywhere in the picture. */
        w.top = floor(rn_uniform(key, at + 3) * (height - w.height + 1));
        w.left = floor(rn_uniform(key, at + 4) * (width - w.width + 1));
        w.flip = flip;
        return w;
    }
    return rn__square(height, width, 1, 1, 0.5, 0.5, flip);
}

/* One axis of a picture that is scaled: the centre of pixel i of the output lies at
   begin + (first + i + 1/2) scale in the picture, whose pixel k has its own at k + 1/2. */
typedef struct rn__scaling {
    int size;            /* pixels of the picture */
    int first;           /* of the scaled picture, where the output begins */
    double begin, scale; /* pixels of the picture; for one of the output */
    double wide;         /* the curve is stretched by it: the reduction if antialiased, else 1 */
    int resampling;
} rn__scaling;

static rn__scaling rn__make_scaling(int size, double begin, double length, int count,
                                    int resampling) {
    const double scale = length / count;
    const rn__scaling axis = {
        size,      0, begin, scale, resampling & RN_RESAMPLE_ANTIALIAS && scale > 1 ? scale : 1,
        resampling};
    return axis;
}

/* The weight of a pixel at a distance of x. Bicubic: Keys 1981 with a = -0.5. */
static double rn__curve(int resampling, double x) {
    x = fabs(x);
    if (resampling & RN_RESAMPLE_BILINEAR) return fmax(0, 1 - x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* Pixel i of the output is made from pixels *first, *first + 1, ... of the picture, those within 1
   (bilinear) or 2 pixels of its centre, times axis->wide; returns how many. */
static int rn__reach(const rn__scaling *axis, int i, int *first) {
    const double centre = axis->begin + (axis->first + i + 0.5) * axis->scale;
    const double support = (axis->resampling & RN_RESAMPLE_BILINEAR ? 1 : 2) * axis->wide;
    *first = (int)fmax(0, floor(centre - support + 0.5));
    return (int)fmin(axis->size, floor(centre + support + 0.5)) - *first;
}

/* Their weights, whose sum is 1, for pixels beyond the edge are left out; returns how many. Where
   Pillow rounds to bytes, its weights are multiples of 2^-22, so that sums are exact here, too. */
static int rn__taps(double *weights, int *first, const rn__scaling *axis, int i) {
    const double centre = axis->begin + (axis->first + i + 0.5) * axis->scale;
    const int taps = rn__reach(axis, i, first);
    double sum = 0;
    for (int k = 0; k < taps; k++)
        sum += weights[k] =
            rn__curve(axis->resampling, (*first + k - centre + 0.5) * (1 / axis->wide));
    for (int k = 0; k < taps; k++) {
        weights[k] /= sum;
        if (axis->resampling & RN_RESAMPLE_BYTES)
            weights[k] = round(weights[k] * 4194304) / 4194304;
    }
    return taps;
}

/* The nearest byte. */
static uint8_t rn__to_byte(double value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5);
}

/* Taps of rn_resample, which refuses reductions by more than 24: at least 2 x 2 x 24 + 1. */
enum { RN__MOST_TAPS = 104 };

/* Of rn_resample. */
static rn_status rn__check_window(const rn_tensor *to, const rn_picture *picture,
                                  const rn_window *window, rn_error *error) {
    const double bottom = window->top + window->height, right = window->left + window->width;
    /* A sum is finite only if all its parts are. */
    RN__FAIL_IF(
        !rn__is_picture(picture) || to->h < 1 || to->w < 1 || !rn__is_finite(bottom + right) ||
            !(window->top >= 0 && window->left >= 0 && window->height > 0 && window->width > 0 &&
              bottom <= picture->height + 1e-6 && right <= picture->width + 1e-6 &&
              window->height <= 24.0 * to->h && window->width <= 24.0 * to->w),
        RN_BAD_ARGUMENT,
        "rn_resample: from [%.1f,%.1f] at [%.1f,%.1f] to [%d,%d]; the window should lie "
        "within the picture [%d,%d,%d] and be at most 24 times as large; or take two steps",
        window->height, window->width, window->top, window->left, to->h, to->w, picture->channels,
        picture->height, picture->width);
    return RN_OK;
}

/* The weight of a pixel is the product of its weights down and across. */
RNDEF rn_status rn_resample(rn_tensor *to, const rn_picture *picture, rn_window window,
                            int resampling, rn_error *error) {
    const int bytes = resampling & RN_RESAMPLE_BYTES;
    double down[RN__MOST_TAPS], across[RN__MOST_TAPS];
    rn__scaling vertical, horizontal;
    /* rows from `top` and columns from `left` of the picture make one pixel. */
    int top, left, rows, columns;
    RN__TRY(rn__expect(__func__, "to", to, 1, picture->channels, to->h, to->w, error));
    RN__TRY(rn__check_window(to, picture, &window, error));
    RN__TRY(rn__expect_within(__func__, "resampling", resampling, 0, 7, error));
    vertical = rn__make_scaling(picture->height, window.top, window.height, to->h, resampling);
    horizontal = rn__make_scaling(picture->width, window.left, window.width, to->w, resampling);
    for (int y = 0; y < to->h; y++) { /* weights down for a row, across for each of its pixels */
        rows = rn__taps(down, &top, &vertical, y);
        for (int x = 0; x < to->w; x++) {
            columns = rn__taps(across, &left, &horizontal, x);
            for (int c = 0; c < to->c; c++) {
                const uint8_t *from = picture->pixels + c * picture->stride_c +
                                      top * picture->stride_h + left * picture->stride_w;
                double sum = 0;
                for (int i = 0; i < rows; i++, from += picture->stride_h) {
                    double row = 0; /* across first, then down */
                    for (int k = 0; k < columns; k++)
                        row += across[k] * from[k * picture->stride_w];
                    sum += down[i] * (bytes ? rn__to_byte(row) : row);
                }
                if (bytes) sum = rn__to_byte(sum);
                *rn__at(to, 0, c, y, window.flip ? to->w - 1 - x : x) = (rn_real)(sum / 255);
            }
        }
    }
    return RN_OK;
}

/* size / fraction, rounded down; but a fraction such as 224 / 236 loses up to 1e-6 of itself as a
   float or in six decimals, which must not cost a pixel. */
static int rn__scaled_size(int size, float fraction) {
    return fraction > 0 ? (int)fmin(size / (double)fraction * (1 + 1e-6), 1 << 24) : 0;
}

/* Half of what is left over, halves to the even number, as Python rounds. */
static int rn__centred(int scaled, int size) {
    const int rest = scaled - size;
    return rest / 2 + (rest % 4 == 3);
}

/* To the nearest whole number, halves to the even one. */
static int rn__round_even(double value) {
    const double below = floor(value), rest = value - below;
    const int odd = below > 2 * floor(below / 2);
    return (int)fmin(below + (rest > 0.5 || (odd && !(rest < 0.5))), INT_MAX);
}

RNDEF rn_crop rn_centre_crop(const rn_desc *desc, int height, int width) {
    const int h = rn__scaled_size(desc->height, desc->crop_fraction);
    const int w = rn__scaled_size(desc->width, desc->crop_fraction);
    rn_crop crop = {0, 0, 0, 0, desc->height, desc->width, desc->interpolation};
    if (height < 1 || width < 1 || h < 1 || w < 1) return crop; /* which is refused */
    if (h == w) {
        const int64_t shorter = rn__min(height, width), most = INT_MAX;
        const int64_t down = (int64_t)h * height / shorter, across = (int64_t)w * width / shorter;
        crop.scaled_height = (int)(down < most ? down : most);
        crop.scaled_width = (int)(across < most ? across : most);
    } else {
        const double reduction = fmin(height / (double)h, width / (double)w);
        crop.scaled_height = rn__round_even(height / reduction);
        crop.scaled_width = rn__round_even(width / reduction);
    }
    crop.top = rn__centred(crop.scaled_height, crop.height);
    crop.left = rn__centred(crop.scaled_width, crop.width);
    return crop;
}

/* A crop being made: the picture's rows that it needs, across only, as bytes; then these down. */
typedef struct rn__cropping {
    rn__scaling down, across;
    int top, rows;                         /* of the picture, that the crop needs */
    size_t taps_down, taps_across;         /* at most, of a pixel */
    double *weights_down, *weights_across; /* of a row; [width,taps_across] */
    int *first, *taps;                     /* [width]: where they begin, how many they are */
    uint8_t *bytes;                        /* [rows,width] of one channel */
} rn__cropping;

/* Weights of a pixel, at most. */
static size_t rn__most_taps(const rn__scaling *axis) {
    return (size_t)fmin(axis->size, 2 * ceil(2 * axis->wide) + 1);
}

/* Lays a crop out in an arena; 0 if it cannot be made. */
static int rn__place_crop(rn__cropping *c, const rn_picture *p, const rn_crop *crop,
                          rn__arena *arena) {
    const int resampling = RN_RESAMPLE_ANTIALIAS | RN_RESAMPLE_BYTES |
                           (crop->interpolation == RN_BILINEAR ? RN_RESAMPLE_BILINEAR : 0);
    int last, taps;
    if (!rn__is_picture(p) || crop->height < 1 || crop->width < 1 || crop->top < 0 ||
        crop->left < 0 || crop->scaled_height < 1 || crop->scaled_width < 1 ||
        crop->top > crop->scaled_height - crop->height ||
        crop->left > crop->scaled_width - crop->width)
        return 0;
    c->down = rn__make_scaling(p->height, 0, p->height, crop->scaled_height, resampling);
    c->across = rn__make_scaling(p->width, 0, p->width, crop->scaled_width, resampling);
    c->down.first = crop->top, c->across.first = crop->left;
    rn__reach(&c->down, 0, &c->top);
    taps = rn__reach(&c->down, crop->height - 1, &last);
    c->rows = last + taps - c->top;
    c->taps_down = rn__most_taps(&c->down), c->taps_across = rn__most_taps(&c->across);
    c->weights_down = (double *)rn__carve(arena, c->taps_down, sizeof(double));
    c->weights_across = (double *)rn__carve(
        arena, rn__multiply_size((size_t)crop->width, c->taps_across), sizeof(double));
    c->first = (int *)rn__carve(arena, (size_t)crop->width, sizeof(int));
    c->taps = (int *)rn__carve(arena, (size_t)crop->width, sizeof(int));
    c->bytes = (uint8_t *)rn__carve(arena, (size_t)c->rows, (size_t)crop->width);
    return arena->used < SIZE_MAX - RN__ALIGN;
}

RNDEF size_t rn_crop_bytes(const rn_picture *picture, const rn_crop *crop) {
    rn__arena arena = {NULL, 0};
    rn__cropping cropping;
    return rn__place_crop(&cropping, picture, crop, &arena) ? arena.used + RN__ALIGN - 1 : 0;
}

/* The needed rows of one channel, scaled across. */
static void rn__crop_across(const rn__cropping *c, const rn_picture *picture, int channel,
                            int width) {
    for (int y = 0; y < c->rows; y++) {
        const uint8_t *row =
            picture->pixels + channel * picture->stride_c + (c->top + y) * picture->stride_h;
        uint8_t *to = c->bytes + (ptrdiff_t)y * width;
        for (int x = 0; x < width; x++) {
            const double *weights = c->weights_across + (size_t)x * c->taps_across;
            const uint8_t *from = row + c->first[x] * picture->stride_w;
            double sum = 0;
            for (int k = 0; k < c->taps[x]; k++) sum += weights[k] * from[k * picture->stride_w];
            to[x] = rn__to_byte(sum);
        }
    }
}

RNDEF rn_status rn_crop_picture(uint8_t *pixels, const rn_picture *picture, const rn_crop *crop,
                                void *room, size_t bytes, rn_error *error) {
    const size_t needed = rn_crop_bytes(picture, crop);
    rn__arena arena = {NULL, 0};
    rn__cropping c;
    RN__FAIL_IF(!needed, RN_BAD_ARGUMENT,
                "rn_crop_picture: [%d,%d] at [%d,%d] of a picture [%d,%d,%d] scaled to [%d,%d]; "
                "the crop should lie within it",
                crop->height, crop->width, crop->top, crop->left, picture->channels,
                picture->height, picture->width, crop->scaled_height, crop->scaled_width);
    RN__FAIL_IF(bytes < needed, RN_TOO_SMALL,
                "rn_crop_picture: the room has %zu bytes and needs %zu, see rn_crop_bytes", bytes,
                needed);
    arena.base = (char *)room + rn__gap(room);
    rn__place_crop(&c, picture, crop, &arena);
    for (int x = 0; x < crop->width; x++)
        c.taps[x] =
            rn__taps(c.weights_across + (size_t)x * c.taps_across, &c.first[x], &c.across, x);
    for (int channel = 0; channel < picture->channels; channel++) {
        rn__crop_across(&c, picture, channel, crop->width);
        for (int y = 0; y < crop->height; y++) {
            int top, rows = rn__taps(c.weights_down, &top, &c.down, y);
            const uint8_t *from = c.bytes + (ptrdiff_t)(top - c.top) * crop->width;
            for (int x = 0; x < crop->width; x++, from++) {
                double sum = 0;
                for (int k = 0; k < rows; k++)
                    sum += c.weights_down[k] * from[(ptrdiff_t)k * crop->width];
                *pixels++ = rn__to_byte(sum);
            }
        }
    }
    return RN_OK;
}

/* By way of bytes, which lie where rn_batch has them, too. */
RNDEF rn_status rn_preprocess(rn_real *image, const rn_desc *desc, const rn_picture *picture,
                              const rn_crop *crop, void *room, size_t bytes, rn_error *error) {
    rn_tensor to;
    RN__TRY(rn__check_means("rn_preprocess", picture->channels, error));
    RN__TRY(rn__check_size(desc, picture->channels, crop->height, crop->width, error));
    to = rn_tensor_in(image, 1, picture->channels, crop->height, crop->width);
    RN__TRY(rn_crop_picture(rn__bytes_of(image, to.stride_n), picture, crop, room, bytes, error));
    rn__number_bytes(&to, desc);
    return RN_OK;
}

/* Brightness of a pixel as in television (ITU-R BT.601). */
static double rn__grey(const rn_tensor *t, int y, int x) {
    return 0.299 * (double)*rn__at(t, 0, 0, y, x) + 0.587 * (double)*rn__at(t, 0, 1, y, x) +
           0.114 * (double)*rn__at(t, 0, 2, y, x);
}

/* image = factor image + (1 - factor) grey, where grey is 0 (with 0: changes the brightness), the
   mean of the image (with 1: the contrast) or that of each pixel (with 2: the saturation). */
static void rn__blend(rn_tensor *image, int with, double factor) {
    double grey = 0; /* unless it is each pixel's own */
    /* The mean over the image, where it is asked for. */
    for (int y = 0; y < image->h && with == 1; y++)
        for (int x = 0; x < image->w; x++)
            grey += rn__grey(image, y, x) / ((double)image->h * image->w);
    for (int y = 0; y < image->h; y++)
        for (int x = 0; x < image->w; x++) {
            if (with == 2) grey = rn__grey(image, y, x);
            for (int c = 0; c < 3; c++) {
                rn_real *p = rn__at(image, 0, c, y, x);
                *p = (rn_real)(factor * (double)*p + (1 - factor) * grey);
            }
        }
}

/* Changes of colour take one RGB image, and an amount. */
static rn_status rn__check_change(const char *function, const rn_tensor *image, double amount,
                                  rn_error *error) {
    RN__TRY(rn__expect(function, "image", image, 1, 3, image->h, image->w, error));
    if (rn__is_finite(amount) && amount >= 0) return RN_OK;
    return rn__fail(error, RN_BAD_ARGUMENT, "%s: the amount is %.3f and must be 0 or more",
                    function, amount);
}

/* Brightness, contrast and saturation, each blended with its opposite, in an order that is
   drawn. */
RNDEF rn_status rn_colour_jitter(rn_tensor *image, double strength, rn_key key, uint64_t position,
                                 rn_error *error) {
    int done[3] = {0, 0, 0}, i, which; /* brightness, contrast, saturation */
    RN__TRY(rn__check_change(__func__, image, strength, error));
    key.purpose |= 1u << 8; /* a stream beside that of the windows */
    for (i = 0; i < 3; i++) {
        /* Of the changes that are not done yet, the one with so many of them in front of it. */
        int left = (int)(rn_uniform(key, 8 * position + (uint64_t)i) * (3 - i));
        for (which = 0; done[which] || left-- > 0;) which++;
        done[which] = 1;
        rn__blend(image, which,
                  1 + strength * (2 * rn_uniform(key, 8 * position + 4 + (uint64_t)i) - 1));
    }
    return RN_OK;
}

/* Along the principal components of ImageNet's colours, each by a normal number of its own. */
RNDEF rn_status rn_lighting(rn_tensor *image, double deviation, rn_key key, uint64_t position,
                            rn_error *error) {
    /* Principal components of the colours of ImageNet's pixels, as fb.resnet.torch has them:
       eigenvalues and, in the columns, eigenvectors. */
    static const double values[3] = {0.2175, 0.0188, 0.0045};
    static const double vectors[3][3] = {
        {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
    double shift[3] = {0, 0, 0}; /* of each channel, by all three components */
    RN__TRY(rn__check_change(__func__, image, deviation, error));
    key.purpose |= 2u << 8; /* a third stream */
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 3; i++)
            shift[k] +=
                vectors[k][i] * values[i] * deviation * rn_normal(key, 4 * position + (uint64_t)i);
    RN__EACH(image, n, c, y, x) *rn__at(image, n, c, y, x) += (rn_real)shift[c];
    return RN_OK;
}

/* In double, as the table of rn__number_bytes is. */
RNDEF rn_status rn_normalise(rn_tensor *image, const rn_desc *desc, rn_error *error) {
    RN__TRY(rn__check_means(__func__, image->c, error));
    RN__EACH(image, n, c, y, x) {
        rn_real *p = rn__at(image, n, c, y, x);
        *p = (rn_real)rn__normalised(desc, c, (double)*p);
    }
    rn__order_channels(desc, image);
    return RN_OK;
}

/* Softmax(z)_k = exp(z_k) / sum_j exp(z_j), taken relative to the largest z, so that no exp
   overflows. */
RNDEF rn_status rn_predict_windows(const rn_net *net, void *workspace, const rn_picture *picture,
                                   const rn_window *windows, int count, int resampling,
                                   rn_real *room, rn_real *probabilities, rn_error *error) {
    const rn_desc *desc = &net->desc;
    rn_tensor image = rn_tensor_in(room, 1, desc->channels, desc->height, desc->width);
    const rn_tensor logits = rn_tensor_in(room + image.stride_n, 1, desc->classes, 1, 1);
    RN__TRY(rn__expect_within("rn_predict_windows", "count", count, 1, INT_MAX, error));
    memset(probabilities, 0, (size_t)desc->classes * sizeof *probabilities);
    for (int i = 0; i < count; i++) {
        double log_sum;
        RN__TRY(rn_resample(&image, picture, windows[i], resampling, error));
        RN__TRY(rn_normalise(&image, desc, error));
        RN__TRY(rn_predict(net, workspace, room, 1, logits.data, error));
        log_sum = rn__log_sum_exp(&logits, 0);
        for (int k = 0; k < desc->classes; k++)
            probabilities[k] += (rn_real)(rn__softmax(&logits, 0, k, log_sum) / count);
    }
    return RN_OK;
}

/* >>files ====================================================================================
   In: any safetensors file. Out: its tensors one by one, each with name, type, shape and place, and
   the strings of its metadata; or a sentence that says where the file is damaged.

       0         8                                 8 + n              end of the file
       | n, 8    | JSON, n bytes                   | data             |
       | bytes,  | {"__metadata__":{"key":"value"},| little-endian,   |
       | little- |  "conv1.weight":{"dtype":"F32", | row by row,      |
       | endian  |   "shape":[16,3,3,3],           | no gap between   |
       |         |   "data_offsets":[0,1728]}, ...}| tensors          |
                                                   ^ data_offsets count from here

   The JSON is read through a window of 512 bytes, as often as necessary, and nothing of it is kept:
   no file is too large, and nothing is allocated. Names, keys and values that mean nothing to us
   are gone past if they are JSON at all.

   The reader has no tree and no tokens: a->at is the place reached, and each rn__json_* function
   goes past one thing if it stands there, and says whether it did. After a no it may stand anywhere
   in between: the file is damaged, and nothing is tried again. */

enum { RN__JSON_BEGIN = 8 };

static rn_status rn__damaged(const rn_archive *a, const char *wanted, rn_error *error) {
    if (!a->json_end) return rn__fail(error, RN_IO, "%s: reading its header failed", a->path);
    return rn__fail(error, RN_BAD_FILE, "%s: damaged at byte %llu, where %s should stand", a->path,
                    (rn__llu)a->at, wanted);
}

/* The next byte of the header; -1 at its end, or where it cannot be read. */
static int rn__json_next(rn_archive *a) {
    if (a->at >= a->json_end) return -1;
    if (a->at < a->window || a->at - a->window >= a->filled) { /* the window moves here */
        uint64_t left = a->json_end - a->at; /* bytes of JSON that are still to come */
        a->window = a->at;
        a->filled = left < sizeof a->buffer ? (size_t)left : sizeof a->buffer;
        /* If that fails, all that follows fails, too, and says so. */
        if (rn__read(a, a->at, a->buffer, a->filled, NULL)) return a->json_end = 0, -1;
    }
    return (unsigned char)a->buffer[a->at++ - a->window];
}

/* Goes past space, and past c if it comes then: 1. c -1 is the end. */
static int rn__json_takes(rn_archive *a, int c) {
    int next;
    do next = rn__json_next(a);
    while (next == ' ' || next == '\t' || next == '\n' || next == '\r');
    if (next != c && next >= 0) a->at--;
    return next == c;
}

/* The number of four hexadecimal digits, those behind \u; -1 if they are none. */
static int rn__json_hex(rn_archive *a) {
    static const char digits[] = "00112233445566778899aAbBcCdDeEfF"; /* each twice */
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = rn__json_next(a);
        const char *digit = c > 0 ? strchr(digits, c) : NULL;
        if (!digit) return -1;
        value = value * 16 + (int)(digit - digits) / 2;
    }
    return value;
}

/* What stands behind a backslash: a letter for a character, or u with the 16 bits of one. Beyond 16
   bits a character has two of these, a high surrogate (d800 to dbff) and a low one (dc00 to dfff)
   with ten bits each. It is written as UTF-8:

       up to 7f      0xxxxxxx
       up to 7ff     110xxxxx 10xxxxxx
       up to ffff    1110xxxx 10xxxxxx 10xxxxxx
       beyond        11110xxx 10xxxxxx 10xxxxxx 10xxxxxx
*/
static int rn__json_escape(rn_archive *a, rn__text *text) {
    const char *escape = "\"\"\\\\//b\bf\fn\nr\rt\t"; /* letter, character */
    int c = rn__json_next(a), code, low, shift;
    for (; *escape; escape += 2)
        if (*escape == c) return rn__put(text, escape[1]), 1;
    code = c == 'u' ? rn__json_hex(a) : -1;
    /* Neither \u0000, which would end the string, nor a low surrogate alone. */
    if (code <= 0 || (code >= 0xdc00 && code < 0xe000)) return 0;
    if (code >= 0xd800 && code < 0xdc00) { /* high: its low one must follow */
        if (rn__json_next(a) != '\\' || rn__json_next(a) != 'u') return 0;
        low = rn__json_hex(a);
        if (low < 0xdc00 || low >= 0xe000) return 0;
        code = 0x10000 + (code - 0xd800) * 1024 + (low - 0xdc00);
    }
    shift = code < 0x80 ? 0 : code < 0x800 ? 6 : code < 0x10000 ? 12 : 18; /* bits that follow */
    rn__put(text, (char)((shift ? 0x780 >> shift / 6 & 0xff : 0) | code >> shift));
    while ((shift -= 6) >= 0) rn__put(text, (char)(0x80 | (code >> shift & 63)));
    return 1;
}

/* A string, which goes to `text` in place of what is there. */
static int rn__json_string(rn_archive *a, rn__text *text) {
    int c;
    *text = rn__text_in(text->data, text->capacity);
    if (!rn__json_takes(a, '"')) return 0;
    while ((c = rn__json_next(a)) != '"') {
        if (c < ' ' || (c == '\\' && !rn__json_escape(a, text))) return 0; /* the end is -1 */
        if (c != '\\') rn__put(text, (char)c);
    }
    return 1;
}

/* [1, 2, 3]: whole numbers below 2^63, of which the first `most` go to `values`. Returns how many
   there are in all, or -1. *product is the product of all, or INT64_MAX where it is larger: too
   much for any file. */
static int rn__json_array(rn_archive *a, int64_t *values, int most, int64_t *product) {
    int count = 0, c; /* numbers so far */
    *product = 1;
    if (!rn__json_takes(a, '[')) return -1;
    if (rn__json_takes(a, ']')) return 0;
    do {
        int64_t value = -1;     /* no digit yet */
        rn__json_takes(a, ' '); /* goes past space, so none is left to take */
        while ((c = rn__json_next(a)) >= '0' && c <= '9') {
            if (value > (INT64_MAX - 9) / 10) return -1;
            value = (value < 0 ? 0 : value * 10) + (c - '0');
        }
        if (value < 0 || count == INT_MAX || c < 0) return -1;
        a->at--;
        if (count < most) values[count] = value;
        /* Would the product be too large? value | 1, for the value may be 0. */
        *product = *product > INT64_MAX / (value | 1) ? INT64_MAX : *product * value;
        count++;
    } while (rn__json_takes(a, ','));
    return rn__json_takes(a, ']') ? count : -1;
}

/* A step through an object: past { (if `first`) or a comma, the next key and its colon: 1; or past
   the }: 0; -1 if neither is there. The caller goes past the value. */
static int rn__json_key(rn_archive *a, int first, rn__text *key) {
    if (first && !rn__json_takes(a, '{')) return -1;
    if (rn__json_takes(a, '}')) return 0;
    if (!first && !rn__json_takes(a, ',')) return -1;
    return rn__json_string(a, key) && rn__json_takes(a, ':') ? 1 : -1;
}

/* Goes past space, and says whether c comes then, but not past c. */
static int rn__json_sees(rn_archive *a, int c) {
    int sees = rn__json_takes(a, c);
    if (sees) a->at--;
    return sees;
}

/* A value of any kind, objects and arrays at most so deep within each other. */
static int rn__json_skip(rn_archive *a, int depth) {
    rn__text none = {NULL, 0, 0}; /* what is gone past is not kept */
    int found = 0, c;             /* a key, or part of a number */
    if (!depth) return 0;
    if (rn__json_sees(a, '"')) return rn__json_string(a, &none);
    if (rn__json_sees(a, '{')) {
        while ((found = rn__json_key(a, !found, &none)) > 0)
            if (!rn__json_skip(a, depth - 1)) return 0;
        return !found;
    }
    if (rn__json_takes(a, '[')) {
        if (rn__json_takes(a, ']')) return 1;
        do {
            if (!rn__json_skip(a, depth - 1)) return 0;
        } while (rn__json_takes(a, ','));
        return rn__json_takes(a, ']');
    }
    while ((c = rn__json_next(a)) > 0 && strchr("+-.0123456789EINaefilnrstuy", c)) found = 1;
    if (c >= 0) a->at--; /* that was a number, or true, false, null, Infinity, NaN */
    return found;
}
enum { RN__JSON_DEPTH = 16 }; /* the stack ends somewhere */

/* The object that describes tensor e->name: {"dtype":..., "shape":[...], "data_offsets":[...]} in
   any order, each once, and maybe more. Its data lies within the file and is as large as type and
   shape say. */
static rn_status rn__json_entry(rn_archive *a, rn_entry *e, rn_error *error) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    static const char *const types[] = {"BOOL", "I8",  "U8",  "F8_E4M3", "F8_E5M2",
                                        "I16",  "U16", "F16", "BF16",    "I32",
                                        "U32",  "F32", "I64", "U64",     "F64"};
    int64_t offsets[2] = {0, 0}, most = (int64_t)(a->bytes - a->json_end), numbers = 1, bytes;
    RN__TEXT(key, 16);
    rn__text dtype = {e->dtype, sizeof e->dtype, 0};
    int first, seen = 0, found, i; /* first: no key yet */
    for (i = 0; i < 4; i++) e->shape[i] = 1;
    /* Three keys, a bit of `seen` for each, and one for all others, whose values are gone past. */
    for (first = 1; (found = rn__json_key(a, first, &key)) > 0; first = 0) {
        int good, k = 0;
        while (k < 3 && strcmp(key.data, keys[k])) k++;
        good = k == 0   ? rn__json_string(a, &dtype)
               : k == 1 ? (e->dims = rn__json_array(a, e->shape, 4, &numbers)) >= 0
               : k == 2 ? rn__json_array(a, offsets, 2, &bytes) == 2
                        : rn__json_skip(a, RN__JSON_DEPTH);
        if (!good || (k < 3 && seen >> k & 1)) break;
        seen |= 1 << k;
    }
    if (found || (seen & 7) != 7)
        return rn__damaged(
            a, "the { of a tensor, or the rest of dtype, shape and data_offsets once,", error);
    RN__FAIL_IF(offsets[0] > offsets[1] || offsets[1] > most, RN_BAD_FILE,
                "%s: %s lies at %lld to %lld of %lld bytes; is the file cut?", a->path, e->name,
                (rn__lld)offsets[0], (rn__lld)offsets[1], (rn__lld)most);
    e->begin = a->json_end + (uint64_t)offsets[0];
    e->bytes = (uint64_t)(offsets[1] - offsets[0]);
    for (i = 0; i < 15 && strcmp(types[i], e->dtype);) i++;
    i = i < 5 ? 1 : i < 9 ? 2 : i < 12 ? 4 : i < 15 ? 8 : 0; /* bytes of a number, if it is known */
    bytes = i && numbers > INT64_MAX / i ? INT64_MAX : i * numbers;
    if (!i || e->bytes == (uint64_t)bytes) return RN_OK;
    return rn__fail(error, RN_BAD_FILE,
                    "%s: %s has %llu bytes, but its dtype %s and shape say %lld", a->path, e->name,
                    (rn__llu)e->bytes, e->dtype, (rn__lld)bytes);
}

/* The next key of the outer object is the next tensor, but "__metadata__", whose place is noted. At
   the end it stays before the }, so that the next call finds the end, too. */
RNDEF int rn_archive_next(rn_archive *a, rn_entry *e, rn_error *error) {
    rn__text name = {e->name, sizeof e->name, 0};
    int found;
    while ((found = rn__json_key(a, a->at == RN__JSON_BEGIN, &name)) > 0) {
        e->name_length = name.length;
        /* Any other key is a tensor's name. */
        if (strcmp(e->name, "__metadata__")) {
            RN__TRY(rn__json_entry(a, e, error));
            return 1;
        }
        if (rn__json_sees(a, '{')) a->metadata = a->at;
        if (!rn__json_skip(a, RN__JSON_DEPTH)) return rn__damaged(a, "{\"key\":\"value\"}", error);
    }
    if (found) return rn__damaged(a, "{, or a name,", error);
    a->at--;
    return 0;
}

/* Reads the whole header once, and sees whether the tensors cover the data without gap or overlap,
   in whatever order they stand. If they do, every border between two tensors is the end of one and
   the begin of another:

       data    |--- a ---|-- b --|----- c -----|      ends    : begin of the data, a's, b's, c's
               begins: a's, b's, c's, the end          (the same four numbers)

   So the two lists, each with the border that it lacks, hold the same numbers. Two lists of any
   order are compared without memory by the sums of their numbers' hashes. */
static rn_status rn__check_archive(rn_archive *a, rn_error *error) {
    uint8_t b[RN__JSON_BEGIN] = {0};
    uint64_t length, begins, ends; /* sums of hashes, see above */
    rn_entry e;
    int found;
    if (a->bytes >= sizeof b) RN__TRY(rn__read(a, 0, b, sizeof b, error));
    length = rn__little_endian(b, sizeof b);
    /* "{}" is the shortest header. */
    RN__FAIL_IF(length < 2 || length > a->bytes - RN__JSON_BEGIN, RN_BAD_FILE,
                "%s has %llu bytes, its header %llu; is it safetensors, and whole?", a->path,
                (rn__llu)a->bytes, (rn__llu)length);
    a->json_end = length + RN__JSON_BEGIN;
    a->at = RN__JSON_BEGIN;
    begins = rn__mix(a->bytes);
    ends = rn__mix(a->json_end);
    while ((found = rn_archive_next(a, &e, error)) == 1) {
        begins += rn__mix(e.begin);
        ends += rn__mix(e.begin + e.bytes);
    }
    if (found) return (rn_status)found;
    if (!rn__json_takes(a, '}') || !rn__json_takes(a, -1)) return rn__damaged(a, "the end", error);
    a->at = RN__JSON_BEGIN;
    if (begins == ends) return RN_OK;
    return rn__fail(error, RN_BAD_FILE, "%s: its tensors overlap, or leave data unused", a->path);
}

/* Opens the file and checks its whole header: every entry, and that tensors cover the data. */
RNDEF rn_status rn_archive_open(rn_archive *archive, const char *path, const rn_files *files,
                                rn_error *error) {
    rn_status status = rn__open(archive, path, 0, files, error);
    if (!status) status = rn__check_archive(archive, error);
    if (status) rn_archive_close(archive);
    return status;
}

/* Looks from where the archive stands to the end, and then from the beginning: whoever asks for
   names in the order of the file finds each at once. */
RNDEF rn_status rn_archive_find(rn_archive *a, const char *name, rn_entry *e, rn_error *error) {
    int round, found; /* two rounds: to the end, and the whole */
    for (round = 0; round < 2; round++, a->at = RN__JSON_BEGIN) {
        while ((found = rn_archive_next(a, e, error)) == 1)
            if (!strcmp(e->name, name) && e->name_length < sizeof e->name) return RN_OK;
        if (found) return (rn_status)found;
    }
    return rn__fail(error, RN_MISMATCH, "%s holds no tensor \"%s\"", a->path, name);
}

/* Finds a key of __metadata__ whose value is a string: 1 with the value, behind which the archive
   then stands; 0 if there is none, below 0 on failure. */
static int rn__find_metadata(rn_archive *a, const char *key, rn__text *value, rn_error *error) {
    RN__TEXT(there, 64); /* the key that stands there */
    int found = 0;
    if (!a->metadata) return 0;
    a->at = a->metadata;
    for (int first = 1; (found = rn__json_key(a, first, &there)) > 0; first = 0) {
        /* A key that is cut is not the one that is wanted. */
        int wanted =
            there.length < there.capacity && !strcmp(there.data, key) && rn__json_sees(a, '"');
        if (!(wanted ? rn__json_string(a, value) : rn__json_skip(a, RN__JSON_DEPTH))) break;
        if (wanted) return 1;
    }
    return found ? rn__damaged(a, "{\"key\":\"value\"}", error) : 0;
}

/* What rn__find_metadata finds, with a sentence for what it does not. */
RNDEF rn_status rn_archive_metadata(rn_archive *a, const char *key, char *value, size_t capacity,
                                    rn_error *error) {
    rn__text text = rn__text_in(value, capacity);
    uint64_t before = a->at; /* the walk over the tensors goes on where it was */
    int found = rn__find_metadata(a, key, &text, error);
    a->at = before;
    if (found < 0) return (rn_status)found;
    RN__FAIL_IF(!found, RN_MISMATCH, "%s has no metadata \"%s\"", a->path, key);
    if (text.length < capacity) return RN_OK;
    return rn__fail(error, RN_TOO_SMALL, "%s: metadata \"%s\" takes %zu bytes, there are %zu",
                    a->path, key, text.length + 1, capacity);
}

/* Raw bytes, as they are in the file: little-endian numbers of the entry's type. */
RNDEF rn_status rn_archive_read(rn_archive *a, const rn_entry *e, uint64_t offset, void *data,
                                size_t bytes, rn_error *error) {
    if (offset <= e->bytes && bytes <= e->bytes - offset)
        return rn__read(a, e->begin + offset, data, bytes, error);
    return rn__fail(error, RN_BAD_ARGUMENT, "%s: bytes %llu to %llu of tensor %s, which has %llu",
                    a->path, (rn__llu)offset, (rn__llu)(offset + bytes), e->name,
                    (rn__llu)e->bytes);
}

/* >>weights and checkpoints ==================================================================
   In: a net. Out: a file that rn_load turns back into it, bit by bit. And back.

   Files of ours are safetensors with this in __metadata__:

       "format"                 "resnet.h": the file is ours
       "crc"                    CRC-32 of the whole file, these eight digits counted as zeros
       "desc.KEY"               every field of the description (rn__fields)
       "class_names"            one a line, if the net has them
       "trainer.test_accuracy"  if it is known
       "step", "epoch", "cursor", "schedule.KEY", "trainer.KEY"
                                in checkpoints: where training stands (rn__progress)

   Tensors are those of rn_next_parameter, under its names, as F32: all parameters, then all running
   statistics, so that either lie as in a net, and a net can be made over a file that is mapped. A
   checkpoint has the velocity of each parameter besides, as "velocity/NAME", and all as F64 where
   rn_real is double, so that no bit is lost. Either type is read, in any order.

       | header, spaces | conv1.weight bn1.weight ... fc.bias | bn1.running_mean ... |
                        ^ at a multiple of 64                 ^ where the parameters end

   Saving goes to a temporary file that takes the old one's place at the end, so that there is a
   whole file at every moment. Where a net's numbers lie in memory as they lie in files, that is
   little-endian and of the same type, they are written from there. Loading goes through the file
   three times (header, CRC, numbers) before it writes a number into the net, so that a damaged file
   changes nothing; but a net that is made for a file has nothing to lose, and its numbers are
   checked as they are stored. */

/* The CRC-32 of zip and PNG: the rest of a polynomial's division by P = edb88320, bit 31 standing
   for x^0. Here of one more byte, four bits at a time: the table holds the remainder of each. */
static uint32_t rn__crc_of_byte(uint32_t crc, uint8_t byte) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    /* The lower four bits, then the upper. */
    crc ^= byte;
    crc = crc >> 4 ^ table[crc & 15];
    return crc >> 4 ^ table[crc & 15];
}

#ifdef RN__X86
/* By products of 64 bits without carry, 64 bytes at a time (Gopal et al. 2009, "Fast CRC
   Computation for Generic Polynomials Using PCLMULQDQ Instruction"): four rests of 16 bytes, each
   multiplied by what x^(its distance to the next) leaves modulo P, and added to what stands there.
   The rest of all has 16 bytes, whose CRC is that of the whole. */
typedef long long rn__crc_rest __attribute__((vector_size(16)));
#define RN__CRC_TARGET __attribute__((target("pclmul")))

RN__CRC_TARGET static rn__crc_rest rn__crc_fold(rn__crc_rest x, rn__crc_rest by,
                                                const uint8_t *next) {
    rn__crc_rest there;
    memcpy(&there, next, sizeof there);
    return there ^ __builtin_ia32_pclmulqdq128(x, by, 0x00) ^
           __builtin_ia32_pclmulqdq128(x, by, 0x11);
}

/* Of 64 bytes or more, a multiple of 64. */
RN__CRC_TARGET static uint32_t rn__crc_of_blocks(uint32_t crc, const uint8_t *data, size_t bytes) {
    const rn__crc_rest four_on = {0x154442bd4, 0x1c6e41596}, one_on = {0x1751997d0, 0x0ccaa009e};
    const uint8_t *end = data + bytes;
    rn__crc_rest a = {(long long)crc, 0}, b = {0, 0}, c = b, d = b;
    uint8_t rest[sizeof a];
    const uint8_t *r = rest;
    a = rn__crc_fold(b, four_on, data) ^ a;
    b = rn__crc_fold(b, four_on, data + 16);
    c = rn__crc_fold(c, four_on, data + 32);
    d = rn__crc_fold(d, four_on, data + 48);
    for (data += 64; data < end; data += 64) {
        a = rn__crc_fold(a, four_on, data);
        b = rn__crc_fold(b, four_on, data + 16);
        c = rn__crc_fold(c, four_on, data + 32);
        d = rn__crc_fold(d, four_on, data + 48);
    }
    b = rn__crc_fold(a, one_on, (const uint8_t *)&b);
    c = rn__crc_fold(b, one_on, (const uint8_t *)&c);
    d = rn__crc_fold(c, one_on, (const uint8_t *)&d);
    memcpy(rest, &d, sizeof rest);
    for (crc = 0; r < rest + sizeof rest; r++) crc = rn__crc_of_byte(crc, *r);
    return crc;
}
#endif

/* Goes on from an earlier crc, 0 at first. */
static uint32_t rn__crc32(uint32_t crc, const uint8_t *data, size_t bytes) {
    const uint8_t *end = data + bytes;
    crc = ~crc;
#ifdef RN__X86
    if (bytes >= 64 && __builtin_cpu_supports("pclmul")) {
        crc = rn__crc_of_blocks(crc, data, bytes / 64 * 64);
        data += bytes / 64 * 64;
    }
#endif
    while (data < end) crc = rn__crc_of_byte(crc, *data++);
    return ~crc;
}

/* Turns a parameter into its velocity, which has the same shape and another name; 1. */
static int rn__name_velocity(rn_parameter *p) {
    RESNET_ASSERT(strlen(p->name) + 9 < sizeof p->name);
    memmove(p->name + 9, p->name, sizeof p->name - 9);
    memcpy(p->name, "velocity/", 9);
    p->data = p->velocity;
    return 1;
}

/* The tensors of a file: all parameters, then all running statistics, so that either lie as in the
   net; then, in a checkpoint, the velocity of each parameter that trains. */
enum { RN__PARAMETERS, RN__STATISTICS, RN__VELOCITIES };

/* Where the walk over them stands is told by the last one. */
static int rn__part_of_file(const rn_net *net, const rn_parameter *p) {
    if (!strncmp(p->name, "velocity/", 9)) return RN__VELOCITIES;
    return p->index && !rn__slot_behind(net, p)->learned ? RN__STATISTICS : RN__PARAMETERS;
}

/* A walk as by rn_next_parameter over the tensors of a file, in its order. */
static int rn__next_tensor(const rn_net *net, int checkpoint, rn_parameter *p) {
    for (int part = rn__part_of_file(net, p);; part++) {
        while (rn_next_parameter(net, p))
            if (part == RN__VELOCITIES
                    ? p->velocity && rn__name_velocity(p)
                    : rn__slot_behind(net, p)->learned == (part == RN__PARAMETERS))
                return 1;
        if (part == (checkpoint ? RN__VELOCITIES : RN__STATISTICS)) return 0;
        memset(p, 0, sizeof *p); /* the same walk again */
    }
}

/* Writes through the buffer of an archive. Without a file it only counts bytes and CRC: the header
   has to tell its own length and CRC before they are known. */
typedef struct rn__writer {
    rn_archive out; /* its buffer, bytes so far, and where the data begins (json_end) */
    uint32_t crc;   /* of the bytes so far, while there is no file */
    int failed;     /* 1: a write failed, and none was tried since */
} rn__writer;

static void rn__write_out(rn__writer *w, const void *data, size_t bytes) {
    rn_archive *out = &w->out;
    if (!bytes) return;
    if (!out->file)
        w->crc = rn__crc32(w->crc, (const uint8_t *)data, bytes);
    else if (!w->failed)
        w->failed = out->files.write(out->files.user, out->file, data, bytes) != bytes;
}

/* What the buffer holds goes to the file. */
static void rn__flush(rn__writer *w) {
    rn__write_out(w, w->out.buffer, w->out.filled);
    w->out.filled = 0;
}

/* The lowest bytes of a number, little-endian. */
static void rn__write_bytes(rn__writer *w, uint64_t value, int count) {
    for (; count > 0; count--, value >>= 8) {
        /* The buffer is emptied when the next byte finds it full, and at the end. */
        if (w->out.filled == sizeof w->out.buffer) rn__flush(w);
        w->out.buffer[w->out.filled++] = (char)(value & 255);
        w->out.bytes++;
    }
}

/* A piece of the header, as by printf; no piece is longer than a line. */
RN__PRINTF(2, 3) static void rn__write_format(rn__writer *w, const char *format, ...) {
    RN__TEXT(line, 320); /* longer than any name or value with what is around it */
    const char *c;
    va_list arguments;
    va_start(arguments, format);
    rn__format_list(&line, format, arguments);
    va_end(arguments);
    RESNET_ASSERT(line.length < line.capacity);
    for (c = line.data; *c; c++) rn__write_bytes(w, (unsigned char)*c, 1);
}

/* The inside of a JSON string. */
static void rn__write_string(rn__writer *w, const char *string) {
    for (; *string; string++) {
        const unsigned char c = (unsigned char)*string;
        if (c < ' ') {
            rn__write_format(w, "\\u%04x", (unsigned)c);
        } else {
            if (c == '"' || c == '\\') rn__write_bytes(w, '\\', 1);
            rn__write_bytes(w, c, 1);
        }
    }
}

/* What files of ours hold beside tensors and description: members of rn_net, in the order of the
   file. */
#define RN__PROGRESS_AS(key, member, type, use) \
    { key, type, 1, sizeof(uint64_t), offsetof(rn_net, member), NULL, use, 0, 0, 0, NULL }
#define RN__PROGRESS(member, type, use) RN__PROGRESS_AS(#member, member, type, use)
static const rn__field rn__progress[] = {
    RN__PROGRESS(step, RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS(epoch, RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS(cursor, RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS(schedule.learning_rate, RN__DOUBLE, RN__CHECKPOINT),
    RN__PROGRESS(schedule.steps, RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS_AS("schedule.drop1", schedule.drops[0], RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS_AS("schedule.drop2", schedule.drops[1], RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS(schedule.warmup_steps, RN__UINT64, RN__CHECKPOINT),
    RN__PROGRESS(schedule.warmup_rate, RN__DOUBLE, RN__CHECKPOINT),
    RN__PROGRESS(trainer.data, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.batch, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.pad, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.flip, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.lookahead, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.tta, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.hold_out, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.small_epochs, RN__UINT64, RN__IF_SET),
    RN__PROGRESS(trainer.loss, RN__DOUBLE, RN__IF_SET),
    RN__PROGRESS(trainer.correct, RN__DOUBLE, RN__IF_SET),
    RN__PROGRESS(trainer.seconds, RN__DOUBLE, RN__IF_SET),
    RN__PROGRESS(trainer.test_accuracy, RN__DOUBLE, RN__RESULT),
    {"schedule.kind", RN__INT, 1, sizeof(rn_schedule_kind), offsetof(rn_net, schedule.kind),
     rn__schedule_names, RN__CHECKPOINT, 0, 0, 0, NULL}};
enum { RN__PROGRESS_FIELDS = (int)(sizeof rn__progress / sizeof rn__progress[0]) };

/* A key with its value, behind others: ,"desc.depth":"20" */
static void rn__write_field(rn__writer *w, const char *prefix, const void *object,
                            const rn__field *field) {
    RN__TEXT(value, 96);
    rn__put_field(&value, object, field, 0);
    rn__write_format(w, ",\"%s%s\":\"%s\"", prefix, field->key, value.data);
}

/* Numbers that no net can compute with are neither saved nor loaded. */
static rn_status rn__check_number(const rn_parameter *p, ptrdiff_t i, double value,
                                  const char *where, rn_error *error) {
    const char *fault = !rn__is_finite(value) ? "infinite or not a number"
                        : p->role == RN_RUNNING_VAR && value < 0
                            ? "below zero, which no variance can be"
                            : NULL;
    if (!fault) return RN_OK;
    return rn__fail(error, RN_NOT_FINITE, "%s: %s[%lld] is %s", where, p->name, (rn__lld)i, fault);
}

/* Do numbers of so many bytes lie in the net as in files? */
static int rn__lies_as_in_files(int width) {
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first && width == (int)sizeof(rn_real);
}

/* Numbers [i, i + count) of a tensor, one by one only where that can say something. */
static rn_status rn__check_numbers(const rn_parameter *p, ptrdiff_t i, const rn_real *data,
                                   ptrdiff_t count, const char *where, rn_error *error) {
    if (p->role != RN_RUNNING_VAR && rn__all_finite(data, count)) return RN_OK;
    for (ptrdiff_t k = 0; k < count; k++)
        RN__TRY(rn__check_number(p, i + k, (double)data[k], where, error));
    return RN_OK;
}

/* The numbers of a tensor, checked in pieces that stay in the cache until they are written. */
static rn_status rn__write_numbers(rn__writer *w, const rn_parameter *p, int width,
                                   rn_error *error) {
    const ptrdiff_t most = rn__lies_as_in_files(width) ? 1 << 16 : 1;
    ptrdiff_t count;
    if (most > 1) rn__flush(w);
    for (ptrdiff_t i = 0; i < p->count; i += count) {
        const rn_real *data = p->data + i;
        const double number = width == 4 ? (double)(float)*data : (double)*data;
        count = p->count - i < most ? p->count - i : most;
        if (most > 1) {
            RN__TRY(rn__check_numbers(p, i, data, count, "the net", error));
            rn__write_out(w, data, (size_t)count * sizeof(rn_real));
            w->out.bytes += (uint64_t)count * sizeof(rn_real);
            continue;
        }
        RN__TRY(rn__check_number(p, i, number, "the net", error));
        rn__write_bytes(
            w, width == 4 ? (uint32_t)rn__float_bits((float)number) : rn__double_bits(number),
            width);
    }
    return RN_OK;
}

/* The whole file: `json`, the length of the header; the header, with this CRC, filled up with
   spaces so that the data begins at a multiple of 64; the numbers. With `json` 0 not the
   numbers. */
static rn_status rn__write_all(rn__writer *w, const rn_net *net, int checkpoint, uint64_t json,
                               uint32_t crc, rn_error *error) {
    const int width = checkpoint ? (int)sizeof(rn_real) : 4; /* bytes of a number */
    rn_parameter p;
    uint64_t offset = 0, end; /* of a tensor's data, behind the header */
    w->out.bytes = w->out.filled = w->crc = 0;
    /* The length, and the metadata. */
    rn__write_bytes(w, json, RN__JSON_BEGIN);
    rn__write_format(w, "{\"__metadata__\":{\"format\":\"resnet.h\",\"crc\":\"%08x\"",
                     (unsigned)crc);
    for (int i = 0; i < RN__FIELDS; i++) rn__write_field(w, "desc.", &net->desc, &rn__fields[i]);
    for (int i = 0; i < RN__PROGRESS_FIELDS; i++) {
        const rn__field *field = &rn__progress[i];
        uint64_t bytes = 0; /* all zero: not known */
        int set;
        memcpy(&bytes, (const char *)net + field->offset, field->size);
        set = bytes != 0;
        if (field->use == RN__RESULT ? set : checkpoint && (set || field->use == RN__CHECKPOINT))
            rn__write_field(w, "", net, field);
    }
    if (net->class_names) {
        rn__write_format(w, ",\"class_names\":\"");
        rn__write_string(w, net->class_names);
        rn__write_format(w, "\"");
    }
    rn__write_format(w, "}");
    /* The tensors: name, type, shape and place, one behind the other. */
    for (memset(&p, 0, sizeof p); rn__next_tensor(net, checkpoint, &p); offset = end) {
        end = offset + (uint64_t)width * (uint64_t)p.count;
        rn__write_format(w, ",\"%s\":{\"dtype\":\"F%d\",\"shape\":[", p.name, 8 * width);
        for (int i = 0; i < p.dims; i++) rn__write_format(w, i ? ",%d" : "%d", p.shape[i]);
        rn__write_format(w, "],\"data_offsets\":[%llu,%llu]}", (rn__llu)offset, (rn__llu)end);
    }
    rn__write_format(w, "}");
    /* Who maps the file into memory finds numbers aligned. */
    while (w->out.bytes % 64) rn__write_bytes(w, ' ', 1);
    w->out.json_end = w->out.bytes;
    /* Their numbers. */
    for (memset(&p, 0, sizeof p); json && rn__next_tensor(net, checkpoint, &p);)
        RN__TRY(rn__write_numbers(w, &p, width, error));
    rn__flush(w);
    return RN_OK;
}

/* Is it UTF-8, as JSON has to be? No code in more bytes than it needs, none of a surrogate. */
static int rn__is_utf8(const char *string) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; /* by bytes that follow */
    for (const unsigned char *s = (const unsigned char *)string; *s;) {
        const int more = *s < 0x80       ? 0
                         : *s >> 5 == 6  ? 1
                         : *s >> 4 == 14 ? 2
                         : *s >> 3 == 30 ? 3
                                         : -1;
        uint32_t code = more > 0 ? *s & 63u >> more : *s;
        if (more < 0) return 0;
        s++;
        for (int i = 0; i < more; i++, s++) {
            if (*s >> 6 != 2) return 0;
            code = code << 6 | (*s & 63u);
        }
        if (code < least[more] || code > 0x10ffff || code >> 11 == 27) return 0;
    }
    return 1;
}

/* A name for each class, and all of them text. */
static rn_status rn__check_class_names(const rn_net *net, rn_error *error) {
    int lines = 1;
    if (!net->class_names) return RN_OK;
    for (const char *c = net->class_names; *c; c++) lines += *c == '\n';
    RN__FAIL_IF(lines != net->desc.classes, RN_BAD_ARGUMENT,
                "class_names has %d lines and the net %d classes; give each class a line", lines,
                net->desc.classes);
    RN__FAIL_IF(!rn__is_utf8(net->class_names), RN_BAD_ARGUMENT,
                "class_names is not UTF-8; convert it, for files are");
    return RN_OK;
}

/* Writes the file three times with the same code: first to learn the length of the header, then the
   CRC (and whether all numbers are finite), both without a file; then in truth. */
static rn_status rn__save(const rn_net *net, const char *path, int checkpoint,
                          const rn_files *files, rn_error *error) {
    char target[1024]; /* path without symbolic links */
    RN__TEXT(temporary, 1024);
    rn__writer w;
    rn_archive *out = &w.out;
    const char *failed = NULL; /* what failed */
    uint64_t json;             /* bytes of the header */
    uint32_t crc;
    /* An inference net has nothing to go on with. */
    RN__FAIL_IF(checkpoint && !net->velocity, RN_BAD_ARGUMENT,
                "no checkpoint of an inference net; use rn_save");
    RN__TRY(rn__check_class_names(net, error));
    /* Behind the path there is room for ".tmp". */
    RN__FAIL_IF(strlen(path) > sizeof target - 5, RN_BAD_ARGUMENT,
                "a path of %zu characters is too long; %zu are allowed", strlen(path),
                sizeof target - 5);
    memcpy(target, path, strlen(path) + 1); /* the file that is to be replaced */
    if (!files) failed = rn__find_target(target, sizeof target - 4);
    RN__FAIL_IF(failed, RN_BAD_ARGUMENT, "%s %s; save elsewhere", path, failed);
    rn__format(&temporary, "%s.tmp", target);
    memset(&w, 0, sizeof w);
    rn__write_all(&w, net, checkpoint, 0, 0, NULL);
    json = out->json_end - RN__JSON_BEGIN; /* now the header's length is known, next the CRC */
    RN__TRY(rn__write_all(&w, net, checkpoint, json, 0, error));
    crc = w.crc;
    RN__TRY(rn__open(out, temporary.data, 1, files, error));
    if (!files) rn__keep_mode(target, temporary.data);
    rn__write_all(&w, net, checkpoint, json, crc, NULL);
    /* The old file is replaced only by one that is whole and on the disk. */
    if (w.failed) failed = "writing";
    if (!failed && out->files.sync(out->files.user, out->file)) failed = "synchronising";
    if (out->files.close(out->files.user, out->file) && !failed) failed = "closing";
    if (!failed && out->files.rename(out->files.user, temporary.data, target)) failed = "renaming";
    if (!failed) return RN_OK;
    /* The sentence counts more than whether this succeeds. */
    out->files.remove(out->files.user, temporary.data);
    return rn__fail(error, RN_IO, "%s %s failed; is the disk full, or in use? %s is as it was",
                    failed, temporary.data, path);
}

RNDEF rn_status rn_save(const rn_net *net, const char *path, const rn_files *files,
                        rn_error *error) {
    return rn__save(net, path, 0, files, error);
}

RNDEF rn_status rn_save_checkpoint(const rn_net *net, const char *path, const rn_files *files,
                                   rn_error *error) {
    return rn__save(net, path, 1, files, error);
}

/* Compares the CRC in the metadata with that of the file, in which its own digits count as
   zeros. */
static rn_status rn__check_crc(rn_archive *a, rn_error *error) {
    uint8_t buffer[1024];
    RN__TEXT(stored, 9); /* eight digits each */
    RN__TEXT(found, 9);
    uint64_t at, begin; /* begin: of the digits in the file */
    uint32_t crc = 0;
    size_t bytes;
    if (rn__find_metadata(a, "crc", &stored, NULL) != 1) *stored.data = 0;
    begin = a->at - 9; /* the archive stands behind eight digits and a quotation mark */
    a->at = RN__JSON_BEGIN;
    for (at = 0; at < a->bytes; at += bytes) {
        bytes = a->bytes - at < sizeof buffer ? (size_t)(a->bytes - at) : sizeof buffer;
        RN__TRY(rn__read(a, at, buffer, bytes, error));
        for (uint64_t digit = begin; digit < begin + 8; digit++)
            if (digit >= at && digit - at < bytes) buffer[digit - at] = '0';
        crc = rn__crc32(crc, buffer, bytes);
    }
    rn__format(&found, "%08x", (unsigned)crc);
    if (!strcmp(found.data, stored.data)) return RN_OK;
    return rn__fail(error, RN_BAD_FILE, "%s is damaged: its CRC is %s, not the \"%s\" that it says",
                    a->path, found.data, stored.data);
}

/* Reads fields from the metadata into the object that they belong to, but those of the machine.
   What the file lacks stays as it is. RN_MISMATCH if it lacks one that every checkpoint has. */
static rn_status rn__read_fields(rn_archive *a, const char *prefix, void *object,
                                 const rn__field *fields, int count, rn_error *error) {
    RN__TEXT(value, 96);
    rn_error inner;
    /* Older files, which hold this key, have other names for four fields. */
    const int former = rn__find_metadata(a, "desc.image_height", &value, error);
    if (former < 0) return (rn_status)former;
    for (int i = 0; i < count; i++) {
        const rn__field *field = &fields[i];
        rn_status status;
        RN__TEXT(key, 64);
        if (field->use == RN__OF_MACHINE) continue;
        rn__format(&key, "%s%s", prefix, former && field->former ? field->former : field->key);
        status = rn_archive_metadata(a, key.data, value.data, value.capacity, &inner);
        if (status == RN_MISMATCH && field->use == RN__CHECKPOINT) return status;
        if (status == RN_MISMATCH) continue;
        RN__FAIL_IF(status, status == RN_TOO_SMALL ? RN_BAD_FILE : status, "%s", inner.text);
        status = rn__set_field(object, field, value.data, &inner);
        RN__FAIL_IF(status, RN_BAD_FILE, "%s: %s", a->path, inner.text);
    }
    return RN_OK;
}

/* The description in the metadata, resolved; fields that are the machine's matter get their
   defaults. RN_MISMATCH if others wrote the file. Two keys mark files of ours, "format" and
   "desc.depth": a damaged byte in one of them leaves the other, and then the CRC refuses the
   file, which is not asked for if the file is trusted. */
RN__APART rn_status rn__read_desc(rn_archive *a, rn_desc *desc, int trusted, rn_error *error) {
    rn_desc stored; /* the description of the file */
    rn_error inner; /* its sentence goes behind the path */
    RN__TEXT(mark, 16);
    int found = rn__find_metadata(a, "format", &mark, error);
    /* The first mark or, where it is damaged or missing, the second. */
    if (found == 1) found = !strcmp(mark.data, "resnet.h");
    if (!found) found = rn__find_metadata(a, "desc.depth", &mark, error);
    if (found < 0) return (rn_status)found;
    RN__FAIL_IF(!found, RN_MISMATCH, "%s has no description; give one", a->path);
    if (!trusted) RN__TRY(rn__check_crc(a, error));
    memset(&stored, 0, sizeof stored);
    RN__TRY(rn__read_fields(a, "desc.", &stored, rn__fields, RN__FIELDS, error));
    RN__FAIL_IF(rn_resolve(&stored, &inner), RN_BAD_FILE, "%s: %s", a->path, inner.text);
    *desc = stored;
    return RN_OK;
}

/* Opens, reads and closes; whatever happens in between. */
RNDEF rn_status rn_load_desc(rn_desc *desc, const char *path, const rn_files *files,
                             rn_error *error) {
    rn_archive a;
    rn_status status = rn_archive_open(&a, path, files, error);
    if (!status) status = rn__read_desc(&a, desc, 0, error);
    rn_archive_close(&a);
    return status;
}

/* Refuses the weights of a net that computes something else (trunk: but for its classifier) and, if
   training is to go on, of one that sees other batches: fields of which the table says that they
   must match. Those of the machine, none of which is a list, become the net's own. */
static rn_status rn__match_desc(const rn_archive *a, rn_desc *file, const rn_desc *own,
                                int training, int trunk, rn_error *error) {
    for (int i = 0; i < RN__FIELDS; i++) {
        const rn__field *field = &rn__fields[i];
        const int classifier = field->use == RN__FOR_CLASSIFIER;
        int differs = 0;
        RN__TEXT(there, 96);
        RN__TEXT(here, 96);
        if (field->use == RN__OF_MACHINE)
            memcpy((char *)file + field->offset, (const char *)own + field->offset, field->size);
        /* Fields that need not match. */
        if (field->use != RN__FOR_WEIGHTS && (!classifier || trunk) &&
            (field->use != RN__FOR_RESUMING || !training))
            continue;
        for (int k = 0; k < field->count; k++)
            differs |= fabs(rn__get_number(file, field, k) - rn__get_number(own, field, k)) > 0;
        if (!differs) continue;
        rn__put_field(&there, file, field, 9);
        rn__put_field(&here, own, field, 9);
        return rn__fail(error, RN_MISMATCH, "%s is of another net: %s is %s there, %s here; see %s",
                        a->path, field->key, there.data, here.data,
                        classifier ? "rn_load_trunk, which loads all but the classifier"
                        : field->use == RN__FOR_RESUMING
                            ? "rn_load_desc, or take weights alone, from a file of rn_save"
                            : "rn_load_desc");
    }
    return RN_OK;
}

/* How far rn__load_tensors goes; each of these includes those before it. */
enum { RN__CHECK_SHAPES, RN__CHECK_NUMBERS, RN__STORE };

/* Bytes of a number of the entry, as far as the type can be read; 0: it cannot. */
static int rn__width_of(const rn_entry *e) {
    return !strcmp(e->dtype, "F32") ? 4 : !strcmp(e->dtype, "F64") ? 8 : 0;
}

/* Reads numbers [i, i + count) of a tensor of the file to `to`, one by one from another type or
   order of bytes. */
RN__APART rn_status rn__convert_numbers(rn_archive *a, const rn_entry *e, ptrdiff_t i,
                                        ptrdiff_t count, rn_real *to, rn_error *error) {
    const int width = rn__width_of(e);
    uint8_t buffer[512];
    const ptrdiff_t end = i + count, most = (ptrdiff_t)sizeof buffer / width;
    for (ptrdiff_t some; i < end; i += some) {
        some = end - i < most ? end - i : most;
        RN__TRY(rn_archive_read(a, e, (uint64_t)i * (uint64_t)width, buffer, (size_t)(some * width),
                                error));
        for (ptrdiff_t j = 0; j < some; j++) {
            const uint64_t bits = rn__little_endian(buffer + j * width, (size_t)width);
            double value = (double)rn__float_of_bits((int32_t)(bits & 0xffffffff));
            if (width == 8) memcpy(&value, &bits, sizeof value);
            *to++ = (rn_real)value;
        }
    }
    return RN_OK;
}

/* The same, as they are where they lie alike. */
static rn_status rn__read_numbers(rn_archive *a, const rn_entry *e, ptrdiff_t i, ptrdiff_t count,
                                  rn_real *to, rn_error *error) {
    const uint64_t width = (uint64_t)rn__width_of(e);
    return rn__lies_as_in_files((int)width) ? rn_archive_read(a, e, (uint64_t)i * width, to,
                                                              (size_t)count * (size_t)width, error)
                                            : rn__convert_numbers(a, e, i, count, to, error);
}

/* Checks type and shape of one tensor of the file and, as `work` says, its numbers, and stores them
   in the net: in pieces that are still in the cache when they are looked at. */
static rn_status rn__load_tensor(rn_archive *a, const rn_entry *e, const rn_parameter *p, int work,
                                 rn_error *error) {
    enum { ROOM = 2048 / sizeof(rn_real), PIECE = 1 << 14 };
    rn_real room[ROOM];
    const ptrdiff_t most = work == RN__STORE ? PIECE : ROOM;
    ptrdiff_t count;
    const int *shape = p->shape; /* the net's */
    int other = e->dims > 4 || !rn__width_of(e);
    /* The names agree; does all else? Sizes beyond the dimensions are 1 in both. */
    for (ptrdiff_t i = 0; i < 4; i++) other |= e->shape[i] != shape[i];
    RN__FAIL_IF(other, RN_MISMATCH,
                "%s: %s is %s [%lld,%lld,%lld,%lld%s] and should be F32 [%d,%d,%d,%d]", a->path,
                e->name, e->dtype, (rn__lld)e->shape[0], (rn__lld)e->shape[1], (rn__lld)e->shape[2],
                (rn__lld)e->shape[3], e->dims > 4 ? ",..." : "", shape[0], shape[1], shape[2],
                shape[3]);
    for (ptrdiff_t i = 0; i < p->count && work != RN__CHECK_SHAPES; i += count) {
        rn_real *to = work == RN__STORE ? p->data + i : room;
        count = p->count - i < most ? p->count - i : most;
        RN__TRY(rn__read_numbers(a, e, i, count, to, error));
        RN__TRY(rn__check_numbers(p, i, to, count, a->path, error));
    }
    return RN_OK;
}

/* A number of its own for each tensor of a net: RN__SLOTS for each node, counted from 1 as the walk
   leaves p->index, and behind all nodes as many for the velocity of each. */
static uint64_t rn__tensor_number(const rn_net *net, const rn_parameter *p) {
    const int velocity = p->velocity && p->data == p->velocity;
    return RN__SLOTS * ((uint64_t)p->node + (velocity ? (uint64_t)net->node_count : 0)) +
           (uint64_t)p->index;
}

/* Checks all tensors of the file, or stores them, in its order, as `work` says. Passed over are the
   velocity where training does not go on, PyTorch's counts of batches, other scalars of I64, and
   tensors of nodes from `end` on. Each other of the net's must be there once: then the file's and
   the net's numbers (rn__tensor_number) have the same sum of hashes. */
static rn_status rn__load_tensors(rn_archive *a, rn_net *net, int end, int training, int work,
                                  rn_error *error) {
    uint64_t sum = 0; /* the file's less the net's */
    rn_parameter p;
    rn_entry e;
    int found;
    for (a->at = RN__JSON_BEGIN; (found = rn_archive_next(a, &e, error)) == 1;) {
        const int velocity = !strncmp(e.name, "velocity/", 9);
        const int cut = e.name_length >= sizeof e.name; /* such a name is none of ours */
        if ((velocity && !training) || (!e.dims && !strcmp(e.dtype, "I64")) ||
            strstr(e.name, ".num_batches_tracked"))
            continue;
        RN__FAIL_IF(cut || !rn_find_parameter(net, e.name + 9 * velocity, &p) ||
                        (velocity && (!p.velocity || !rn__name_velocity(&p))),
                    RN_MISMATCH, "%s holds a tensor %s%s, which this net has not", a->path, e.name,
                    cut ? "..." : "");
        if (p.node >= end) continue;
        RN__TRY(rn__load_tensor(a, &e, &p, work, error));
        sum += rn__mix(rn__tensor_number(net, &p));
    }
    RN__TRY((rn_status)found);
    for (memset(&p, 0, sizeof p); rn__next_tensor(net, training, &p);)
        if (p.node < end) sum -= rn__mix(rn__tensor_number(net, &p));
    if (!sum) return RN_OK;
    /* The first that is missing, has the name of what was passed over, or is found at another place
       when it is looked for again. */
    for (memset(&p, 0, sizeof p); rn__next_tensor(net, training, &p);) {
        rn_entry again;
        if (p.node >= end) continue;
        RN__TRY(rn_archive_find(a, p.name, &e, error));
        RN__TRY(rn_archive_find(a, p.name, &again, error));
        RN__TRY(rn__load_tensor(a, &e, &p, RN__CHECK_SHAPES, error));
        RN__FAIL_IF(e.begin != again.begin, RN_BAD_FILE, "%s holds the tensor %s twice", a->path,
                    p.name);
    }
    return rn__fail(error, RN_BAD_FILE, "%s holds a tensor twice", a->path);
}

/* Where weights are loaded into: a net, all of it but its classifier, or one that is new. */
enum { RN__LOADS_NET, RN__LOADS_TRUNK, RN__LOADS_NEW };

/* Checks all, then stores all; a new net, which nobody has yet, stores as it checks, and its file's
   CRC is checked already. `loaded` is the net as it will be: description, schedule, step and the
   like. A training net takes a file without checkpoint, too: weights alone; and only these without
   the classifier, which is the last node. */
RN__APART rn_status rn__load(rn_archive *a, rn_net *net, int into, rn_error *error) {
    const int is_new = into == RN__LOADS_NEW, trunk = into == RN__LOADS_TRUNK;
    const int end = net->node_count - trunk;
    rn_net loaded = *net;
    int training = 0; /* 1: the file is a checkpoint, and the net can go on with it */
    rn_error inner;
    rn_status status, found;
    RN__TRY(rn__check_writable(trunk ? "rn_load_trunk" : "rn_load", net, error));
    found = rn__read_desc(a, &loaded.desc, is_new, &inner);
    if (!found && net->velocity && !trunk) {
        memset(&loaded.trainer, 0, sizeof loaded.trainer); /* zero is what a file does not hold */
        found = rn__read_fields(a, "", &loaded, rn__progress, RN__PROGRESS_FIELDS, &inner);
        training = !found;
        if (found == RN_MISMATCH) found = RN_OK; /* no checkpoint, weights alone */
    }
    /* Others' files have no description; then names and shapes alone have to match. */
    RN__FAIL_IF(found && found != RN_MISMATCH, found, "%s", inner.text);
    if (!found) RN__TRY(rn__match_desc(a, &loaded.desc, &net->desc, training, trunk, error));
    if (!is_new) RN__TRY(rn__load_tensors(a, net, end, training, RN__CHECK_NUMBERS, error));
    /* Gradients, and packed weights of rn_freeze, would be those of the old ones. */
    net->images = loaded.images = net->executor->prepacked = 0;
    /* From here on the net changes. */
    status = rn__load_tensors(a, net, end, training, RN__STORE, is_new ? error : NULL);
    RN__FAIL_IF(status && !is_new, status, "%s failed midway: the net holds a part, load again",
                a->path);
    /* Weights alone change neither description nor schedule, step and the like. */
    if (training && !status) *net = loaded;
    return status;
}

/* Opens, loads and closes. */
static rn_status rn__load_file(rn_net *net, const char *path, int into, const rn_files *files,
                               rn_error *error) {
    rn_archive a;
    rn_status status = rn_archive_open(&a, path, files, error);
    if (!status) status = rn__load(&a, net, into, error);
    rn_archive_close(&a);
    return status;
}

RNDEF rn_status rn_load(rn_net *net, const char *path, const rn_files *files, rn_error *error) {
    return rn__load_file(net, path, RN__LOADS_NET, files, error);
}

RNDEF rn_status rn_load_trunk(rn_net *net, const char *path, const rn_files *files,
                              rn_error *error) {
    return rn__load_file(net, path, RN__LOADS_TRUNK, files, error);
}

/* ---- nets made of files ---------------------------------------------------------------------- */

/* Functions of this part are apart, so that their rooms do not add up to more stack than a call may
   take. */

/* The description of a net for a file: as `asked` says or, if that is NULL, the file. Of a file
   without description names and shapes alone have to match. */
RN__APART rn_status rn__choose_desc(rn_archive *a, const rn_desc *asked, int trusted, rn_desc *desc,
                                    rn_error *error) {
    rn_error inner;
    const rn_status found = rn__read_desc(a, desc, trusted, &inner);
    RN__FAIL_IF(found && (!asked || found != RN_MISMATCH), found, "%s", inner.text);
    if (asked) *desc = *asked;
    return RN_OK;
}

/* That net, as yet without weights, or NULL. */
RN__APART rn_net *rn__create_for(rn_archive *a, const rn_desc *asked, int batch, rn_mode mode,
                                 int how, int trusted, const rn_memory *memory, rn_error *error) {
    rn_desc desc;
    if (rn__choose_desc(a, asked, trusted, &desc, error)) return NULL;
    return rn__create(&desc, batch, mode, how, memory, error);
}

RNDEF rn_net *rn_create_from(const rn_desc *desc, int batch, rn_mode mode, const char *path,
                             const rn_files *files, const rn_memory *memory, rn_error *error) {
    rn_archive a;
    rn_net *net = NULL;
    if (!rn_archive_open(&a, path, files, error))
        net = rn__create_for(&a, desc, batch, mode, 0, 0, memory, error);
    if (net) {
        rn__clear_progress(net);
        if (rn__load(&a, net, RN__LOADS_NEW, error)) {
            rn_destroy(net);
            net = NULL;
        }
    }
    rn_archive_close(&a);
    return net;
}

/* Finds the arrays of the net in the file, whose tensors are checked: each of the two begins with
   its first tensor, from where on all must lie as in the net. */
static rn_status rn__find_arrays(rn_archive *a, const rn_net *net, uint64_t begins[2],
                                 rn_error *error) {
    const int width = (int)sizeof(rn_real);
    int known[2] = {0, 0}; /* 1: where that array begins */
    rn_parameter p;
    rn_entry e;
    a->at = RN__JSON_BEGIN;
    for (memset(&p, 0, sizeof p); rn__next_tensor(net, 0, &p);) {
        const int part = rn__part_of_file(net, &p);
        const rn_real *array = part == RN__STATISTICS ? net->statistics : net->parameters;
        RN__TRY(rn_archive_find(a, p.name, &e, error));
        RN__FAIL_IF(rn__width_of(&e) != width, RN_MISMATCH,
                    "%s: %s is %s and this program computes with F%d, so that it must convert; see "
                    "rn_create_from",
                    a->path, p.name, e.dtype, 8 * width);
        if (!known[part]) begins[part] = e.begin;
        if (part == RN__PARAMETERS) begins[RN__STATISTICS] = begins[part]; /* if it has none */
        known[part] = 1;
        RN__FAIL_IF(e.begin != begins[part] + (uint64_t)(p.data - array) * (uint64_t)width,
                    RN_MISMATCH,
                    "%s: %s lies elsewhere than in the net; load the file by rn_create_from and "
                    "save it, for rn_save writes parameters, then statistics, in their order",
                    a->path, p.name);
    }
    return RN_OK;
}

/* The weights of a new net are those in the file. */
RN__APART rn_status rn__map(rn_archive *a, rn_net *net, const rn_mapping *file, int trusted,
                            rn_error *error) {
    const char *data = (const char *)file->data;
    rn_desc desc;
    rn_error inner;
    uint64_t begins[2]; /* of parameters and statistics in the file */
    RN__FAIL_IF(!rn__lies_as_in_files((int)sizeof(rn_real)), RN_BAD_ARGUMENT,
                "%s is little-endian and this machine is not, so that it must convert; see "
                "rn_create_from",
                a->path);
    /* rn__choose_desc refused a bad description; without one, names and shapes have to match. */
    if (!rn__read_desc(a, &desc, 1, &inner))
        RN__TRY(rn__match_desc(a, &desc, &net->desc, 0, 0, error));
    rn__lay_over(net, data, data); /* places to count from, until they are known */
    RN__TRY(rn__load_tensors(a, net, net->node_count, 0,
                             trusted ? RN__CHECK_SHAPES : RN__CHECK_NUMBERS, error));
    RN__TRY(rn__find_arrays(a, net, begins, error));
    for (int i = 0; i < 2; i++)
        RN__FAIL_IF((uintptr_t)(data + begins[i]) % sizeof(rn_real), RN_BAD_ARGUMENT,
                    "%s: its numbers from byte %llu on are not aligned in memory; have the file "
                    "begin at a multiple of 64, and saved by rn_save",
                    a->path, (rn__llu)begins[i]);
    rn__lay_over(net, data + begins[0], data + begins[1]);
    return RN_OK;
}

RNDEF rn_net *rn_create_mapped(const rn_desc *desc, int batch, const rn_mapping *file, int trusted,
                               const rn_memory *memory, rn_error *error) {
    rn_mapping mapping = *file;
    const rn_files files = rn_files_in_memory(&mapping);
    rn_archive a;
    rn_net *net = NULL;
    if (!rn_archive_open(&a, "the file in memory", &files, error))
        net = rn__create_for(&a, desc, batch, RN_INFERENCE, RN__OVER, trusted, memory, error);
    if (net && rn__map(&a, net, file, trusted, error)) {
        rn_destroy(net);
        net = NULL;
    }
    rn_archive_close(&a);
    return net;
}

/* >>printer ==================================================================================
   In: a net or, for a plan, what the planner found out. Out: text in the caller's buffer, and its
   whole length, as of snprintf. rn_describe has a row for each node, in the order of execution, and
   an empty line before each unit:

       ResNet-20, basic units, order full_preact, shortcut identity, resize A
        node  name             reads   operation      value C x H x W   parameters multiply-adds
           0  input                    input          3 x 32 x 32
           1  conv1            0       conv2d 3x3     16 x 32 x 32             432        442368

           2  layer1.0.bn1     1       batch_norm     16 x 32 x 32              32
           3  layer1.0.relu1   2       relu (fused)   16 x 32 x 32
       ...
       269722 parameters, 40.6 M multiply-adds an image, 5799616 bytes for training ... (avx2)

   (here narrower than it is). rn_plan_text has a row for each buffer: from when to when it is in
   use, in the planner's time, and where it lies; rn_plan_svg draws the same:

           from      to        offset         bytes  what
              0     211             0         65536  value of input
              1     211         65536         65536  value of conv1         */

/* The row of a node. The walk over the parameters starts at this node and ends at the next one that
   has any. The operation is "conv2d 3x3 stride 2", or "relu (fused)" where it is done in one step
   with the node before it. */
static void rn__describe_node(const rn_net *net, int i, rn__text *text) {
    const rn_node *node = &net->nodes[i];
    const rn__kind *kind = rn__kind_of(node->kind);
    const double macs = rn_node_macs(net, i);
    ptrdiff_t parameters = 0; /* learned numbers of this node */
    rn_parameter p;
    char name[64];
    RN__TEXT(inputs, 32);
    RN__TEXT(operation, 96);
    RN__TEXT(shape, 48);
    memset(&p, 0, sizeof p);
    for (p.node = i; rn_next_parameter(net, &p) && p.node == i;)
        if (rn__slot_behind(net, &p)->learned) parameters += p.count;
    rn_node_name(net, i, name);
    for (int k = 0; k < 2 && node->inputs[k] >= 0; k++)
        rn__format(&inputs, "%s%d", k ? "," : "", node->inputs[k]);
    rn__puts(&operation, kind->name);
    if (kind->describe) kind->describe(&net->desc, node, &operation);
    if (node->stride > 1) rn__format(&operation, " stride %d", node->stride);
    if (node->bias) rn__puts(&operation, " with bias");
    if (rn__operation_of(net, i)->node != i) rn__puts(&operation, " (fused)");
    rn__format(&shape, "%d x %d x %d", node->c, node->h, node->w);
    rn__format(text, "%5d  %-26s %-10s %-38s %-18s", i, name, inputs.data, operation.data,
               shape.data);
    /* What is not zero. */
    if (parameters) rn__format(text, "%10lld", (rn__lld)parameters);
    if (macs > 0) rn__format(text, "%s%14.0f", parameters ? "" : "          ", macs);
    rn__put(text, '\n');
}

/* Multiply-adds an image of node i in a training step: forward, and as many for each of two
   gradients; but one that is not wanted of what is frozen, or of the image, is not computed. */
static double rn__training_macs(const rn_net *net, int i) {
    const int first = rn__max(net->first_trained, 1);
    const int wants_input = net->nodes[i].inputs[0] >= first;
    return rn_node_macs(net, i) * (i < first ? 1 : 2 + wants_input);
}

/* A line about what the budget makes the net compute again, if it does. A step is a node and those
   fused with it. */
static void rn__describe_repetition(const rn_net *net, rn__text *text) {
    const rn__executor *x = net->executor;
    int steps = 0, segments = 0, convolutions = 0;
    double all = 0, again = 0;
    for (int k = 0; k < x->count; k++) {
        const rn__operation *op = &x->operations[k];
        for (int i = op->node; i <= op->last; i++) {
            all += rn__training_macs(net, i);
            again += op->again ? rn_node_macs(net, i) : 0;
        }
        segments += k > 0 && op->segment[0] == k && op->segment[1] > k + 1;
        steps += op->again;
        convolutions += op->again && rn__has(&net->nodes[op->node], RN__CONVOLVES);
    }
    if (!steps) return;
    rn__format(text,
               "computed again in backward: %d steps, %d of them convolutions, in %d segments of "
               "units; %.1f %% more multiply-adds\n",
               steps, convolutions, segments, 100 * again / all);
}

/* A line about what is frozen, if something is. */
static void rn__describe_freezing(const rn_net *net, rn__text *text) {
    double all = 0; /* multiply-adds of a training step */
    char name[64];
    if (!net->first_trained || net->mode != RN_TRAINING) return;
    for (int i = 0; i < net->node_count; i++) all += rn__training_macs(net, i);
    rn_node_name(net, net->first_trained, name);
    rn__format(text,
               "frozen before %s (node %d): %lld parameters train; a step has %.1f M multiply-adds "
               "an image\n",
               name, net->first_trained, (rn__lld)net->trained_count, all / 1e6);
}

/* Title, a row for each node with an empty line between units, then the sums. */
RNDEF size_t rn_describe(const rn_net *net, char *text, size_t capacity) {
    rn__text out = rn__text_in(text, capacity);
    const rn_desc *desc = &net->desc;
    const char *engine = "naive"; /* the instruction set, or this */
    double macs = 0;              /* multiply-adds of an image */
#if RN__FAST
    if (net->executor->kernels) engine = net->executor->kernels->name;
#endif
    rn__format(&out, "ResNet-%d, %s units, order %s, shortcut %s, resize %s%s%s\n", desc->depth,
               rn__block_names[desc->block], rn__order_names[desc->order],
               rn__shortcut_names[desc->shortcut], rn__resize_names[desc->resize],
               desc->channel_order ? ", colours " : "",
               desc->channel_order ? rn__channel_order_names[desc->channel_order] : "");
    rn__format(&out, "%5s  %-26s %-10s %-38s %-18s%10s%14s\n", "node", "name", "reads", "operation",
               "value C x H x W", "parameters", "multiply-adds");
    for (int i = 0; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        if (i && (node->stage != node[-1].stage || node->unit != node[-1].unit))
            rn__put(&out, '\n');
        rn__describe_node(net, i, &out);
        macs += rn_node_macs(net, i);
    }
    rn__format(
        &out,
        "\n%lld parameters, %.1f M multiply-adds an image, %zu bytes for %s at batch %d (%s)\n",
        (rn__lld)net->parameter_count, macs / 1e6, net->bytes, rn__mode_names[net->mode],
        net->batch, engine);
    rn__describe_freezing(net, &out);
    rn__describe_repetition(net, &out);
    return out.length;
}

/* A plan has three spans for each operation: its value from forward on, its gradient, and its value
   as it is computed again. spans[0 to n - 1] are the first of these of operations 0 to n - 1, and
   so on; a start below 0 says that there is none. Buffers that share memory have one root, which
   has the offset. */
static const char *const rn__span_kinds[] = {"value", "gradient", "value again"};

/* The plan as text: the sums, then a row for each span, in the order of the operations. */
static size_t rn__put_plan(const rn_net *net, const rn__span *spans, rn__text *out) {
    const size_t activations = net->executor->activation_bytes[net->mode]; /* bytes */
    const size_t workspace = net->executor->workspace_bytes[net->mode];
    int n = net->executor->count;
    rn__format(out, "ResNet-%d, %s at batch %d: %zu bytes\n", net->desc.depth,
               rn__mode_names[net->mode], net->batch, net->bytes);
    rn__format(out, "  %zu values and gradients, %zu workspace, %zu parameters and the like\n",
               activations, workspace, net->bytes - activations - workspace);
    rn__describe_repetition(net, out);
    rn__puts(out, "\n");
    if (net->mode == RN_TRAINING) rn__format(out, "The loss is at time %d. ", n);
    rn__puts(out, "Buffers at one offset whose times meet are one.\n");
    /* A row for each buffer, in the order of forward. */
    rn__format(out, "%8s%8s%14s%14s  what\n", "from", "to", "offset", "bytes");
    for (int i = 0; i < 3 * n; i++) {
        const rn__span *span = &spans[i];
        char name[64];
        if (span->start < 0) continue;
        rn_node_name(net, net->executor->operations[i % n].last, name);
        rn__format(out, "%8d%8d%14zu%14zu  %s of %s\n", span->start, span->end,
                   spans[span->root].offset, span->bytes, rn__span_kinds[i / n], name);
    }
    return out->length;
}

/* The picture has 1100 x 580 points: memory upwards, time to the right, and a rectangle for each
   buffer, which says its name under the mouse's pointer.

        20 |  title
        40 |  colours
        60 |  .----------------------------------.    bytes of values and gradients
           |  |  rectangles        |             |
       540 |  '----------------------------------'    0
       560 |  forward            loss, backward
             80                               1080    */
static double rn__plan_x(double time, double times) { return 80 + 1000 * time / times; }
static double rn__plan_y(double byte, double bytes) { return 540 - 480 * byte / bytes; }

/* The plan as SVG: what shares memory is one rectangle, of the span that is the root. */
static size_t rn__draw_plan(const rn_net *net, const rn__span *spans, rn__text *out) {
    /* Value, gradient, value again. */
    static const char *const colours[] = {"#4c78a8", "#54a24b", "#f58518"};
    const double bytes = (double)net->executor->activation_bytes[net->mode];
    const int trains = net->mode == RN_TRAINING;
    const int n = net->executor->count, times = trains ? 3 * n + 1 : n + 1;
    rn__format(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1100 580\" "
               "font-family=\"sans-serif\" font-size=\"13\">\n"
               "<rect width=\"1100\" height=\"580\" fill=\"#fff\"/>\n"
               "<text x=\"80\" y=\"20\">ResNet-%d, %s at batch %d: memory of values and gradients "
               "over time, %.1f of %.1f MB</text>\n<text x=\"80\" y=\"40\">",
               net->desc.depth, rn__mode_names[net->mode], net->batch, bytes / 1e6,
               (double)net->bytes / 1e6);
    for (int i = 0; i < (trains ? 3 : 1); i++)
        rn__format(out, "<tspan fill=\"%s\" dx=\"12\">&#9632; %s</tspan>", colours[i],
                   rn__span_kinds[i]);
    rn__puts(out, "<tspan dx=\"12\">");
    rn__describe_repetition(net, out);
    rn__puts(out, "</tspan></text>\n");
    /* Lines for every fourth of the memory, and one where the loss is. */
    for (int i = 0; i <= 4; i++)
        rn__format(out,
                   "<path d=\"M80 %.0fH1080\" stroke=\"#ccc\"/>"
                   "<text x=\"74\" y=\"%.0f\" text-anchor=\"end\">%.1f MB</text>\n",
                   rn__plan_y(i, 4), rn__plan_y(i, 4) + 4, bytes * i / 4e6);
    rn__puts(out, "<text x=\"80\" y=\"560\">forward</text>\n");
    if (trains) /* between forward, of n times, and backward */
        rn__format(out,
                   "<path d=\"M%.1f 60V540\" stroke=\"#000\"/>"
                   "<text x=\"%.1f\" y=\"560\">loss, backward</text>\n",
                   rn__plan_x(n + 0.5, times), rn__plan_x(n + 0.5, times));
    for (int i = 0; i < 3 * n; i++) {
        const rn__span *span = &spans[i];
        const double x = rn__plan_x(span->start, times);
        const double y = rn__plan_y((double)(span->offset + span->bytes), bytes);
        char name[64];
        /* Only roots are drawn: others lie in the same memory. */
        if (span->start < 0 || span->root != i) continue;
        rn_node_name(net, net->executor->operations[i % n].last, name);
        rn__format(
            out,
            "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" "
            "stroke=\"#fff\" stroke-width=\"0.2\"><title>%s of %s: %zu bytes</title></rect>\n",
            x, y, rn__plan_x(span->end + 1, times) - x, rn__plan_y((double)span->offset, bytes) - y,
            colours[i / n], rn__span_kinds[i / n], name, span->bytes);
    }
    rn__puts(out, "</svg>\n");
    return out->length;
}

RNDEF size_t rn_plan_text(const rn_desc *desc, int batch, rn_mode mode, char *text, size_t capacity,
                          rn_error *error) {
    rn__text out = rn__text_in(text, capacity);
    return rn__sketch(desc, batch, mode, 0, NULL, rn__put_plan, &out, error);
}

RNDEF size_t rn_plan_svg(const rn_desc *desc, int batch, rn_mode mode, char *text, size_t capacity,
                         rn_error *error) {
    rn__text out = rn__text_in(text, capacity);
    return rn__sketch(desc, batch, mode, 0, NULL, rn__draw_plan, &out, error);
}

#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__))
#pragma GCC diagnostic pop
#endif
#endif /* RESNET_IMPLEMENTATION */

/* resnet.h is available under two licences; take the one you like.

   MIT: Copyright (c) 2026 The resnet.h authors. Permission is hereby granted, free of charge, to
   any person obtaining a copy of this software and associated documentation files (the "Software"),
   to deal in the Software without restriction, including without limitation the rights to use,
   copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
   permit persons to whom the Software is furnished to do so, subject to the following conditions:
   The above copyright notice and this permission notice shall be included in all copies or
   substantial portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY
   KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS
   FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS
   BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
   OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
   IN THE SOFTWARE.

   Public domain: the authors dedicate any and all copyright interest in the software to the public
   domain. Anyone is free to copy, modify, publish, use, compile, sell, or distribute it, in source
   or binary form, for any purpose and by any means. It comes as is, without warranty of any kind
   (see <https://unlicense.org>). */

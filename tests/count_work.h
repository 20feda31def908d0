/* count_work.h - how often a net calls the kernels that convolve: its work, whatever the machine
   and whatever else that does. With desc.direct = 1 these are all of its convolutions. */
#ifndef COUNT_WORK_H
#define COUNT_WORK_H

static const rn__kernels *counted;
static rn__kernels counting;
static long long calls[2]; /* forward and of input gradients; of weight gradients */

static void count_rows(float *out, const rn__conv_rows *shape, const float *in, const float *weight,
                       const float *bias) {
    calls[0]++;
    counted->conv_rows(out, shape, in, weight, bias);
}

static void count_weight(float *dw, const rn__outer_rows *shape, const float *x, const float *dy) {
    calls[1]++;
    counted->conv_weight(dw, shape, x, dy);
}

/* Adds the calls of this new net to `calls`, and no longer those of another. */
static void count_work(rn_net *net) {
    counted = net->executor->kernels;
    counting = *counted;
    counting.conv_rows = count_rows, counting.conv_weight = count_weight;
    net->executor->kernels = &counting;
}

#endif

/* errors.h - how far a net in integers is from its floats, layer by layer. */
#ifndef ERRORS_H
#define ERRORS_H

#include "evaluate.h"

/* Sums over all numbers of a layer's value and all images: of the floats, squared; of what the
   integers differ from them by, squared, in the integer net (noise) and where only this layer is
   of integers, its inputs being the floats, rounded (alone). */
typedef struct layer_error {
    double signal, noise, alone;
    double count, cut; /* numbers; of these beyond the range of the integers */
} layer_error;

/* In dB; large where there is no noise. */
static inline double signal_to_noise(double signal, double noise) {
    return noise > 0 ? 10 * log10(signal / noise + 1e-30) : 999;
}

typedef struct error_survey {
    const evaluator *e;
    layer_error *errors; /* [threads][layers] */
    int16_t **rounded;   /* [threads] room for one value */
} error_survey;

/* The floats of image `image`, [C,H,W], as integers [H,W,C]; counts what the range cuts. */
static inline void round_value(const float_run *f, int image, int i, int16_t *to,
                               layer_error *error) {
    const layer *l = &f->net->layers[i];
    const float *from = f->values[i] + (size_t)image * value_count(l);
    const double scale = (double)l->q.scale;
    const int pixels = l->h * l->w;
    int p, c;
    for (c = 0; c < l->c; c++)
        for (p = 0; p < pixels; p++) {
            const double q = floor((double)*from++ / scale + 0.5) + l->q.zero_point;
            const double most = 1e9, bounded = q > most ? most : q < -most ? -most : q;
            to[p * l->c + c] = (int16_t)clamp_value(l, (int64_t)bounded);
            error->cut += (double)to[p * l->c + c] < bounded || (double)to[p * l->c + c] > bounded;
        }
    error->count += (double)value_count(l);
}

/* Squared difference of integers [H,W,C] and floats [C,H,W]. */
static inline double squared_error(const float_run *f, int image, int i, const int16_t *q,
                                   double *signal) {
    const layer *l = &f->net->layers[i];
    const float *from = f->values[i] + (size_t)image * value_count(l);
    const double scale = (double)l->q.scale;
    const int pixels = l->h * l->w, zero_point = l->q.zero_point;
    double sum = 0, power = 0;
    int p, c;
    for (c = 0; c < l->c; c++)
        for (p = 0; p < pixels; p++) {
            const double x = (double)*from++, d = scale * (q[p * l->c + c] - zero_point) - x;
            sum += d * d, power += x * x;
        }
    *signal = power;
    return sum;
}

static inline void survey_turn(void *user, int thread, int first, int some) {
    const error_survey *s = (const error_survey *)user;
    const lowered *net = s->e->net;
    const float_run *f = run_turn(s->e, thread, first, some);
    integer_run *r = &s->e->integers[thread];
    layer_error *errors = s->errors + thread * net->count;
    int image, i;
    for (image = 0; image < some; image++) {
        run_integers(r, turn_pixels(s->e, first + image), 0);
        for (i = 1; i < net->count; i++) {
            double signal;
            errors[i].noise += squared_error(f, image, i, r->values[i], &signal);
            errors[i].signal += signal;
            round_value(f, image, i, r->values[i], &errors[i]);
        }
        for (i = 1; i < net->count; i++) {
            int16_t *const value = r->values[i];
            double signal;
            r->values[i] = s->rounded[thread];
            run_layer(r, i, 0);
            errors[i].alone += squared_error(f, image, i, r->values[i], &signal);
            r->values[i] = value;
        }
    }
}

/* Of `images` of the source; [layers], to be freed. */
static inline layer_error *survey_errors(const evaluator *e, const rn_source *source, int images) {
    const int layers = e->net->count, many = e->threads * layers;
    error_survey s = {e, (layer_error *)allocate((size_t)many * sizeof(layer_error)),
                      (int16_t **)allocate((size_t)e->threads * sizeof(int16_t *))};
    progress p = begin_progress((uint64_t)images);
    size_t room = 0;
    int i, some;
    memset(s.errors, 0, (size_t)many * sizeof(layer_error));
    for (i = 0; i < layers; i++)
        if (value_count(&e->net->layers[i]) > room) room = value_count(&e->net->layers[i]);
    for (i = 0; i < e->threads; i++) s.rounded[i] = (int16_t *)allocate(room * sizeof(int16_t));
    for (i = 0; i < images; i += some) {
        some = read_turn(e, source, i, images);
        share_turn(e, some, survey_turn, &s);
        p.done += some;
        show_progress(&p, "errors by layer of %d of %d images", i + some, images);
    }
    end_progress(&p);
    for (i = layers; i < many; i++) {
        layer_error *to = &s.errors[i % layers];
        to->signal += s.errors[i].signal, to->noise += s.errors[i].noise;
        to->alone += s.errors[i].alone;
        to->count += s.errors[i].count, to->cut += s.errors[i].cut;
    }
    for (i = 0; i < e->threads; i++) free(s.rounded[i]);
    free(s.rounded);
    return s.errors;
}

#endif

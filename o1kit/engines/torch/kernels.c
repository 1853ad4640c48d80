/* Decoding on the cores of a CPU, in float32: the pass of a small model, and the draw of the next token.

   The pass is that of a Llama-family decoder over many short sequences. Tokens lie one behind the other, those of a
   sequence together and in order. A tile of them goes through all layers on one core, so cores never wait for each
   other, weights are read once a tile, and what lies between two matrix products never leaves the cache. A token's
   numbers depend on its own sequence only: each sum is taken in the same order whatever else is in the pass. Compiled by
   compiled.py for the machine at hand, called by native.py and draws.py. */

#include "vectors.h"

#define TILE 72 /* most tokens that go through the layers together */

typedef struct {
    const float *attention_norm, *qkv, *qkv_bias, *query_norm, *key_norm, *output, *output_bias;
    const float *mlp_norm, *gate_up, *gate_up_bias, *down, *down_bias;
    int64_t window; /* positions a token reads at most, itself included; 0: all */
} Layer;

/* Widths are those of the weights; matrices are packed (see native.py), each rounded up to whole panels. */
typedef struct {
    const Layer *layers;
    const float *embedding, *norm, *cosine, *sine; /* [V, hidden], [hidden], [positions, width] twice */
    int64_t num_layers, hidden, inner, heads, groups, width; /* heads of keys; queries for each; width of a head */
    float epsilon, scaling;
} Decoder;

/* A pass: token ids, cache rows and positions of n tokens; per layer keys and values [rows, heads, length, width]. */
typedef struct {
    int64_t n, length;
    const int64_t *tokens, *rows, *positions;
    float *const *keys, *const *values;
    float *out; /* [n, hidden] */
} Pass;

int64_t o1kit_panel(void) { return PANEL; }

static inline int64_t padded(int64_t n) { return (n + PANEL - 1) / PANEL * PANEL; }

/* ---- matrix products ---------------------------------------------------------------------------------------------- */

/* c[m][PANEL] (+)= a[m][k] * b[k][PANEL], for m <= MR rows that stay in registers. */
static inline __attribute__((always_inline)) void block(int m, int64_t k, const float *a, int64_t lda, const float *b,
                                                        const float *bias, float *c, int64_t ldc, int add) {
    vec acc[MR][NV];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < NV; j++) acc[i][j] = bias ? load(bias + j * VL) : splat(0.0f);
    for (int64_t p = 0; p < k; p++) {
        vec row[NV];
        for (int j = 0; j < NV; j++) row[j] = load(b + p * PANEL + j * VL);
        for (int i = 0; i < m; i++) {
            float x = a[i * lda + p];
            for (int j = 0; j < NV; j++) acc[i][j] += row[j] * x;
        }
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < NV; j++) {
            float *at = c + i * ldc + j * VL;
            store(at, add ? load(at) + acc[i][j] : acc[i][j]);
        }
}

/* c[m][n] (+)= a[m][k] * b, where b is packed as [panels][k][PANEL] and n is the whole panels' width. */
static void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, const float *bias,
                    float *c, int64_t ldc, int add) {
    for (int64_t at = 0; at < n; at += PANEL, b += k * PANEL) {
        const float *shift = bias ? bias + at : 0;
        for (int64_t i = 0; i < m; i += MR) {
            const float *x = a + i * lda;
            float *y = c + i * ldc + at;
            switch (m - i) { /* so that the number of rows is known to the compiler */
            case 1: block(1, k, x, lda, b, shift, y, ldc, add); break;
            case 2: block(2, k, x, lda, b, shift, y, ldc, add); break;
            case 3: block(3, k, x, lda, b, shift, y, ldc, add); break;
#if MR > 4
            case 4: block(4, k, x, lda, b, shift, y, ldc, add); break;
            case 5: block(5, k, x, lda, b, shift, y, ldc, add); break;
#endif
            default: block(MR, k, x, lda, b, shift, y, ldc, add);
            }
        }
    }
}

/* ---- what lies between them --------------------------------------------------------------------------------------- */

/* y = x / sqrt(mean(x^2) + epsilon) * weight */
static inline void rms_norm(const float *x, const float *weight, float *y, int64_t n, float epsilon) {
    vec squares = splat(0.0f);
    for (int64_t i = 0; i < n; i += VL) squares += load(x + i) * load(x + i);
    float scale = 1.0f / __builtin_sqrtf(sum(squares) / (float)n + epsilon);
    for (int64_t i = 0; i < n; i += VL) store(y + i, load(x + i) * scale * load(weight + i));
}

/* Turns one head by its position: the halves are the coordinates of the planes (Su et al. 2021). */
static inline void rotate(float *x, const float *cosine, const float *sine, int64_t width, float scale) {
    int64_t half = width / 2;
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = (a * cosine[i] - b * sine[i]) * scale;
        x[i + half] = (b * cosine[i + half] + a * sine[i + half]) * scale;
    }
}

/* `count` query heads, which share keys and values [.., width], against positions first to last. `scores` has room for
   `room` numbers, a multiple of VL, of each head; keys are read in whole blocks of VL positions. */
static inline __attribute__((always_inline)) void attend(int count, int64_t width, const float *q, const float *keys,
                                                         const float *values, int64_t first, int64_t last,
                                                         float *scores, int64_t room, float *out) {
    const int64_t begin = first / VL * VL, vectors = width / VL;
    float most[2] = {-3.0e38f, -3.0e38f}, scale[2];
    for (int64_t at = begin; at <= last; at += VL)
        for (int head = 0; head < count; head++) {
            vec parts[VL];
            for (int64_t j = 0; j < VL; j++) {
                parts[j] = load(q + head * width) * load(keys + (at + j) * width);
                for (int64_t i = 1; i < vectors; i++)
                    parts[j] += load(q + head * width + i * VL) * load(keys + (at + j) * width + i * VL);
            }
            vec found = sums(parts);
            for (int64_t j = 0; j < VL && at < first; j++) found[j] = at + j < first ? -3.0e38f : found[j];
            for (int64_t j = last - at + 1; j < VL; j++) found[j] = -3.0e38f;
            store(scores + head * room + at - begin, found);
            for (int64_t j = 0; j < VL; j++) most[head] = found[j] > most[head] ? found[j] : most[head];
        }
    for (int head = 0; head < count; head++) {
        vec total = splat(0.0f);
        for (int64_t i = 0; i <= last - begin; i += VL) {
            vec weight = exponential(load(scores + head * room + i) - most[head]); /* e^-87 where nothing is read */
            store(scores + head * room + i, weight);
            total += weight;
        }
        scale[head] = 1.0f / sum(total);
    }
    for (int64_t half = 0; half < vectors; half += 4) { /* so many sums stay in registers */
        vec mixed[2][4];
        const int64_t more = vectors - half < 4 ? vectors - half : 4;
        for (int head = 0; head < count; head++)
            for (int64_t i = 0; i < more; i++) mixed[head][i] = splat(0.0f);
        for (int64_t at = first; at <= last; at++)
            for (int64_t i = 0; i < more; i++) {
                vec v = load(values + at * width + (half + i) * VL);
                for (int head = 0; head < count; head++) mixed[head][i] += v * scores[head * room + at - begin];
            }
        for (int head = 0; head < count; head++)
            for (int64_t i = 0; i < more; i++)
                store(out + head * width + (half + i) * VL, mixed[head][i] * scale[head]);
    }
}

static inline void silu_product(float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i += VL) {
        vec x = load(gate + i);
        store(gate + i, x / (1.0f + exponential(-x)) * load(up + i));
    }
}

/* ---- the layers --------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t q, kv, hidden, inner; /* padded widths; kv: of keys, and of values */
    int64_t room;                 /* scores of a head */
    float *x, *h, *qkv, *mixed, *mlp, *scores;
} Tile;

static int64_t widths(const Decoder *d, Tile *t) {
    t->q = padded(d->heads * d->groups * d->width);
    t->kv = padded(d->heads * d->width);
    t->hidden = padded(d->hidden);
    t->inner = padded(d->inner);
    return t->hidden * 2 + t->q * 2 + t->kv * 2 + t->inner * 2;
}

/* Floats of scratch memory that each thread needs when rows hold up to `length` positions. */
int64_t o1kit_scratch(const Decoder *d, int64_t length) {
    Tile t;
    return widths(d, &t) * TILE + 2 * (length + VL);
}

static void attention(const Decoder *d, const Layer *layer, const Pass *p, int64_t from, int64_t m, int64_t number,
                      Tile *t) {
    const int64_t ld = t->q + 2 * t->kv, width = d->width;
    for (int64_t i = 0; i < m; i++) { /* all keys and values of the tile first: its tokens may read each other */
        int64_t position = p->positions[from + i];
        const float *cosine = d->cosine + position * width, *sine = d->sine + position * width;
        float *q = t->qkv + i * ld, *k = q + t->q, *v = k + t->kv;
        for (int64_t head = 0; head < d->heads * d->groups; head++) {
            if (layer->query_norm) rms_norm(q + head * width, layer->query_norm, q + head * width, width, d->epsilon);
            rotate(q + head * width, cosine, sine, width, d->scaling);
        }
        for (int64_t head = 0; head < d->heads; head++) {
            int64_t at = ((p->rows[from + i] * d->heads + head) * p->length + position) * width;
            if (layer->key_norm) rms_norm(k + head * width, layer->key_norm, k + head * width, width, d->epsilon);
            rotate(k + head * width, cosine, sine, width, 1.0f);
            memcpy(p->keys[number] + at, k + head * width, width * sizeof(float));
            memcpy(p->values[number] + at, v + head * width, width * sizeof(float));
        }
    }
    for (int64_t i = 0; i < m; i++) {
        int64_t last = p->positions[from + i];
        int64_t first = layer->window && last >= layer->window ? last - layer->window + 1 : 0;
        for (int64_t head = 0; head < d->heads * d->groups;) {
            int64_t at = (p->rows[from + i] * d->heads + head / d->groups) * p->length * width;
            const float *q = t->qkv + i * ld + head * width, *keys = p->keys[number] + at;
            const float *values = p->values[number] + at;
            float *out = t->mixed + i * t->q + head * width;
            const int two = d->groups % 2 == 0;
#define ATTEND(count, width) attend(count, width, q, keys, values, first, last, t->scores, t->room, out)
            if (width == 32) /* known to the compiler, it keeps more in registers */
                two ? ATTEND(2, 32) : ATTEND(1, 32);
            else if (width == 64)
                two ? ATTEND(2, 64) : ATTEND(1, 64);
            else
                two ? ATTEND(2, width) : ATTEND(1, width);
            head += 1 + two;
        }
    }
}

static void tile(const Decoder *d, const Pass *p, int64_t from, int64_t m, float *scratch) {
    Tile t;
    widths(d, &t);
    t.x = scratch;
    t.h = t.x + TILE * t.hidden;
    t.qkv = t.h + TILE * t.hidden;
    t.mixed = t.qkv + TILE * (t.q + 2 * t.kv);
    t.mlp = t.mixed + TILE * t.q;
    t.scores = t.mlp + TILE * 2 * t.inner;
    t.room = p->length + VL;
    for (int64_t i = 0; i < m; i++)
        memcpy(t.x + i * t.hidden, d->embedding + p->tokens[from + i] * d->hidden, d->hidden * sizeof(float));
    for (int64_t number = 0; number < d->num_layers; number++) {
        const Layer *layer = d->layers + number;
        const int64_t queries = d->heads * d->groups * d->width;
        for (int64_t i = 0; i < m; i++)
            rms_norm(t.x + i * t.hidden, layer->attention_norm, t.h + i * t.hidden, d->hidden, d->epsilon);
        product(m, t.q + 2 * t.kv, d->hidden, t.h, t.hidden, layer->qkv, layer->qkv_bias, t.qkv, t.q + 2 * t.kv, 0);
        attention(d, layer, p, from, m, number, &t);
        product(m, t.hidden, queries, t.mixed, t.q, layer->output, layer->output_bias, t.x, t.hidden, 1);
        for (int64_t i = 0; i < m; i++)
            rms_norm(t.x + i * t.hidden, layer->mlp_norm, t.h + i * t.hidden, d->hidden, d->epsilon);
        product(m, 2 * t.inner, d->hidden, t.h, t.hidden, layer->gate_up, layer->gate_up_bias, t.mlp, 2 * t.inner, 0);
        for (int64_t i = 0; i < m; i++)
            silu_product(t.mlp + i * 2 * t.inner, t.mlp + i * 2 * t.inner + t.inner, t.inner);
        product(m, t.hidden, d->inner, t.mlp, 2 * t.inner, layer->down, layer->down_bias, t.x, t.hidden, 1);
    }
    for (int64_t i = 0; i < m; i++)
        rms_norm(t.x + i * t.hidden, d->norm, p->out + (from + i) * d->hidden, d->hidden, d->epsilon);
}

/* Fills `out` and the new positions of keys and values. `starts` has room for n + 1 numbers, `scratch` is what
   `o1kit_scratch` says for each of the threads. */
void o1kit_forward(const Decoder *d, const Pass *p, int64_t *starts, float *scratch, int64_t each, int64_t threads) {
    int64_t chunks = threads * ((p->n + threads * TILE - 1) / (threads * TILE)); /* as many for each thread, alike */
    int64_t size = (p->n + chunks - 1) / chunks;
    chunks = 0;
    for (int64_t i = 0; i < p->n; i++) /* a sequence is never divided between threads */
        if (!i || (i - starts[chunks - 1] >= size && p->rows[i] != p->rows[i - 1])) starts[chunks++] = i;
    starts[chunks] = p->n;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (chunks > 1)
#endif
    for (int64_t c = 0; c < chunks; c++) {
        for (int64_t at = starts[c]; at < starts[c + 1]; at += TILE) {
            int64_t left = starts[c + 1] - at;
            tile(d, p, at, left < TILE ? left : TILE, scratch + THREAD * each);
        }
    }
}

/* ---- the next token ----------------------------------------------------------------------------------------------- */

/* A number in [0, 1) from a key and a counter: SplitMix64, as o1kit/functional/noise.py. */
static double uniform(int64_t key, int64_t counter) {
    uint64_t x = (uint64_t)key + (2 * (uint64_t)counter + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    return (double)(x >> 11) * 0x1p-53;
}

/* Numbers behind the last one of a row count as if they were this. */
static inline vec load_up_to(const float *x, int64_t left) {
    if (left >= VL) return load(x);
    vec part = splat(-3.0e38f);
    for (int64_t j = 0; j < left; j++) part[j] = x[j];
    return part;
}

/* NaN if there is any. */
static float largest(const float *x, int64_t n) {
    vec most = load_up_to(x, n);
    ivec strange = most != most;
    for (int64_t i = VL; i < n; i += VL) {
        vec next = load_up_to(x + i, n - i);
        strange |= next != next;
        ivec higher = next > most;
        most = (vec)(((ivec)next & higher) | ((ivec)most & ~higher));
    }
    float found = most[0];
    for (int j = 1; j < VL; j++) found = most[j] > found ? most[j] : found;
    for (int j = 0; j < VL; j++) found = strange[j] ? __builtin_nanf("") : found;
    return found;
}

#define COLDEST 1e-30f  /* a temperature below this takes the likeliest token */
#define STRIDE (8 * VL) /* numbers whose sum is kept */

/* e^((x - most) * cold) of each number, exactly 0 where it is below the smallest float, and the sums of each STRIDE of
   them; returns the sum of all. */
static double weights(const float *x, int64_t n, float most, float cold, float *y, double *parts) {
    double total = 0.0;
    for (int64_t start = 0; start < n; start += STRIDE) {
        wide lanes = {0};
        for (int64_t i = start; i < n && i < start + STRIDE; i += VL) {
            vec shifted = (load_up_to(x + i, n - i) - most) * cold;
            vec weight = (vec)((ivec)exponential(shifted) & (shifted > -87.0f));
            for (int64_t j = n - i; j < VL; j++) weight[j] = 0.0f;
            store(y + i, weight);
            lanes += __builtin_convertvector(weight, wide);
        }
        double part = 0.0;
        for (int j = 0; j < VL; j++) part += lanes[j];
        parts[start / STRIDE] = part;
        total += part;
    }
    return total;
}

/* The first token at which the cumulated weights exceed `left`, and the last that has any if none does. */
static int64_t invert(const float *y, const double *parts, int64_t n, double left) {
    int64_t start = 0, found = 0;
    while (start + STRIDE < n && left >= parts[start / STRIDE]) left -= parts[start / STRIDE], start += STRIDE;
    for (int64_t i = start; i < n; i++) {
        if (y[i] == 0.0f) continue;
        found = i;
        left -= y[i];
        if (left < 0.0) break;
    }
    return found;
}

/* Draws one token for each row of logits [n, size] and puts it, and its log-probability in the untempered distribution,
   behind the row's last one: the cumulative distribution at the row's temperature, inverted at the number of its key and
   length; the likeliest token where the temperature is 0. The state of a row is its length, its limit, its key and its
   set of tokens to stop at, of which `stops` [sets, size] says what is in them. Rows that end with their token are put
   into `ended`; returned is how many do. `scratch` holds 2 * size floats and two STRIDEs more for each of the threads. */
int64_t o1kit_append(int64_t n, int64_t size, const float *logits, const float *temperatures, int64_t *state,
                     const uint8_t *stops, int64_t *tokens, float *logprobs, int64_t width, int64_t *ended,
                     float *scratch, int64_t threads) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(threads) if (n * size > 16384)
#endif
    for (int64_t row = 0; row < n; row++) {
        double *parts = (double *)(scratch + THREAD * (2 * size + 2 * STRIDE));
        float *y = (float *)(parts + size / STRIDE + 1);
        int64_t *of = state + 4 * row, token = 0;
        const float *x = logits + row * size, most = largest(x, size), heat = temperatures[row];
        const double plain = weights(x, size, most, 1.0f, y, parts);
        if (most != most) /* a model that has diverged */
            token = size - 1;
        else if (heat > COLDEST) {
            double total = heat == 1.0f ? plain : weights(x, size, most, 1.0f / heat, y, parts);
            token = invert(y, parts, size, uniform(of[2], of[0]) * total);
        } else
            while (token + 1 < size && x[token] < most) token++;
        tokens[row * width + of[0]] = token;
        logprobs[row * width + of[0]] = x[token] - most - (float)__builtin_log(plain);
        of[0]++;
        ended[row] = stops[of[3] * size + token] || of[0] >= of[1];
    }
    int64_t count = 0;
    for (int64_t row = 0; row < n; row++)
        if (ended[row]) ended[count++] = row; /* never ahead of where it reads */
    return count;
}

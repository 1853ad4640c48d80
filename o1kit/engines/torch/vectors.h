/* Vectors of floats, as wide as the machine's, by the extensions that GCC and Clang share; and the blocks of a matrix
   product that fit its registers. */

#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

#if defined(__AVX512F__)
#define VL 16 /* floats of a vector */
#define NV 4  /* vectors of a panel: MR x NV of them stay in registers */
#define MR 6  /* rows of a block */
#elif defined(__AVX2__)
#define VL 8
#define NV 2
#define MR 4
#else
#define VL 4
#define NV 4
#define MR 4
#endif
#define PANEL (VL * NV)

typedef float vec __attribute__((vector_size(VL * 4)));
typedef int32_t ivec __attribute__((vector_size(VL * 4)));
typedef double wide __attribute__((vector_size(VL * 8)));
typedef vec loose __attribute__((aligned(4), may_alias)); /* as it lies in memory */

static inline vec load(const float *p) { return *(const loose *)p; }
static inline void store(float *p, vec x) { *(loose *)p = x; }
static inline vec splat(float x) { return x - (vec){0}; }

static inline float sum(vec x) {
    float total[VL];
    store(total, x);
    for (int step = VL / 2; step; step /= 2)
        for (int i = 0; i < step; i++) total[i] += total[i + step];
    return total[0];
}

/* e^x to about 1 ulp: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes). */
static inline vec exponential(vec x) {
    const vec low = splat(-87.3f), high = splat(88.7f);
    x = (vec)(((ivec)x & (x > low)) | ((ivec)low & (x <= low)));
    x = (vec)(((ivec)x & (x < high)) | ((ivec)high & (x >= high)));
    const vec magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    vec n = (x * 1.44269504f + magic) - magic;
    vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    vec y = splat(1.9875691500e-4f);
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    ivec power = (ivec)(n + magic) << 23; /* the low bits of n + magic are n */
    return (vec)((ivec)y + power);
}

/* The sum of each of VL vectors, as one vector: pairs are folded together, level by level. */
static inline vec sums(const vec *x) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
    vec y[VL];
    int n = VL / 2;
#define FOLD(...) __builtin_shufflevector(x[2 * i], x[2 * i + 1], __VA_ARGS__)
#if VL == 16
    for (int i = 0; i < n; i++)
        y[i] = FOLD(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               FOLD(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    x = y, n /= 2;
    for (int i = 0; i < n; i++)
        y[i] = FOLD(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               FOLD(4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    n /= 2;
    for (int i = 0; i < n; i++)
        y[i] = FOLD(0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
               FOLD(2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    const int i = 0;
    return FOLD(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           FOLD(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif VL == 8
    for (int i = 0; i < n; i++) y[i] = FOLD(0, 1, 2, 3, 8, 9, 10, 11) + FOLD(4, 5, 6, 7, 12, 13, 14, 15);
    x = y, n /= 2;
    for (int i = 0; i < n; i++) y[i] = FOLD(0, 1, 4, 5, 8, 9, 12, 13) + FOLD(2, 3, 6, 7, 10, 11, 14, 15);
    const int i = 0;
    return FOLD(0, 2, 4, 6, 8, 10, 12, 14) + FOLD(1, 3, 5, 7, 9, 11, 13, 15);
#else
    for (int i = 0; i < n; i++) y[i] = FOLD(0, 1, 4, 5) + FOLD(2, 3, 6, 7);
    x = y;
    const int i = 0;
    return FOLD(0, 2, 4, 6) + FOLD(1, 3, 5, 7);
#endif
#endif
#endif
    vec one_by_one;
    for (int j = 0; j < VL; j++) one_by_one[j] = sum(x[j]);
    return one_by_one;
}

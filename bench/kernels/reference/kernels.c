// The kernels in C, four rows at a time, as a compiler makes them: the yardstick for
// package distance. Reads lines "<kernel> <dimension> <rows> <repeats>" and answers each
// with the nanoseconds per row of the batch. Up to 64 rows are scored in order, more
// at random.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { batch = 32 };

static uint32_t ids[batch];
static volatile float sink;

#define FOUR(NAME, Q, ROW, SUM, TERM)                                              \
  __attribute__((noinline)) static void NAME(const Q *restrict q, const char *base, \
      long stride, int n, const uint32_t *ids, int count, float *restrict out) {    \
    for (int i = 0; i < count; i += 4) {                                            \
      const ROW *a = (const ROW *)(base + ids[i] * stride);                         \
      const ROW *b = (const ROW *)(base + ids[i + 1] * stride);                     \
      const ROW *c = (const ROW *)(base + ids[i + 2] * stride);                     \
      const ROW *d = (const ROW *)(base + ids[i + 3] * stride);                     \
      SUM s = 0, t = 0, u = 0, v = 0;                                               \
      for (int j = 0; j < n; j++) {                                                 \
        s += TERM(q[j], a[j]);                                                      \
        t += TERM(q[j], b[j]);                                                      \
        u += TERM(q[j], c[j]);                                                      \
        v += TERM(q[j], d[j]);                                                      \
      }                                                                             \
      out[i] = s, out[i + 1] = t, out[i + 2] = u, out[i + 3] = v;                   \
    }                                                                               \
  }

#define PRODUCT(x, y) ((x) * (y))
#define SQUARE(x, y) (((x) - (y)) * ((x) - (y)))

FOUR(dot_f32, float, float, float, PRODUCT)
FOUR(l2_f32, float, float, float, SQUARE)
FOUR(l2_u7, uint8_t, uint8_t, int, SQUARE)
FOUR(dot_u7, int8_t, uint8_t, int, PRODUCT)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static char *map(size_t bytes) {
  size_t huge = 2 << 20;
  char *p = mmap(0, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) exit(1);
  p += -(uintptr_t)p & (huge - 1);
  madvise(p, bytes, MADV_HUGEPAGE);
  for (size_t i = 0; i < bytes; i += 4096) p[i] = 0;
  return p;
}

int main(void) {
  char kernel[32], last[32] = "", *memory = 0;
  int n, m = 0, rows, repeats;
  size_t size = 0;
  uint32_t seed = 1;
  while (scanf("%31s %d %d %d", kernel, &n, &rows, &repeats) == 4) {
    int stride = strstr(kernel, "f32") ? 4 * n : n;
    float *q = aligned_alloc(64, n * 4), out[batch];
    size_t bytes = (size_t)rows * stride;
    if (memory && (strcmp(kernel, last) || m != n || size != bytes)) munmap(memory, size), memory = 0;
    if (!memory) memory = map(size = bytes);
    strcpy(last, kernel), m = n;
    memset(q, 0, n * 4);
    double start = 0;
    for (int r = -repeats / 4 - 1; r < repeats; r++) {
      if (r == 0) start = now();
      for (int i = 0; i < batch; i++) {
        seed = seed * 1664525 + 1013904223;
        ids[i] = rows > 64 ? (uint64_t)seed * rows >> 32 : i;
      }
      if (!strcmp(kernel, "dot_f32")) dot_f32(q, memory, stride, n, ids, batch, out);
      else if (!strcmp(kernel, "l2_f32")) l2_f32(q, memory, stride, n, ids, batch, out);
      else if (!strcmp(kernel, "l2_u7")) l2_u7((uint8_t *)q, memory, stride, n, ids, batch, out);
      else if (!strcmp(kernel, "dot_u7")) dot_u7((int8_t *)q, memory, stride, n, ids, batch, out);
      else return 1;
      sink = out[0];
    }
    printf("%.4f\n", (now() - start) / repeats / batch);
    fflush(stdout);
    free(q);
  }
  return 0;
}

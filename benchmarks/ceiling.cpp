// How fast can one core be? lambda_1 of feedback networks, vectorised by hand: the values of s that share a draw (W, r)
// are the SIMD lanes, W is read as scalars from the cache, and nothing but the exponent is computed.
// Built by ceiling.py with REAL, N, D and BYTES, the width of a vector; rivals.py says what the arrays are.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

constexpr bool DOUBLE = sizeof(REAL) == 8;
typedef std::conditional<DOUBLE, int64_t, int32_t>::type Integer;
typedef REAL Vector __attribute__((vector_size(BYTES)));
typedef Integer Bits __attribute__((vector_size(BYTES)));

constexpr int LANES = BYTES / sizeof(REAL);
constexpr int BESIDE = 2;    // vectors side by side: their chains of dependent operations hide each other's latency
constexpr int TOGETHER = 2;  // units whose sums are in registers together (LOG.md)
constexpr int EVERY = 16;    // steps between renormalisations
constexpr int ROWS = D + EVERY;

constexpr int MANTISSA = DOUBLE ? 52 : 23, BIAS = DOUBLE ? 1023 : 127;
constexpr REAL TINY = DOUBLE ? 1e-300 : 1e-37;

static inline Vector all(REAL value) { return Vector{} + value; }
static inline Vector size(Vector u) { return (Vector)((Bits)u & ~((Bits{} + 1) << (8 * sizeof(REAL) - 1))); }
static inline Vector with_sign(Vector x, Vector u) {
  const Bits sign = (Bits{} + 1) << (8 * sizeof(REAL) - 1);
  return (Vector)((Bits)x | ((Bits)u & sign));
}

// exp(-2 a) for a >= 0, to a few roundings and some 0.7 a of them; a stops where the result would be subnormal.
static inline Vector exp_minus_twice(Vector a) {
  const REAL largest = DOUBLE ? 353.0 : 43.0, magic = DOUBLE ? 6755399441055744.0 : 12582912.0;
  const REAL c[] = {1, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
                    1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600};
  constexpr int degree = DOUBLE ? 12 : 7;
  a = a > largest ? all(largest) : a;
  const Vector z = a * (REAL)-2.8853900817779268;
  // Adding and taking away 1.5 2^mantissa rounds to an integer; fast math would cancel the two.
  Vector shifted = z + magic;
  asm("" : "+v"(shifted));
  const Vector f = (z - (shifted - magic)) * (REAL)0.6931471805599453;
  const Bits power = ((Bits)shifted - (Bits)all(magic) + BIAS) << MANTISSA;
  Vector p = all(c[degree]);
#pragma GCC unroll 12
  for (int n = degree - 1; n >= 0; n--) p = p * f + c[n];
  return p * (Vector)power;
}

struct Sums {
  Vector y[BESIDE], d[BESIDE];
};

// What COUNT units add to the next output and to its tangent. Not unrolled over all units: at N = 8, D = 32 that
// would be much code.
template <int COUNT>
static inline __attribute__((always_inline)) void add_units(const REAL *w, const REAL *r, const Vector (*y)[BESIDE],
                                                            const Vector (*d)[BESIDE], Sums &sums) {
  Vector u[COUNT][BESIDE], v[COUNT][BESIDE];
  for (int i = 0; i < COUNT; i++)
    for (int k = 0; k < BESIDE; k++) u[i][k] = v[i][k] = Vector{};
#pragma GCC unroll 128
  for (int j = D - 1; j >= 0; j--)  // the newest last: a processor adds the older ones while it waits for the last tanh
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++)
#pragma GCC unroll 2
      for (int k = 0; k < BESIDE; k++) {
        u[i][k] += w[i * D + j] * y[D - 1 - j][k];
        v[i][k] += w[i * D + j] * d[D - 1 - j][k];
      }
#pragma GCC unroll 4
  for (int i = 0; i < COUNT; i++)
#pragma GCC unroll 2
    for (int k = 0; k < BESIDE; k++) {
      const Vector e = exp_minus_twice(size(u[i][k])), q = 1 / (1 + e);
      sums.y[k] += r[i] * with_sign((1 - e) * q, u[i][k]);
      sums.d[k] += (4 * r[i]) * (e * q * q) * v[i][k];
    }
}

static void network(const REAL *w, const REAL *r, const REAL *s_values, long transient, long steps, double *out) {
  alignas(64) Vector y[ROWS][BESIDE], d[ROWS][BESIDE], s[BESIDE], product[BESIDE];
  Bits power[BESIDE];
  REAL sum_r = 0;
  for (int i = 0; i < N; i++) sum_r += r[i];
  std::memcpy(s, s_values, sizeof s);
  for (int j = 0; j < D; j++)
    for (int k = 0; k < BESIDE; k++) {
      y[j][k] = Vector{};
      d[j][k] = all((REAL)(1 / std::sqrt((double)D)));
    }
  for (int k = 0; k < BESIDE; k++) y[D - 1][k] = s[k] * ((REAL)0.001 * sum_r);
  for (int phase = 0; phase < 2; phase++) {
    const long count = phase ? steps : transient;
    for (int k = 0; k < BESIDE; k++) product[k] = all(1), power[k] = Bits{};
    for (long start = 0; start < count; start += EVERY) {
      const int length = (int)std::min<long>(EVERY, count - start);
      for (int m = 0; m < length; m++) {
        Sums sums{};
#pragma GCC unroll 1
        for (int i = 0; i + TOGETHER <= N; i += TOGETHER) add_units<TOGETHER>(w + i * D, r + i, y + m, d + m, sums);
        if constexpr (N % TOGETHER != 0) {
          constexpr int last = N - N % TOGETHER;
          add_units<N % TOGETHER>(w + last * D, r + last, y + m, d + m, sums);
        }
        for (int k = 0; k < BESIDE; k++) y[m + D][k] = s[k] * sums.y[k], d[m + D][k] = s[k] * sums.d[k];
      }
      for (int k = 0; k < BESIDE; k++) {
        // By the largest entry first: the square of a float32 that shrank for 16 steps may underflow.
        Vector largest = all(TINY), square = Vector{};
        for (int j = 0; j < D; j++) {
          const Vector a = size(d[length + j][k]);
          largest = a > largest ? a : largest;
        }
        Vector inverse = 1 / largest;
        for (int j = 0; j < D; j++) {
          y[j][k] = y[length + j][k];
          d[j][k] = d[length + j][k] * inverse;
          square += d[j][k] * d[j][k];
        }
        for (int l = 0; l < LANES; l++) square[l] = std::sqrt(square[l]);
        inverse = 1 / square;
        for (int j = 0; j < D; j++) d[j][k] *= inverse;
        // Lengths are multiplied up, mantissas and exponents apart: one logarithm at the end.
        for (const Vector factor : {largest, square}) {
          const Bits bits = (Bits)(product[k] * factor);
          power[k] += (bits >> MANTISSA) - BIAS;
          product[k] = (Vector)((bits & (((Integer)1 << MANTISSA) - 1)) | ((Integer)BIAS << MANTISSA));
        }
      }
    }
  }
  for (int k = 0; k < BESIDE; k++)
    for (int l = 0; l < LANES; l++)
      out[k * LANES + l] = (std::log((double)product[k][l]) + power[k][l] * 0.6931471805599453) / steps;
}

extern "C" {
// Values of s that a call of `network` takes; every row of s is padded to a multiple of it.
int group() { return LANES * BESIDE; }

// w (B, N, D), r (B, N), s and out (B, S).
void exponents(const REAL *w, const REAL *r, const REAL *s, long B, long S, long transient, long steps, double *out) {
  for (long g = 0; g < B; g++)
    for (long q = 0; q < S; q += LANES * BESIDE)
      network(w + g * N * D, r + g * N, s + g * S + q, transient, steps, out + g * S + q);
}
}

// Vectors of floats, and functions of them. The library is compiled once for each instruction set: a vector has 16
// floats with AVX-512, 8 with AVX2, and is a plain array of 8 otherwise.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace resmlp {

#if defined(__AVX512F__)
struct Vec {
  static constexpr int kWidth = 16;
  __m512 v;
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec set(float x) { return {_mm512_set1_ps(x)}; }
  static Vec from(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  Vec operator+(Vec o) const { return {_mm512_add_ps(v, o.v)}; }
  Vec operator-(Vec o) const { return {_mm512_sub_ps(v, o.v)}; }
  Vec operator*(Vec o) const { return {_mm512_mul_ps(v, o.v)}; }
  Vec operator/(Vec o) const { return {_mm512_div_ps(v, o.v)}; }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
  static Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
  Vec abs() const { return {_mm512_abs_ps(v)}; }
  Vec copysign(Vec sign) const {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0x80000000U));
    return {_mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(mask, _mm512_castps_si512(v)),
                                                _mm512_and_si512(mask, _mm512_castps_si512(sign.v))))};
  }
  float sum() const { return _mm512_reduce_add_ps(v); }
  float largest() const { return _mm512_reduce_max_ps(v); }
  static Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  static Vec power_of_two(Vec n) {  // n: whole numbers
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
  }
};
#elif defined(__AVX2__)
struct Vec {
  static constexpr int kWidth = 8;
  __m256 v;
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec set(float x) { return {_mm256_set1_ps(x)}; }
  static Vec from(const int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  Vec operator+(Vec o) const { return {_mm256_add_ps(v, o.v)}; }
  Vec operator-(Vec o) const { return {_mm256_sub_ps(v, o.v)}; }
  Vec operator*(Vec o) const { return {_mm256_mul_ps(v, o.v)}; }
  Vec operator/(Vec o) const { return {_mm256_div_ps(v, o.v)}; }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
  static Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
  Vec abs() const { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), v)}; }
  Vec copysign(Vec sign) const {
    const __m256 mask = _mm256_set1_ps(-0.0F);
    return {_mm256_or_ps(_mm256_andnot_ps(mask, v), _mm256_and_ps(mask, sign.v))};
  }
  float sum() const {
    float x[8];
    store(x);
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
  }
  float largest() const {
    float x[8];
    store(x);
    float m = x[0];
    for (int i = 1; i < 8; ++i) m = x[i] > m ? x[i] : m;
    return m;
  }
  static Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  static Vec power_of_two(Vec n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
  }
};
#else
struct Vec {
  static constexpr int kWidth = 8;
  float v[8];
  template <class F>
  static Vec each(F f) {
    Vec r;
    for (int i = 0; i < 8; ++i) r.v[i] = f(i);
    return r;
  }
  static Vec load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static Vec set(float x) {
    return each([&](int) { return x; });
  }
  static Vec from(const int32_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  void store(float* p) const { std::memcpy(p, v, sizeof v); }
  Vec operator+(Vec o) const {
    return each([&](int i) { return v[i] + o.v[i]; });
  }
  Vec operator-(Vec o) const {
    return each([&](int i) { return v[i] - o.v[i]; });
  }
  Vec operator*(Vec o) const {
    return each([&](int i) { return v[i] * o.v[i]; });
  }
  Vec operator/(Vec o) const {
    return each([&](int i) { return v[i] / o.v[i]; });
  }
  static Vec fma(Vec a, Vec b, Vec c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  static Vec max(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Vec min(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  Vec abs() const {
    return each([&](int i) { return std::fabs(v[i]); });
  }
  Vec copysign(Vec s) const {
    return each([&](int i) { return std::copysign(v[i], s.v[i]); });
  }
  float sum() const {
    float total = 0;
    for (float x : v) total += x;
    return total;
  }
  float largest() const {
    float m = v[0];
    for (float x : v) m = x > m ? x : m;
    return m;
  }
  static Vec round(Vec a) {
    return each([&](int i) { return std::nearbyint(a.v[i]); });
  }
  static Vec power_of_two(Vec n) {
    return each([&](int i) { return std::ldexp(1.0F, static_cast<int>(n.v[i])); });
  }
};
#endif

// e^x, with x clamped to [-87, 88]; relative error about 1e-7. Source: the Cephes library, expf.
inline Vec exp(Vec x) {
  x = Vec::min(Vec::max(x, Vec::set(-87.0F)), Vec::set(88.0F));
  const Vec n = Vec::round(x * Vec::set(1.44269504088896341F));
  Vec r = Vec::fma(n, Vec::set(-0.693359375F), x);
  r = Vec::fma(n, Vec::set(2.12194440e-4F), r);
  Vec p = Vec::set(1.9875691500e-4F);
  p = Vec::fma(p, r, Vec::set(1.3981999507e-3F));
  p = Vec::fma(p, r, Vec::set(8.3334519073e-3F));
  p = Vec::fma(p, r, Vec::set(4.1665795894e-2F));
  p = Vec::fma(p, r, Vec::set(1.6666665459e-1F));
  p = Vec::fma(p, r, Vec::set(5.0000001201e-1F));
  const Vec y = Vec::fma(p * r, r, r + Vec::set(1.0F));
  return y * Vec::power_of_two(n);
}

// The error function; absolute error below 1.5e-7. Source: Abramowitz and Stegun 1964, 7.1.26.
inline Vec erf(Vec x) {
  const Vec a = x.abs();
  const Vec t = Vec::set(1.0F) / Vec::fma(Vec::set(0.3275911F), a, Vec::set(1.0F));
  Vec p = Vec::set(1.061405429F);
  p = Vec::fma(p, t, Vec::set(-1.453152027F));
  p = Vec::fma(p, t, Vec::set(1.421413741F));
  p = Vec::fma(p, t, Vec::set(-0.284496736F));
  p = Vec::fma(p, t, Vec::set(0.254829592F));
  const Vec y = Vec::set(1.0F) - p * t * exp(Vec::set(0.0F) - a * a);
  return y.copysign(x);
}

}  // namespace resmlp

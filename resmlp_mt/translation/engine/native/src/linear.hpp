// Linear layers in int8: weights have a scale per output channel, activations a scale per row. The products are summed
// in int32, which is exact, so the result of a row depends neither on the other rows nor on the order of the sums.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "simd.hpp"

namespace resmlp {

constexpr int kPanel = 64;  // output channels that are computed together

inline int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows of floats have this many elements, so that whole panels can be written. What is behind `dim` is undefined.
inline int stride_of(int dim) { return round_up(dim, kPanel); }

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using Aligned = std::unique_ptr<T[], Free>;

// Zeros, aligned to a cache line.
template <class T>
Aligned<T> aligned(size_t count) {
  const size_t bytes = (count * sizeof(T) + 64) / 64 * 64;
  void* p = std::aligned_alloc(64, bytes);
  if (!p) throw std::bad_alloc();
  std::memset(p, 0, bytes);
  return Aligned<T>(static_cast<T*>(p));
}

// Memory for floats that grows and is never shrunk.
class Buffer {
 public:
  float* get(size_t count) {
    if (data_.size() < count + kPanel) data_.resize(count + kPanel);
    return data_.data();
  }
  const float* data() const { return data_.data(); }

 private:
  std::vector<float> data_;
};

enum class Activation { kNone, kGelu, kRelu, kSilu, kHardswish };

inline Vec activate(Vec x, Activation kind) {
  const Vec zero = Vec::set(0.0F), one = Vec::set(1.0F);
  switch (kind) {
    case Activation::kGelu:
      return Vec::set(0.5F) * x * (one + erf(x * Vec::set(0.70710678118654752F)));
    case Activation::kRelu:
      return Vec::max(x, zero);
    case Activation::kSilu:
      return x / (one + exp(zero - x));
    case Activation::kHardswish:
      return x * Vec::min(Vec::max(x + Vec::set(3.0F), zero), Vec::set(6.0F)) * Vec::set(1.0F / 6.0F);
    default:
      return x;
  }
}

// Activations in int8, stored plus 128 as unsigned bytes: the instructions multiply unsigned by signed bytes.
class QuantizedRows {
 public:
  void resize(int rows, int dim) {
    rows_ = rows;
    width_ = round_up(dim, 4);
    const size_t needed = static_cast<size_t>(rows) * width_;
    if (bytes_.size() < needed) bytes_.resize(needed);
    if (scales_.size() < static_cast<size_t>(rows)) scales_.resize(rows);
  }
  int rows() const { return rows_; }
  int width() const { return width_; }
  const uint8_t* row(int r) const { return bytes_.data() + static_cast<size_t>(r) * width_; }
  const float* scales() const { return scales_.data(); }

  // Rounds to the nearest of 127 steps to the row's largest absolute value; of two equally near ones to the even one.
  void set(int r, const float* x, int dim) {
    constexpr int W = Vec::kWidth;
    uint8_t* out = bytes_.data() + static_cast<size_t>(r) * width_;
    Vec most = Vec::set(0.0F);
    int i = 0;
    for (; i + W <= dim; i += W) most = Vec::max(most, Vec::load(x + i).abs());
    float largest = most.largest();
    for (; i < dim; ++i) largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
    const float inverse = largest > 0.0F ? 127.0F / largest : 0.0F;
    scales_[r] = largest / 127.0F;
    i = 0;
#if defined(__AVX512F__)
    const __m512 factor = _mm512_set1_ps(inverse);
    const __m512i shift = _mm512_set1_epi32(128);
    for (; i + 16 <= dim; i += 16) {
      const __m512i steps = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), factor));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm512_cvtepi32_epi8(_mm512_add_epi32(steps, shift)));
    }
#else
    for (; i + W <= dim; i += W) {
      float steps[W];
      Vec::round(Vec::load(x + i) * Vec::set(inverse)).store(steps);
      for (int j = 0; j < W; ++j) out[i + j] = static_cast<uint8_t>(static_cast<int>(steps[j]) + 128);
    }
#endif
    for (; i < dim; ++i) out[i] = static_cast<uint8_t>(static_cast<int>(std::nearbyint(x[i] * inverse)) + 128);
    for (; i < width_; ++i) out[i] = 128;
  }

 private:
  int rows_ = 0, width_ = 0;
  std::vector<uint8_t> bytes_;
  std::vector<float> scales_;
};

class Int8Linear {
 public:
  // Takes memory for a weight (out, in). All rows must be set before `run`.
  void begin(int out, int in) {
    in_ = in;
    out_ = out;
    groups_ = round_up(in, 4) / 4;
    const int padded = round_up(out, kPanel);
    weight_ = aligned<int8_t>(static_cast<size_t>(padded) * groups_ * 4);
    correction_ = aligned<int32_t>(padded);
    scale_ = aligned<float>(padded);
    bias_ = aligned<float>(padded);
  }

  int out() const { return out_; }
  int in() const { return in_; }

  // Sets the weights of output channel n, (in,).
  void set_row(int n, const int8_t* weights, float scale, float bias) {
    int8_t* to =
        weight_.get() + static_cast<size_t>(n / kPanel) * groups_ * 4 * kPanel + static_cast<size_t>(n % kPanel) * 4;
    int32_t total = 0;
    for (int k = 0; k < in_; ++k) total += weights[k];
    for (int g = 0; g < groups_; ++g) {
      const int count = in_ - 4 * g < 4 ? in_ - 4 * g : 4;
      std::memcpy(to + static_cast<size_t>(g) * 4 * kPanel, weights + 4 * g, count);
    }
    correction_[n] = 128 * total;
    scale_[n] = scale;
    bias_[n] = bias;
  }

  // y = activation(W x + b) + residual, for `rows` rows of x from `first` on.
  //   y, residual: (rows, stride), with a stride of at least stride_of(out); `residual` may be null, or y itself.
  void run(const QuantizedRows& x, int first, int rows, float* y, int stride, Activation activation = Activation::kNone,
           const float* residual = nullptr) const {
    for (int p = 0; p * kPanel < out_; ++p) {
      int r = 0;
      for (; r + 4 <= rows; r += 4)
        tile<4>(x, first + r, p, y + static_cast<size_t>(r) * stride, stride, activation,
                residual ? residual + static_cast<size_t>(r) * stride : nullptr);
      for (; r < rows; ++r)
        tile<1>(x, first + r, p, y + static_cast<size_t>(r) * stride, stride, activation,
                residual ? residual + static_cast<size_t>(r) * stride : nullptr);
    }
  }

 private:
  template <int R>
  void tile(const QuantizedRows& x, int first, int p, float* y, int stride, Activation activation,
            const float* residual) const {
    constexpr int W = Vec::kWidth;
    alignas(64) int32_t sums[R][kPanel];
    multiply<R>(x.row(first), x.width(), p, sums);
    for (int r = 0; r < R; ++r) {
      const Vec row_scale = Vec::set(x.scales()[first + r]);
      const size_t at = static_cast<size_t>(r) * stride + p * kPanel;
      for (int c = 0; c < kPanel; c += W) {
        const Vec scale = Vec::load(scale_.get() + p * kPanel + c) * row_scale;
        Vec value = Vec::fma(Vec::from(sums[r] + c), scale, Vec::load(bias_.get() + p * kPanel + c));
        value = activate(value, activation);
        if (residual) value = value + Vec::load(residual + at + c);
        value.store(y + at + c);
      }
    }
  }

  // The sums of products of R rows with the channels of panel p.
#if defined(__AVX512VNNI__)
  template <int R>
  void multiply(const uint8_t* x, int width, int p, int32_t (*sums)[kPanel]) const {
    const int8_t* weight = weight_.get() + static_cast<size_t>(p) * groups_ * 4 * kPanel;
    __m512i acc[R][4];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < 4; ++v) acc[r][v] = _mm512_setzero_si512();
    for (int g = 0; g < groups_; ++g) {
      __m512i w[4];
      for (int v = 0; v < 4; ++v) w[v] = _mm512_load_si512(weight + static_cast<size_t>(g) * 4 * kPanel + 64 * v);
      for (int r = 0; r < R; ++r) {
        const __m512i four = _mm512_set1_epi32(four_bytes(x + static_cast<size_t>(r) * width + 4 * g));
        for (int v = 0; v < 4; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], four, w[v]);
      }
    }
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < 4; ++v) {
        const __m512i correction = _mm512_load_si512(correction_.get() + p * kPanel + 16 * v);
        _mm512_store_si512(sums[r] + 16 * v, _mm512_sub_epi32(acc[r][v], correction));
      }
  }
#elif defined(__AVX2__)
  template <int R>
  void multiply(const uint8_t* x, int width, int p, int32_t (*sums)[kPanel]) const {
    const int8_t* weight = weight_.get() + static_cast<size_t>(p) * groups_ * 4 * kPanel;
    const __m256i low_bytes = _mm256_set1_epi16(0x00FF);
    for (int c = 0; c < kPanel; c += 16) {
      __m256i acc[R][2];
      for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
      for (int g = 0; g < groups_; ++g) {
        // As int16, because the instruction for bytes saturates: bytes 0 and 2 of each group, and bytes 1 and 3.
        __m256i even[2], odd[2];
        for (int v = 0; v < 2; ++v) {
          const int8_t* at = weight + static_cast<size_t>(g) * 4 * kPanel + 4 * c + 32 * v;
          const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
          even[v] = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
          odd[v] = _mm256_srai_epi16(w, 8);
        }
        for (int r = 0; r < R; ++r) {
          const __m256i four = _mm256_set1_epi32(four_bytes(x + static_cast<size_t>(r) * width + 4 * g));
          const __m256i x_even = _mm256_and_si256(four, low_bytes), x_odd = _mm256_srli_epi16(four, 8);
          for (int v = 0; v < 2; ++v) {
            const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(x_even, even[v]), _mm256_madd_epi16(x_odd, odd[v]));
            acc[r][v] = _mm256_add_epi32(acc[r][v], sum);
          }
        }
      }
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < 2; ++v) {
          const int32_t* at = correction_.get() + p * kPanel + c + 8 * v;
          const __m256i correction = _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
          _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r] + c + 8 * v), _mm256_sub_epi32(acc[r][v], correction));
        }
    }
  }
#else
  template <int R>
  void multiply(const uint8_t* x, int width, int p, int32_t (*sums)[kPanel]) const {
    const int8_t* weight = weight_.get() + static_cast<size_t>(p) * groups_ * 4 * kPanel;
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < kPanel; ++c) sums[r][c] = -correction_[p * kPanel + c];
    for (int g = 0; g < groups_; ++g) {
      int16_t even[2 * kPanel], odd[2 * kPanel];  // of each channel: bytes 0 and 2 of the group, and bytes 1 and 3
      const int8_t* w = weight + static_cast<size_t>(g) * 4 * kPanel;
      for (int i = 0; i < 2 * kPanel; ++i) {
        even[i] = w[2 * i];
        odd[i] = w[2 * i + 1];
      }
      for (int r = 0; r < R; ++r) {
        const uint8_t* four = x + static_cast<size_t>(r) * width + 4 * g;
        const int16_t a = four[0], b = four[1], c = four[2], d = four[3];
        for (int i = 0; i < kPanel; ++i)
          sums[r][i] += even[2 * i] * a + even[2 * i + 1] * c + odd[2 * i] * b + odd[2 * i + 1] * d;
      }
    }
  }
#endif

  static int32_t four_bytes(const uint8_t* x) {
    int32_t four;
    std::memcpy(&four, x, 4);
    return four;
  }

  int in_ = 0, out_ = 0, groups_ = 0;  // groups of four inputs
  Aligned<int8_t> weight_;             // (panels, groups, kPanel, 4)
  Aligned<int32_t> correction_;        // what the 128 in every activation adds to the sum of a channel
  Aligned<float> scale_, bias_;
};

}  // namespace resmlp

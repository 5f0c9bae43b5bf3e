// The encoder, and the state of a search: the rows (beams) of a batch of sentences, one step at a time. The sentences
// of a batch are concatenated, not padded, and every row is computed on its own, so no result depends on the batch.
#pragma once
#include "model.hpp"

namespace resmlp {

class State {
 public:
  // Encodes sentences; each has one row at first.
  //   tokens: of all sentences, one behind the other; lengths: (sentences,); max_rows: most rows there will be.
  State(const Model& model, const int32_t* tokens, const int32_t* lengths, int sentences, int max_rows)
      : model_(model),
        max_rows_(max_rows),
        lengths_(lengths, lengths + sentences),
        caches_(model.config.decoder_layers) {
    int total = 0;
    for (int s = 0; s < sentences; ++s) {
      if (lengths[s] < 1 || lengths[s] > model.config.max_source)
        throw std::runtime_error("a source has no allowed length");
      first_.push_back(total);
      total += lengths[s];
      sentence_of_row_.push_back(s);
    }
    encode(tokens, total);
  }

  int rows() const { return static_cast<int>(sentence_of_row_.size()); }
  int steps() const { return steps_; }
  int length_of_source(int row) const { return lengths_[sentence_of_row_[row]]; }

  // Row r continues what row `from[r]` was.
  void reorder(const int32_t* from, int rows) {
    if (rows > max_rows_) throw std::runtime_error("there are more rows than the state was made for");
    std::vector<int32_t> history(static_cast<size_t>(rows) * steps_), sentences(rows);
    for (int r = 0; r < rows; ++r) {
      if (from[r] < 0 || from[r] >= this->rows()) throw std::runtime_error("there is no such row");
      const int32_t* before = history_.data() + static_cast<size_t>(from[r]) * steps_;
      std::copy(before, before + steps_, history.begin() + static_cast<size_t>(r) * steps_);
      sentences[r] = sentence_of_row_[from[r]];
    }
    history_.swap(history);
    sentence_of_row_.swap(sentences);
  }

  // The features in front of the output layer for the newest token of every row, (rows,).
  //   attention: null, or memory for the attention of the last layer, averaged over heads, (rows, max_source).
  const QuantizedRows& step(const int32_t* tokens, float* attention = nullptr) {
    const Config& c = model_.config;
    const int dim = c.decoder_dim, stride = stride_of(dim);
    if (steps_ == c.max_target) throw std::runtime_error("there are no more target positions");
    float* x = x_.get(static_cast<size_t>(rows()) * stride);
    for (int r = 0; r < rows(); ++r)
      embed(model_.target_table, tokens[r], model_.target_positions, steps_, x + static_cast<size_t>(r) * stride);
    add_step();
    for (int i = 0; i < c.decoder_layers; ++i) {
      const DecoderLayer& layer = model_.decoder[i];
      mix(layer.mixing, &caches_[i], x, stride);
      attend(layer, i, x, stride, i == c.decoder_layers - 1 ? attention : nullptr);
      feed_forward(layer.feed_forward, x, rows(), dim, c.decoder_hidden);
    }
    quantize(x, rows(), dim, stride, &model_.decoder_norm, &features_);
    return features_;
  }

 private:
  void embed(const Table& table, int token, const float* positions, int position, float* x) const {
    if (token < 0 || token >= table.count) throw std::runtime_error("a token is not in the vocabulary");
    const float factor = model_.config.scales_embeddings ? std::sqrt(static_cast<float>(table.dim)) : 1.0F;
    const float scale = table.scales[token] * factor;
    const int8_t* row = table.row(token);
    for (int i = 0; i < table.dim; ++i) x[i] = row[i] * scale;
    if (!positions) return;
    for (int i = 0; i < table.dim; ++i) x[i] += positions[static_cast<size_t>(position) * table.dim + i];
  }

  // Quantizes rows, behind a norm if there is one.
  void quantize(const float* x, int rows, int dim, int stride, const Norm* norm, QuantizedRows* to) {
    float* y = normed_.get(stride);
    to->resize(rows, dim);
    for (int r = 0; r < rows; ++r) {
      const float* row = x + static_cast<size_t>(r) * stride;
      if (norm) norm->apply(row, y, dim);
      to->set(r, norm ? y : row, dim);
    }
  }

  void feed_forward(const FeedForward& layer, float* x, int rows, int dim, int hidden) {
    constexpr int kBlock = 64;  // rows whose hidden values stay in the cache of the processor
    const int stride = stride_of(dim), wide = stride_of(hidden);
    const auto activation = static_cast<Activation>(model_.config.activation);
    float* h = hidden_.get(static_cast<size_t>(std::min(rows, kBlock)) * wide);
    for (int first = 0; first < rows; first += kBlock) {
      const int count = std::min(rows - first, kBlock);
      float* part = x + static_cast<size_t>(first) * stride;
      quantize(part, count, dim, stride, &layer.pre, &quantized_);
      layer.fc1.run(quantized_, 0, count, h, wide, activation);
      quantize(h, count, hidden, wide, nullptr, &quantized_);
      layer.fc2.run(quantized_, 0, count, part, stride, Activation::kNone, part);
    }
  }

  void encode(const int32_t* tokens, int total) {
    const Config& c = model_.config;
    const int dim = c.encoder_dim, stride = stride_of(dim);
    float* x = x_.get(static_cast<size_t>(total) * stride);
    for (size_t s = 0; s < lengths_.size(); ++s)
      for (int t = 0; t < lengths_[s]; ++t) {
        const int at = first_[s] + t;
        embed(model_.source_table, tokens[at], model_.source_positions, t, x + static_cast<size_t>(at) * stride);
      }
    for (const EncoderLayer& layer : model_.encoder) {
      for (size_t s = 0; s < lengths_.size(); ++s)
        mix_sentence(layer.mixing, x + static_cast<size_t>(first_[s]) * stride, lengths_[s], dim, stride);
      feed_forward(layer.feed_forward, x, total, dim, c.encoder_hidden);
    }
    quantize(x, total, dim, stride, &model_.encoder_norm, &quantized_);
    memory_stride_ = stride_of(model_.memory_projection.out());
    model_.memory_projection.run(quantized_, 0, total, memory_.get(static_cast<size_t>(total) * memory_stride_),
                                 memory_stride_);
    transpose_keys();
  }

  void mix_sentence(const Mixing& mixing, float* x, int length, int dim, int stride) {
    constexpr int W = Vec::kWidth, kColumns = 4 * W;
    float* in = mixed_.get(static_cast<size_t>(length) * stride);
    for (int t = 0; t < length; ++t)
      mixing.pre.apply(x + static_cast<size_t>(t) * stride, in + static_cast<size_t>(t) * stride, dim);
    for (int d = 0; d < dim; d += kColumns) {
      int t = 0;
      for (; t + 4 <= length; t += 4) mix_tile<4>(mixing, in + d, x + d, t, d, length, dim, stride);
      for (; t < length; ++t) mix_tile<1>(mixing, in + d, x + d, t, d, length, dim, stride);
    }
  }

  // Positions t to t + R of one sentence, and the columns from d on that fit into the registers.
  template <int R>
  static void mix_tile(const Mixing& mixing, const float* in, float* x, int t, int d, int length, int dim, int stride) {
    constexpr int W = Vec::kWidth;
    const int vectors = std::min((stride - d) / W, 4);
    Vec acc[R][4];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < 4; ++v) acc[r][v] = Vec::set(mixing.bias ? mixing.bias[t + r] : 0.0F);
    for (int s = 0; s < length; ++s) {
      Vec row[4];
      for (int v = 0; v < vectors; ++v) row[v] = Vec::load(in + static_cast<size_t>(s) * stride + v * W);
      for (int r = 0; r < R; ++r) {
        const Vec weight = Vec::set(mixing.weight(t + r, s));
        for (int v = 0; v < vectors; ++v) acc[r][v] = Vec::fma(weight, row[v], acc[r][v]);
      }
    }
    for (int r = 0; r < R; ++r) {
      float mixed[4 * W];
      for (int v = 0; v < vectors; ++v) acc[r][v].store(mixed + v * W);
      mixing.add(mixed, x + static_cast<size_t>(t + r) * stride, d, std::min(dim - d, 4 * W));
    }
  }

  // Stores the keys as (layer, sentence, feature, position), with the positions padded to whole vectors.
  void transpose_keys() {
    const int dim = model_.config.decoder_dim;
    for (const int length : lengths_) {
      key_start_.push_back(keys_per_layer_);
      padded_.push_back(round_up(length, Vec::kWidth));
      keys_per_layer_ += static_cast<size_t>(dim) * padded_.back();
    }
    float* keys = keys_.get(keys_per_layer_ * model_.config.decoder_layers);
    for (int i = 0; i < model_.config.decoder_layers; ++i)
      for (size_t s = 0; s < lengths_.size(); ++s) {
        float* to = keys + i * keys_per_layer_ + key_start_[s];
        std::fill(to, to + static_cast<size_t>(dim) * padded_[s], 0.0F);
        for (int t = 0; t < lengths_[s]; ++t) {
          const float* from =
              memory_.data() + static_cast<size_t>(first_[s] + t) * memory_stride_ + static_cast<size_t>(2 * i) * dim;
          for (int d = 0; d < dim; ++d) to[static_cast<size_t>(d) * padded_[s] + t] = from[d];
        }
      }
  }

  // The newest input of row r is in slot r of the newest step.
  void add_step() {
    std::vector<int32_t> history(static_cast<size_t>(rows()) * (steps_ + 1));
    for (int r = 0; r < rows(); ++r) {
      const int32_t* before = history_.data() + static_cast<size_t>(r) * steps_;
      int32_t* after = history.data() + static_cast<size_t>(r) * (steps_ + 1);
      std::copy(before, before + steps_, after);
      after[steps_] = r;
    }
    history_.swap(history);
    ++steps_;
  }

  void mix(const Mixing& mixing, std::vector<float>* cache, float* x, int stride) {
    constexpr int W = Vec::kWidth, kGrowth = 16;
    const int dim = model_.config.decoder_dim, newest = steps_ - 1;
    const size_t per_step = static_cast<size_t>(max_rows_) * stride;
    if (cache->size() < steps_ * per_step) cache->resize((steps_ + kGrowth) * per_step);
    for (int r = 0; r < rows(); ++r) {
      const size_t at = static_cast<size_t>(r) * stride;
      mixing.pre.apply(x + at, cache->data() + newest * per_step + at, dim);
    }
    for (int r = 0; r < rows(); ++r) {
      const int32_t* slots = history_.data() + static_cast<size_t>(r) * steps_;
      for (int d = 0; d < dim; d += 4 * W) {
        const int vectors = std::min((stride - d) / W, 4);
        Vec acc[4];
        for (int v = 0; v < vectors; ++v) acc[v] = Vec::set(mixing.bias ? mixing.bias[newest] : 0.0F);
        for (int s = 0; s <= newest; ++s) {
          const float* from = cache->data() + s * per_step + static_cast<size_t>(slots[s]) * stride + d;
          const Vec weight = Vec::set(mixing.weight(newest, s));
          for (int v = 0; v < vectors; ++v) acc[v] = Vec::fma(weight, Vec::load(from + v * W), acc[v]);
        }
        float mixed[4 * W];
        for (int v = 0; v < vectors; ++v) acc[v].store(mixed + v * W);
        mixing.add(mixed, x + static_cast<size_t>(r) * stride + d, d, std::min(dim - d, 4 * W));
      }
    }
  }

  void attend(const DecoderLayer& layer, int index, float* x, int stride, float* attention) {
    const Config& c = model_.config;
    const int dim = c.decoder_dim, head_dim = dim / c.heads;
    quantize(x, rows(), dim, stride, &layer.attention_norm, &quantized_);
    float* query = query_.get(static_cast<size_t>(rows()) * stride);
    layer.query.run(quantized_, 0, rows(), query, stride);
    float* heads = mixed_.get(static_cast<size_t>(rows()) * stride);
    for (int r = 0; r < rows(); ++r) {
      const int s = sentence_of_row_[r], length = lengths_[s];
      float* scores = scores_.get(padded_[s]);
      float* average = attention ? attention + static_cast<size_t>(r) * c.max_source : nullptr;
      if (average) std::fill(average, average + c.max_source, 0.0F);
      const float* keys = keys_.data() + index * keys_per_layer_ + key_start_[s];
      const float* values =
          memory_.data() + static_cast<size_t>(first_[s]) * memory_stride_ + static_cast<size_t>(2 * index + 1) * dim;
      for (int h = 0; h < c.heads; ++h) {
        const size_t at = static_cast<size_t>(r) * stride + h * head_dim;
        score_keys(query + at, keys + static_cast<size_t>(h) * head_dim * padded_[s], head_dim, padded_[s], scores);
        const float inverse = exponentials(scores, length, padded_[s]);
        sum_values(scores, inverse, values + h * head_dim, head_dim, length, heads + at);
        if (average)
          for (int p = 0; p < length; ++p) average[p] += scores[p] * inverse / static_cast<float>(c.heads);
      }
    }
    quantize(heads, rows(), dim, stride, nullptr, &quantized_);
    layer.attention_out.run(quantized_, 0, rows(), x, stride, Activation::kNone, x);
  }

  static void score_keys(const float* query, const float* keys, int head_dim, int padded, float* scores) {
    constexpr int W = Vec::kWidth;
    for (int p = 0; p < padded; p += W) {
      Vec even = Vec::set(0.0F), odd = Vec::set(0.0F);
      int d = 0;
      for (; d + 2 <= head_dim; d += 2) {
        even = Vec::fma(Vec::set(query[d]), Vec::load(keys + static_cast<size_t>(d) * padded + p), even);
        odd = Vec::fma(Vec::set(query[d + 1]), Vec::load(keys + static_cast<size_t>(d + 1) * padded + p), odd);
      }
      if (d < head_dim)
        even = Vec::fma(Vec::set(query[d]), Vec::load(keys + static_cast<size_t>(d) * padded + p), even);
      (even + odd).store(scores + p);
    }
  }

  // Replaces the scores by their exponentials, up to a factor; returns the inverse of their sum.
  static float exponentials(float* scores, int length, int padded) {
    constexpr int W = Vec::kWidth;
    std::fill(scores + length, scores + padded, -1e30F);
    Vec most = Vec::load(scores);
    for (int p = W; p < padded; p += W) most = Vec::max(most, Vec::load(scores + p));
    const Vec largest = Vec::set(most.largest());
    for (int p = 0; p < padded; p += W) exp(Vec::load(scores + p) - largest).store(scores + p);
    float total = 0.0F;
    for (int p = 0; p < length; ++p) total += scores[p];
    return 1.0F / total;
  }

  void sum_values(const float* weights, float factor, const float* values, int head_dim, int length, float* out) const {
    constexpr int W = Vec::kWidth;
    int d = 0;
    for (; d + W <= head_dim; d += W) {
      Vec sum = Vec::set(0.0F);
      for (int p = 0; p < length; ++p)
        sum = Vec::fma(Vec::set(weights[p]), Vec::load(values + static_cast<size_t>(p) * memory_stride_ + d), sum);
      (sum * Vec::set(factor)).store(out + d);
    }
    for (; d < head_dim; ++d) {
      float sum = 0.0F;
      for (int p = 0; p < length; ++p) sum += weights[p] * values[static_cast<size_t>(p) * memory_stride_ + d];
      out[d] = sum * factor;
    }
  }

  const Model& model_;
  const int max_rows_;
  int steps_ = 0, memory_stride_ = 0;
  size_t keys_per_layer_ = 0;
  std::vector<int32_t> lengths_, first_, padded_;  // of each sentence; `first_`: its first position in the batch
  std::vector<size_t> key_start_;
  std::vector<int32_t> sentence_of_row_;
  std::vector<int32_t> history_;            // the slot of each row's input at each step, (rows, steps)
  std::vector<std::vector<float>> caches_;  // of each layer: the inputs of its mixing, (steps, max_rows, stride)
  Buffer x_, normed_, hidden_, mixed_, query_, scores_, memory_, keys_;
  QuantizedRows quantized_, features_;
};

}  // namespace resmlp

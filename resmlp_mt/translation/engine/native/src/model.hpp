// The parameters of a ResMLP translation model, with int8 weights.
#pragma once
#include <map>
#include <stdexcept>
#include <string>

#include "linear.hpp"

namespace resmlp {

struct Config {
  int32_t encoder_dim, encoder_hidden, encoder_layers;
  int32_t decoder_dim, decoder_hidden, decoder_layers, heads;
  int32_t max_source, max_target, source_vocab, target_vocab;
  int32_t has_layer_norm, activation, scales_embeddings;
};

// An array of the caller, which must live as long as the model: int8 or float32, (rows, cols).
struct Array {
  const void* data;
  int rows, cols;
  bool is_int8;
};

// Rows of int8 with a scale each: embeddings, and the weight of the output layer.
struct Table {
  const int8_t* rows = nullptr;
  const float* scales = nullptr;
  int count = 0, dim = 0;

  const int8_t* row(int r) const { return rows + static_cast<size_t>(r) * dim; }
};

// The norm in front of a sublayer: an Affine, or layer normalisation.
struct Norm {
  const float *alpha = nullptr, *beta = nullptr;
  bool is_layer_norm = false;

  void apply(const float* x, float* y, int dim) const {
    constexpr int W = Vec::kWidth;
    float mean = 0.0F, factor = 1.0F;
    if (is_layer_norm) {
      double total = 0.0, squares = 0.0;
      for (int i = 0; i < dim; ++i) total += x[i];
      mean = static_cast<float>(total / dim);
      for (int i = 0; i < dim; ++i) squares += static_cast<double>(x[i] - mean) * (x[i] - mean);
      factor = static_cast<float>(1.0 / std::sqrt(squares / dim + 1e-5));
    }
    const Vec means = Vec::set(mean), factors = Vec::set(factor);
    int i = 0;
    for (; i + W <= dim; i += W) {
      const Vec shift = beta ? Vec::load(beta + i) : Vec::set(0.0F);
      Vec::fma((Vec::load(x + i) - means) * factors, Vec::load(alpha + i), shift).store(y + i);
    }
    for (; i < dim; ++i) y[i] = (x[i] - mean) * factor * alpha[i] + (beta ? beta[i] : 0.0F);
  }
};

struct Mixing {
  Norm pre;
  const float *matrix = nullptr, *bias = nullptr;           // (max_len, max_len); (max_len,) or null
  const float *post_alpha = nullptr, *post_beta = nullptr;  // (dim,); `post_beta` may be null
  int max_len = 0;

  float weight(int target, int source) const { return matrix[static_cast<size_t>(target) * max_len + source]; }

  // Adds the Affine behind the mixing to the residual: x += alpha * mixed + beta.
  void add(const float* mixed, float* x, int first, int count) const {
    for (int i = 0; i < count; ++i)
      x[i] += mixed[i] * post_alpha[first + i] + (post_beta ? post_beta[first + i] : 0.0F);
  }
};

struct FeedForward {
  Norm pre;
  Int8Linear fc1, fc2;
};

struct EncoderLayer {
  Mixing mixing;
  FeedForward feed_forward;
};

struct DecoderLayer {
  Mixing mixing;
  Norm attention_norm;
  Int8Linear query, attention_out;
  FeedForward feed_forward;
};

class Model {
 public:
  explicit Model(const Config& c) : config(c) {}

  void set(const std::string& name, Array array) { arrays_[name] = array; }

  // Rearranges the weights for the products. Throws if a parameter is missing or has another shape.
  void finish() {
    const Config& c = config;
    source_table = table("encoder.embedding.tokens.weight", c.source_vocab, c.encoder_dim);
    target_table = table("decoder.embedding.tokens.weight", c.target_vocab, c.decoder_dim);
    output_table = table("decoder.output.weight", c.target_vocab, c.decoder_dim);
    source_positions = floats("encoder.embedding.positions.weight", c.max_source * c.encoder_dim, true);
    target_positions = floats("decoder.embedding.positions.weight", c.max_target * c.decoder_dim, true);
    encoder_norm = norm("encoder.norm", c.encoder_dim);
    decoder_norm = norm("decoder.norm", c.decoder_dim);
    encoder = std::vector<EncoderLayer>(c.encoder_layers);
    for (int i = 0; i < c.encoder_layers; ++i) {
      const std::string name = "encoder.layers." + std::to_string(i);
      encoder[i].mixing = mixing(name + ".mixing", c.max_source, c.encoder_dim);
      read_feed_forward(name + ".channels", c.encoder_dim, c.encoder_hidden, &encoder[i].feed_forward);
    }
    decoder = std::vector<DecoderLayer>(c.decoder_layers);
    memory_projection.begin(2 * c.decoder_layers * c.decoder_dim, c.encoder_dim);
    for (int i = 0; i < c.decoder_layers; ++i) read_decoder_layer(i);
    output.begin(c.target_vocab, c.decoder_dim);
    for (int n = 0; n < c.target_vocab; ++n) output.set_row(n, output_table.row(n), output_table.scales[n], 0.0F);
    const int count = std::min(c.target_vocab, kPanel);
    sample.begin(count, c.decoder_dim);
    for (int i = 0; i < count; ++i) {
      sample_tokens.push_back(static_cast<int32_t>((2 * i + 1) * static_cast<int64_t>(c.target_vocab) / (2 * count)));
      sample.set_row(i, output_table.row(sample_tokens[i]), output_table.scales[sample_tokens[i]], 0.0F);
    }
    arrays_.clear();
  }

  Config config;
  Table source_table, target_table, output_table;
  const float *source_positions = nullptr, *target_positions = nullptr;
  Norm encoder_norm, decoder_norm;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  Int8Linear memory_projection;  // for each decoder layer: keys, then values
  Int8Linear output;
  Int8Linear sample;  // the output layer of some tokens, evenly spread over the vocabulary
  std::vector<int32_t> sample_tokens;

 private:
  void read_decoder_layer(int i) {
    const Config& c = config;
    const std::string name = "decoder.layers." + std::to_string(i), attention = name + ".cross_attention.sublayer.";
    DecoderLayer& layer = decoder[i];
    layer.mixing = mixing(name + ".mixing", c.max_target, c.decoder_dim);
    layer.attention_norm = norm(name + ".cross_attention.pre", c.decoder_dim);
    const float scale = 1.0F / std::sqrt(static_cast<float>(c.decoder_dim / c.heads));
    read_linear(attention + "q_proj", "", c.decoder_dim, c.decoder_dim, scale, &layer.query);
    const std::string post = name + ".cross_attention.post";
    read_linear(attention + "out_proj", post, c.decoder_dim, c.decoder_dim, 1.0F, &layer.attention_out);
    int row = 2 * i * c.decoder_dim;
    for (const char* side : {"k_proj", "v_proj"}) {
      const Table weight = table(attention + side + ".weight", c.decoder_dim, c.encoder_dim);
      const float* bias = floats(attention + side + ".bias", c.decoder_dim, false);
      for (int n = 0; n < c.decoder_dim; ++n)
        memory_projection.set_row(row++, weight.row(n), weight.scales[n], bias[n]);
    }
    read_feed_forward(name + ".channels", c.decoder_dim, c.decoder_hidden, &layer.feed_forward);
  }

  // The Affine called `post` behind the layer, if any, and a factor become part of the scales and the bias.
  void read_linear(const std::string& name, const std::string& post, int out, int in, float factor, Int8Linear* to) {
    const Table weight = table(name + ".weight", out, in);
    const float* bias = floats(name + ".bias", out, false);
    const float* alpha = post.empty() ? nullptr : floats(post + ".alpha", out, false);
    const float* beta = post.empty() ? nullptr : floats(post + ".beta", out, true);
    to->begin(out, in);
    for (int n = 0; n < out; ++n) {
      const float gain = (alpha ? alpha[n] : 1.0F) * factor;
      to->set_row(n, weight.row(n), weight.scales[n] * gain, bias[n] * gain + (beta ? beta[n] : 0.0F));
    }
  }

  void read_feed_forward(const std::string& name, int dim, int hidden, FeedForward* to) {
    to->pre = norm(name + ".pre", dim);
    read_linear(name + ".sublayer.fc1", "", hidden, dim, 1.0F, &to->fc1);
    read_linear(name + ".sublayer.fc2", name + ".post", dim, hidden, 1.0F, &to->fc2);
  }

  Mixing mixing(const std::string& name, int max_len, int dim) const {
    Mixing m;
    m.pre = norm(name + ".pre", dim);
    m.matrix = floats(name + ".sublayer.weight", max_len * max_len, false);
    m.bias = floats(name + ".sublayer.bias", max_len, true);
    m.post_alpha = floats(name + ".post.alpha", dim, false);
    m.post_beta = floats(name + ".post.beta", dim, true);
    m.max_len = max_len;
    return m;
  }

  Norm norm(const std::string& name, int dim) const {
    const bool is_layer_norm = config.has_layer_norm != 0;
    const char *scale = is_layer_norm ? ".weight" : ".alpha", *shift = is_layer_norm ? ".bias" : ".beta";
    return {floats(name + scale, dim, false), floats(name + shift, dim, true), is_layer_norm};
  }

  Table table(const std::string& name, int rows, int cols) const {
    const Array array = find(name);
    if (!array.is_int8 || array.rows != rows || array.cols != cols)
      throw std::runtime_error(name + " has another shape or type");
    return {static_cast<const int8_t*>(array.data), floats(name + ".scale", rows, false), rows, cols};
  }

  const float* floats(const std::string& name, int count, bool is_optional) const {
    if (is_optional && !arrays_.count(name)) return nullptr;
    const Array array = find(name);
    if (array.is_int8 || array.rows * array.cols != count)
      throw std::runtime_error(name + " has another shape or type");
    return static_cast<const float*>(array.data);
  }

  Array find(const std::string& name) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) throw std::runtime_error(name + " is missing");
    return found->second;
  }

  std::map<std::string, Array> arrays_;
};

}  // namespace resmlp

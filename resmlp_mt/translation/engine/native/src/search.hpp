// Beam search, and forced decoding. Hypotheses, their order and scores are those of resmlp_mt's `BeamSearch`.
#pragma once
#include <limits>
#include <utility>

#include "state.hpp"

namespace resmlp {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

struct SearchSettings {
  int32_t beam_size, min_len, padding, end, unknown;
  float length_penalty, unknown_penalty, temperature;
};

struct Hypothesis {
  float score = 0.0F;
  std::vector<int32_t> tokens;
  std::vector<float> token_scores;
};

// The logarithm of the sum of exponentials; NaN if x contains NaN.
inline float log_sum_exp(const float* x, int count) {
  constexpr int W = Vec::kWidth;
  float largest = kImpossible;
  int i = 0;
  if (count >= W) {
    Vec most = Vec::load(x);
    for (i = W; i + W <= count; i += W) most = Vec::max(most, Vec::load(x + i));
    largest = most.largest();
  }
  for (; i < count; ++i) largest = std::max(largest, x[i]);
  Vec total = Vec::set(0.0F);
  for (i = 0; i + W <= count; i += W) total = total + exp(Vec::load(x + i) - Vec::set(largest));
  double sum = total.sum();
  for (; i < count; ++i) sum += std::exp(x[i] - largest);
  return largest + static_cast<float>(std::log(sum));
}

using Ranked = std::pair<float, int>;  // a value and its index

// The largest values of a row, largest first; of equal ones the earlier first.
inline void find_largest(const float* x, int size, int count, std::vector<Ranked>* best) {
  best->clear();
  float threshold = kImpossible;
  const auto offer = [&](int index) {
    const float value = x[index];
    if (!(value > threshold)) return;
    const auto is_smaller = [](float v, const Ranked& other) { return v > other.first; };
    best->insert(std::upper_bound(best->begin(), best->end(), value, is_smaller), {value, index});
    if (static_cast<int>(best->size()) > count) best->pop_back();
    if (static_cast<int>(best->size()) == count) threshold = best->back().first;
  };
  int i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= size; i += 16) {
    unsigned above = _mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), _mm512_set1_ps(threshold), _CMP_GT_OQ);
    for (; above; above &= above - 1) offer(i + __builtin_ctz(above));
  }
#endif
  for (; i < size; ++i) offer(i);
}

// Words that a sentence may be translated with: sorted tokens. Without any, the whole vocabulary.
struct Words {
  const int32_t* tokens = nullptr;
  int count = 0;

  int token(int index) const { return tokens ? tokens[index] : index; }
  // The index of a token; -1 if it is not among the words.
  int index(int token) const {
    if (!tokens) return token < count ? token : -1;
    const int32_t* at = std::lower_bound(tokens, tokens + count, token);
    return at != tokens + count && *at == token ? static_cast<int>(at - tokens) : -1;
  }
};

// The output layer of a batch: of the whole vocabulary, or for each sentence of its own words only.
class Output {
 public:
  // words, starts: the words of all sentences and the first of each, (sentences + 1,); null for the whole vocabulary.
  Output(const Model& model, int sentences, const int32_t* words, const int64_t* starts) : model_(model) {
    if (!words) return;
    for (int s = 0; s < sentences; ++s) {
      words_.push_back({words + starts[s], static_cast<int>(starts[s + 1] - starts[s])});
      const Table& table = model.output_table;
      linears_.emplace_back();
      linears_.back().begin(words_.back().count, table.dim);
      for (int i = 0; i < words_.back().count; ++i) {
        const int token = words_.back().token(i);
        if (token < 0 || token >= table.count) throw std::runtime_error("a word is not in the vocabulary");
        linears_.back().set_row(i, table.row(token), table.scales[token], 0.0F);
      }
    }
  }

  bool is_whole() const { return words_.empty(); }
  Words words(int sentence) const { return is_whole() ? Words{nullptr, model_.output.out()} : words_[sentence]; }
  int stride(int sentence) const { return stride_of(words(sentence).count); }

  // Computes what the norms of the step need.
  void begin_step(const QuantizedRows& features) {
    if (is_whole()) return;
    const int stride = stride_of(model_.sample.out());
    model_.sample.run(features, 0, features.rows(), sample_logits_.get(static_cast<size_t>(features.rows()) * stride),
                      stride);
  }

  // The logarithm of the sum of exponentials over the whole vocabulary. That of the tokens which are not among a
  // sentence's words is estimated: their mean is that of a sample of them. Without it, the words would be too probable,
  // by what label smoothing gives to all other tokens, and a beam search would prefer other lengths.
  float norm(const float* logits, int sentence, int row, float temperature) {
    const Words of_sentence = words(sentence);
    const float listed = log_sum_exp(logits, of_sentence.count);
    const int others = model_.output.out() - of_sentence.count;
    if (is_whole() || others == 0) return listed;
    const int stride = stride_of(model_.sample.out());
    others_.clear();
    for (size_t i = 0; i < model_.sample_tokens.size(); ++i)
      if (of_sentence.index(model_.sample_tokens[i]) < 0)
        others_.push_back(sample_logits_.data()[static_cast<size_t>(row) * stride + i] / temperature);
    if (others_.empty()) return listed;
    const float mean =
        log_sum_exp(others_.data(), static_cast<int>(others_.size())) - std::log(static_cast<float>(others_.size()));
    const float both[2] = {listed, mean + std::log(static_cast<float>(others))};
    return log_sum_exp(both, 2);
  }

  // The logits of `rows` rows of a sentence; of the whole vocabulary, the rows may be of several sentences.
  float* run(const QuantizedRows& features, int sentence, int first, int rows) {
    float* logits = logits_.get(static_cast<size_t>(rows) * stride(sentence));
    const Int8Linear& linear = is_whole() ? model_.output : linears_[sentence];
    linear.run(features, first, rows, logits, stride(sentence));
    return logits;
  }

 private:
  const Model& model_;
  std::vector<Words> words_;
  std::vector<Int8Linear> linears_;
  std::vector<float> others_;
  Buffer logits_, sample_logits_;
};

// The search of one batch. The rows of a sentence are adjacent: one in the first step, then `beam_size`.
class Search {
 public:
  //   max_lens: maximum target length of each sentence, without its end.
  //   prefixes, prefix_starts: tokens that each translation begins with, and the first of each, (sentences + 1,).
  Search(const Model& model, const SearchSettings& settings, const int32_t* tokens, const int32_t* lengths,
         int sentences, const int32_t* max_lens, const int32_t* prefixes, const int64_t* prefix_starts,
         const int32_t* words, const int64_t* word_starts)
      : settings_(settings),
        max_lens_(max_lens),
        prefixes_(prefixes),
        prefix_starts_(prefix_starts),
        state_(model, tokens, lengths, sentences, sentences * settings.beam_size),
        output_(model, sentences, words, word_starts),
        hypotheses_(sentences) {
    for (int s = 0; s < sentences; ++s) {
      if (output_.words(s).index(settings.end) < 0)
        throw std::runtime_error("the words do not include the end of the sentence");
      active_.push_back(s);
      nodes_.push_back({-1, settings.end, 0.0F, 0.0F});
      node_of_row_.push_back(s);
    }
  }

  // Returns the hypotheses of each sentence, best first.
  std::vector<std::vector<Hypothesis>> run() {
    std::vector<int32_t> newest;
    while (!active_.empty()) {
      newest.clear();
      for (const int node : node_of_row_) newest.push_back(nodes_[node].token);
      const QuantizedRows& features = state_.step(newest.data());
      output_.begin_step(features);
      const int per_sentence = state_.rows() / static_cast<int>(active_.size());
      float* whole = output_.is_whole() ? output_.run(features, 0, 0, state_.rows()) : nullptr;
      continued_.clear();
      from_.clear();
      next_nodes_.clear();
      for (size_t i = 0; i < active_.size(); ++i) {
        const int s = active_[i], first = static_cast<int>(i) * per_sentence;
        float* logits = whole ? whole + static_cast<size_t>(first) * output_.stride(s)
                              : output_.run(features, s, first, per_sentence);
        select_candidates(s, first, per_sentence, logits);
        advance(s, first);
      }
      active_ = continued_;
      node_of_row_ = next_nodes_;
      if (!active_.empty()) state_.reorder(from_.data(), static_cast<int>(from_.size()));
    }
    for (auto& of_sentence : hypotheses_)
      std::stable_sort(of_sentence.begin(), of_sentence.end(),
                       [](const auto& a, const auto& b) { return a.score > b.score; });
    return std::move(hypotheses_);
  }

 private:
  struct Node {  // a token of a hypothesis, behind that of its parent; `score` is the sum of log-probabilities up to it
    int parent, token;
    float log_prob, score;
  };
  struct Candidate {
    float log_prob, score;
    int token, row;
  };

  int step() const { return state_.steps() - 1; }
  bool is_at_limit(int s) const { return step() >= max_lens_[s]; }

  // Fills `candidates_` with the best continuations of a sentence, twice as many as beams, best first.
  void select_candidates(int s, int first, int rows, float* logits) {
    const Words words = output_.words(s);
    const int most = 2 * settings_.beam_size, stride = output_.stride(s);
    const int end = words.index(settings_.end), padding = words.index(settings_.padding),
              unknown = words.index(settings_.unknown);
    const bool has_prefix = !is_at_limit(s) && prefix_starts_[s] + step() < prefix_starts_[s + 1];
    candidates_.clear();
    for (int r = first; r < first + rows; ++r) {
      float* x = logits + static_cast<size_t>(r - first) * stride;
      if (settings_.temperature != 1.0F)
        for (int i = 0; i < words.count; ++i) x[i] /= settings_.temperature;
      const float norm = output_.norm(x, s, r, settings_.temperature), before = nodes_[node_of_row_[r]].score;
      if (padding >= 0) x[padding] = kImpossible;
      if (unknown >= 0) x[unknown] -= settings_.unknown_penalty;
      if (is_at_limit(s) || has_prefix) {
        const int token = has_prefix ? prefixes_[prefix_starts_[s] + step()] : settings_.end,
                  index = words.index(token);
        if (index < 0) throw std::runtime_error("a word of a prefix is not among the words");
        best_.assign(1, {x[index], index});
      } else {
        if (step() < settings_.min_len) x[end] = kImpossible;
        find_largest(x, words.count, most, &best_);
      }
      for (const auto& [value, index] : best_)
        if (value > kImpossible) candidates_.push_back({value - norm, before + (value - norm), words.token(index), r});
    }
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    if (static_cast<int>(candidates_.size()) > most) candidates_.resize(most);
  }

  // Adds the candidates that end to the hypotheses; continues with the best others unless the sentence is finished.
  void advance(int s, int first) {
    const size_t beam_size = settings_.beam_size;
    std::vector<Hypothesis>& hypotheses = hypotheses_[s];
    bool can_continue = false;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      const Candidate& c = candidates_[i];
      const bool is_possible = c.score > kImpossible;  // the others continue a row that ended
      can_continue |= is_possible && c.token != settings_.end;
      if (is_possible && c.token == settings_.end && i < beam_size && hypotheses.size() < beam_size)
        add_hypothesis(s, c);
    }
    if (is_at_limit(s) || !can_continue) {
      if (hypotheses.empty()) end_first_row(s, first);
      return;
    }
    if (hypotheses.size() == beam_size) return;
    continued_.push_back(s);
    size_t rows = 0;
    for (const Candidate& c : candidates_)
      if (rows < beam_size && c.score > kImpossible && c.token != settings_.end) {
        add_row(c.row, {node_of_row_[c.row], c.token, c.log_prob, c.score});
        ++rows;
      }
    for (; rows < beam_size; ++rows)
      add_row(first, {node_of_row_[first], settings_.end, kImpossible, kImpossible});  // never chosen
  }

  void add_row(int from, const Node& node) {
    from_.push_back(from);
    next_nodes_.push_back(static_cast<int>(nodes_.size()));
    nodes_.push_back(node);
  }

  void add_hypothesis(int s, const Candidate& last) {
    Hypothesis h;
    h.tokens.push_back(last.token);
    h.token_scores.push_back(last.log_prob);
    for (int n = node_of_row_[last.row]; nodes_[n].parent >= 0; n = nodes_[n].parent) {
      h.tokens.push_back(nodes_[n].token);
      h.token_scores.push_back(nodes_[n].log_prob);
    }
    std::reverse(h.tokens.begin(), h.tokens.end());
    std::reverse(h.token_scores.begin(), h.token_scores.end());
    h.score = last.score / std::pow(static_cast<float>(h.tokens.size()), settings_.length_penalty);
    hypotheses_[s].push_back(std::move(h));
  }

  // Ends the first row of a sentence that has no hypothesis and nothing to continue with.
  void end_first_row(int s, int first) {
    const float score = nodes_[node_of_row_[first]].score;
    if (candidates_.empty()) throw std::domain_error("the model returns NaN");
    add_hypothesis(s, {0.0F, score, settings_.end, first});
  }

  const SearchSettings settings_;
  const int32_t* max_lens_;
  const int32_t* prefixes_;
  const int64_t* prefix_starts_;
  State state_;
  Output output_;
  std::vector<std::vector<Hypothesis>> hypotheses_;
  std::vector<int> active_, node_of_row_;  // the sentences that are not finished, and the last node of each row
  std::vector<Node> nodes_;                // all hypotheses, as trees
  std::vector<Candidate> candidates_;      // of one sentence
  std::vector<Ranked> best_;               // of one row
  std::vector<int> continued_, next_nodes_;
  std::vector<int32_t> from_;
};

// Scores given translations: the log-probability of each token, and its attention to the source.
//   targets: of all sentences, one behind the other, with their ends; scores: one for each target token;
//   attention: (all target tokens, max_source).
inline void force(const Model& model, const int32_t* tokens, const int32_t* lengths, const int32_t* targets,
                  const int32_t* target_lengths, int sentences, int32_t end, float* scores, float* attention) {
  State state(model, tokens, lengths, sentences, sentences);
  Output output(model, sentences, nullptr, nullptr);
  const int width = model.config.max_source, vocab_size = model.output.out();
  std::vector<size_t> start;
  std::vector<int32_t> active, newest, from;
  size_t total = 0;
  for (int s = 0; s < sentences; ++s) {
    start.push_back(total);
    total += target_lengths[s];
    active.push_back(s);
  }
  std::vector<float> of_step(static_cast<size_t>(sentences) * width);
  for (int t = 0;; ++t) {
    from.clear();
    std::vector<int32_t> left;
    for (size_t r = 0; r < active.size(); ++r)
      if (t < target_lengths[active[r]]) {
        from.push_back(static_cast<int32_t>(r));
        left.push_back(active[r]);
      }
    if (left.empty()) return;
    if (left.size() < active.size()) state.reorder(from.data(), static_cast<int>(from.size()));
    active = left;
    newest.clear();
    for (const int s : active) newest.push_back(t ? targets[start[s] + t - 1] : end);
    const QuantizedRows& features = state.step(newest.data(), of_step.data());
    const float* logits = output.run(features, 0, 0, static_cast<int>(active.size()));
    for (size_t r = 0; r < active.size(); ++r) {
      const float* x = logits + r * output.stride(0);
      const size_t at = start[active[r]] + t;
      if (targets[at] < 0 || targets[at] >= vocab_size) throw std::runtime_error("a token is not in the vocabulary");
      scores[at] = x[targets[at]] - log_sum_exp(x, vocab_size);
      std::copy(of_step.begin() + static_cast<std::ptrdiff_t>(r) * width,
                of_step.begin() + static_cast<std::ptrdiff_t>(r + 1) * width, attention + at * width);
    }
  }
}

}  // namespace resmlp

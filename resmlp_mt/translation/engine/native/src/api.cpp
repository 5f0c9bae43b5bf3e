// The C interface of the library, for ctypes. Functions return 0, or an error, whose text is in `resmlp_error`.
#include "search.hpp"

namespace {

using namespace resmlp;

enum Status { kOk = 0, kError = 1, kOutOfMemory = 2, kNotANumber = 3 };

thread_local std::string error_text;

template <class F>
int run(F function) {
  try {
    function();
    return kOk;
  } catch (const std::bad_alloc&) {
    error_text = "out of memory";
    return kOutOfMemory;
  } catch (const std::domain_error& error) {
    error_text = error.what();
    return kNotANumber;
  } catch (const std::exception& error) {
    error_text = error.what();
    return kError;
  }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

const char* resmlp_error() { return error_text.c_str(); }

// The best instruction set of this processor that the library can be compiled for.
const char* resmlp_instructions() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    return "avx512";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
  return "portable";
}

void* resmlp_model_new(const Config* config) { return new (std::nothrow) Model(*config); }

void resmlp_model_free(void* model) { delete static_cast<Model*>(model); }

int resmlp_model_set(void* model, const char* name, const void* data, int32_t rows, int32_t cols, int32_t is_int8) {
  return run([&] { static_cast<Model*>(model)->set(name, {data, rows, cols, is_int8 != 0}); });
}

int resmlp_model_finish(void* model) {
  return run([&] { static_cast<Model*>(model)->finish(); });
}

// hypotheses: the number of each sentence, (sentences,); the following arrays have `nbest` places for each sentence.
int resmlp_search(const void* model, const SearchSettings* settings, const int32_t* tokens, const int32_t* lengths,
                  int32_t sentences, const int32_t* max_lens, const int32_t* prefixes, const int64_t* prefix_starts,
                  const int32_t* words, const int64_t* word_starts, int32_t nbest, int32_t max_out, int32_t* hypotheses,
                  int32_t* out_lengths, float* out_scores, int32_t* out_tokens, float* out_token_scores) {
  return run([&] {
    Search search(*static_cast<const Model*>(model), *settings, tokens, lengths, sentences, max_lens, prefixes,
                  prefix_starts, words, word_starts);
    const auto results = search.run();
    for (int s = 0; s < sentences; ++s) {
      hypotheses[s] = std::min(nbest, static_cast<int32_t>(results[s].size()));
      for (int i = 0; i < hypotheses[s]; ++i) {
        const Hypothesis& h = results[s][i];
        const size_t at = static_cast<size_t>(s) * nbest + i;
        out_lengths[at] = static_cast<int32_t>(h.tokens.size());
        out_scores[at] = h.score;
        std::copy(h.tokens.begin(), h.tokens.end(), out_tokens + at * max_out);
        std::copy(h.token_scores.begin(), h.token_scores.end(), out_token_scores + at * max_out);
      }
    }
  });
}

int resmlp_force(const void* model, const int32_t* tokens, const int32_t* lengths, const int32_t* targets,
                 const int32_t* target_lengths, int32_t sentences, int32_t end, float* scores, float* attention) {
  return run([&] {
    force(*static_cast<const Model*>(model), tokens, lengths, targets, target_lengths, sentences, end, scores,
          attention);
  });
}

int resmlp_state_new(const void* model, const int32_t* tokens, const int32_t* lengths, int32_t sentences,
                     int32_t max_rows, void** state) {
  return run([&] { *state = new State(*static_cast<const Model*>(model), tokens, lengths, sentences, max_rows); });
}

void resmlp_state_free(void* state) { delete static_cast<State*>(state); }

int resmlp_state_reorder(void* state, const int32_t* from, int32_t rows) {
  return run([&] { static_cast<State*>(state)->reorder(from, rows); });
}

// logits: (rows, stride), with a stride of at least the vocabulary rounded up to 64.
int resmlp_state_step(const void* model, void* state, const int32_t* tokens, float* logits, int32_t stride) {
  return run([&] {
    const QuantizedRows& features = static_cast<State*>(state)->step(tokens);
    static_cast<const Model*>(model)->output.run(features, 0, features.rows(), logits, stride);
  });
}

}  // extern "C"
#pragma GCC visibility pop

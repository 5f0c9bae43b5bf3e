#!/usr/bin/env bash
# multi30k (29,000 image captions), from its text files to a scored translator, trained until it stops improving.
#
#   scripts/recipes/multi30k.sh FOLDER [SOURCE-TARGET] [options of fairseq-train...]
#
# FOLDER holds the data set's files (train.en.gz, val.en.gz or valid.en.gz, test_2016_flickr.en.gz or test.en.gz, ...), as in
# github.com/multi30k/dataset, data/task1/raw. EPOCHS=10 ends after 10 epochs, about 2,500 updates; what scripts/recipes/recipe.sh says
# may be set, too.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
if [ $# -lt 1 ] || [ ! -d "$1" ]; then
  echo "multi30k.sh: FOLDER must be a folder with the text of multi30k, but is '${1:-}'; get it from github.com/multi30k/dataset" >&2
  exit 2
fi
text=$(realpath "$1")
source "$(dirname "$0")/../environment.sh"
source "$root/scripts/recipes/recipe.sh"
shift
pair=$(take_pair en-de "$@")
[[ "${1:-}" != "$pair" ]] || shift
choose_system multi30k
data=${DATA:-$root/runs/data/multi30k.$pair}
run=${RUN:-$root/runs/multi30k.$pair.$name}

prepare_data multi30k "$pair" "$data" --from-dir "$text" --vocab-size 8000
# A training of 10 epochs does best with dropout 0.1 (docs/results.md); one to convergence needs more, or it overfits.
dropout=()
[ "$system" != resmlp ] || [ -n "${EPOCHS:-}" ] || dropout=(--dropout 0.2)
# 2,048 tokens: as the first prototype. Patience 10: as Wu et al. 2021; 100 epochs are a limit, not a goal.
train_model "$data" "${pair%-*}" "${pair#*-}" "$run" 2048 "${system_words[@]}" "${dropout[@]}" \
  --max-epoch "${EPOCHS:-100}" --patience 10 --keep-last-epochs 10 --num-workers 0 "$@"
finish_model "$data" "${pair%-*}" "${pair#*-}" "$run" 10 1.0 --tokenised

if wants finish && [ -z "${DRY_RUN:-}" ] && [ "$system" = resmlp ]; then
  echo "The same model in fairseq's own interactive command, on raw lines:"
  head -3 "$data/raw/test.${pair%-*}" |
    fairseq-interactive "$data" --user-dir resmlp_mt --path "$run/averaged.pt" --source-lang "${pair%-*}" \
      --target-lang "${pair#*-}" --bpe sentencepiece --sentencepiece-model "$data/spm.model" --beam 4 2>/dev/null |
    grep -E '^(S|D)-'
fi

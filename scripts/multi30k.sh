#!/usr/bin/env bash
# Real data end to end: multi30k, from its text files to a scored translator.
#
#   scripts/multi30k.sh FOLDER [SOURCE-TARGET]
#
# FOLDER holds the data set's files (train.en.gz, val.en.gz or valid.en.gz, test_2016_flickr.en.gz or test.en.gz, ...), as in
# github.com/multi30k/dataset, data/task1/raw. EPOCHS (default 10) and RUN (default runs/multi30k.SOURCE-TARGET) may be set.
# Run again, it does only what is missing.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -d "$1" ]; then
  echo "multi30k.sh: FOLDER must be a folder with the text of multi30k, but is '${1:-}'; get it from github.com/multi30k/dataset" >&2
  exit 2
fi
source "$(dirname "$0")/environment.sh"
text=$(realpath "$1")
pair=${2:-en-de}
source "$root/scripts/recipe.sh"
run=${RUN:-$root/runs/multi30k.$pair}
data=$run/data

python -m data_prep multi30k --pair "$pair" --from-dir "$text" --vocab-size 8000 --out "$data"
train_model "$data" "${pair%-*}" "${pair#*-}" "$run" --arch resmlp_multi30k --max-tokens 2048 \
  --lr-scheduler inverse_sqrt --warmup-updates 1000 --warmup-init-lr 1e-7 --max-epoch "${EPOCHS:-10}"
finish_model "$data" "${pair%-*}" "${pair#*-}" "$run" "$((${EPOCHS:-10} < 5 ? ${EPOCHS:-10} : 5))"

echo "The same model in fairseq's own interactive command, on raw lines:"
head -3 "$data/raw/test.${pair%-*}" |
  fairseq-interactive "$data" --user-dir resmlp_mt --path "$run/averaged.pt" --source-lang "${pair%-*}" \
    --target-lang "${pair#*-}" --bpe sentencepiece --sentencepiece-model "$data/spm.model" --beam 5 2>/dev/null |
  grep -E '^(S|D)-'

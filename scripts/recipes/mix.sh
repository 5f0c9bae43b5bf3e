#!/usr/bin/env bash
# Three real English-German sets together (multi30k, Tatoeba, .NET documentation; 342,605 pairs), at the size of the WMT models.
#
#   [SYSTEM=transformer] scripts/recipes/mix.sh FOLDER [options of fairseq-train...]
#
# FOLDER holds multi30k, tatoeba.en-de and dotnet-docs.en-de, each with {train,valid,test}.{en,de}.gz. What else may be set:
# scripts/recipes/recipe.sh. Not yet run to its end.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
if [ $# -lt 1 ] || [ ! -d "$1" ]; then
  echo "mix.sh: FOLDER must be a folder with multi30k, tatoeba.en-de and dotnet-docs.en-de, but is '${1:-}'; name it" >&2
  exit 2
fi
text=$(realpath "$1")
source "$(dirname "$0")/../environment.sh"
source "$root/scripts/recipes/recipe.sh"
shift
choose_system mix
data=${DATA:-$root/runs/data/mix.en-de}
run=${RUN:-$root/runs/mix.en-de.$name}

sets=(multi30k tatoeba.en-de dotnet-docs.en-de)
if wants data && [ -z "${DRY_RUN:-}" ]; then # one validation set of all three: the best checkpoint is the one that is best for all
  mkdir -p "$data.text"
  for lang in en de; do
    for set in "${sets[@]}"; do gzip -dc "$text/$set/valid.$lang.gz"; done >"$data.text/valid.$lang"
  done
fi
prepare_data files en-de "$data" --vocab-size 16000 --valid "$data.text/valid" \
  $(for set in "${sets[@]}"; do echo "--train $text/$set/train --test $text/$set/test"; done)
# 16,384 tokens: half of the WMT batch, so that 30 epochs are about 10,000 updates. Patience 6: a fifth of them.
train_model "$data" en de "$run" 16384 "${system_words[@]}" \
  --max-epoch 30 --patience 6 --keep-last-epochs 5 --num-workers 2 "$@"
finish_model "$data" en de "$run" 5 1.0

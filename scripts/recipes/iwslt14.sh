#!/usr/bin/env bash
# IWSLT14 German-English (160,000 pairs of TED talks), in the split and with the settings of fairseq's well-known recipe.
#
#   [SYSTEM=transformer] [FROM_DIR=FOLDER] scripts/recipes/iwslt14.sh [options of fairseq-train...]
#
# FROM_DIR holds de-en.tgz, else it is downloaded. What else may be set: scripts/recipes/recipe.sh. Not yet run to its end.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
source "$(dirname "$0")/../environment.sh"
source "$root/scripts/recipes/recipe.sh"
choose_system iwslt_de_en
data=${DATA:-$root/runs/data/iwslt14.de-en}
run=${RUN:-$root/runs/iwslt14.de-en.$name}

prepare_data iwslt14 de-en "$data" --vocab-size 10000 ${FROM_DIR:+--from-dir "$FROM_DIR"}
# fairseq, examples/translation/README.md: 4,096 tokens an update. 60 epochs are about 60,000 updates, more than such models improve
# for; patience 10 ends the training before. Text keeps its case here, so that scores are not those of lower-cased papers.
train_model "$data" de en "$run" 4096 "${system_words[@]}" \
  --max-epoch 60 --patience 10 --keep-last-epochs 10 --num-workers 2 "$@"
finish_model "$data" de en "$run" 10 1.0 --tokenised

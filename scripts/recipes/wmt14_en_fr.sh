#!/usr/bin/env bash
# WMT14 English-French (40.8 million pairs), table 5 of the paper (arXiv:2105.03404): ResMLP-6 40.3, ResMLP-12 40.6.
#
#   [LAYERS=12] [SYSTEM=transformer] [FROM_DIR=FOLDER] scripts/recipes/wmt14_en_fr.sh [options of fairseq-train...]
#
# FROM_DIR holds the files of WMT14, else they are downloaded. What else may be set: scripts/recipes/recipe.sh. Not yet run to its end.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
source "$(dirname "$0")/../environment.sh"
source "$root/scripts/recipes/recipe.sh"
# The paper's settings are where wmt14_en_de.sh says; here its dropout is 0.1.
choose_system wmt_en_fr
data=${DATA:-$root/runs/data/wmt14.en-fr}
run=${RUN:-$root/runs/wmt14.en-fr.$name}

# Paper, section 3.6: the set-up of Ott et al. 2018: Moses tokens, a joint BPE of 40,000, newstest2013 to validate.
prepare_data wmt14 en-fr "$data" --tokenizer moses --vocab-size 40000 ${FROM_DIR:+--from-dir "$FROM_DIR"}
# As for English-German, where each choice has its reason, but 300,000 updates: nine times the pairs, so that even twice as long a
# training sees each of them only about eight times.
train_model "$data" en fr "$run" 32768 "${system_words[@]}" \
  --max-update 300000 --save-interval-updates 3000 --keep-interval-updates 10 --no-epoch-checkpoints --patience 20 \
  --validate-interval 1000000 --num-workers 2 "$@"
finish_model "$data" en fr "$run" 10 0.6 --tokenised

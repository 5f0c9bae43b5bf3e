#!/usr/bin/env bash
# WMT14 English-German (4.5 million pairs), table 5 of the paper (arXiv:2105.03404): ResMLP-6 26.4, ResMLP-12 26.8.
#
#   [LAYERS=12] [SYSTEM=transformer] [FROM_DIR=FOLDER] scripts/recipes/wmt14_en_de.sh [options of fairseq-train...]
#
# FROM_DIR holds the files of WMT14, else they are downloaded. What else may be set: scripts/recipes/recipe.sh. Not yet run to its end.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
source "$(dirname "$0")/../environment.sh"
source "$root/scripts/recipes/recipe.sh"
# The paper's settings (Adagrad 0.2, linear warm-up over 32,000 updates, LayerScale 0.2, dropout 0.15) are in the table of systems
# and that of architectures; label smoothing 0.1 and beam 4, the paper's too, are in recipe.sh.
choose_system wmt_en_de
data=${DATA:-$root/runs/data/wmt14.en-de}
run=${RUN:-$root/runs/wmt14.en-de.$name}

# Paper, section 3.6: the set-up of Ott et al. 2018: Moses tokens, a joint BPE of 32,000, newstest2013 to validate.
prepare_data wmt14 en-de "$data" --tokenizer moses --vocab-size 32000 ${FROM_DIR:+--from-dir "$FROM_DIR"}
# The paper is silent on the rest. 32,768 tokens an update: 8 GPUs of 4,096, near the 25,000 of Vaswani et al. 150,000 updates: the
# 100,000 of Vaswani et al. after a warm-up eight times as long. A checkpoint every 1,500 updates, of which the last 10 are averaged,
# is the last tenth of the training. Patience 20: 30,000 updates without a better validation.
train_model "$data" en de "$run" 32768 "${system_words[@]}" \
  --max-update 150000 --save-interval-updates 1500 --keep-interval-updates 10 --no-epoch-checkpoints --patience 20 \
  --validate-interval 1000000 --num-workers 2 "$@"
# Length penalty 0.6: Vaswani et al. and Ott et al. --tokenised adds the paper's way of scoring to sacrebleu's.
finish_model "$data" en de "$run" 10 0.6 --tokenised

#!/usr/bin/env bash
# Self-supervised training on scikit-learn's digits, without a download: DINO without labels, then k-NN and a linear probe
# on its features.
#
#   scripts/recipes/dino_digits.sh
#
# Variables: UPDATES (default 1500), SEED (default 1) and RUN (default runs/dino_digits). Run again, it does only the missing steps.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
source "$(dirname "$0")/../environment.sh"
PATH=$venv/bin:$PATH
cd "$root"
run=${RUN:-$root/runs/dino_digits}

read_training dino_digits
run_training fairseq-train . --user-dir resmlp_mt "${options[@]}" --max-update "${UPDATES:-1500}" --seed "${SEED:-1}" --save-dir "$run" |
  show_lines -e 's/.* valid \| (epoch [0-9]+) .* (loss [0-9.]+ \| teacher_entropy [0-9.]+ \| mean_entropy [0-9.]+ \| knn_top1 [0-9.]+) .*/  \1: \2/p'

checkpoint=$run/checkpoint_last.pt
for network in "" "--network student" "--untrained ${SEED:-1}"; do
  echo "k-NN and a linear probe on the features${network:+, $network}:"
  run_or_print resmlp-mt vision knn "$checkpoint" --dataset-name digits $network
  run_or_print resmlp-mt vision linear-probe "$checkpoint" --dataset-name digits $network
done

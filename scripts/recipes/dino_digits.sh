#!/usr/bin/env bash
# Self-supervision end to end on scikit-learn's digits, which need no download: DINO without labels, then what its features know.
#
#   scripts/recipes/dino_digits.sh
#
# UPDATES (default 1500), SEED (default 1) and RUN (default runs/dino_digits) may be set. Run again, it does only what is missing.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
source "$(dirname "$0")/../environment.sh"
PATH=$venv/bin:$PATH
cd "$root"
run=${RUN:-$root/runs/dino_digits}

# Small pictures: no mirror images, since digits have none, and crops that still show a good part of one. A short training: the teacher
# follows sooner than the paper's 0.996, and the layers count from the start.
training=(
  fairseq-train . --user-dir resmlp_mt --task resmlp_dino --criterion resmlp_dino --arch resmlp_digits --layer-scale 1
  --dataset-name digits --local-crops 2 --local-crop-size 6 --crop-split 0.6 --smallest-crop 0.3 --flip 0 --colours 0.5 --blur 0
  --head-dim 256 --head-hidden-dim 128 --head-bottleneck-dim 32 --teacher-momentum 0.98
  --optimizer resmlp_adamw --weight-decay 0.04 --lr 3e-3 --lr-scheduler cosine --warmup-updates 50 --clip-norm 3
  --batch-size 64 --max-update "${UPDATES:-1500}" --seed "${SEED:-1}" --num-workers 0 --no-epoch-checkpoints
  --best-checkpoint-metric knn_top1 --maximize-best-checkpoint-metric --validate-interval 10
  --no-progress-bar --log-format simple --log-interval 50 --save-dir "$run"
)
if [ -n "${DRY_RUN:-}" ]; then
  print_command "${training[@]}"
else
  mkdir -p "$run"
  "${training[@]}" 2>&1 |
    tee -a "$run/train.log" | sed -unE \
    -e 's/.* valid \| (epoch [0-9]+) .* (loss [0-9.]+ \| teacher_entropy [0-9.]+ \| mean_entropy [0-9.]+ \| knn_top1 [0-9.]+) .*/  \1: \2/p' \
    -e 's/.*(fairseq-train: error: .*)/\1/p' -e 's/^([A-Za-z]*Error: .*)/\1/p'
fi

checkpoint=$run/checkpoint_last.pt
for network in "" "--network student" "--untrained ${SEED:-1}"; do
  echo "k-NN and a linear layer on the features${network:+, $network}:"
  run_or_print resmlp-mt vision knn "$checkpoint" --dataset-name digits $network
  run_or_print resmlp-mt vision linear-probe "$checkpoint" --dataset-name digits $network
done

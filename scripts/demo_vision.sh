#!/usr/bin/env bash
# Image classification on pictures that come with scikit-learn, 8 x 8 digits: train, evaluate, predict. About 2 minutes on
# 2 CPU cores after installation. Run again, it does only what is missing. RUN chooses the folder (default: runs/demo_vision)
# and SEED the seed (default: 1).
set -euo pipefail
source "$(dirname "$0")/dry_run.sh"
source "$(dirname "$0")/environment.sh"
PATH=$venv/bin:$PATH
cd "$root"
run=${RUN:-$root/runs/demo_vision}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # so small a model is slower with more; the second core prepares pictures
echo "== Training a small ResMLP on 1,442 pictures of digits"
# The paper's optimiser and schedule; few changes to pictures: a mirrored or erased digit of 8 x 8 is another one, or none.
training=(
  fairseq-train . --user-dir resmlp_mt --task resmlp_image_classification --dataset-name digits --arch resmlp_digits
  --criterion resmlp_image_cross_entropy --label-smoothing 0.1
  --optimizer resmlp_lamb --lr 0.02 --lr-scheduler cosine --warmup-updates 46 --max-update 460 --max-epoch 20
  --repeated-augmentation 1 --rand-augment none --random-erasing 0 --mixup 0 --cutmix 0 --flip 0 --crop-scale 0.7
  --batch-size 64 --num-workers 1 --seed "${SEED:-1}" --cpu --no-epoch-checkpoints
  --best-checkpoint-metric top1 --maximize-best-checkpoint-metric
  --no-progress-bar --log-format simple --log-interval 23 --save-dir "$run"
)
if [ -n "${DRY_RUN:-}" ]; then
  print_command "${training[@]}"
else
  mkdir -p "$run"
  "${training[@]}" 2>&1 |
    tee -a "$run/train.log" | sed -unE \
    -e 's/.* valid \| (epoch [0-9]+) .* (loss [0-9.]+) .*top1 ([0-9.]+) .*/  \1: validation \2, top-1 \3 %/p' \
    -e 's/.*(fairseq-train: error: .*)/\1/p' -e 's/^([A-Za-z]*Error: .*)/\1/p'
fi

echo "== Evaluating the best checkpoint on the 355 pictures held out"
run_or_print resmlp-mt vision evaluate "$run/checkpoint_best.pt" --dataset-name digits --json "$run/scores.json" \
  --figure "$run/confusions.png"

echo "== Classifying picture files"
[ -n "${DRY_RUN:-}" ] || python - "$run/pictures" <<'END'
import sys
from pathlib import Path

from resmlp_mt.vision.data.datasets import load_dataset

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
images = load_dataset("digits", "", "valid")
for number in range(10):
    picture, label = images[number]
    picture.save(folder / f"{number}_is_{label}.png")
END
run_or_print resmlp-mt vision predict "$run/checkpoint_best.pt" "$run/pictures" --top-k 3

[ -n "${DRY_RUN:-}" ] || echo "The confusions are drawn in $run/confusions.png, the scores with all settings in $run/scores.json."

#!/usr/bin/env bash
# Image classification on the 8 x 8 digits of scikit-learn: train, evaluate, predict. About 2 minutes on 2 CPU cores after
# installation. Run again, it does only the missing steps. RUN sets the folder (default: runs/demo_vision) and SEED the
# seed (default: 1).
set -euo pipefail
source "$(dirname "$0")/dry_run.sh"
source "$(dirname "$0")/environment.sh"
PATH=$venv/bin:$PATH
cd "$root"
run=${RUN:-$root/runs/demo_vision}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # more threads slow down a model this small; the second core prepares images
echo "== Training a small ResMLP on 1,442 images of digits"
read_training vision_digits
run_training fairseq-train . --user-dir resmlp_mt "${options[@]}" --seed "${SEED:-1}" --save-dir "$run" |
  show_lines -e 's/.* valid \| (epoch [0-9]+) .* (loss [0-9.]+) .*top1 ([0-9.]+) .*/  \1: validation \2, top-1 \3 %/p'

echo "== Evaluating the best checkpoint on the 355 held-out images"
run_or_print resmlp-mt vision evaluate "$run/checkpoint_best.pt" --dataset-name digits --json "$run/scores.json" \
  --figure "$run/confusions.png"

echo "== Classifying image files"
[ -n "${DRY_RUN:-}" ] || python - "$run/images" <<'END'
import sys
from pathlib import Path

from resmlp_mt.vision.data.datasets import load_dataset

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
images = load_dataset("digits", "", "valid")
for number in range(10):
    image, label = images[number]
    image.save(folder / f"{number}_is_{label}.png")
END
run_or_print resmlp-mt vision predict "$run/checkpoint_best.pt" "$run/images" --top-k 3

[ -n "${DRY_RUN:-}" ] || echo "Figure of the confusions: $run/confusions.png. Scores with all settings: $run/scores.json."

#!/usr/bin/env bash
# ResMLP on ImageNet-1k from scratch, by the paper's scheme (resmlp_mt/experiments/recipes/config/imagenet.yaml).
#
#   scripts/recipes/imagenet.sh FOLDER [ARCHITECTURE]
#
# FOLDER has train/ and val/ with a folder per class; real.json and imagenetv2-matched-frequency-format-val/ are evaluated
# if present. ARCHITECTURE (default resmlp_s12) is one of resmlp_mt/vision/model/architectures.py. GPUS (default: all of this
# machine) times BATCH (images per GPU, default 256) must divide 2048, the images per update. RUN sets the folder (default:
# runs/imagenet.ARCHITECTURE). Run again, it resumes.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
if [ $# -lt 1 ] || [ ! -d "$1/train" ] || [ ! -d "$1/val" ]; then
  echo "imagenet.sh: FOLDER must contain train/ and val/ of ImageNet-1k, but is '${1:-}'; unpack the archives with torchvision.datasets.ImageNet" >&2
  exit 2
fi
source "$(dirname "$0")/../environment.sh"
images=$(realpath "$1")
arch=${2:-resmlp_s12}
run=${RUN:-$root/runs/imagenet.$arch}
PATH=$venv/bin:$PATH
cd "$root"
gpus=${GPUS:-$(python -c 'import torch; print(torch.cuda.device_count())')}
batch=${BATCH:-256}
if [ "$gpus" -lt 1 ] || [ $((2048 % (gpus * batch))) -ne 0 ]; then
  echo "imagenet.sh: GPUS x BATCH must divide 2048, but is $gpus x $batch; set GPUS=... or BATCH=..." >&2
  exit 2
fi

read_training imagenet
run_training fairseq-train "$images" --user-dir resmlp_mt "${options[@]}" --arch "$arch" \
  --batch-size "$batch" --update-freq $((2048 / (gpus * batch))) --distributed-world-size "$gpus" --save-dir "$run"

for split in valid real v2; do
  case $split in
    real) [ -f "$images/real.json" ] || continue ;;
    v2) [ -d "$images/imagenetv2-matched-frequency-format-val" ] || continue ;;
  esac
  run_or_print resmlp-mt vision evaluate "$run/checkpoint_best.pt" --dataset-name imagenet --root "$images" --split "$split" \
    --device cuda --json "$run/scores.$split.json"
done

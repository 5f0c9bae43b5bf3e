#!/usr/bin/env bash
# ResMLP on ImageNet-1k from scratch, by the paper's scheme (arXiv:2105.03404, section 3.1; the rest DeiT's).
#
#   scripts/recipes/imagenet.sh FOLDER [ARCHITECTURE]
#
# FOLDER holds train/ and val/ with a folder a class; real.json and imagenetv2-matched-frequency-format-val/ are evaluated
# where present. ARCHITECTURE (default resmlp_s12) is one of resmlp_mt/vision/architectures.py. GPUS (default: all of this
# machine) and BATCH (pictures of one GPU at a time, default 256) must give 2048 pictures an update together with a whole
# number of accumulated batches. RUN chooses the folder (default: runs/imagenet.ARCHITECTURE). Run again, it resumes.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
if [ $# -lt 1 ] || [ ! -d "$1/train" ] || [ ! -d "$1/val" ]; then
  echo "imagenet.sh: FOLDER must hold train/ and val/ of ImageNet-1k, but is '${1:-}'; unpack the archives with torchvision.datasets.ImageNet" >&2
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
  echo "imagenet.sh: GPUS x BATCH must divide 2048, but is $gpus x $batch; choose others with GPUS=... BATCH=..." >&2
  exit 2
fi
updates=626 # of an epoch: 1,281,167 pictures, 2048 an update

training=(
  fairseq-train "$images" --user-dir resmlp_mt --task resmlp_image_classification --dataset-name imagenet --arch "$arch"
  --drop-path 0.05 --criterion resmlp_image_cross_entropy --label-smoothing 0.1
  --optimizer resmlp_lamb --lr 5e-3 --weight-decay 0.2
  --lr-scheduler cosine --warmup-updates $((5 * updates)) --warmup-init-lr 1e-6 --min-lr 1e-5
  --max-update $((400 * updates)) --max-epoch 400
  --repeated-augmentation 3 --rand-augment rand-m9-mstd0.5-inc1 --random-erasing 0.25 --mixup 0.8 --cutmix 1.0
  --batch-size "$batch" --update-freq $((2048 / (gpus * batch))) --distributed-world-size "$gpus" --num-workers 10 --seed 1
  --store-ema --ema-decay 0.99996
  --best-checkpoint-metric top1 --maximize-best-checkpoint-metric --keep-last-epochs 3
  --no-progress-bar --log-format json --log-interval 100 --save-dir "$run"
)
if [ -n "${DRY_RUN:-}" ]; then
  print_command "${training[@]}"
else
  mkdir -p "$run"
  "${training[@]}" 2>&1 | tee -a "$run/train.log"
fi

for split in valid real v2; do
  case $split in
    real) [ -f "$images/real.json" ] || continue ;;
    v2) [ -d "$images/imagenetv2-matched-frequency-format-val" ] || continue ;;
  esac
  run_or_print resmlp-mt vision evaluate "$run/checkpoint_best.pt" --dataset-name imagenet --root "$images" --split "$split" \
    --device cuda --json "$run/scores.$split.json"
done

#!/usr/bin/env bash
# The main job on the embedded corpus: prepare, train, translate, score. 3 to 9 minutes on 2 CPU cores after installation.
# Run again, it does only what is missing. RUN chooses the folder (default: runs/demo).
set -euo pipefail
source "$(dirname "$0")/dry_run.sh"
source "$(dirname "$0")/environment.sh"
source "$root/scripts/recipes/recipe.sh"
run=${RUN:-$root/runs/demo}
data=$run/data

echo "== Preparing the embedded English-German corpus"
run_or_print python -m data_prep demo --pair en-de --vocab-size 2000 --out "$data"
train_model "$data" en de "$run" 1024 --arch resmlp_multi30k --dropout 0.05 --max-epoch 6 --keep-last-epochs 5 \
  --optimizer adam --adam-betas '(0.9, 0.98)' --lr 5e-3 --clip-norm 1.0 --num-workers 0 \
  --lr-scheduler polynomial_decay --warmup-updates 300 --total-num-update 2460
finish_model "$data" en de "$run" 3 1.0

[ -z "${DRY_RUN:-}" ] || exit 0
cat <<END
Translate interactively, with the bundle or with fairseq's own command:

  ${venv_python%python}resmlp-mt interactive $run/model
  ${venv_python%python}fairseq-interactive $data --user-dir resmlp_mt --path $run/averaged.pt --source-lang en --target-lang de \\
    --bpe sentencepiece --sentencepiece-model $data/spm.model --beam 4
END

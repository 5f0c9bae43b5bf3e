#!/usr/bin/env bash
# Your own data: picks model, dropout, optimizer and batch by the size of a prepared folder, says why and how long it takes, trains and
# scores. Without a GPU it picks a model that trains in hours on the processor; FOR=gpu or FOR=cpu asks for either.
#
#   python -m data_prep files --pair en-de --from-dir TEXT --out DATA
#   scripts/recipes/own.sh DATA [--dry-run] [options of fairseq-train...]
#
# --dry-run prints picks and command and ends. STEPS, RUN, MAX_UPDATE, TOKENS_PER_GPU and the machines: scripts/recipes/recipe.sh.
set -euo pipefail
source "$(dirname "$0")/../dry_run.sh"
if [ $# -lt 1 ] || [ ! -f "$1/manifest.json" ]; then
  echo "own.sh: DATA must be a folder prepared by \`python -m data_prep\`, but is '${1:-}'; prepare it, or name another" >&2
  exit 2
fi
data=$(realpath "$1")
shift
if [ -n "${SYSTEM:-}${LAYERS:-}${SIZE:-}" ]; then
  echo "own.sh: SYSTEM, LAYERS and SIZE must not be set, since own.sh picks a ResMLP for the folder that it is given; unset them" >&2
  exit 2
fi
source "$(dirname "$0")/../environment.sh"
source "$root/scripts/recipes/recipe.sh"
run=${RUN:-$root/runs/own.$(basename "$data")}

echo "== Picks"
python -m resmlp_mt.experiments.recommend "$data" ${FOR:+--for "$FOR"}
picks=$(python -m resmlp_mt.experiments.recommend "$data" ${FOR:+--for "$FOR"} --form words)
mapfile -t picks <<<"$picks"
pair=${picks[0]} batch=${picks[1]}
train_model "$data" "${pair%-*}" "${pair#*-}" "$run" "$batch" --arch resmlp "${picks[@]:2}" \
  --clip-norm 1.0 --lr-scheduler inverse_sqrt --warmup-init-lr 1e-7 \
  --keep-interval-updates 5 --no-epoch-checkpoints --validate-interval 1000000 --num-workers 2 "$@"
finish_model "$data" "${pair%-*}" "${pair#*-}" "$run" 5 1.0

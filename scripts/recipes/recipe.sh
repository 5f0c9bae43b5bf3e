# Sourced by the recipes: run_recipe converts environment variables to options of `resmlp-mt train`. Variables:
#
#   SYSTEM=resmlp|transformer|convs2s|lstm|lightconv|dynamicconv    system to train (resmlp_mt/experiments/systems.py)
#   LAYERS=6|12                        layers of ResMLP and Transformer, at the WMT sizes
#   SIZE=tiny                          a model that learns nothing, to test a recipe in minutes
#   STEPS="data train finish"          stages to run; several machines train, one runs the others
#   DATA, RUN                          folders of the prepared data and the training
#   FROM_DIR                           folder with the files of the corpus
#   EPOCHS, MAX_UPDATE                 when to end the training
#   FOR=gpu|cpu                        device that own.sh picks a model for
#   TOKENS_PER_GPU                     maximum number of target tokens that fit into the memory of one GPU
#   NODES, NODE_RANK, HEAD             several machines: resmlp_mt/experiments/launch/
#   DRY_RUN=1                          print the commands and do nothing, like the option --dry-run
#
# Further arguments are passed to `resmlp-mt train`, and from there to fairseq-train. Run again, a recipe does only the missing steps.

source "$(dirname "${BASH_SOURCE[0]}")/../dry_run.sh"

# Exits with one line and status 2 unless FOLDER is a folder. Usage: require_folder FOLDER "what it must be"
require_folder() {
  [ -d "$1" ] && return
  echo "$(basename "$0"): FOLDER must be $2, but is '$1'" >&2
  exit 2
}

# Usage: run_recipe NAME [arguments of `resmlp-mt train`...]
run_recipe() {
  source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"
  PATH=$venv/bin:$PATH
  cd "$root"
  exec python -m resmlp_mt.cli.main train --recipe "$1" \
    ${DRY_RUN:+--dry-run} ${SYSTEM:+--system "$SYSTEM"} ${LAYERS:+--layers "$LAYERS"} ${SIZE:+--size "$SIZE"} \
    ${STEPS:+--stages "$STEPS"} ${DATA:+--data "$DATA"} ${RUN:+--run "$RUN"} ${FROM_DIR:+--from-dir "$FROM_DIR"} \
    ${EPOCHS:+--epochs "$EPOCHS"} ${FOR:+--for "$FOR"} ${TOKENS_PER_GPU:+--tokens-per-gpu "$TOKENS_PER_GPU"} \
    "${@:2}" ${MAX_UPDATE:+--max-update "$MAX_UPDATE"}
}

# Sourced by the recipes: run_recipe turns variables of the environment into options of `resmlp-mt train`. Variables:
#
#   SYSTEM=resmlp|transformer|convs2s|lstm|lightconv|dynamicconv    what is trained (resmlp_mt/experiments/systems.py)
#   LAYERS=6|12                        of ResMLP and Transformer, at the WMT sizes
#   SIZE=tiny                          a model that learns nothing, to try a recipe in minutes
#   STEPS="data train finish"          the stages to run; several machines train, one does the rest
#   DATA, RUN                          folders of the prepared data and of the training
#   FROM_DIR                           the files of the corpus
#   EPOCHS, MAX_UPDATE                 where to end
#   FOR=gpu|cpu                        device that own.sh picks a model for
#   TOKENS_PER_GPU                     most target tokens that one GPU has memory for
#   NODES, NODE_RANK, HEAD             several machines: resmlp_mt/experiments/launch/
#   DRY_RUN=1                          print the commands and do nothing, as the option --dry-run
#
# Further arguments go to `resmlp-mt train`, and from there to fairseq-train. Run again, a recipe does what is missing.

source "$(dirname "${BASH_SOURCE[0]}")/../dry_run.sh"

# Ends with one line and status 2 unless FOLDER is a folder. Usage: require_folder FOLDER "what it must be"
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

#!/usr/bin/env bash
# The main job on the embedded corpus: prepare, train, translate, score. 3 to 9 minutes on 2 CPU cores after installation.
# Run again, it does only what is missing. RUN chooses the folder (default: runs/demo).
set -euo pipefail
source "$(dirname "$0")/recipes/recipe.sh"
RUN=${RUN:-runs/demo} DATA=${RUN:-runs/demo}/data
run_recipe demo "$@"

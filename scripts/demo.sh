#!/usr/bin/env bash
# Prepares the embedded corpus, trains, translates and scores. 3 to 9 minutes on 2 CPU cores after installation.
# Run again, it does only the missing steps. RUN sets the folder (default: runs/demo).
set -euo pipefail
source "$(dirname "$0")/recipes/recipe.sh"
RUN=${RUN:-runs/demo} DATA=${RUN:-runs/demo}/data
run_recipe demo "$@"

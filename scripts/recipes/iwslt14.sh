#!/usr/bin/env bash
# IWSLT14 German-English: [SYSTEM=transformer] [FROM_DIR=FOLDER] scripts/recipes/iwslt14.sh [options of fairseq-train...]
set -euo pipefail
source "$(dirname "$0")/recipe.sh"
run_recipe iwslt14 "$@"

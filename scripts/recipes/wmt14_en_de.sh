#!/usr/bin/env bash
# WMT14 English-German: [LAYERS=12] [SYSTEM=transformer] [FROM_DIR=FOLDER] scripts/recipes/wmt14_en_de.sh [options of fairseq-train...]
set -euo pipefail
source "$(dirname "$0")/recipe.sh"
run_recipe wmt14_en_de "$@"

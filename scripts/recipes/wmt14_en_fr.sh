#!/usr/bin/env bash
# WMT14 English-French: [LAYERS=12] [SYSTEM=transformer] [FROM_DIR=FOLDER] scripts/recipes/wmt14_en_fr.sh [options of fairseq-train...]
set -euo pipefail
source "$(dirname "$0")/recipe.sh"
run_recipe wmt14_en_fr "$@"

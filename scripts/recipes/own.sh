#!/usr/bin/env bash
# The same as `resmlp-mt train DATA`, in this project's environment: scripts/recipes/own.sh DATA [options of fairseq-train...]
set -euo pipefail
source "$(dirname "$0")/recipe.sh"
[ -f "${1:-}/manifest.json" ] || require_folder "" "a folder prepared by \`resmlp-mt prepare\`"
unset DATA
run_recipe custom "$(realpath "$1")" "${@:2}"

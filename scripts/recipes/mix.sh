#!/usr/bin/env bash
# Three English-German data sets: [SYSTEM=transformer] scripts/recipes/mix.sh FOLDER [options of fairseq-train...]
# FOLDER contains multi30k, tatoeba.en-de and dotnet-docs.en-de, each with {train,valid,test}.{en,de}.gz.
set -euo pipefail
source "$(dirname "$0")/recipe.sh"
require_folder "${1:-}" "a folder with multi30k, tatoeba.en-de and dotnet-docs.en-de"
run_recipe mix --from-dir "$(realpath "$1")" "${@:2}"

#!/usr/bin/env bash
# multi30k until it stops improving, or EPOCHS=10: scripts/recipes/multi30k.sh FOLDER [SOURCE-TARGET] [options of fairseq-train...]
# FOLDER contains the files of the data set (train.en.gz, val.en.gz or valid.en.gz, test_2016_flickr.en.gz or test.en.gz, ...), as in
# github.com/multi30k/dataset, data/task1/raw.
set -euo pipefail
source "$(dirname "$0")/recipe.sh"
require_folder "${1:-}" "a folder with the text of multi30k, from github.com/multi30k/dataset"
text=$(realpath "$1")
shift
[[ ! "${1:-}" =~ ^[a-z]+-[a-z]+$ ]] || set -- --pair "$@"
run_recipe multi30k --from-dir "$text" "$@"

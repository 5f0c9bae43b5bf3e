#!/usr/bin/env bash
# Creates the environment and runs all checks: formatting, lint, types, import contracts, documentation, tests.
# --fast skips the tests that start fairseq's commands or take more than ten seconds. Other arguments are passed to pytest:
# scripts/test.sh --fast tests/unit/nn
set -euo pipefail
source "$(dirname "$0")/environment.sh"
fast=()
if [ "${1:-}" = --fast ]; then
  fast=(-m "not slow")
  shift
fi
cd "$root"
PATH=$venv/bin:$PATH
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # two test processes run in parallel
ruff format --check .
ruff check .
mypy
lint-imports
NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict --site-dir "$(mktemp -d)"
python -m pytest -n 2 --dist loadfile "${fast[@]}" "$@"

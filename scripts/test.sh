#!/usr/bin/env bash
# Makes the environment and runs every check and test: formatting, lint, types, import contracts, the documentation, tests.
# --fast runs tests/unit alone, without its slow tests and without building the documentation. Other arguments go to
# pytest: scripts/test.sh --fast tests/unit/nn -k causality
set -euo pipefail
source "$(dirname "$0")/environment.sh"
cd "$root"
PATH=$venv/bin:$PATH
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # two test processes stand side by side
ruff format --check .
ruff check .
mypy
lint-imports
if [ "${1:-}" = --fast ]; then
  shift
  [ $# -gt 0 ] || set -- tests/unit
  set -- -m "not slow" "$@"
else
  NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict --site-dir "$(mktemp -d)"
fi
python -m pytest -n 2 --dist loadfile "$@"

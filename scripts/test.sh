#!/usr/bin/env bash
# Makes the environment and runs every check and test: formatting, lint, types, import contracts, the documentation, tests.
# Arguments go to pytest, for instance: scripts/test.sh -m "not slow"
set -euo pipefail
source "$(dirname "$0")/environment.sh"
cd "$root"
PATH=$venv/bin:$PATH
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # two test processes stand side by side
ruff format --check .
ruff check .
mypy
lint-imports
NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict --site-dir "$(mktemp -d)"
python -m pytest -n 2 --dist loadfile "$@"

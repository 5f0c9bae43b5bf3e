# Sourced by the other scripts: checks the machine, creates the virtual environment and sets `venv_python`.
# PYTHON sets the interpreter, VENV the folder (default: .venv beside setup.py). An existing environment is kept.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VENV:-$root/.venv}
venv_python=$venv/bin/python
need_gib=9 # free disk space for torch with its CUDA libraries, also while they are unpacked

fail() {
  echo "$1" >&2
  exit 2
}

# Prints the interpreter: $PYTHON, or the first suitable one. 3.12 comes first because fairseq-fixed has a wheel for it.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.12 python3.11 python3.13 python3}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "${PYTHON:-python3} is missing or is not Python 3.11, 3.12 or 3.13: install one (Debian: apt-get install python3 python3-venv) or name one with PYTHON=/path/to/python3.12"
}

check_machine() {
  local python=$1 free_gib
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)"
  free_gib=$(df -Pk "$(dirname "$venv")" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free_gib" -ge "$need_gib" ] ||
    fail "$(dirname "$venv") has $free_gib GiB free, but the environment requires $need_gib: free some space, or set another folder with VENV=/path/to/venv"
  # Only Python 3.12 on x86-64 Linux has a wheel of fairseq-fixed; elsewhere pip compiles it, which takes about 3 minutes.
  if ! "$python" -c 'import platform, sys; sys.exit(not (sys.version_info[:2] == (3, 12) and platform.machine() == "x86_64"))'; then
    command -v "${CXX:-g++}" >/dev/null ||
      fail "fairseq must be compiled for this Python, but there is no C++ compiler: install one (Debian: apt-get install g++), or use Python 3.12 (PYTHON=python3.12), which has a wheel"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
      fail "fairseq must be compiled for this Python, but its headers are missing: install them (Debian: apt-get install python3-dev), or use Python 3.12 (PYTHON=python3.12)"
  fi
}

make_environment() {
  local python stamp wanted pip
  stamp=$venv/installed
  wanted=$(cat "$root/constraints.txt" "$root/setup.py" "$root"/resmlp_mt/translation/engine/native/src/* | cksum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -z "${PYTHON:-}" ] && return
  python=$(find_python) || exit 2
  wanted_version=$("$python" -c 'import sys; print(sys.version_info[:2])')
  if [ -x "$venv_python" ] && [ "$("$venv_python" -c 'import sys; print(sys.version_info[:2])')" != "$wanted_version" ]; then
    fail "$venv was created with another Python than $python: remove it, or set another folder with VENV=/path/to/venv"
  fi
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  [ -z "${DRY_RUN:-}" ] || fail "a dry run requires the environment, but $venv is missing: create it with \`bash scripts/environment.sh\`"
  check_machine "$python"
  [ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
  pip="$venv_python -m pip --disable-pip-version-check install -c $root/constraints.txt"
  echo "[1/3] PyTorch and the build requirements of fairseq (about 3 GB to download)"
  $pip torch numpy cython setuptools wheel
  echo "[2/3] fairseq (a wheel for Python 3.12; compiled in about 3 minutes for others)"
  $pip --no-build-isolation fairseq-fixed
  echo "[3/3] this project"
  $pip --no-build-isolation -e "$root[train,vision,languages,docs,dev]"
  echo "$wanted" >"$stamp"
}

make_environment

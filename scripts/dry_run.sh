# Sourced first by every recipe. With the option `--dry-run`, or DRY_RUN=1 in the environment, a recipe prints the commands that it
# would run. It writes, downloads and trains nothing, and creates no folder.

for option in "$@"; do
  shift
  if [ "$option" = --dry-run ]; then DRY_RUN=1; else set -- "$@" "$option"; fi
done
case ${DRY_RUN:-0} in
  0) unset DRY_RUN ;;
  *) export DRY_RUN PYTHONDONTWRITEBYTECODE=1 ;;
esac

# Runs a command, or prints it in a dry run. Usage: run_or_print COMMAND [options...]
run_or_print() {
  if [ -z "${DRY_RUN:-}" ]; then "$@"; else print_command "$@"; fi
}

# Prints a command with shell quoting.
print_command() {
  printf '%q ' "$@" | sed 's/ $//'
  echo
}

# Runs a training and appends its output to $run/train.log, or prints the command in a dry run. Usage: run_training COMMAND [options...]
run_training() {
  if [ -n "${DRY_RUN:-}" ]; then
    print_command "$@"
  else
    mkdir -p "$run"
    "$@" 2>&1 | tee -a "$run/train.log"
  fi
}

# Rewrites the matching lines of a training's output with sed and drops the others, except in a dry run. Usage: ... | show_lines [options of sed...]
show_lines() {
  if [ -n "${DRY_RUN:-}" ]; then
    cat
  else
    sed -unE "$@" -e 's/.*(fairseq-train: error: .*)/\1/p' -e 's/^([A-Za-z]*Error: .*)/\1/p'
  fi
}

# Reads config/NAME.yaml into the array `options`, as options of fairseq-train. Usage: read_training NAME
read_training() {
  options=$(python -m resmlp_mt.experiments.recipes "$1") || exit
  mapfile -t options <<<"$options"
}

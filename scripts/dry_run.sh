# Sourced first by every recipe. `--dry-run` anywhere among a recipe's options, or DRY_RUN=1 in the environment, has it print the
# commands that it would run: nothing is written, downloaded or trained, and no folder is made.

for option in "$@"; do
  shift
  if [ "$option" = --dry-run ]; then DRY_RUN=1; else set -- "$@" "$option"; fi
done
case ${DRY_RUN:-0} in
  0) unset DRY_RUN ;;
  *) export DRY_RUN PYTHONDONTWRITEBYTECODE=1 ;;
esac

# Runs a command; in a dry run prints it instead. Usage: run_or_print COMMAND [options...]
run_or_print() {
  if [ -z "${DRY_RUN:-}" ]; then "$@"; else print_command "$@"; fi
}

# Prints a command as a shell reads it.
print_command() {
  printf '%q ' "$@" | sed 's/ $//'
  echo
}

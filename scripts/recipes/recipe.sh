# Sourced by the recipes after environment.sh: the steps from a corpus to a scored model. What the environment may say:
#
#   SYSTEM=resmlp|transformer|convs2s|lstm|lightconv|dynamicconv    what is trained (resmlp_mt/experiments/systems.py)
#   LAYERS=6|12                        of ResMLP and Transformer, at the WMT sizes
#   SIZE=tiny                          a model that learns nothing, to try a recipe in minutes
#   STEPS="data train finish"          the steps to make; several machines train, one does the rest
#   DATA, RUN                          folders of the prepared data and of the training
#   MAX_UPDATE                         where to end
#   TOKENS_PER_GPU                     most target tokens that one GPU has memory for
#   NODES, NODE_RANK, HEAD             see resmlp_mt/experiments/launch.py
#   DRY_RUN=1                          print the commands and do nothing, as the option --dry-run: scripts/dry_run.sh
#
# Further words of a recipe's command go to fairseq-train and override the recipe's. Run again, a recipe does what is missing.

PATH=$venv/bin:$PATH
cd "$root"

wants() {
  [[ " ${STEPS:-data train finish} " == *" $1 "* ]]
}

# Prints the first word if it is a pair of languages, else the default. Usage: take_pair DEFAULT [words...]
take_pair() {
  if [[ "${2:-}" =~ ^[a-z]+-[a-z]+$ ]]; then echo "$2"; else echo "$1"; fi
}

# Prepares a corpus. Usage: prepare_data CORPUS PAIR DATA [options of data_prep...]
prepare_data() {
  wants data || return 0
  echo "== Data"
  run_or_print python -m data_prep "$1" --pair "$2" --out "$3" "${@:4}"
}

# Sets `system_words` (model, optimiser, schedule) and `name`, for folders, from the environment. Usage: choose_system SIZE
choose_system() {
  local words
  system=${SYSTEM:-resmlp}
  words=$(python -m resmlp_mt.experiments.systems "$system" "${SIZE:-$1}" --layers "${LAYERS:-6}") || exit 2
  mapfile -t system_words <<<"$words"
  name=$system
  [ "${LAYERS:-6}" = 6 ] || name=$system-$LAYERS
  [ -z "${SIZE:-}" ] || name=$name-$SIZE
}

# Runs a command to its end, and hands signals to stop on to it, which bash alone would keep until then.
run_and_pass_signals() {
  local command="" told="" status
  trap 'told=USR1; [ -z "$command" ] || kill -s USR1 "$command" 2>/dev/null' USR1
  trap 'told=TERM; [ -z "$command" ] || kill -s TERM "$command" 2>/dev/null' TERM INT
  "$@" &
  command=$!
  [ -z "$told" ] || kill -s "$told" "$command" 2>/dev/null
  while :; do
    wait "$command" || :
    kill -0 "$command" 2>/dev/null || break
  done
  wait "$command" && status=0 || status=$? # a signal cuts a wait short, and the command may end before the next
  trap - USR1 TERM INT
  return "$status"
}

# Trains; BATCH is in target tokens an update. Validation is sacreBLEU on the raw references as `resmlp-mt evaluate` has it, but
# by greedy search: it costs less than beam 4, and is there to compare checkpoints of one training. An output has at most
# twice its source's sub-words and ten, lest an untrained model go on for ever.
# Usage: train_model DATA SOURCE TARGET RUN BATCH [options of fairseq-train...]
train_model() {
  wants train || return 0
  echo "== Training"
  run_and_pass_signals python -m resmlp_mt.experiments.launch --data "$1" --run "$4" --batch "$5" \
    --tokens-per-gpu "${TOKENS_PER_GPU:-4096}" -- \
    --user-dir resmlp_mt --task resmlp_translation --source-lang "$2" --target-lang "$3" \
    --criterion resmlp_label_smoothed_cross_entropy --label-smoothing 0.1 \
    --eval-bleu --eval-bleu-args '{"beam": 1, "max_len_a": 2, "max_len_b": 10}' \
    --best-checkpoint-metric bleu --maximize-best-checkpoint-metric --skip-invalid-size-inputs-valid-test \
    --seed 1 --no-progress-bar --log-format simple --log-interval 50 --tensorboard-logdir "$4/tensorboard" \
    "${@:6}" ${MAX_UPDATE:+--max-update "$MAX_UPDATE"}
}

# Prints what `finish_model` would run, for one test set. Same usage.
print_finish() {
  local data=$1 source=$2 target=$3 run=$4 count=$5 lenpen=$6
  local to=(--split test --translations "$run/test.$target" --json "$run/test.json")
  print_command resmlp-mt average "$run" --last "$count" --out "$run/averaged.pt"
  if [ "${system:-resmlp}" = resmlp ]; then
    print_command resmlp-mt bundle "$run/averaged.pt" --data "$data" --out "$run/model" --beam 4 --lenpen "$lenpen"
    print_command resmlp-mt evaluate "$run/model" --data "$data" "${to[@]}" --figure "$run/test.png" --update-card "${@:7}"
  else
    print_command python -m resmlp_mt.experiments.score_fairseq "$run/averaged.pt" --data "$data" --pair "$source-$target" --lenpen "$lenpen" \
      "${to[@]}" "${@:7}"
  fi
}

# Averages the last COUNT checkpoints, or as many as there are, translates every raw test set with beam 4 and scores it. Of a
# ResMLP it makes a bundle; other systems are translated by fairseq-generate (resmlp_mt/experiments/score_fairseq.py).
# Usage: finish_model DATA SOURCE TARGET RUN COUNT LENPEN [--tokenised]
finish_model() {
  wants finish || return 0
  local data=$1 source=$2 target=$3 run=$4 count=$5 lenpen=$6 there text split
  echo "== Scoring"
  if [ -n "${DRY_RUN:-}" ]; then
    print_finish "$@"
    return
  fi
  there=$(find "$run" -maxdepth 1 \( -name 'checkpoint[0-9]*.pt' -o -name 'checkpoint_[0-9]*.pt' \) | wc -l)
  if [ "$there" -gt 0 ]; then
    resmlp-mt average "$run" --last "$((count < there ? count : there))" --out "$run/averaged.pt"
  else # a training that ended before its first
    resmlp-mt average "$run/checkpoint_last.pt" --out "$run/averaged.pt"
  fi
  if [ "${system:-resmlp}" = resmlp ]; then
    rm -rf "$run/model"
    resmlp-mt bundle "$run/averaged.pt" --data "$data" --out "$run/model" --beam 4 --lenpen "$lenpen"
  fi
  for text in "$data"/raw/test*."$target"; do
    split=$(basename "$text" ".$target")
    local to=(--split "$split" --translations "$run/$split.$target" --json "$run/$split.json")
    if [ "${system:-resmlp}" = resmlp ]; then
      resmlp-mt evaluate "$run/model" --data "$data" "${to[@]}" --figure "$run/$split.png" --update-card "${@:7}"
    else
      python -m resmlp_mt.experiments.score_fairseq "$run/averaged.pt" --data "$data" --pair "$source-$target" --lenpen "$lenpen" \
        "${to[@]}" "${@:7}"
    fi
    echo
  done
  paste -d '\n' "$data/raw/test.$source" "$data/raw/test.$target" "$run/test.$target" | awk '
    BEGIN { split("source reference output", name) }
    NR <= 15 { printf "%-10s %s\n", name[(NR - 1) % 3 + 1], $0; if (NR % 3 == 0) print "" }'
}

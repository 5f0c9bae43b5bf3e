# Sourced by demo.sh and multi30k.sh after environment.sh: the steps from prepared data to a scored model.

PATH=$venv/bin:$PATH
cd "$root"

# Trains with fairseq-train, showing one line every 50 updates; the whole log goes to RUN/train.log. Run again, it resumes.
# Usage: train_model DATA SOURCE TARGET RUN [options of fairseq-train...]
train_model() {
  local data=$1 source=$2 target=$3 run=$4
  shift 4
  mkdir -p "$run"
  fairseq-train "$data" --user-dir resmlp_mt --task translation --source-lang "$source" --target-lang "$target" \
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1 \
    --optimizer adam --adam-betas '(0.9, 0.98)' --lr 5e-3 \
    --clip-norm 1.0 --num-workers 0 --seed 1 --keep-last-epochs 5 \
    --no-progress-bar --log-format simple --log-interval 50 --save-dir "$run" "$@" 2>&1 |
    tee -a "$run/train.log" | sed -unE \
    -e 's/.*train_inner \| (epoch [0-9]+: +[0-9]+ \/ [0-9]+).* (ppl=[0-9.]+), (wps=[0-9.]+).*/  \1  \2  \3/p' \
    -e 's/.* valid \| (epoch [0-9]+) .* (ppl [0-9.]+) .*/  \1: validation \2/p' \
    -e 's/.*(fairseq-train: error: .*)/\1/p' -e 's/^([A-Za-z]*Error: .*)/\1/p'
}

# Averages the last checkpoints, makes a bundle, scores it on the raw test set and shows some translations.
# Usage: finish_model DATA SOURCE TARGET RUN COUNT
finish_model() {
  local data=$1 source=$2 target=$3 run=$4 count=$5
  resmlp-mt average "$run" --last "$count" --out "$run/averaged.pt"
  rm -rf "$run/model"
  resmlp-mt bundle "$run/averaged.pt" --data "$data" --out "$run/model"
  resmlp-mt evaluate "$run/model" --data "$data" --translations "$run/test.$target" --json "$run/scores.json" \
    --figure "$run/scores.png" --update-card
  echo
  paste -d '\n' "$data/raw/test.$source" "$data/raw/test.$target" "$run/test.$target" | awk '
    BEGIN { split("source reference output", name) }
    NR <= 15 { printf "%-10s %s\n", name[(NR - 1) % 3 + 1], $0; if (NR % 3 == 0) print "" }'
}

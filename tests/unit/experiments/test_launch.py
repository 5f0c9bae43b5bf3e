"""Starting a training: precision, batch and command from what the machine has; signals; Slurm."""

import itertools
import os
import re
import signal
import subprocess
import sys

import pytest
from bench import SCRIPTS, Bench, recording_bench, script_of, write_program

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.job import launcher
from resmlp_mt.experiments.launch.machines import Machines, find_machines, precision, share_batch
from resmlp_mt.experiments.launch.training import Training, shown
from resmlp_mt.training.stopping import EXIT_STATUS

RECIPES = ("wmt14_en_de", "wmt14_en_fr", "iwslt14", "mix", "multi30k", "own", "demo")
BATCHES = (1024, 2048, 32768)


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@pytest.mark.parametrize(
    ("capabilities", "words"),
    [
        ([], []),
        ([(7, 0)], ["--fp16"]),  # V100
        ([(7, 5)], ["--fp16"]),  # T4
        ([(8, 0)], ["--bf16"]),  # A100
        ([(9, 0)] * 8, ["--bf16"]),  # H100
        ([(9, 0), (7, 5)], ["--fp16"]),  # the slowest decides
    ],
)
def test_the_precision_is_one_that_every_gpu_has(capabilities, words):
    assert precision(capabilities) == words


@pytest.mark.parametrize(
    ("batch", "tokens", "processes"), itertools.product(BATCHES, (1000, 4096), (1, 2, 3, 6, 8, 64))
)
def test_shares_fit_and_together_make_the_batch(batch, tokens, processes):
    share, update_freq = share_batch(batch, tokens, processes)
    assert 1 <= share <= tokens
    assert update_freq >= 1
    assert 0 <= batch - share * update_freq * processes < update_freq * processes
    assert update_freq == 1 or batch > tokens * processes * (update_freq - 1)  # no more updates than memory asks for


def test_eight_gpus_need_no_accumulation_where_one_needs_eight():
    assert share_batch(32768, 4096, 8) == (4096, 1)
    assert share_batch(32768, 4096, 1) == (4096, 8)


def test_a_batch_smaller_than_the_processes_is_refused():
    with pytest.raises(ResMLPError, match="a batch of 7 tokens is too small for 8 processes"):
        share_batch(7, 4096, 8)


def test_one_process_needs_no_launcher_but_under_slurm():
    # fairseq takes a lone process in a Slurm job for one of several that were started together
    assert launcher(Machines()) == launcher(Machines(capabilities=((8, 0),))) == ["fairseq-train"]
    assert launcher(Machines(is_slurm_job=True))[:2] == ["torchrun", "--standalone"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NODES": "two"}, "NODES must be a whole number, not 'two'"),
        ({"NODES": "2", "NODE_RANK": "2", "HEAD": "a:29500"}, "NODE_RANK must be between 0 and 1 with NODES=2, not 2"),
        ({"NODES": "2"}, "HEAD must be the rendezvous endpoint HOST:PORT"),
        ({"NODES": "2", "HEAD": "first:http"}, "HEAD must be the rendezvous endpoint HOST:PORT"),
    ],
)
def test_what_does_not_fit_together_is_named(variables, said):
    with pytest.raises(ResMLPError, match=said):
        find_machines(variables)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "2026-01-01 | INFO | train_inner | epoch 002:     50 / 255 loss=5, nll_loss=4, ppl=30.6, wps=2100.7, ups=1",
            "  epoch 002:     50 / 255  ppl=30.6  wps=2100.7",
        ),
        (
            "2026-01-01 | INFO | valid | epoch 001 | valid on 'valid' subset | ppl 98.5 | bleu 3.15 | wps 9 | ",
            "  epoch 001: validation ppl 98.5, bleu 3.15",
        ),
        ("fairseq-train: error: no", "fairseq-train: error: no"),
        ("RuntimeError: no", "RuntimeError: no"),
        ("2026-01-01 | INFO | fairseq_cli.train | {'_name': None}", None),
    ],
)
def test_the_terminal_shows_progress_and_errors(line, expected):
    assert shown(line) == expected


@pytest.mark.parametrize(("variables", "said"), [({}, "10000,none"), ({"OMP_WAIT_POLICY": "active"}, "none,active")])
def test_waiting_threads_of_a_training_sleep_soon_unless_the_user_says_otherwise(
    variables, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **variables})
    program = "echo ${GOMP_SPINCOUNT:-none},${OMP_WAIT_POLICY:-none},${OMP_NUM_THREADS:-none}"
    assert Training(["sh", "-c", program], tmp_path / "train.log").wait() == 0
    assert (tmp_path / "train.log").read_text() == f"{said},none\n"


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"train_data": [".", "shard2"]}')
    return folder


def test_eight_gpus_of_one_machine_train_under_torchrun(data, tmp_path):
    bench = recording_bench(tmp_path / "bench", gpus=8, capability=(8, 0))
    finished = bench.recipe("wmt14_en_de", STEPS="train", DATA=data)
    assert finished.returncode == 0, finished.stderr
    (words,) = bench.calls("torchrun")
    assert words[:5] == ["--standalone", "--nproc-per-node", "8", "-m", "fairseq_cli.train"]
    assert words[5] == f"{data}:{data}/shard2"
    assert (after(words, "--max-tokens"), after(words, "--update-freq")) == ("4096", "1")
    assert "--bf16" in words


def test_several_machines_meet_at_the_first(data, tmp_path):
    for rank in range(2):
        bench = recording_bench(tmp_path / f"bench{rank}", gpus=4, capability=(7, 0))
        variables = {"NODES": 2, "NODE_RANK": rank, "HEAD": "first.example:29501"}
        assert bench.recipe("wmt14_en_de", STEPS="train", DATA=data, **variables).returncode == 0
        (words,) = bench.calls("torchrun")
        options = {name: after(words, name) for name in words[: words.index("-m")] if name.startswith("--")}
        assert options == {
            "--nnodes": "2",
            "--node-rank": str(rank),
            "--master-addr": "first.example",
            "--master-port": "29501",
            "--nproc-per-node": "4",
        }
        assert (after(words, "--max-tokens"), after(words, "--update-freq")) == ("4096", "1")
        assert "--fp16" in words
        assert (bench.run_folder / "trained.json").exists() == (rank == 0)


def test_a_finished_training_is_not_begun_anew_but_a_changed_one_is(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    for _ in range(2):
        assert bench.recipe("wmt14_en_de", STEPS="train", DATA=data).returncode == 0
    assert len(bench.calls("fairseq-train")) == 1
    bench.recipe("wmt14_en_de", STEPS="train", DATA=data, MAX_UPDATE=17)
    assert len(bench.calls("fairseq-train")) == 2


def test_a_failed_training_is_not_taken_for_a_finished_one(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    write_program(tmp_path / "bench" / "venv" / "bin" / "fairseq-train", "echo 'RuntimeError: no'; exit 3\n")
    finished = bench.recipe("wmt14_en_de", DATA=data)
    assert finished.returncode == 3
    assert "RuntimeError: no" in finished.stdout
    assert not (bench.run_folder / "trained.json").exists()
    assert not bench.calls("resmlp-mt")


def test_a_dry_run_prints_the_command_and_starts_nothing(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    said = bench.recipe("wmt14_en_de", DATA=data, DRY_RUN=1).stdout
    assert f"fairseq-train {data}:{data}/shard2 --save-dir {bench.run_folder}" in said
    absent = tmp_path / "absent"
    assert f"fairseq-train {absent} --save-dir" in bench.recipe("wmt14_en_de", DATA=absent, DRY_RUN=1).stdout
    assert not absent.exists()
    assert not any((tmp_path / "bench" / "calls").iterdir())


def test_a_training_without_data_is_refused(tmp_path):
    bench = recording_bench(tmp_path / "bench")
    finished = bench.recipe("wmt14_en_de", DATA=tmp_path / "absent", STEPS="train")
    assert finished.returncode == 2
    assert f"there is no prepared data in {tmp_path / 'absent'}" in finished.stderr


def test_what_own_cannot_heed_is_refused(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    finished = bench.recipe("own", data, SYSTEM="transformer")
    assert finished.returncode == 2
    assert "--system, --layers, --size, --from-dir and --data require a --recipe" in finished.stderr
    assert not any((tmp_path / "bench" / "calls").iterdir())


# A stand-in for a process that trains: says that it is there, and on a signal saves and ends as ours do.
TRAINER = f"""
import signal, sys, time
def stop(number, frame):
    sys.stdout.write(f"saved after {{signal.Signals(number).name}}\\n")
    sys.exit({EXIT_STATUS})
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, stop)
sys.stdout.write("RuntimeError: ready\\n")  # in one piece, beside others
sys.stdout.flush()
time.sleep(60)
"""


def signalled(bench: Bench, number: int, program: str, gpus: int) -> tuple[int, str]:
    """Starts a recipe whose trainer waits, sends the recipe a signal, and returns its status and the training's log."""
    trainer = bench.folder / "trainer.py"
    trainer.write_text(TRAINER)
    command = f"{sys.executable} {trainer}"
    # torchrun has a process for each GPU, fails when they end so, and must not get the signal itself
    workers = " & ".join([command] * gpus) + ' & trap "exit 9" TERM USR1; wait %1; wait %2; exit 1\n'
    write_program(bench.folder / "venv" / "bin" / program, f"exec {command}\n" if gpus < 2 else workers)
    process = subprocess.Popen(
        ["bash", script_of("wmt14_en_de")],
        env={**bench.environment, "STEPS": "train finish", "DATA": str(bench.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for _ in range(max(1, gpus)):
        while "ready" not in process.stdout.readline():
            assert process.poll() is None
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    return process.returncode, (bench.run_folder / "train.log").read_text()


@pytest.mark.parametrize(
    ("number", "passed_on"), [("SIGUSR1", "SIGUSR1"), ("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM")]
)
def test_a_signal_reaches_the_training_which_saves_first(number, passed_on, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    status, log = signalled(bench, signal.Signals[number], "fairseq-train", gpus=0)
    assert status == EXIT_STATUS
    assert f"saved after {passed_on}" in log
    assert not (bench.run_folder / "trained.json").exists()
    assert not bench.calls("resmlp-mt")  # the recipe does not go on


def test_a_signal_reaches_every_process_of_torchrun_but_not_torchrun(tmp_path):
    bench = recording_bench(tmp_path / "bench", gpus=2, capability=(8, 0))
    status, log = signalled(bench, signal.SIGUSR1, "torchrun", gpus=2)
    assert status == EXIT_STATUS
    assert log.count("saved after SIGUSR1") == 2


# Slurm: srun runs its command once for each node; scontrol names the nodes and notes what else it is told.
SRUN = """
nodes=2; [[ " $* " != *" --nodes=1 "* ]] || nodes=1
while [[ "$1" == --* ]]; do shift; done
for ((node = 0; node < nodes; node++)); do SLURM_NODEID=$node "$@" & pids+=($!); done
trap 'kill -s USR1 "${pids[@]}"' USR1
status=0
for pid in "${pids[@]}"; do
  while :; do wait "$pid"; one=$?; kill -0 "$pid" 2>/dev/null || break; done
  [ "$one" -eq 0 ] || status=$one
done
exit $status
"""


@pytest.fixture
def slurm(data, tmp_path) -> Bench:
    """Two nodes of four GPUs as a batch script finds them."""
    bench = recording_bench(tmp_path / "bench", gpus=4, capability=(9, 0))
    slurm = tmp_path / "slurm"
    names = 'if [ "$1" = show ]; then printf "node7\\nnode8\\n"; exit; fi\n'
    write_program(slurm / "scontrol", names + bench.note())
    write_program(slurm / "srun", bench.note() + SRUN)
    both = f'[ "$(grep -l torchrun {bench.folder}/calls/* | wc -l)" -eq 2 ]'
    wait = f"for _ in {{1..999}}; do {both} && exit; sleep 0.05; done; exit 1\n"
    write_program(
        bench.folder / "venv" / "bin" / "torchrun", bench.note() + wait
    )  # as the real ones wait for each other
    variables = {
        "PATH": f"{slurm}:{bench.environment['PATH']}",
        "SLURM_SUBMIT_DIR": str(SCRIPTS.parent),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "DATA": str(data),
    }
    return Bench(bench.folder, {**bench.environment, **variables})


def batch_script(bench: Bench, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["bash", SCRIPTS / "slurm" / "train.sbatch", *words],
        env=dict(bench.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )


def test_a_slurm_job_prepares_and_scores_once_and_trains_on_all_nodes(slurm):
    job = batch_script(slurm, "wmt14_en_de", "--seed", "7")
    said, _ = job.communicate(timeout=120)
    steps = slurm.calls("srun")
    assert [words[words.index("scripts/slurm/step.sh") + 1] for words in steps] == ["data", "train", "finish"]
    assert all("--ntasks-per-node=1" in words for words in steps)
    assert [("--nodes=1" in words) for words in steps] == [True, False, True]
    trainings = slurm.calls("torchrun")
    assert sorted(after(words, "--node-rank") for words in trainings) == ["0", "1"]
    for words in trainings:
        assert (after(words, "--nnodes"), after(words, "--nproc-per-node")) == ("2", "4")
        assert (after(words, "--master-addr"), after(words, "--master-port")) == ("node7", str(20000 + 4711))
        assert words[-2:] == ["--seed", "7"]
        assert int(after(words, "--max-tokens")) * int(after(words, "--update-freq")) * 8 == 32768
    assert len(slurm.calls("python")) == 1, said  # data_prep
    assert not slurm.calls("scontrol")


def test_a_slurm_job_that_runs_out_of_time_saves_and_queues_again(slurm):
    trainer = slurm.folder / "trainer.py"
    trainer.write_text(TRAINER)
    write_program(slurm.folder / "venv" / "bin" / "torchrun", f"{sys.executable} {trainer}; exit 1\n")
    job = batch_script(slurm, "wmt14_en_de")
    for _ in range(2):
        while "ready" not in job.stdout.readline():
            assert job.poll() is None
    os.kill(job.pid, signal.SIGUSR1)
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0
    assert slurm.calls("scontrol") == [["requeue", "4711"]]
    for log in ("train.log", "train.1.log"):
        assert "saved after SIGUSR1" in (slurm.run_folder / log).read_text()
    assert "stopped; the same command resumes the training" in said
    assert len(slurm.calls("srun")) == 2  # nothing is scored


def test_a_slurm_job_whose_training_fails_fails_and_does_not_queue_again(slurm):
    write_program(slurm.folder / "venv" / "bin" / "torchrun", "exit 1\n")
    job = batch_script(slurm, "wmt14_en_de")
    job.communicate(timeout=120)
    assert job.returncode == 1
    assert not slurm.calls("scontrol")


@pytest.mark.parametrize("recipe", ["", "wmt99"])
def test_a_slurm_job_without_a_recipe_says_so_in_one_line(recipe, slurm):
    job = batch_script(slurm, recipe)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 2
    assert said.startswith("train.sbatch: RECIPE must be the name of a recipe")
    assert len(said.splitlines()) == 1


def test_the_batch_script_asks_slurm_for_what_it_needs():
    lines = (SCRIPTS / "slurm" / "train.sbatch").read_text().splitlines()
    options = dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH"))
    assert options["ntasks-per-node"] == "1"
    assert options["signal"].startswith("B:USR1@")  # to the batch script, which hands it on
    assert {"requeue", "open-mode"} <= set(options)  # and the log is not begun anew
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(number < first_command for number, line in enumerate(lines) if line.startswith("#SBATCH"))


@pytest.mark.parametrize("path", [*map(script_of, RECIPES), SCRIPTS / "slurm/train.sbatch", SCRIPTS / "slurm/step.sh"])
def test_scripts_parse_stop_at_errors_and_can_be_run(path):
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    assert re.search(r"^set -e?uo pipefail$", path.read_text(), flags=re.MULTILINE)
    assert os.access(path, os.X_OK)

"""Recipes as processes: the commands that they start on GPUs and nodes, signals, Slurm."""

import os
import re
import signal
import subprocess
import sys

import pytest
from bench import SCRIPTS, Bench, recording_bench, script_of, write_program

from resmlp_mt.training.stopping import EXIT_STATUS

RECIPES = ("wmt14_en_de", "wmt14_en_fr", "iwslt14", "mix", "multi30k", "own", "demo")


def value_of(args: list[str], option: str) -> str:
    return args[args.index(option) + 1]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"train_data": [".", "shard2"]}')
    return folder


def test_eight_gpus_train_under_torchrun(data, tmp_path):
    bench = recording_bench(tmp_path / "bench", gpus=8, capability=(8, 0))
    result = bench.recipe("wmt14_en_de", STEPS="train", DATA=data)
    assert result.returncode == 0, result.stderr
    (args,) = bench.calls("torchrun")
    assert args[:5] == ["--standalone", "--nproc-per-node", "8", "-m", "fairseq_cli.train"]
    assert args[5] == f"{data}:{data}/shard2"
    assert (value_of(args, "--max-tokens"), value_of(args, "--update-freq")) == ("4096", "1")
    assert "--bf16" in args


def test_nodes_use_rendezvous_at_first_node(data, tmp_path):
    for rank in range(2):
        bench = recording_bench(tmp_path / f"bench{rank}", gpus=4, capability=(7, 0))
        variables = {"NODES": 2, "NODE_RANK": rank, "HEAD": "first.example:29501"}
        assert bench.recipe("wmt14_en_de", STEPS="train", DATA=data, **variables).returncode == 0
        (args,) = bench.calls("torchrun")
        options = {name: value_of(args, name) for name in args[: args.index("-m")] if name.startswith("--")}
        assert options == {
            "--nnodes": "2",
            "--node-rank": str(rank),
            "--master-addr": "first.example",
            "--master-port": "29501",
            "--nproc-per-node": "4",
        }
        assert (value_of(args, "--max-tokens"), value_of(args, "--update-freq")) == ("4096", "1")
        assert "--fp16" in args
        assert (bench.run_folder / "trained.json").exists() == (rank == 0)


def test_only_changed_training_starts_again(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    for _ in range(2):
        assert bench.recipe("wmt14_en_de", STEPS="train", DATA=data).returncode == 0
    assert len(bench.calls("fairseq-train")) == 1
    bench.recipe("wmt14_en_de", STEPS="train", DATA=data, MAX_UPDATE=17)
    assert len(bench.calls("fairseq-train")) == 2


def test_failed_training_is_not_finished(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    write_program(tmp_path / "bench" / "venv" / "bin" / "fairseq-train", "echo 'RuntimeError: no'; exit 3\n")
    result = bench.recipe("wmt14_en_de", DATA=data)
    assert result.returncode == 3
    assert "RuntimeError: no" in result.stdout
    assert not (bench.run_folder / "trained.json").exists()
    assert not bench.calls("resmlp-mt")


def test_dry_run_prints_command_and_starts_nothing(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    output = bench.recipe("wmt14_en_de", DATA=data, DRY_RUN=1).stdout
    assert f"fairseq-train {data}:{data}/shard2 --save-dir {bench.run_folder}" in output
    absent = tmp_path / "absent"
    assert f"fairseq-train {absent} --save-dir" in bench.recipe("wmt14_en_de", DATA=absent, DRY_RUN=1).stdout
    assert not absent.exists()
    assert not any((tmp_path / "bench" / "calls").iterdir())


def test_training_without_data_is_refused(tmp_path):
    bench = recording_bench(tmp_path / "bench")
    result = bench.recipe("wmt14_en_de", DATA=tmp_path / "absent", STEPS="train")
    assert result.returncode == 2
    assert f"there is no prepared data in {tmp_path / 'absent'}" in result.stderr


def test_options_unsupported_by_own_are_refused(data, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    result = bench.recipe("own", data, SYSTEM="transformer")
    assert result.returncode == 2
    assert "--system, --layers, --size, --from-dir and --data require a --recipe" in result.stderr
    assert not any((tmp_path / "bench" / "calls").iterdir())


# A stand-in for a training process: prints a line when it is ready; on a signal it saves and exits with our status.
TRAINER = f"""
import signal, sys, time
def stop(number, frame):
    sys.stdout.write(f"saved after {{signal.Signals(number).name}}\\n")
    sys.exit({EXIT_STATUS})
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, stop)
sys.stdout.write("RuntimeError: ready\\n")  # a single write, since several processes print
sys.stdout.flush()
time.sleep(60)
"""


def run_and_signal(bench: Bench, number: int, program: str, gpus: int) -> tuple[int, str]:
    """Starts a recipe whose trainer waits, sends the recipe a signal, and returns its status and the training's log."""
    trainer = bench.folder / "trainer.py"
    trainer.write_text(TRAINER)
    command = f"{sys.executable} {trainer}"
    # torchrun starts a process for each GPU, fails when they exit this way, and must not receive the signal itself
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
def test_signal_reaches_training_which_saves(number, passed_on, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    status, log = run_and_signal(bench, signal.Signals[number], "fairseq-train", gpus=0)
    assert status == EXIT_STATUS
    assert f"saved after {passed_on}" in log
    assert not (bench.run_folder / "trained.json").exists()
    assert not bench.calls("resmlp-mt")  # the recipe stops here


def test_signal_reaches_workers_but_not_torchrun(tmp_path):
    bench = recording_bench(tmp_path / "bench", gpus=2, capability=(8, 0))
    status, log = run_and_signal(bench, signal.SIGUSR1, "torchrun", gpus=2)
    assert status == EXIT_STATUS
    assert log.count("saved after SIGUSR1") == 2


# Slurm: srun runs its command once per node; scontrol prints the node names and records its other arguments.
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
    """Two nodes with four GPUs each, as a batch script sees them."""
    bench = recording_bench(tmp_path / "bench", gpus=4, capability=(9, 0))
    slurm = tmp_path / "slurm"
    names = 'if [ "$1" = show ]; then printf "node7\\nnode8\\n"; exit; fi\n'
    write_program(slurm / "scontrol", names + bench.note())
    write_program(slurm / "srun", bench.note() + SRUN)
    both = f'[ "$(grep -l torchrun {bench.folder}/calls/* | wc -l)" -eq 2 ]'
    wait = f"for _ in {{1..999}}; do {both} && exit; sleep 0.05; done; exit 1\n"
    write_program(bench.folder / "venv" / "bin" / "torchrun", bench.note() + wait)  # real torchruns wait for each other
    variables = {
        "PATH": f"{slurm}:{bench.environment['PATH']}",
        "SLURM_SUBMIT_DIR": str(SCRIPTS.parent),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "DATA": str(data),
    }
    return Bench(bench.folder, {**bench.environment, **variables})


def start_batch_script(bench: Bench, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", SCRIPTS / "slurm" / "train.sbatch", *args],
        env=dict(bench.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )


def test_slurm_job_trains_on_all_nodes_and_scores_once(slurm):
    job = start_batch_script(slurm, "wmt14_en_de", "--seed", "7")
    output, _ = job.communicate(timeout=120)
    steps = slurm.calls("srun")
    assert [args[args.index("scripts/slurm/step.sh") + 1] for args in steps] == ["data", "train", "finish"]
    assert all("--ntasks-per-node=1" in args for args in steps)
    assert [("--nodes=1" in args) for args in steps] == [True, False, True]
    trainings = slurm.calls("torchrun")
    assert sorted(value_of(args, "--node-rank") for args in trainings) == ["0", "1"]
    for args in trainings:
        assert (value_of(args, "--nnodes"), value_of(args, "--nproc-per-node")) == ("2", "4")
        assert (value_of(args, "--master-addr"), value_of(args, "--master-port")) == ("node7", str(20000 + 4711))
        assert args[-2:] == ["--seed", "7"]
        assert int(value_of(args, "--max-tokens")) * int(value_of(args, "--update-freq")) * 8 == 32768
    assert len(slurm.calls("python")) == 1, output  # data_prep
    assert not slurm.calls("scontrol")


def test_slurm_job_out_of_time_saves_and_requeues(slurm):
    trainer = slurm.folder / "trainer.py"
    trainer.write_text(TRAINER)
    write_program(slurm.folder / "venv" / "bin" / "torchrun", f"{sys.executable} {trainer}; exit 1\n")
    job = start_batch_script(slurm, "wmt14_en_de")
    for _ in range(2):
        while "ready" not in job.stdout.readline():
            assert job.poll() is None
    os.kill(job.pid, signal.SIGUSR1)
    output, _ = job.communicate(timeout=120)
    assert job.returncode == 0
    assert slurm.calls("scontrol") == [["requeue", "4711"]]
    for log in ("train.log", "train.1.log"):
        assert "saved after SIGUSR1" in (slurm.run_folder / log).read_text()
    assert "stopped; the same command resumes the training" in output
    assert len(slurm.calls("srun")) == 2  # no scoring


def test_failed_slurm_job_is_not_requeued(slurm):
    write_program(slurm.folder / "venv" / "bin" / "torchrun", "exit 1\n")
    job = start_batch_script(slurm, "wmt14_en_de")
    job.communicate(timeout=120)
    assert job.returncode == 1
    assert not slurm.calls("scontrol")


@pytest.mark.parametrize("recipe", ["", "wmt99"])
def test_slurm_job_without_recipe_is_one_line(recipe, slurm):
    job = start_batch_script(slurm, recipe)
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 2
    assert output.startswith("train.sbatch: RECIPE must be the name of a recipe")
    assert len(output.splitlines()) == 1


def test_sbatch_options():
    lines = (SCRIPTS / "slurm" / "train.sbatch").read_text().splitlines()
    options = dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH"))
    assert options["ntasks-per-node"] == "1"
    assert options["signal"].startswith("B:USR1@")  # to the batch script, which passes it on
    assert {"requeue", "open-mode"} <= set(options)  # the log is appended to
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(number < first_command for number, line in enumerate(lines) if line.startswith("#SBATCH"))


@pytest.mark.parametrize("path", [*map(script_of, RECIPES), SCRIPTS / "slurm/train.sbatch", SCRIPTS / "slurm/step.sh"])
def test_scripts_parse_stop_at_errors_and_are_executable(path):
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    assert re.search(r"^set -e?uo pipefail$", path.read_text(), flags=re.MULTILINE)
    assert os.access(path, os.X_OK)

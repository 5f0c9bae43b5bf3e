"""How many threads suit which work on which CPUs, and that the user's settings count."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from resmlp_mt.cli.main import main
from resmlp_mt.common import threads
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.threads import LoadOfOthers, ThreadsByLoad
from resmlp_mt.fairseq_plugin.run import Run, multiply_adds
from resmlp_mt.translation import doctor

# Multiply-adds of a full batch: weights of the matrices times rows.
DIGITS, MULTI30K, WMT = 133_000 * 16 * 64, 2_100_000 * 2048, 60_000_000 * 3584


@pytest.mark.parametrize(
    ("weights", "cpus", "count"),
    [
        (1_500_000, 2, 1),  # 3 layers of 128/512, 8,000 sub-words
        (3_900_000, 2, 1),  # 2 layers of 256/1536, 8,000 sub-words
        (10_000_000, 2, 2),  # the same with 32,000 sub-words
        (10_000_000, 1, 1),
        (32_000_000, 64, 8),  # 6 layers of 512/2048: no more than have something to do
    ],
)
def test_a_step_of_few_rows_is_divided_by_the_weights_that_it_reads(weights, cpus, count):
    assert threads.for_step(weights, cpus) == count


@pytest.mark.parametrize(
    ("work", "cpus", "briefly", "count"),
    [
        (DIGITS, 2, True, 1),
        (MULTI30K, 2, True, 2),
        (MULTI30K, 2, False, 1),  # where threads spin for long, on a machine that may be busy
        (MULTI30K, 64, True, 8),
        (WMT, 2, False, 2),
        (WMT, 64, True, 64),
    ],
)
def test_a_pass_is_divided_by_its_multiply_adds(work, cpus, briefly, count):
    assert threads.for_pass(work, cpus, briefly) == count


@pytest.mark.parametrize(("taken", "idle"), [(0.0, 2), (0.2, 2), (0.3, 1), (1.0, 1), (2.0, 1)])
def test_cpus_that_others_use_are_left_to_them(taken, idle):
    assert threads.idle_cpus(2, taken) == idle


@pytest.mark.parametrize(
    ("value", "count"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", None), ("0", None), ("-1", None), ("many", None)]
)
def test_omp_num_threads_is_read_as_openmp_does(value, count):
    assert threads.chosen_by_user({"OMP_NUM_THREADS": value}) == count
    assert threads.chosen_by_user({}) is None


def group_files(tmp_path, groups: str, **files: str) -> float | None:
    (tmp_path / "groups").write_text(groups)
    for name, content in files.items():
        path = tmp_path / "mount" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return threads.cpu_quota(tmp_path / "groups", tmp_path / "mount")


def test_the_quota_is_the_smallest_of_a_group_and_those_around_it(tmp_path):
    files = {"pod__cpu_DOT_max": "150000 100000\n", "pod__job__cpu_DOT_max": "max 100000\n"}
    assert group_files(tmp_path, "0::/pod/job\n", **files) == 1.5


def test_the_quota_of_a_container_is_at_the_mount(tmp_path):
    assert group_files(tmp_path, "0::/../of/the/host\n", cpu_DOT_max="400000 100000\n") == 4.0


def test_the_quota_of_version_1_is_read_too(tmp_path):
    files = {"cpu__a__cpu_DOT_cfs_quota_us": "50000\n", "cpu__a__cpu_DOT_cfs_period_us": "100000\n"}
    assert group_files(tmp_path, "4:cpu,cpuacct:/a\n3:memory:/b\n0::/\n", **files) == 0.5


@pytest.mark.parametrize("limit", ["max 100000\n", "", "-1 100000\n", "100000\n", "1 0\n"])
def test_no_limit_is_none(tmp_path, limit):
    assert group_files(tmp_path, "0::/\n", cpu_DOT_max=limit) is None
    assert threads.cpu_quota(tmp_path / "absent") is None


@pytest.mark.parametrize(("quota", "cpus"), [(None, 3), (2.5, 2), (0.5, 1), (9.0, 3)])
def test_usable_cpus_are_those_of_affinity_and_quota(monkeypatch, quota, cpus):
    monkeypatch.setattr(threads, "_affinity", lambda: {0, 4, 5})
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    assert threads.usable_cpus() == cpus


def test_the_load_of_others_is_what_this_process_has_not_computed(monkeypatch):
    clocks = iter([(0.0, 100.0, 7.0), (0.1, 100.1, 7.0), (2.0, 103.0, 8.0)])
    monkeypatch.setattr(threads, "_clocks", lambda: next(clocks))
    load = LoadOfOthers()
    assert load.sample() is None  # too soon
    assert load.sample() == 1.0  # CPUs: 3 seconds less the own one, in 2


def test_where_the_system_counts_nothing_the_load_is_not_known(monkeypatch):
    monkeypatch.setattr(threads, "_clocks", lambda: None)
    assert LoadOfOthers().sample() is None


def test_threads_follow_the_idle_cpus(monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 4)
    samples = iter([None, 0.0, 1.1, 4.0, None, 0.1])
    used = []
    by_load = ThreadsByLoad(3, SimpleNamespace(sample=lambda: next(samples)), used.append)
    assert used == [1]  # until the machine is known to be idle
    for _ in range(6):
        by_load.adjust()
    assert used[1:] == [3, 3, 1, 3]


def test_waiting_threads_spin_briefly_unless_the_user_says_otherwise():
    for chosen in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}):
        environment = dict(chosen)
        threads.spin_briefly(environment)
        assert environment == chosen
    environment = {"PATH": "/bin"}
    threads.spin_briefly(environment)
    assert environment == {"PATH": "/bin", "GOMP_SPINCOUNT": "10000"}


def test_the_command_settles_that_before_torch_loads():
    program = """
import sys
from resmlp_mt.cli import main
from resmlp_mt.common import threads
def seen(environment):
    print("torch" in sys.modules, environment.get("GOMP_SPINCOUNT"))
    sys.exit()
threads.spin_briefly = seen
main.main(["translate", "--help"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert finished.stdout == "False None\n", finished.stderr


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_passes_get_their_threads_but_not_against_the_user(monkeypatch, restored_threads):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    monkeypatch.setattr(os, "environ", {"GOMP_SPINCOUNT": "1"})
    threads.use_for_pass(WMT)
    assert torch.get_num_threads() == 3
    os.environ["OMP_NUM_THREADS"] = "1"
    threads.use_for_pass(DIGITS)
    assert torch.get_num_threads() == 3


def test_the_work_of_a_training_counts_tokens_or_the_rows_of_samples():
    model = torch.nn.Linear(3, 5)
    assert multiply_adds(model, SimpleNamespace(max_tokens=7, batch_size=None)) == 7 * 15
    assert multiply_adds(model, SimpleNamespace(max_tokens=None, batch_size=2)) == 2 * 30 * 15
    model.rows_per_sample = 11
    assert multiply_adds(model, SimpleNamespace(max_tokens=None, batch_size=2)) == 2 * 11 * 15


@pytest.mark.parametrize(("device", "count"), [("cpu", 3), ("cuda", 1)])
def test_a_training_on_a_cpu_chooses_its_threads(device, count, monkeypatch, restored_threads):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    monkeypatch.setattr(os, "environ", {})
    cfg = SimpleNamespace(dataset=SimpleNamespace(max_tokens=10**9), checkpoint=SimpleNamespace(save_dir="run"))
    trainer = SimpleNamespace(cfg=cfg, device=torch.device(device), get_model=lambda: torch.nn.Linear(3, 5))
    monkeypatch.setattr("resmlp_mt.fairseq_plugin.run.distributed_utils.is_master", lambda settings: True)
    cfg.distributed_training = None
    Run(trainer).choose_threads()
    assert torch.get_num_threads() == count


@pytest.mark.parametrize("option", ["--threads", "--workers"])
@pytest.mark.parametrize("count", [-1, 0, 99999])
@pytest.mark.parametrize("command", ["translate", "evaluate", "interactive"])
def test_numbers_that_no_cpus_can_run_are_refused_in_one_line(command, option, count, monkeypatch, capsys):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    assert main([command, "no-model", option, str(count)]) == 2
    said = f"{option} must be from 1 to 2, the CPUs that this process may use, but is {count}; choose a number"
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_all_usable_cpus_are_accepted(monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    for count in (None, 1, 2):
        threads.require_count("--threads", count)
    with pytest.raises(ResMLPError, match="from 1 to 2"):
        threads.require_count("--threads", 3)


def test_the_doctor_says_what_threads_are_used_and_why():
    assert doctor.describe_load(2, None) == "unknown on this system"
    assert doctor.describe_load(2, 0.1) == "0.1 of 2 CPUs"
    assert doctor.describe_load(2, 1.0) == "1.0 of 2 CPUs; speeds measured now are unreliable"
    (finding,) = doctor.describe_threads({"OMP_NUM_THREADS": "7"}, 2, 0.0)
    assert finding.said == "7 (OMP_NUM_THREADS)"
    said = [finding.said for finding in doctor.describe_threads({}, 4, 2.0)]
    assert said[0] == "4 parallel batches with one thread each"
    assert said[1].endswith("2 for a large one (the idle CPUs)")
    assert said[2].endswith("4 for a large one (all usable CPUs)")
    assert "set GOMP_SPINCOUNT=10000" in doctor.describe_waiting({})
    assert doctor.describe_waiting({"OMP_WAIT_POLICY": "passive"}) == "passive (OMP_WAIT_POLICY)"
    assert doctor.describe_waiting({"GOMP_SPINCOUNT": "5"}) == "spin 5 rounds, then sleep (GOMP_SPINCOUNT)"
    subjects = [finding.subject for finding in doctor.check_threads()]
    assert subjects[:2] == ["CPUs", "load of other processes"]
    assert subjects[-1] == "waiting threads"

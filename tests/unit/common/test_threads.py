"""Number of threads: chosen by the work and the CPUs; the user's settings take precedence."""

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
        (1_500_000, 2, 1),  # 3 layers of 128/512, 8,000 subwords
        (3_900_000, 2, 1),  # 2 layers of 256/1536, 8,000 subwords
        (10_000_000, 2, 2),  # the same with 32,000 subwords
        (10_000_000, 1, 1),
        (32_000_000, 64, 8),  # 6 layers of 512/2048: no more threads than have work
    ],
)
def test_step_threads_follow_weights(weights, cpus, count):
    assert threads.for_step(weights, cpus) == count


@pytest.mark.parametrize(
    ("work", "cpus", "briefly", "count"),
    [
        (DIGITS, 2, True, 1),
        (MULTI30K, 2, True, 2),
        (MULTI30K, 2, False, 1),  # threads spin for long, and the machine may be busy
        (MULTI30K, 64, True, 8),
        (WMT, 2, False, 2),
        (WMT, 64, True, 64),
    ],
)
def test_pass_threads_follow_multiply_adds(work, cpus, briefly, count):
    assert threads.for_pass(work, cpus, briefly) == count


@pytest.mark.parametrize(("busy", "idle"), [(0.0, 2), (0.2, 2), (0.3, 1), (1.0, 1), (2.0, 1)])
def test_idle_cpus_exclude_load_of_others(busy, idle):
    assert threads.idle_cpus(2, busy) == idle


@pytest.mark.parametrize(
    ("value", "count"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", None), ("0", None), ("-1", None), ("many", None)]
)
def test_omp_num_threads_is_parsed_as_in_openmp(value, count):
    assert threads.chosen_by_user({"OMP_NUM_THREADS": value}) == count
    assert threads.chosen_by_user({}) is None


def cgroup_quota(tmp_path, cgroups: str, **files: str) -> float | None:
    (tmp_path / "groups").write_text(cgroups)
    for name, content in files.items():
        path = tmp_path / "mount" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return threads.cpu_quota(tmp_path / "groups", tmp_path / "mount")


def test_quota_is_minimum_of_cgroup_and_ancestors(tmp_path):
    files = {"pod__cpu_DOT_max": "150000 100000\n", "pod__job__cpu_DOT_max": "max 100000\n"}
    assert cgroup_quota(tmp_path, "0::/pod/job\n", **files) == 1.5


def test_container_quota_is_read_at_mount(tmp_path):
    assert cgroup_quota(tmp_path, "0::/../of/the/host\n", cpu_DOT_max="400000 100000\n") == 4.0


def test_quota_of_cgroup_v1(tmp_path):
    files = {"cpu__a__cpu_DOT_cfs_quota_us": "50000\n", "cpu__a__cpu_DOT_cfs_period_us": "100000\n"}
    assert cgroup_quota(tmp_path, "4:cpu,cpuacct:/a\n3:memory:/b\n0::/\n", **files) == 0.5


@pytest.mark.parametrize("limit", ["max 100000\n", "", "-1 100000\n", "100000\n", "1 0\n"])
def test_no_quota_is_none(tmp_path, limit):
    assert cgroup_quota(tmp_path, "0::/\n", cpu_DOT_max=limit) is None
    assert threads.cpu_quota(tmp_path / "absent") is None


@pytest.mark.parametrize(("quota", "cpus"), [(None, 3), (2.5, 2), (0.5, 1), (9.0, 3)])
def test_usable_cpus_respect_affinity_and_quota(monkeypatch, quota, cpus):
    monkeypatch.setattr(threads, "_affinity", lambda: {0, 4, 5})
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    assert threads.usable_cpus() == cpus


def test_load_of_others_excludes_this_process(monkeypatch):
    clocks = iter([(0.0, 100.0, 7.0), (0.1, 100.1, 7.0), (2.0, 103.0, 8.0)])
    monkeypatch.setattr(threads, "_clocks", lambda: next(clocks))
    load = LoadOfOthers()
    assert load.sample() is None  # too soon
    assert load.sample() == 1.0  # CPUs: 3 busy seconds minus 1 of this process, in 2 seconds


def test_load_is_unknown_without_clocks(monkeypatch):
    monkeypatch.setattr(threads, "_clocks", lambda: None)
    assert LoadOfOthers().sample() is None


def test_threads_follow_idle_cpus(monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 4)
    samples = iter([None, 0.0, 1.1, 4.0, None, 0.1])
    used: list[int] = []
    by_load = ThreadsByLoad(3, SimpleNamespace(sample=lambda: next(samples)), used.append)
    assert used == [1]  # until the load is known
    for _ in range(6):
        by_load.adjust()
    assert used[1:] == [3, 3, 1, 3]


def test_spin_count_default_and_user_setting():
    for settings in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}):
        environment = dict(settings)
        threads.spin_briefly(environment)
        assert environment == settings
    environment = {"PATH": "/bin"}
    threads.spin_briefly(environment)
    assert environment == {"PATH": "/bin", "GOMP_SPINCOUNT": "10000"}


def test_spin_count_is_set_before_torch_loads():
    program = """
import sys
from resmlp_mt.cli import main
from resmlp_mt.common import threads
def report(environment):
    print("torch" in sys.modules, environment.get("GOMP_SPINCOUNT"))
    sys.exit()
threads.spin_briefly = report
main.main(["translate", "--help"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert result.stdout == "False None\n", result.stderr


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("restored_threads")
def test_pass_threads_respect_user_setting(monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    monkeypatch.setattr(os, "environ", {"GOMP_SPINCOUNT": "1"})
    threads.use_for_pass(WMT)
    assert torch.get_num_threads() == 3
    os.environ["OMP_NUM_THREADS"] = "1"
    threads.use_for_pass(DIGITS)
    assert torch.get_num_threads() == 3


def test_training_work_counts_tokens_or_sample_rows():
    model = torch.nn.Linear(3, 5)
    assert multiply_adds(model, SimpleNamespace(max_tokens=7, batch_size=None)) == 7 * 15
    assert multiply_adds(model, SimpleNamespace(max_tokens=None, batch_size=2)) == 2 * 30 * 15
    model.rows_per_sample = 11  # type: ignore[assignment] # torch types attributes as tensors or modules
    assert multiply_adds(model, SimpleNamespace(max_tokens=None, batch_size=2)) == 2 * 11 * 15


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize(("device", "count"), [("cpu", 3), ("cuda", 1)])
def test_training_on_cpu_chooses_threads(device, count, monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    monkeypatch.setattr(os, "environ", {})
    cfg = SimpleNamespace(dataset=SimpleNamespace(max_tokens=10**9), checkpoint=SimpleNamespace(save_dir="run"))
    trainer = SimpleNamespace(cfg=cfg, device=torch.device(device), get_model=lambda: torch.nn.Linear(3, 5))
    monkeypatch.setattr("resmlp_mt.fairseq_plugin.run.distributed_utils.is_master", lambda _settings: True)
    cfg.distributed_training = None
    Run(trainer).choose_threads()
    assert torch.get_num_threads() == count


@pytest.mark.parametrize("option", ["--threads", "--workers"])
@pytest.mark.parametrize("count", [-1, 0, 99999])
@pytest.mark.parametrize("command", ["translate", "evaluate", "interactive"])
def test_invalid_thread_count_is_one_line(command, option, count, monkeypatch, capsys):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    assert main([command, "no-model", option, str(count)]) == 2
    message = f"{option} must be from 1 to 2, the CPUs that this process may use, but is {count}; choose a number"
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_thread_count_up_to_usable_cpus_is_accepted(monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    for count in (None, 1, 2):
        threads.require_count("--threads", count)
    with pytest.raises(ResMLPError, match="from 1 to 2"):
        threads.require_count("--threads", 3)


def test_doctor_reports_threads_and_reason():
    assert doctor.describe_load(2, None) == "unknown on this system"
    assert doctor.describe_load(2, 0.1) == "0.1 of 2 CPUs"
    assert doctor.describe_load(2, 1.0) == "1.0 of 2 CPUs; speeds measured now are unreliable"
    (finding,) = doctor.describe_threads({"OMP_NUM_THREADS": "7"}, 2, 0.0)
    assert finding.message == "7 (OMP_NUM_THREADS)"
    values = [finding.message for finding in doctor.describe_threads({}, 4, 2.0)]
    assert values[0] == "4 parallel batches with one thread each"
    assert values[1].endswith("2 for a large one (the idle CPUs)")
    assert values[2].endswith("4 for a large one (all usable CPUs)")
    assert "set GOMP_SPINCOUNT=10000" in doctor.describe_waiting({})
    assert doctor.describe_waiting({"OMP_WAIT_POLICY": "passive"}) == "passive (OMP_WAIT_POLICY)"
    assert doctor.describe_waiting({"GOMP_SPINCOUNT": "5"}) == "spin 5 rounds, then sleep (GOMP_SPINCOUNT)"
    subjects = [finding.subject for finding in doctor.check_threads()]
    assert subjects[:2] == ["CPUs", "load of other processes"]
    assert subjects[-1] == "waiting threads"

"""Commands of a comparison: failures, signals, and that no process is left running."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from resmlp_mt.experiments.processes import CommandError, Commands, run_jobs

ROOT = Path(__file__).resolve().parents[3]
INTERRUPTED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from functools import partial
from pathlib import Path
from resmlp_mt.experiments.processes import Commands, run_jobs
folder, commands = Path(sys.argv[1]), Commands()
sleep = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
jobs = [partial(commands.run, folder / "log", 1, "python", "-c", sleep, folder / f"pid{{n}}") for n in (1, 2, 3)]
try:
    run_jobs(jobs, 2, commands)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_command_returns_its_output_and_peak_memory(tmp_path):
    commands = Commands()
    commands.run(tmp_path / "log", 1, "python", "-c", "print('first')")
    result = commands.run(
        tmp_path / "log", 1, "python", "-c", "import time; x = b'x' * 50 * 2**20; time.sleep(3); print('second')"
    )
    assert result.output == "second\n"
    assert 50 < result.peak_mib < 100  # of the command, not of this process, which has loaded PyTorch
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


def test_failed_command_does_not_stop_others(tmp_path):
    commands = Commands()
    run = partial(commands.run, tmp_path / "log", 1, "python", "-c")
    failed, result = run_jobs(
        [partial(run, "import sys; sys.exit('no such luck')"), partial(run, "print(1)")], 1, commands
    )
    assert isinstance(failed, CommandError)
    assert "status 1" in str(failed)
    assert "no such luck" in str(failed)
    assert result.output == "1\n"


def test_other_error_is_raised():
    def fail():
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="a mistake of ours"):
        run_jobs([fail], 1, Commands())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_commands_and_starts_no_other(tmp_path, number):
    program = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(tmp_path)])
    files = [tmp_path / "pid1", tmp_path / "pid2"]
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files) and time.monotonic() < deadline:
        time.sleep(0.05)
    program.send_signal(number)
    assert program.wait(timeout=60) == 130
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
    assert not (tmp_path / "pid3").exists()

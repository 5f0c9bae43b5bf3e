"""Signals: the first one requests a stop, copies of it count as one, and a second one ends the process."""

import signal
import subprocess
import sys

from fairseq_commands import ROOT, environment

PROGRAM = """
import os, signal, sys, time
from resmlp_mt.training import stopping
from resmlp_mt.training.stopping import StopRequest

passed_on = []
stop = StopRequest(pass_on=passed_on.append, verbose=True)
stop.listen()
"""


def run(*lines):
    program = PROGRAM + "\n".join(lines)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300
    )


def test_first_signal_requests_stop_and_is_logged_once():
    for name in ("SIGTERM", "SIGUSR1"):
        result = run(f"os.kill(os.getpid(), signal.{name})", "print(stop.name, passed_on)")
        assert (result.returncode, result.stdout) == (0, f"{name} [{int(getattr(signal, name))}]\n")
        assert result.stderr == f"{name} received: saving and stopping after this update\n"


def test_copies_from_launcher_count_as_one():
    result = run(
        "stopping._COPY_SECONDS = 60",
        "for _ in range(3):",
        "    os.kill(os.getpid(), signal.SIGTERM)",
        "print(stop.name, passed_on)",
    )
    assert (result.returncode, result.stdout) == (0, "SIGTERM [15]\n")


def test_second_signal_ends_process():
    lines = ("os.kill(os.getpid(), signal.SIGUSR1)", "os.kill(os.getpid(), signal.SIGTERM)", "print('still here')")
    result = run("stopping._COPY_SECONDS = 0", *lines)
    assert result.returncode == -signal.SIGTERM
    assert result.stdout == ""


def test_forked_process_records_no_signal():
    lines = (
        "child = os.fork()",
        "if child == 0:",
        "    os.kill(os.getpid(), signal.SIGUSR1)",
        "    os._exit(7 if stop.received is None else 8)",
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stop.received)",
    )
    assert run(*lines).stdout == "7 None\n"


LOADING = """
import os, signal, sys, time, torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function
from resmlp_mt.training.stopping import keep_loading_data

if sys.argv[1] == "kept":
    wrap_function(signal_handling, "_set_worker_signal_handlers", keep_loading_data)
loader = iter(DataLoader(list(range(40)), num_workers=1, prefetch_factor=1))
next(loader)
worker = loader._workers[0].pid
killer = os.fork()
if killer == 0:  # a process other than the parent
    os.kill(worker, signal.SIGTERM)
    os._exit(0)
os.waitpid(killer, 0)
time.sleep(0.2)
print(sum(1 for _ in loader), flush=True)
unfinished = iter(DataLoader(list(range(40)), num_workers=1))
next(unfinished)  # this process ends the worker at exit
"""


def test_data_worker_survives_group_signal_until_parent_ends():
    def load(how):
        args = [sys.executable, "-c", LOADING, how]
        return subprocess.run(args, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300)

    result = load("kept")
    assert (result.returncode, result.stdout) == (0, "39\n"), result.stderr
    alone = load("alone")
    assert alone.returncode == 1
    assert "is killed by signal: Terminated" in alone.stderr


def test_signals_reach_child_processes():
    lines = (
        "import multiprocessing",
        "child = multiprocessing.get_context('fork').Process(target=signal.pause)",
        "signal.signal(signal.SIGUSR1, signal.SIG_DFL)",
        "child.start()",
        "stopping.send_to_children(signal.SIGUSR1)",
        "child.join(30)",
        "print(child.exitcode)",
    )
    assert run(*lines).stdout == f"{-signal.SIGUSR1}\n"


def test_listening_outside_main_thread_is_no_error():
    lines = ("import threading", "threading.Thread(target=StopRequest().listen).start()", "print('well')")
    assert run(*lines).stdout == "well\n"

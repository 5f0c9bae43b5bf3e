"""Signals: the first one leaves a note, copies of it count as one, and a second one ends the process."""

import signal
import subprocess
import sys

from fairseq_commands import ROOT, environment

PROGRAM = """
import os, signal, sys, time
from resmlp_mt.training import stopping
from resmlp_mt.training.stopping import StopRequest

passed_on = []
stop = StopRequest(pass_on=passed_on.append, aloud=True)
stop.listen()
"""


def run(*lines):
    program = PROGRAM + "\n".join(lines)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300
    )


def test_the_first_signal_is_noted_and_said_once():
    for name in ("SIGTERM", "SIGUSR1"):
        done = run(f"os.kill(os.getpid(), signal.{name})", "print(stop.name, passed_on)")
        assert (done.returncode, done.stdout) == (0, f"{name} [{int(getattr(signal, name))}]\n")
        assert done.stderr == f"{name} received: saving and stopping after this update\n"


def test_copies_that_a_launcher_passes_on_count_as_one():
    done = run(
        "stopping._COPY_SECONDS = 60",
        "for _ in range(3):",
        "    os.kill(os.getpid(), signal.SIGTERM)",
        "print(stop.name, passed_on)",
    )
    assert (done.returncode, done.stdout) == (0, "SIGTERM [15]\n")


def test_a_second_signal_ends_at_once():
    lines = ("os.kill(os.getpid(), signal.SIGUSR1)", "os.kill(os.getpid(), signal.SIGTERM)", "print('still here')")
    done = run("stopping._COPY_SECONDS = 0", *lines)
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == ""


def test_a_forked_process_takes_no_note():
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
if killer == 0:  # somebody else than the parent
    os.kill(worker, signal.SIGTERM)
    os._exit(0)
os.waitpid(killer, 0)
time.sleep(0.2)
print(sum(1 for _ in loader), flush=True)
unfinished = iter(DataLoader(list(range(40)), num_workers=1))
next(unfinished)  # its process is ended by this one at the exit
"""


def test_a_process_that_loads_data_survives_a_signal_to_the_group_and_ends_with_its_parent():
    def load(how):
        words = [sys.executable, "-c", LOADING, how]
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300)

    done = load("kept")
    assert (done.returncode, done.stdout) == (0, "39\n"), done.stderr
    alone = load("alone")
    assert alone.returncode == 1
    assert "is killed by signal: Terminated" in alone.stderr


def test_signals_reach_the_processes_that_were_started_here():
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


def test_signals_are_whole_in_a_thread_that_cannot_hear_them():
    lines = ("import threading", "threading.Thread(target=StopRequest().listen).start()", "print('well')")
    assert run(*lines).stdout == "well\n"

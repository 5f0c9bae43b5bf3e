"""Settings of all tests: one thread per process, fixed Hypothesis examples, and SIGINT for child processes."""

import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

import resmlp_mt  # before fairseq: after it, the import would register the package

# The same examples in every run, and no deadline, since the machine may be busy.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

torch.set_num_threads(1)

# Tests that a shell runs in the background ignore SIGINT, and so do their child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fairseq_plugin() -> None:
    """Patches fairseq and registers this package with it."""
    resmlp_mt.register_with_fairseq()


def pytest_collection_finish() -> None:
    """Refuses test modules that patch fairseq at import: their tests may pass alone and fail together with others."""
    if hasattr(sys.excepthook, "patches"):
        raise pytest.UsageError("a test module patches fairseq at import; let it use the fixture fairseq_plugin")

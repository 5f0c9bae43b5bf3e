"""What all tests share: one thread per process, so that they run alike beside others, and Ctrl-C for their children."""

import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

import resmlp_mt  # before fairseq, beside which it would register itself

# The same examples in every run, and no failure because the machine is busy.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

torch.set_num_threads(1)

# A shell that starts the tests in the background has them, and all that they start, ignore SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fairseq_plugin() -> None:
    """fairseq, patched, with everything of this package registered."""
    resmlp_mt.register_with_fairseq()


def pytest_collection_finish() -> None:
    """Refuses test modules that patch fairseq when they are imported: what then passes alone may fail beside others."""
    if hasattr(sys.excepthook, "patches"):
        raise pytest.UsageError("a test module patches fairseq at import; let it use the fixture fairseq_plugin")

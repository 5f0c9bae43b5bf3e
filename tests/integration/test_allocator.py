"""Memory allocator: freed memory is kept until the process has grown by a tenth; then unused memory is returned."""

import os
import subprocess
import sys

import pytest
from fairseq_commands import ROOT, environment

from resmlp_mt.common.allocator import NO_THREAD_CACHE

PROGRAM = """
import torch
from resmlp_mt.common import allocator
from resmlp_mt.common.allocator import UnusedMemory, keep_freed_memory

def mebibytes():
    return allocator._resident_bytes() / 2**20

print(keep_freed_memory())
unused = UnusedMemory()
print(any(unused.give_back() for _ in range(30)))
start = mebibytes()
large, small = [], []
for _ in range(200):  # a small buffer after each large one separates the gaps
    large.append(torch.ones(2**20))
    small.append(torch.ones(64))
print(round((mebibytes() - start) / 400))
large.clear()
print(round((mebibytes() - start) / 400))
print(unused.give_back())
print(round((mebibytes() - start) / 400))
print(unused.give_back())
assert all(bool((buffer == 1).all()) for buffer in small)
"""


EXPECTED_OUTPUT = ["True", "False", "2", "2", "True", "0", "False"]


def program_output(**variables: str) -> list[str]:
    args = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(
        args, capture_output=True, text=True, cwd=ROOT, env={**environment(), **variables}, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone keeps freed memory")
def test_freed_memory_is_returned_after_growth():
    assert program_output() == EXPECTED_OUTPUT


def test_user_settings_are_kept():
    assert program_output(MALLOC_TRIM_THRESHOLD_="131072")[:2] == ["False", "False"]
    assert program_output(MALLOC_TRIM_THRESHOLD_="131072")[4] == "False"
    assert program_output(GLIBC_TUNABLES="glibc.malloc.top_pad=131072")[0] == "False"


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone keeps freed memory")
def test_memory_is_kept_without_thread_cache():
    assert program_output(**NO_THREAD_CACHE) == EXPECTED_OUTPUT


ARENAS = """
import ctypes, sys, threading
import torch
from resmlp_mt.common.allocator import keep_freed_memory

assert keep_freed_memory(shared=sys.argv[1] == "shared")
worker = threading.Thread(target=torch.ones, args=(2**20,))
worker.start()
worker.join()
library = ctypes.CDLL(None)
library.malloc_info(0, ctypes.c_void_p.in_dll(library, "stdout"))
library.fflush(None)
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone keeps freed memory")
@pytest.mark.parametrize(("kind", "several"), [("shared", False), ("apart", True)])
def test_shared_memory_uses_one_arena(kind, several):
    args = [sys.executable, "-c", ARENAS, kind]
    result = subprocess.run(args, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300, check=True)
    assert (result.stdout.count("<heap nr=") > 1) == several

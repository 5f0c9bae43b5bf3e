"""Kept memory: freed buffers stay with the process until it has grown by a tenth; then what lies unused goes back."""

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
for _ in range(200):  # a small buffer behind each large one keeps the gaps apart
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


KEPT = ["True", "False", "2", "2", "True", "0", "False"]


def said(**more: str) -> list[str]:
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env={**environment(), **more}, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone keeps freed memory")
def test_freed_memory_is_kept_and_given_back_once_the_process_has_grown():
    assert said() == KEPT


def test_what_the_user_has_set_stays():
    assert said(MALLOC_TRIM_THRESHOLD_="131072")[:2] == ["False", "False"]
    assert said(MALLOC_TRIM_THRESHOLD_="131072")[4] == "False"
    assert said(GLIBC_TUNABLES="glibc.malloc.top_pad=131072")[0] == "False"


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone keeps freed memory")
def test_memory_is_kept_without_the_cache_of_threads_too():
    assert said(**NO_THREAD_CACHE) == KEPT


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
def test_threads_that_share_memory_have_one_arena(kind, several):
    words = [sys.executable, "-c", ARENAS, kind]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300, check=True)
    assert (done.stdout.count("<heap nr=") > 1) == several

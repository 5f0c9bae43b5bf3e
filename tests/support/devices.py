"""Devices that tests write to; tests that run as root get their own, so that a bug cannot replace the system's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest


def device(folder: Path, name: str) -> Path:
    """A "null" or "full" device: a new one for root, else the system's, which only root can replace."""
    numbers = {"null": (1, 3), "full": (1, 7)}
    if os.geteuid() != 0:
        return Path("/dev", name)
    path = folder / name
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*numbers[name]))
        path.open("wb").close()
    except OSError:
        pytest.skip("root cannot make a device of its own here")
    return path

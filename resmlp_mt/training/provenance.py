"""`run.json` next to the checkpoints: settings and environment of a training run, and its starts and ends."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from resmlp_mt.common import files
from resmlp_mt.common.data_manifest import read_manifest
from resmlp_mt.common.versions import versions

RUN = "run.json"
_GIT_SECONDS = 10


def now() -> str:
    """The current time in UTC, in ISO 8601 format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of the working tree that tracks this package, and whether tracked files have changed since.

    Args:
        folder: folder of the package.

    Returns:
        "commit" and "dirty", or None if no working tree tracks the folder.
    """

    def git(*args: str) -> str:
        command = ["git", "-C", str(folder), *args]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS, stdin=subprocess.DEVNULL
        ).stdout

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed copy may be inside another working tree
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/")
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(changed.strip())}
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """CPUs, memory and GPUs of this machine."""
    result: dict[str, Any] = {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": torch.get_num_threads(),
        "gpus": [],
    }
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            result["gpus"].append({"name": gpu.name, "memory_bytes": gpu.total_memory})
        result["cuda"] = torch.version.cuda
    return result


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def data_state(folder: Path) -> dict[str, Any]:
    """Identifies the training data: its folder, and the digest and a summary of its manifest, if it has one."""
    manifest = read_manifest(folder)
    state: dict[str, Any] = {"folder": str(folder.absolute())}
    if manifest:
        state |= manifest.summary(folder)
    return state


def plain_settings(value: Any) -> Any:
    """Converts settings to JSON types; older fairseq architectures keep theirs in a `Namespace`."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(name): plain_settings(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_settings(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def differences(before: Any, after: Any, name: str = "") -> dict[str, list[Any]]:
    """The settings that differ, by dotted name: [before, after]; None for a missing value."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        changes: dict[str, list[Any]] = {}
        for key in dict.fromkeys([*before, *after]):
            dotted = f"{name}.{key}" if name else key
            changes |= differences(before.get(key), after.get(key), dotted)
        return changes
    return {} if before == after else {name: [before, after]}


def read_run(path: Path) -> dict[str, Any]:
    """The content of a run.json; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class RunFile:
    """Writes run.json at the start and at the end of a training run.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def started(self, settings: Any, update: int, data: Sequence[Path], processes: int, parameters: int) -> None:
        """Records a start, with everything that determines the results; earlier starts of the same run are kept.

        Args:
            settings: all fairseq settings, resolved.
            update: update from which training continues; 0 starts a new run.
            data: data folders.
            processes: number of training processes.
            parameters: number of model parameters; shared parameters count once.

        Raises:
            ResMLPError: if the file cannot be written.
        """
        before = read_run(self.path) if update else {}
        settings = plain_settings(settings)
        start = {"time": now(), "update": update, "command": sys.argv, "host": socket.gethostname(), "pid": os.getpid()}
        if before:
            start["changed"] = differences(before.get("settings", {}), settings)
        content = {
            "starts": [*before.get("starts", []), start],
            "ends": before.get("ends", []),
            "versions": versions(),
            "git": git_state(Path(files.__file__).parent),
            "hardware": hardware(),
            "processes": processes,
            "parameters": parameters,
            "data": [data_state(folder) for folder in data],
            "settings": settings,
        }
        files.write_json(self.path, content)

    def ended(self, update: int, how: str) -> None:
        """Records how the run ended after its latest start."""
        content = read_run(self.path)
        if content:
            content["ends"] = [*content.get("ends", []), {"time": now(), "update": update, "how": how}]
            files.write_json(self.path, content)

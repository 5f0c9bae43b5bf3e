"""`run.json` beside the checkpoints: with what a training was made, and every start and end of it."""

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
    """The time, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of the working tree that tracks this package, and whether files were changed since; None elsewhere.

    Args:
        folder: of the package.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS, stdin=subprocess.DEVNULL
        ).stdout

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed copy may lie in somebody else's working tree
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/")
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(changed.strip())}
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Processors, memory and GPUs of this machine."""
    found: dict[str, Any] = {
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
            found["gpus"].append({"name": gpu.name, "memory_bytes": gpu.total_memory})
        found["cuda"] = torch.version.cuda
    return found


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def data_state(folder: Path) -> dict[str, Any]:
    """What says which data a training used: its folder, and the digest and the essentials of its manifest, if any."""
    manifest = read_manifest(folder)
    found: dict[str, Any] = {"folder": str(folder.absolute())}
    if manifest:
        found |= manifest.summary(folder)
    return found


def plain_settings(value: Any) -> Any:
    """Settings as JSON holds them; older architectures of fairseq keep theirs in a `Namespace`."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(name): plain_settings(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_settings(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def differences(before: Any, after: Any, name: str = "") -> dict[str, list[Any]]:
    """The settings that differ, by dotted name: [before, after]; None where there is none."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: dict[str, list[Any]] = {}
        for key in dict.fromkeys([*before, *after]):
            dotted = f"{name}.{key}" if name else key
            found |= differences(before.get(key), after.get(key), dotted)
        return found
    return {} if before == after else {name: [before, after]}


def read_run(path: Path) -> dict[str, Any]:
    """The content of a run.json; empty where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class RunFile:
    """Writes run.json: at the start of a training and at its end.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def started(self, settings: Any, update: int, data: Sequence[Path], processes: int, parameters: int) -> None:
        """Writes down a start, with all that decides about the results; earlier starts of the same training are kept.

        Args:
            settings: all of fairseq's, resolved.
            update: from which the training goes on; 0 begins anew.
            data: folders.
            processes: that train together.
            parameters: of the model, shared ones once.

        Raises:
            ResMLPError: when the file cannot be written.
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
        """Writes down how a start ended."""
        content = read_run(self.path)
        if content:
            content["ends"] = [*content.get("ends", []), {"time": now(), "update": update, "how": how}]
            files.write_json(self.path, content)

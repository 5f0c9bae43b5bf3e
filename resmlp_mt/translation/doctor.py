"""Checks the installation for missing and incompatible packages. Works without torch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from resmlp_mt.common import threads
from resmlp_mt.common.version import __version__
from resmlp_mt.translation.engine.native import library

# package -> (what requires it, minimum version)
_PACKAGES: dict[str, tuple[str, tuple[int, ...]]] = {
    "torch": ("everything", (2, 6)),
    "numpy": ("everything", (1, 26)),
    "sentencepiece": ("everything", (0, 2)),
    "safetensors": ("bundles", (0, 4)),
    "sacrebleu": ("scores", (2, 4)),
    "sacremoses": ("Moses tokens", (0, 1, 1)),
    "fairseq-fixed": ("training", (0, 12, 3)),
    "omegaconf": ("training", (2, 0, 6)),
    "hydra-core": ("training", (1, 0, 7)),
    "matplotlib": ("figures", (3, 8)),
    "torchvision": ("images", (0, 21)),
    "timm": ("images", (1, 0)),
}
_REQUIRED = ("torch", "numpy", "sentencepiece", "safetensors", "sacrebleu", "sacremoses")
_LOAD_SECONDS = 0.6  # how long the load of other processes is measured
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: what was checked.
        has_passed: whether the check passed.
        message: the result, and if the check failed, how to fix the problem.
    """

    subject: str
    has_passed: bool
    message: str


def check_installation() -> list[Finding]:
    """Checks Python, the packages, their compatibility, and the device."""
    return [_check_python(), *map(_check_package, _PACKAGES), *_check_fairseq(), *_check_torchvision(), _check_device()]


def _check_python() -> Finding:
    version = platform.python_version()
    if not _OLDEST_PYTHON <= sys.version_info[:2] <= _NEWEST_PYTHON:
        return Finding("python", False, f"{version} is not supported: use 3.11, 3.12 or 3.13")
    return Finding("python", True, version)


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _check_package(package: str) -> Finding:
    needed_for, min_version = _PACKAGES[package]
    version = _installed(package)
    command = f"pip install '{package}>={'.'.join(map(str, min_version))}'"
    if version is None:
        is_optional = package not in _REQUIRED
        return Finding(package, is_optional, f"not installed; required for {needed_for}: {command}")
    if _numbers(version) < min_version:
        return Finding(package, False, f"{version} is too old for {needed_for}: {command}")
    return Finding(package, True, version)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts)


def _check_fairseq() -> list[Finding]:
    """Checks that fairseq-fixed works and that the original fairseq is not installed.

    The original cannot be imported on Python 3.11 or later, and both install the same package folder.
    """
    if version := _installed("fairseq"):
        message = (
            f"{version} does not work with this Python: pip uninstall fairseq, pip install fairseq-fixed==0.12.3.1"
        )
        return [Finding("fairseq", False, message)]
    if not _installed("fairseq-fixed"):
        return []
    command = [sys.executable, "-c", "import fairseq.models, fairseq.tasks"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return [Finding("import fairseq", True, "works")]
    reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
    return [Finding("import fairseq", False, f"{reason}: install the versions in constraints.txt together")]


def _check_torchvision() -> list[Finding]:
    """Checks that torchvision was built for the installed torch; it cannot be imported with another version."""
    torch_version = _installed("torch")
    if not _installed("torchvision") or not torch_version:
        return []
    required = [line.split("==")[1] for line in metadata.requires("torchvision") or [] if line.startswith("torch==")]
    if required and required[0] != torch_version.split("+")[0]:
        message = f"is built for torch {required[0]}, not {torch_version}: install both in one command"
        return [Finding("torchvision", False, message)]
    return []


def _check_device() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken installation can raise any exception
        return Finding("import torch", False, f"{type(error).__name__}: {str(error)[:200]}: reinstall torch")
    if torch.cuda.is_available():
        return Finding("device", True, f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    if os.path.exists("/dev/nvidia0"):  # noqa: PTH110  (a device, not a file)
        message = f"a GPU exists, but torch {torch.__version__} cannot use it: install a CUDA build for its driver"
        return Finding("device", False, message)
    onednn = "with" if torch.backends.mkldnn.is_available() else "without"
    return Finding("device", True, f"CPU, {onednn} oneDNN; no GPU")


def check_int8_engine() -> Finding:
    """Reports the instruction sets that the int8 engine can use here; without any, float32 replaces it."""
    message = library.describe()
    if not library.available():
        message += ", so quantized bundles are translated in float32: install a C++ compiler and this package again"
    return Finding("int8 engine", True, message)


def check_threads() -> list[Finding]:
    """Reports usable CPUs, the load of other processes, and thread counts; measuring the load takes 0.6 s."""
    load = threads.LoadOfOthers()
    time.sleep(_LOAD_SECONDS)
    cpus, quota, used_by_others = threads.usable_cpus(), threads.cpu_quota(), load.sample()
    quota_text = "no quota" if quota is None else f"a quota of {quota:g}"
    return [
        Finding("CPUs", True, f"{cpus} usable; {quota_text}"),
        Finding("load of other processes", True, describe_load(cpus, used_by_others)),
        *describe_threads(os.environ, cpus, used_by_others),
        Finding("waiting threads", True, describe_waiting(os.environ)),
    ]


def describe_load(cpus: int, taken: float | None) -> str:
    """Describes how many of the usable CPUs other processes use."""
    if taken is None:
        return "unknown on this system"
    busy = threads.idle_cpus(cpus, taken) < cpus
    return f"{taken:.1f} of {cpus} CPUs" + "; speeds measured now are unreliable" * busy


def describe_threads(environment: Mapping[str, str], cpus: int, taken: float | None) -> list[Finding]:
    """Describes how many threads the commands use, and why."""
    if chosen := threads.chosen_by_user(environment):
        return [Finding("threads", True, f"{chosen} (OMP_NUM_THREADS)")]
    idle = threads.idle_cpus(cpus, taken or 0.0)
    small = "1 for a small model, whose matmuls are too small to split"
    return [
        Finding("threads, text files", True, f"{threads.default_workers(cpus)} parallel batches with one thread each"),
        Finding("threads, line by line", True, f"{small}; {idle} for a large one (the idle CPUs)"),
        Finding("threads, images, training", True, f"{small}; {cpus} for a large one (all usable CPUs)"),
    ]


def describe_waiting(environment: Mapping[str, str]) -> str:
    """Describes what threads do while they wait for one another."""
    if spins := environment.get("GOMP_SPINCOUNT"):
        return f"spin {spins} rounds, then sleep (GOMP_SPINCOUNT)"
    if policy := environment.get("OMP_WAIT_POLICY"):
        return f"{policy} (OMP_WAIT_POLICY)"
    return f"spin for milliseconds, which is slow on a busy machine; set GOMP_SPINCOUNT={threads.SPIN_COUNT}"


def describe_versions() -> str:
    """The version of this project and the operating system, for bug reports."""
    return f"resmlp-mt {__version__} on {platform.platform()}"

"""What is installed and what does not fit together. Works where torch itself is missing."""

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

# package -> (what needs it, smallest version that works)
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
    "matplotlib": ("pictures", (3, 8)),
    "torchvision": ("images", (0, 21)),
    "timm": ("images", (1, 0)),
}
_REQUIRED = ("torch", "numpy", "sentencepiece", "safetensors", "sacrebleu", "sacremoses")
_LOAD_SECONDS = 0.6  # for which the load of others is measured
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        subject: what was looked at.
        is_well: whether it will do.
        said: what was found, and if it will not do, how to mend it.
    """

    subject: str
    is_well: bool
    said: str


def check_installation() -> list[Finding]:
    """Looks at Python, the packages, how they fit together, and the processor."""
    return [_check_python(), *map(_check_package, _PACKAGES), *_check_fairseq(), *_check_torchvision(), _check_device()]


def _check_python() -> Finding:
    version = platform.python_version()
    if not _OLDEST_PYTHON <= sys.version_info[:2] <= _NEWEST_PYTHON:
        return Finding("python", False, f"{version}: use 3.11, 3.12 or 3.13")
    return Finding("python", True, version)


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _check_package(package: str) -> Finding:
    needed_for, smallest = _PACKAGES[package]
    version = _installed(package)
    wanted = f"pip install '{package}>={'.'.join(map(str, smallest))}'"
    if version is None:
        is_optional = package not in _REQUIRED
        return Finding(package, is_optional, f"not installed; for {needed_for}: {wanted}")
    if _numbers(version) < smallest:
        return Finding(package, False, f"{version} is too old for {needed_for}: {wanted}")
    return Finding(package, True, version)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts)


def _check_fairseq() -> list[Finding]:
    """fairseq's own releases cannot be imported on Python 3.11 or later, and share a folder with the mended one."""
    if _installed("fairseq"):
        said = (
            f"{_installed('fairseq')} breaks on this Python: pip uninstall fairseq, pip install fairseq-fixed==0.12.3.1"
        )
        return [Finding("fairseq", False, said)]
    if not _installed("fairseq-fixed"):
        return []
    command = [sys.executable, "-c", "import fairseq.models, fairseq.tasks"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode == 0:
        return [Finding("import fairseq", True, "works")]
    reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
    return [Finding("import fairseq", False, f"{reason}: install the versions of constraints.txt together")]


def _check_torchvision() -> list[Finding]:
    """Each torchvision is built for one torch, and does not import beside another."""
    torch_version = _installed("torch")
    if not _installed("torchvision") or not torch_version:
        return []
    wanted = [line.split("==")[1] for line in metadata.requires("torchvision") or [] if line.startswith("torch==")]
    if wanted and wanted[0] != torch_version.split("+")[0]:
        return [
            Finding("torchvision", False, f"is built for torch {wanted[0]}, not {torch_version}: install both at once")
        ]
    return []


def _check_device() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken installation may fail in any way
        return Finding("import torch", False, f"{type(error).__name__}: {str(error)[:200]}: install torch again")
    if torch.cuda.is_available():
        return Finding("device", True, f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    if os.path.exists("/dev/nvidia0"):  # noqa: PTH110  (a device, not a file)
        said = f"there is a GPU, but torch {torch.__version__} cannot use it: install a CUDA build that fits the driver"
        return Finding("device", False, said)
    packed = "with" if torch.backends.mkldnn.is_available() else "without"
    return Finding("device", True, f"CPU, {packed} oneDNN; no GPU")


def check_threads() -> list[Finding]:
    """Says which CPUs may be used, what others take of them, and how many threads compute; it takes a moment."""
    load = threads.LoadOfOthers()
    time.sleep(_LOAD_SECONDS)
    cpus, quota, taken = threads.usable_cpus(), threads.cpu_quota(), load.sample()
    granted = "no quota" if quota is None else f"a quota of {quota:g}"
    return [
        Finding("CPUs", True, f"{cpus} usable; {granted}"),
        Finding("load of others", True, describe_load(cpus, taken)),
        *describe_threads(os.environ, cpus, taken),
        Finding("waiting threads", True, describe_waiting(os.environ)),
    ]


def describe_load(cpus: int, taken: float | None) -> str:
    """How many of the usable CPUs other processes take."""
    if taken is None:
        return "not known on this system"
    busy = threads.idle_cpus(cpus, taken) < cpus
    return f"{taken:.1f} of {cpus} CPUs" + "; speeds measured now mean little" * busy


def describe_threads(environment: Mapping[str, str], cpus: int, taken: float | None) -> list[Finding]:
    """How many threads the commands use, and why."""
    if chosen := threads.chosen_by_user(environment):
        return [Finding("threads", True, f"{chosen}, as OMP_NUM_THREADS says")]
    idle = threads.idle_cpus(cpus, taken or 0.0)
    small = "1 for a small model, whose products are not worth dividing"
    return [
        Finding("threads, files of text", True, f"{threads.default_workers(cpus)} batches at once, with a thread each"),
        Finding("threads, line by line", True, f"{small}; {idle} for a large one: as many as CPUs are idle"),
        Finding("threads, images, training", True, f"{small}; {cpus} for a large one: all that are usable"),
    ]


def describe_waiting(environment: Mapping[str, str]) -> str:
    """What threads do that wait for one another."""
    if spins := environment.get("GOMP_SPINCOUNT"):
        return f"spin {spins} rounds, then sleep (GOMP_SPINCOUNT)"
    if policy := environment.get("OMP_WAIT_POLICY"):
        return f"as OMP_WAIT_POLICY={policy} says"
    return f"spin for milliseconds, which is slow on a busy machine; set GOMP_SPINCOUNT={threads.SPIN_COUNT}"


def describe_versions() -> str:
    """This project's version and system, for reports of defects."""
    return f"resmlp-mt {__version__} on {platform.platform()}"

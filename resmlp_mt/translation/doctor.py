"""What is installed and what does not fit together. Works where torch itself is missing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from resmlp_mt.version import __version__

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
    return Finding("device", True, f"CPU, {torch.get_num_threads()} threads, {packed} oneDNN; no GPU")


def describe_versions() -> str:
    """This project's version and system, for reports of defects."""
    return f"resmlp-mt {__version__} on {platform.platform()}"

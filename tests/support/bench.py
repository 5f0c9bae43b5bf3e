"""Runs recipes with the real programs, or with stubs that record their arguments."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_commands import BIN, ROOT

SCRIPTS = ROOT / "scripts"

COMMANDS = ("fairseq-train", "fairseq-generate", "fairseq-interactive", "torchrun", "resmlp-mt")

# One file per call, named by its time: processes may call concurrently.
_RECORD = 'printf "%s\\0" "$(basename "$0")" "$@" > "{calls}/$(date +%s%N).$$"\n'
_TORCH = """
class cuda:
    device_count = staticmethod(lambda: {count})
    get_device_capability = staticmethod(lambda index: {capability})
"""


def script_of(recipe: str) -> Path:
    """The script of a recipe; the demos are in scripts/ itself."""
    return SCRIPTS / f"{recipe}.sh" if recipe.startswith("demo") else SCRIPTS / "recipes" / f"{recipe}.sh"


def write_program(path: Path, text: str) -> None:
    """Writes an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@dataclass(frozen=True)
class Bench:
    """An environment to run recipes in.

    Attributes:
        folder: of the programs and their recorded calls.
        environment: the environment variables of the recipes.
    """

    folder: Path
    environment: Mapping[str, str]

    @property
    def run_folder(self) -> Path:
        return self.folder / "run"

    def recipe(self, name: str, *args: object, **variables: object) -> subprocess.CompletedProcess[str]:
        """Runs the script of a recipe, or scripts/NAME.sh, with arguments and environment variables."""
        return subprocess.run(
            ["bash", script_of(name), *map(str, args)],
            env={**self.environment, **{key: str(value) for key, value in variables.items()}},
            capture_output=True,
            text=True,
            timeout=500,
        )

    def calls(self, program: str) -> list[list[str]]:
        """The arguments of each recorded call of a program."""
        recorded = [path.read_text().split("\0")[:-1] for path in sorted((self.folder / "calls").iterdir())]
        return [args[1:] for args in recorded if args[0] == program]

    def note(self) -> str:
        """A shell command that records the arguments of its script."""
        return _RECORD.format(calls=self.folder / "calls")


def _bench(folder: Path, programs: Mapping[str, str], variables: Mapping[str, str]) -> Bench:
    venv = folder / "venv"
    for name, text in programs.items():
        write_program(venv / "bin" / name, text)
    stamp = subprocess.run(
        ["bash", "-c", "cat constraints.txt setup.py resmlp_mt/translation/engine/native/src/* | cksum"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (venv / "installed").write_bytes(stamp.stdout)
    environment = {"PATH": "/usr/bin:/bin", "VENV": str(venv), "RUN": str(folder / "run"), **variables}
    return Bench(folder, environment)


def recording_bench(folder: Path, gpus: int = 0, capability: Sequence[int] = (0, 0)) -> Bench:
    """A bench with `gpus` GPUs whose commands and data_prep only record their arguments."""
    record = _RECORD.format(calls=folder / "calls")
    (folder / "calls").mkdir(parents=True)
    (folder / "modules").mkdir()
    (folder / "modules" / "torch.py").write_text(_TORCH.format(count=gpus, capability=tuple(capability)))
    real = f'exec {BIN / "python"} "$@"\n'
    python = f'if [ "$1 $2" = "-m data_prep" ]; then\n{record}else\n{real}fi\n'
    return _bench(
        folder, {**dict.fromkeys(COMMANDS, record), "python": python}, {"PYTHONPATH": str(folder / "modules")}
    )


def real_bench(folder: Path) -> Bench:
    """A bench with the real commands, on one thread."""
    programs = {name: f'exec {BIN / name} "$@"\n' for name in ("python", *COMMANDS)}
    variables = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "HOME": os.environ.get("HOME", "/tmp")}
    return _bench(folder, programs, variables)

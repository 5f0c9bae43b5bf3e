"""Modules that a command imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from toy_bundles import write_bundle

ROOT = Path(__file__).resolve().parents[2]
# Parts of PyTorch that take seconds and hundreds of MB, and libraries that translation does not use.
HEAVY = (
    *("torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes", "torch.onnx", "sympy", "triton"),
    *("sacrebleu", "sacremoses", "matplotlib", "fairseq", "hydra", "omegaconf", "torchvision", "timm", "PIL", "pandas"),
)
_LOADED = "import sys; print(*sys.modules, file=sys.stderr)"
_TRANSLATE = "from resmlp_mt.cli.main import main; main(sys.argv[1:])"


def loaded_modules(*statements: str, args: tuple[object, ...] = ()) -> set[str]:
    """The modules that a new process has imported at its end."""
    program = "\n".join(["import sys", *statements, _LOADED])
    command = [sys.executable, "-c", program, *map(str, args)]
    finished = subprocess.run(command, input="a dog\n", capture_output=True, text=True, cwd=ROOT, check=True)
    return set(finished.stderr.split())


@pytest.fixture(scope="module")
def of_torch() -> set[str]:
    return loaded_modules("import torch")


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_translate_imports_little_besides_torch(positions, of_torch, tmp_path):
    model = write_bundle(tmp_path, "resmlp_tiny", options=("--positional-embeddings", positions))
    options = ("--format", "jsonl", "--scores", "--alignments", "--quiet")
    more = loaded_modules(_TRANSLATE, args=("translate", model, *options)) - of_torch
    assert "resmlp_mt.translation.search.beam_search" in more
    assert not [name for name in HEAVY if name in more]
    assert len(more) < 150, json.dumps(sorted(more))

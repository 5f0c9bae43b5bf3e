"""Checkpoints load with everything that fairseq stores, and their code never runs.

`inspect.unwrap` returns fairseq's original function from a patched one.
"""

import ast
import inspect
import os
import sys
from argparse import Namespace
from pathlib import Path

import fairseq
import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import Dictionary
from fairseq.models import fconv

from resmlp_mt.common.errors import ResMLPError

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

FAIRSEQ = Path(fairseq.__file__).parent


@pytest.fixture
def _default_safe_globals():
    """Removes the classes that the patches allow, for one test."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.add_safe_globals(allowed)


class HostilePickle:
    """A pickle that runs a command, which creates a file, when it is loaded."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class TestCheckpoints:
    @staticmethod
    def state(**more):
        counts = {
            "float": np.array([[0.5, 2.0]]),
            "int": np.array([3, 7, 11]),
            "big endian": np.array([5], dtype=">i4"),
        }
        return {"cfg": {"model": Namespace(arch="x", layers=[1, 2])}, "counts": counts, "w": torch.ones(3), **more}

    def test_round_trip(self, tmp_path):
        path = tmp_path / "checkpoint.pt"
        torch.save(self.state(), path)
        for _ in range(2):  # read, written and read again, as when a run resumes
            loaded = torch.load(path)
            assert loaded["cfg"]["model"] == Namespace(arch="x", layers=[1, 2])
            for name, counts in self.state()["counts"].items():
                assert np.array_equal(loaded["counts"][name] + 1, counts + 1)
                assert loaded["counts"][name].dtype.str[1:] == counts.dtype.str[1:]
            torch.save(loaded, path)
        stored = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        assert not [name for name in stored if "resmlp" in name]

    @pytest.mark.usefixtures("_default_safe_globals")
    @pytest.mark.parametrize("value", [Namespace(), np.array([1])])
    def test_unpatched_torch_refuses_fairseq_types(self, value, tmp_path):
        torch.save({"value": value}, tmp_path / "checkpoint.pt")
        with pytest.raises(Exception, match="Unsupported global"):
            torch.load(tmp_path / "checkpoint.pt")

    @pytest.mark.parametrize("wrap", [lambda x: x, lambda x: Namespace(model=x), lambda x: np.array([x], dtype=object)])
    @pytest.mark.parametrize("zipped", [True, False])
    def test_code_is_refused(self, wrap, zipped, tmp_path):
        canary, path = tmp_path / "canary", tmp_path / "hostile.pt"
        torch.save(self.state(x=wrap(HostilePickle(canary))), path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ResMLPError, match=r"hostile.pt asks for \S+, which was not run"):
            checkpoint_utils.load_checkpoint_to_cpu(str(path))
        assert not canary.exists()

    def test_forged_array_is_refused(self, tmp_path):
        class Forged:
            """A pickled dtype of objects that claims to hold none: NumPy would read the bytes as addresses."""

            def __reduce__(self):
                dtype = np.dtype("O", False, True)
                dtype.__setstate__((3, "|", None, None, None, -1, -1, 0))  # type: ignore[attr-defined] # not in the stubs
                reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined] # not in the stubs
                return reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), dtype, False, b"\1" * 8)

        path = tmp_path / "forged.pt"
        torch.save({"x": Forged()}, path)
        with pytest.raises(ResMLPError, match="numpy.dtype"):
            checkpoint_utils.load_checkpoint_to_cpu(str(path))

    def test_damaged_file_is_one_line(self, tmp_path):
        whole = tmp_path / "whole.pt"
        torch.save(self.state(), whole)
        content = whole.read_bytes()
        damaged = tmp_path / "damaged.pt"
        for piece in (
            b"",
            content[:10],
            content[:300],
            content[: len(content) // 2],
            content[:-30],
            b"some text\n" * 40,
        ):
            damaged.write_bytes(piece)
            with pytest.raises(ResMLPError, match="damaged.pt .* copy it again") as error:
                checkpoint_utils.load_checkpoint_to_cpu(str(damaged))
            assert "\n" not in str(error.value)
            with pytest.raises((EOFError, LookupError, OSError, RuntimeError)):
                inspect.unwrap(checkpoint_utils.load_checkpoint_to_cpu)(str(damaged))

    def test_other_errors_are_unchanged(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "missing.pt"))
        torch.save({"no": "checkpoint"}, tmp_path / "other.pt")
        with pytest.raises(KeyError):
            checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "other.pt"))


class TestSettings:
    def test_literals_evaluate_as_in_python(self):
        for setting in (
            "[(512, 3)] * 9 + [(768, 3)] * 4",
            " (0.9, 0.98)",
            "True",
            "[1, 2]",
            "100,500",
            "-1",
            "{'a': 1}",
            "2 * [(1, 2)] + []",
            "'text'",
            "None",
            "1e-4",
        ):
            assert fconv.eval(setting) == eval(setting.strip())

    @pytest.mark.parametrize(
        "setting", ["open", "abs(-1)", "[x for x in (1,)]", "().__class__", "1 if 2 else 3", "(", ""]
    )
    def test_non_literals_are_refused(self, setting):
        with pytest.raises(ResMLPError, match="contains something other than literals"):
            utils.eval_str_list(setting)

    def test_no_fairseq_module_calls_python_eval(self):
        for path in FAIRSEQ.rglob("*.py"):
            name = ".".join(path.relative_to(FAIRSEQ.parent).with_suffix("").parts).removesuffix(".__init__")
            if name in sys.modules and "eval(" in (source := path.read_text()):
                nodes = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
                if any(isinstance(node, ast.Name) and node.id == "eval" for node in nodes):
                    assert sys.modules[name].eval.__module__ == "resmlp_mt.common.safe_checkpoint", name

    def test_building_a_model_runs_no_code(self, monkeypatch, tmp_path):
        task = Namespace(source_dictionary=Dictionary(), target_dictionary=Dictionary())
        canary = tmp_path / "canary"
        setting = f"__import__('pathlib').Path({str(canary)!r}).touch() or [(8, 3)]"
        args = Namespace(encoder_layers=setting, encoder_embed_dim=8, max_source_positions=9, max_target_positions=9)
        with pytest.raises(ResMLPError):
            fconv.FConvModel.build_model(args, task)
        assert not canary.exists()
        monkeypatch.delattr(fconv, "eval")
        fconv.FConvModel.build_model(args, task)
        assert canary.exists()

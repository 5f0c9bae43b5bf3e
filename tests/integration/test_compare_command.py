"""`resmlp-mt compare` end to end, on toy data with real training runs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from fairseq_commands import BIN, environment
from toy_bundles import data_folder, raw_lines

from resmlp_mt.common.indexed_data import read_indexed
from resmlp_mt.fairseq_plugin import token_budget

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Toy data whose validation set is its test set."""
    folder = tmp_path_factory.mktemp("compare") / "data"
    shutil.copytree(data_folder(), folder)
    for path in [*folder.glob("test.src-tgt.*"), *(folder / "raw").glob("test.*")]:
        shutil.copy(path, path.with_name(path.name.replace("test", "valid", 1)))
    return folder


def compare(data: Path, *args: object) -> subprocess.CompletedProcess[str]:
    command = [BIN / "resmlp-mt", "compare", "--data", data, "--pair", "src-tgt", "--size", "tiny"]
    command += ["--max-tokens", 300, "--cpu", "--resamples", 20, "--work", data.parent / "work"]
    command += ["--output", data.parent / "out.json", *args]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment(), timeout=500)


def test_systems_are_compared_and_runs_reused(data):
    (data.parent / "own.json").write_text('{"broken": {"options": {"dropout": 7}}}')
    args: tuple[object, ...] = (
        "--updates",
        20,
        "--validate-every",
        10,
        "--speed-rounds",
        1,
        "--own",
        data.parent / "own.json",
    )
    args = (*args, "--systems", "resmlp", "transformer", "broken")
    finished = compare(data, *args)
    assert finished.returncode == 1, finished.stderr[-3000:]
    assert "broken, seed 1, failed and is left out" in finished.stderr
    report = json.loads((data.parent / "out.json").read_text())
    assert [result["name"] for result in report["results"]] == ["resmlp", "transformer"]
    for result in report["results"]:
        (run,) = result["runs"]
        assert run["updates"] == 20
        assert {10, 20} <= {point["updates"] for point in run["validations"]}  # and ends of epochs
        assert 0 < run["parameters_without_embeddings"] < run["parameters"]
        assert len(run["translations"]) == len(raw_lines())
        assert len(result["generation_tokens_per_second"]) == 1
    assert finished.stdout == (data.parent / "out.md").read_text()
    assert (data.parent / "out.png").stat().st_size > 10_000
    kept = {
        path: path.stat().st_mtime_ns for path in (data.parent / "work").rglob("*.json") if "broken" not in str(path)
    }
    assert len(kept) >= 8
    again = compare(data, *args[:-1])
    assert again.returncode == 0, again.stderr[-3000:]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    other = compare(data, "--updates", 30, "--systems", "resmlp")
    assert other.returncode == 2
    assert len(other.stderr.splitlines()) == 1
    assert "holds a training with other settings" in other.stderr


def test_bad_input_is_one_line(data):
    finished = compare(data, "--updates", 0, "--systems", "resmlp")
    assert (finished.returncode, finished.stderr) == (
        2,
        "resmlp-mt compare: --updates must be more than 0, not 0\n",
    )


def test_token_budget_in_batches(data):
    tokens = int(read_indexed(data / "train.src-tgt.tgt").sizes.sum())
    epoch = token_budget.batches_for_tokens(data, "src-tgt", 300, tokens)
    assert epoch > 5
    assert token_budget.batches_for_tokens(data, "src-tgt", 300, tokens // 2) == -(-epoch // 2)

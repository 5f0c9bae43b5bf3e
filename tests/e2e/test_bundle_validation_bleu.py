"""The validation BLEU of a training run equals the BLEU of `evaluate` on its checkpoint."""

import json
import re
import shutil

import pytest
from fairseq_commands import USER_DIR, run
from toy_bundles import data_folder, raw_lines

from resmlp_mt.cli.main import main

pytestmark = pytest.mark.slow

TRAINING = [
    *(
        "--task",
        "resmlp_translation",
        "--arch",
        "resmlp_tiny",
        "--share-all-embeddings",
        "--eval-bleu",
        "--max-epoch",
        2,
    ),
    *("--criterion", "label_smoothed_cross_entropy", "--optimizer", "adam", "--lr", "0.005", "--max-tokens", 400),
    *("--valid-subset", "test", "--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"),
    *(
        "--patience",
        3,
        "--cpu",
        "--num-workers",
        0,
        "--no-progress-bar",
        "--log-format",
        "json",
        "--batch-size-valid",
        3,
    ),
]


def test_evaluate_bleu_equals_validation_bleu(tmp_path):
    data = shutil.copytree(data_folder(), tmp_path / "data")
    finished = run("fairseq-train", data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path / "save")
    validation_bleu = [
        float(value) for value in re.findall(r'"test_bleu": "([\d.]+)"', finished.stdout + finished.stderr)
    ]
    assert len(validation_bleu) == 2
    model, report = tmp_path / "model", tmp_path / "report.json"
    checkpoint = tmp_path / "save" / "checkpoint_best.pt"
    assert main(["bundle", str(checkpoint), "--data", str(data), "--out", str(model)]) == 0
    assert main(["evaluate", str(model), "--data", str(data), "--json", str(report), "--resamples", "2"]) == 0
    scores = {score["metric"]: score["score"] for score in json.loads(report.read_text())["scores"]}
    assert round(scores["BLEU"], 2) == max(validation_bleu)
    assert max(validation_bleu) > 0


def test_missing_raw_references_are_one_line(tmp_path):
    data = shutil.copytree(data_folder(), tmp_path / "data")
    (data / "raw" / "test.tgt").write_text("".join(f"{line}\n" for line in raw_lines("tgt")[:-1]), encoding="utf-8")
    args = ["--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path / "save"]
    finished = run("fairseq-train", data, *args, check=False)
    assert finished.returncode != 0
    assert "test.tgt has 19 lines, but the split has 20" in finished.stderr.splitlines()[-1]

"""`resmlp-mt vision evaluate`: counts, intervals, reports, refused inputs."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import LoadedClassifier, save_classifier
from resmlp_mt.vision.data.datasets import load_dataset
from resmlp_mt.vision.data.image_sets import ArraySet
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.inference import evaluation as evaluate
from resmlp_mt.vision.inference.evaluation_figure import draw_confusions
from resmlp_mt.vision.inference.prediction import prepare_for_inference
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

CLASSES = ["bright", "dark", "grey"]
SHADES = {"bright": 255, "dark": 0, "grey": 128}
COUNTS = {"bright": 5, "dark": 3, "grey": 3}


def shade_classifier(constant=None):
    """A classifier of the three shades by the mean of the pixels, or one that always predicts class `constant`."""
    settings = ClassifierConfig(image_size=8, patch_size=4, channels=1, dim=5, depth=2, num_classes=3, layer_scale=0.0)
    classifier = ClassifierModel(settings).eval()
    with torch.no_grad():
        for parameter in (*classifier.patch_embed.parameters(), *classifier.head.parameters()):
            parameter.zero_()
        next(p for p in classifier.patch_embed.parameters() if p.dim() > 1)[0] = 1 / 16  # the mean of a patch
        if constant is None:
            classifier.head.weight[:, 0] = torch.tensor([9.0, -9.0, 0.0])
            classifier.head.bias[2] = 4.5
        else:
            classifier.head.bias[constant] = 1.0
    return LoadedClassifier(classifier, list(CLASSES), Preprocessing(8, 1, mean=(0.5,), std=(0.5,), crop=1.0))


@pytest.fixture
def root(tmp_path):
    """11 images in class folders."""
    for name, count in COUNTS.items():
        (tmp_path / "data" / "val" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (9, 9), SHADES[name]).save(tmp_path / "data" / "val" / name / f"{number}.png")
    return tmp_path / "data"


def save(folder, loaded):
    save_classifier(folder, loaded.classifier, loaded.classes, loaded.preprocessing)
    return folder


def run(model, root, tmp_path, *options):
    args = ["vision", "evaluate", str(model), "--dataset-name", "folder", "--root", str(root)]
    assert main([*args, "--json", str(tmp_path / "report.json"), *options]) == 0
    return json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_perfect_model_at_every_batch_size(root, tmp_path, batch_size):
    report = run(save(tmp_path / "model", shade_classifier()), root, tmp_path, "--batch-size", str(batch_size))
    assert report["pictures"] == 11
    assert report["top1"]["right"] == report["top5"]["right"] == 11
    assert report["top1"]["share"] == 1.0
    assert report["confusions"] == []
    assert {row["class"]: row["pictures"] for row in report["by_class"]} == COUNTS


def test_constant_model(root, tmp_path):
    report = run(save(tmp_path / "model", shade_classifier(constant=0)), root, tmp_path)
    assert report["top1"]["share"] == pytest.approx(5 / 11)
    assert [row["share"] for row in report["by_class"]] == [1.0, 0.0, 0.0]
    assert [row["precision"] for row in report["by_class"]] == [pytest.approx(5 / 11), None, None]
    assert report["confusions"] == [
        {"class": "dark", "taken_for": "bright", "pictures": 3},
        {"class": "grey", "taken_for": "bright", "pictures": 3},
    ]


def test_report_is_reproducible(root, tmp_path, capsys):
    model = save(tmp_path / "model", shade_classifier())
    first = run(model, root, tmp_path, "--figure", str(tmp_path / "confusions.png"))
    assert (tmp_path / "confusions.png").read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "top-1  100.00%" in output
    assert "images/s" in output
    assert first["settings"]["folded"] is True
    assert first["settings"]["preprocessing"]["interpolation"] == "bicubic"
    assert {"torch", "torchvision", "pillow", "resmlp-mt"} <= set(first["versions"])
    assert first["hashes"]["model"].startswith("sha256:")
    moved = root.rename(tmp_path / "moved")
    second = run(model, moved, tmp_path, "--no-fold")
    assert second["hashes"] == first["hashes"]
    assert second["settings"]["folded"] is False
    (moved / "val" / "dark" / "0.png").rename(moved / "val" / "grey" / "9.png")
    third = run(model, moved, tmp_path)
    assert third["hashes"]["labels"] != first["hashes"]["labels"]
    assert third["top1"]["right"] == 10


def test_corrupt_image_is_refused_or_skipped(root, tmp_path, capsys):
    model = save(tmp_path / "model", shade_classifier())
    broken = root / "val" / "dark" / "1.png"
    broken.write_bytes(broken.read_bytes()[:30])
    args = ["vision", "evaluate", str(model), "--dataset-name", "folder", "--root", str(root)]
    assert main(args) == 2
    output = capsys.readouterr().err
    assert str(broken) in output
    assert output.count("\n") == 1
    report = run(model, root, tmp_path, "--corrupt-images", "skip")
    assert report["pictures"] == 10
    assert len(report["skipped"]) == 1
    assert str(broken) in report["skipped"][0]


def test_other_classes_are_refused(root, tmp_path, capsys):
    model = save(tmp_path / "model", shade_classifier())
    (root / "val" / "grey").rename(root / "val" / "purple")
    assert main(["vision", "evaluate", str(model), "--dataset-name", "folder", "--root", str(root)]) == 2
    output = capsys.readouterr().err
    assert "lacks 'grey' and also has 'purple'" in output
    assert output.count("\n") == 1


def test_classes_in_another_order_are_refused():
    with pytest.raises(ResMLPError, match="another order, with 'b' at index 0 instead of 'a'"):
        evaluate.check_same_classes(["a", "b"], ["b", "a"])
    with pytest.raises(ResMLPError, match="'5', '6', '7', '8', '9' and 2 more"):
        evaluate.check_same_classes(list("012"), [str(index) for index in range(12) if index != 3 and index != 4])


def test_numbered_classes_are_accepted():
    assert evaluate.check_same_classes(["a", "b"], ["a", "b"])
    assert not evaluate.check_same_classes(["0", "1"], ["a", "b"])


def test_any_of_several_labels_is_correct():
    outcome = evaluate.Outcome(np.array([[2, 0], [1, 2], [0, 1]]), [(0, 2), (0, 2), 0], [], 1.0, 1.0, 1.0, None)
    assert outcome.count_correct(1) == 2
    assert outcome.count_correct(2) == 3
    assert outcome.truth.tolist() == [2, 0, 0]
    assert evaluate.confusion_matrix(outcome, 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_wilson_interval_solves_its_equation():
    # At the bounds p, the observed fraction is 1.96 standard deviations sqrt(p (1 - p) / n) away.
    right, count = 13, 17
    for bound in evaluate.wilson_interval(right, count):
        deviations = abs(right / count - bound) / math.sqrt(bound * (1 - bound) / count)
        assert deviations == pytest.approx(1.959964, abs=1e-5)
    assert evaluate.wilson_interval(0, 7)[0] == pytest.approx(0.0, abs=1e-12)
    assert evaluate.wilson_interval(7, 7)[1] == pytest.approx(1.0)
    assert evaluate.wilson_interval(7, 7)[0] < 0.7


def test_folded_equals_unfolded_on_digits():
    torch.manual_seed(3)
    settings = ClassifierConfig(image_size=8, patch_size=2, channels=1, dim=13, depth=2, num_classes=10)
    images = load_dataset("digits", ".", "valid")
    guesses = []
    for fold in (False, True):
        torch.manual_seed(3)
        loaded = LoadedClassifier(ClassifierModel(settings), images.classes, Preprocessing(8, 1, (0.3,), (0.4,), 1.0))
        prepare_for_inference(loaded.classifier, "cpu", fold)
        guesses.append(evaluate.classify_dataset(loaded, images, 37).guesses)
    assert guesses[0].shape == (355, 5)
    assert (guesses[0][:, 0] == guesses[1][:, 0]).mean() == 1.0


@pytest.mark.parametrize("classes", [2, 10, 97, 1000])
def test_confusion_figure_for_any_number_of_classes(tmp_path, classes):
    generator = np.random.default_rng(3)
    labels = generator.integers(0, classes, 3 * classes)
    wrong = generator.random(len(labels)) < 0.3
    guesses = np.where(wrong, generator.integers(0, classes, len(labels)), labels)[:, None]
    outcome = evaluate.Outcome(guesses, labels.tolist(), [], 1.0, 1.0, 1.0, None)
    names = [f"class $ {index} with a long name" for index in range(classes)]
    report = evaluate.describe(outcome, names)
    draw_confusions(tmp_path / "confusions.png", report, evaluate.confusion_matrix(outcome, classes))
    assert Image.open(tmp_path / "confusions.png").width > 1000
    with pytest.raises(ResMLPError, match="extension"):
        draw_confusions(tmp_path / "confusions.txt", report, evaluate.confusion_matrix(outcome, classes))


def test_labels_digest_depends_on_names_and_labels():
    pixels = np.zeros((2, 8, 8), np.uint8)
    digests = [
        evaluate.labels_digest(ArraySet(["a", "b"], pixels, labels, "toy"), "/data") for labels in ([0, 1], [0, 0])
    ]
    assert digests[0] != digests[1]
    assert digests[0] == "sha256:" + hashlib.sha256(b"toy #0\ta\ntoy #1\tb\n").hexdigest()


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_damaged_model_is_one_line(tmp_path, root, capsys, name):
    (tmp_path / "empty").write_bytes(b"")
    assert main(["vision", "evaluate", str(tmp_path / name), "--dataset-name", "folder", "--root", str(root)]) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""`resmlp-mt vision predict`: one row for each image, in order."""

import json

import pytest
import torch
from PIL import Image

import resmlp_mt
from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import LoadedClassifier, save_classifier
from resmlp_mt.vision.classifier import Classifier
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.inference.prediction import find_images, prepare_for_inference, read_batches
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

CLASSES = ["dark", "light", "tab\there"]


def brightness_classifier(classes=CLASSES):
    """A classifier whose first logit falls with the brightness, whose second rises and whose third is constant."""
    torch.manual_seed(3)
    settings = ClassifierConfig(
        image_size=8, patch_size=4, channels=1, dim=5, depth=2, num_classes=len(classes), layer_scale=0.0
    )
    classifier = ClassifierModel(settings).eval()
    with torch.no_grad():
        for parameter in (*classifier.patch_embed.parameters(), *classifier.head.parameters()):
            parameter.zero_()
        next(p for p in classifier.patch_embed.parameters() if p.dim() > 1)[0] = 1 / 16  # the mean of a patch
        classifier.head.weight[:2, 0] = torch.tensor([-9.0, 9.0])
    return LoadedClassifier(classifier, list(classes), Preprocessing(8, 1, mean=(0.5,), std=(0.5,), crop=1.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "bundle"
    loaded = brightness_classifier()
    save_classifier(folder, loaded.classifier, loaded.classes, loaded.preprocessing)
    return folder


@pytest.fixture
def image_folder(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name, shade in (("b.png", 255), ("a.png", 0), ("sub/c.png", 255)):
        Image.new("L", (11, 13), shade).save(folder / name)
    return folder


def rows(capsys):
    output = capsys.readouterr()
    return [line.split("\t") for line in output.out.splitlines()], output.err


def test_order_of_paths_is_kept(model, image_folder, capsys):
    args = [
        "vision",
        "predict",
        str(model),
        str(image_folder / "b.png"),
        str(image_folder),
        str(image_folder / "a.png"),
    ]
    assert main([*args, "--batch-size", "2"]) == 0
    table, err = rows(capsys)
    names = [row[0].strip().removeprefix(f"{image_folder}/") for row in table]
    assert names == ["b.png", "a.png", "b.png", "sub/c.png", "a.png"]
    assert [row[1].split()[1] for row in table] == ["light", "dark", "light", "light", "dark"]
    assert err == ""


def test_corrupt_image_is_named_and_has_a_row(model, image_folder, capsys):
    (image_folder / "aa.png").write_bytes((image_folder / "a.png").read_bytes()[:40])
    assert main(["vision", "predict", str(model), str(image_folder), "--format", "json"]) == 0
    output = capsys.readouterr()
    predictions = json.loads(output.out)
    assert [row["picture"] for row in predictions] == [
        str(image_folder / name) for name in ("a.png", "aa.png", "b.png", "sub/c.png")
    ]
    assert [row["guesses"][0]["class"] if row["guesses"] else None for row in predictions] == [
        "dark",
        None,
        "light",
        "light",
    ]
    assert str(image_folder / "aa.png") in predictions[1]["error"]
    assert [row["error"] for row in predictions if row is not predictions[1]] == [None] * 3
    assert str(image_folder / "aa.png") in output.err
    assert output.err.count("\n") == 1


def test_no_readable_image_is_status_2(model, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    missing = tmp_path / "missing.png"
    assert main(["vision", "predict", str(model), str(tmp_path / "broken.png"), str(missing)]) == 2
    table, err = rows(capsys)
    assert [row[1] for row in table] == ["error: cannot be read"] * 2
    assert str(missing) in err
    assert "none of the 2 images" in err


def test_folder_without_images_is_refused(model, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("nothing")
    assert main(["vision", "predict", str(model), str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("top_k", [1, 2, 9])
def test_top_k_is_limited_by_the_classes(model, image_folder, capsys, top_k):
    assert main(["vision", "predict", str(model), str(image_folder), "--top-k", str(top_k), "--format", "json"]) == 0
    for row in json.loads(capsys.readouterr().out):
        shares = [guess["probability"] for guess in row["guesses"]]
        assert len(shares) == min(top_k, len(CLASSES))
        assert shares == sorted(shares, reverse=True)
        assert top_k < 3 or sum(shares) == pytest.approx(1.0, abs=1e-6)


def test_control_characters_in_names_are_escaped(model, tmp_path, capsys):
    Image.new("L", (8, 8), 255).save(tmp_path / "two\nlines.png")
    assert main(["vision", "predict", str(model), str(tmp_path), "--top-k", "3"]) == 0
    table, _ = rows(capsys)
    assert len(table) == 1
    assert len(table[0]) == 4
    assert r"two\nlines.png" in table[0][0]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("fold", [True, False])
def test_batch_and_folding_invariance(tmp_path, batch_size, fold):
    torch.manual_seed(5)
    settings = ClassifierConfig(image_size=8, patch_size=2, channels=3, dim=7, depth=3, num_classes=5)
    paths = []
    for number in range(7):
        paths.append(tmp_path / f"{number}.png")
        noise = torch.randint(0, 256, (9, 10, 3), dtype=torch.uint8).numpy()
        Image.fromarray(noise).save(paths[-1])
    names = [str(index) for index in range(5)]
    loaded = LoadedClassifier(ClassifierModel(settings), names, Preprocessing(8))
    transform = loaded.preprocessing.evaluation_transform()
    loaded.classifier.eval()
    with torch.no_grad():
        expected = [loaded.classifier(transform(Image.open(path))[None]).softmax(1).max().item() for path in paths]
    classifier = Classifier(loaded, batch_size=batch_size, workers=2, fold=fold)
    predictions = classifier.classify(paths)
    assert [prediction.image for prediction in predictions] == paths
    assert [prediction.guesses[0].probability for prediction in predictions] == pytest.approx(expected, abs=1e-5)


def test_pillow_images_equal_files(model, tmp_path):
    images = [Image.new("L", (11, 13), 255), Image.new("RGBA", (12, 9), (0, 0, 0, 0)), Image.new("RGB", (9, 9))]
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for image, file in zip(images, files, strict=True):
        image.save(file)
    classifier = resmlp_mt.Classifier.from_pretrained(model)
    from_images, from_files = classifier.classify(images), classifier.classify(map(str, files), top_k=5)
    assert [result.guesses for result in from_images] == [result.guesses for result in from_files]
    assert [result.guesses[0].name for result in from_images] == ["light", "light", "dark"]
    assert from_images[0].image is images[0]


def test_single_path_is_refused(model):
    with pytest.raises(ResMLPError, match="takes a list of images, but got the single path a.png"):
        resmlp_mt.Classifier.from_pretrained(model).classify("a.png")


def test_model_without_head_is_refused():
    with pytest.raises(ResMLPError, match="the model has no head"):
        Classifier(
            LoadedClassifier(ClassifierModel(ClassifierConfig(image_size=16, num_classes=0)), [], Preprocessing(16))
        )


def test_batches_keep_the_order():
    assert list(read_batches(range(7), lambda item: item * 2, 3, workers=4)) == [[0, 2, 4], [6, 8, 10], [12]]
    assert list(read_batches([], lambda item: item, 3)) == []


def test_folder_images_are_sorted(image_folder):
    assert [path.name for path in find_images([image_folder])] == ["a.png", "b.png", "c.png"]


def test_unavailable_device_is_refused():
    with pytest.raises(ResMLPError, match="use cpu"):
        prepare_for_inference(brightness_classifier().classifier, "cuda:77")
    with pytest.raises(ResMLPError, match="use cpu"):
        prepare_for_inference(brightness_classifier().classifier, "toaster")


@pytest.mark.parametrize("options", [["--top-k", "0"], ["--batch-size", "0"], ["--workers", "0"]])
def test_settings_out_of_range_are_one_line(model, image_folder, capsys, options):
    assert main(["vision", "predict", str(model), str(image_folder), *options]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00"])
def test_damaged_model_is_one_line(tmp_path, image_folder, capsys, content):
    (tmp_path / "config.json").write_bytes(content)
    assert main(["vision", "predict", str(tmp_path), str(image_folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1

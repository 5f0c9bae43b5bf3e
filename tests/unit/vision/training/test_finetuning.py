"""Initialisation from a trained classifier: head, interpolation, mismatched architectures."""

import pytest
import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import save_classifier
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig
from resmlp_mt.vision.training.finetuning import initialise_from

NAMES = ["cat", "dog", "emu", "fox", "gnu"]


def make(seed: int, image_size: int = 15, num_classes: int = 5, **changes: object) -> ClassifierModel:
    torch.manual_seed(seed)
    chosen = {"dim": 7, "depth": 2, "hidden_ratio": 2.0, **changes}
    classifier = ClassifierModel(ClassifierConfig(image_size, 3, 1, num_classes=num_classes, **chosen))
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return classifier.eval()


@pytest.fixture
def trained(tmp_path):
    classifier = make(1)
    folder = tmp_path / "trained"
    save_classifier(folder, classifier, NAMES, Preprocessing(15, 1, (0.5,), (0.5,)))
    return classifier, folder


def test_same_classes_keep_the_head(trained):
    old, folder = trained
    new = make(2)
    assert initialise_from(new, folder, NAMES) == f"2 layers and head from {folder}"
    images = torch.randn(3, 1, 15, 15)
    assert torch.equal(new(images), old(images))


@pytest.mark.parametrize("names", [["cat", "dog", "emu"], NAMES[::-1]], ids=["fewer", "another order"])
def test_other_classes_get_a_new_head(trained, names):
    old, folder = trained
    new = make(2, num_classes=len(names))
    head = new.head.weight.clone()
    assert initialise_from(new, folder, names) == f"2 layers from {folder}; new head with {len(names)} classes"
    assert torch.equal(new.head.weight, head)
    images = torch.randn(3, 1, 15, 15)
    assert torch.equal(new.features(images), old.features(images))


def test_another_image_size_interpolates_mixing(trained):
    old, folder = trained
    new = make(2, image_size=21)
    message = initialise_from(new, folder, NAMES)
    assert message == f"2 layers, mixing interpolated from 5 x 5 to 7 x 7 patches, and head from {folder}"
    images = torch.randn(3, 1, 21, 21)
    assert torch.allclose(new(images), old.at_image_size(21)(images), atol=1e-6)


def test_drop_path_of_the_new_model_is_kept(trained):
    _, folder = trained
    new = make(2, drop_path=0.5, layer_scale=1e-6)
    initialise_from(new, folder, NAMES)
    assert new.settings.drop_path == 0.5
    assert new.layers[0].channels.drop_path == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 11}, "--dim is 11, but 7 in "),
        ({"depth": 3}, "--depth is 3, but 2 in"),
        ({"norm": "layernorm"}, "--norm is layernorm, but affine in"),
        ({"mixing": "none"}, "--mixing is none, but linear in"),
        ({"pooling": "class_mlp"}, "--pooling is class_mlp, but average in"),
    ],
)
def test_architecture_mismatch_is_refused(trained, changes, message):
    _, folder = trained
    new = make(2, **changes)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    with pytest.raises(ResMLPError, match=message) as raised:
        initialise_from(new, folder, NAMES)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(value, before[name]) for name, value in new.state_dict().items())


def test_hostile_file_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("this runs",)

    torch.save({"model": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(ResMLPError, match="print"):
        initialise_from(make(2), tmp_path / "hostile.pt", NAMES)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ResMLPError, match="no.pt"):
        initialise_from(make(2), tmp_path / "no.pt", NAMES)

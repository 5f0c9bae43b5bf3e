"""The linear probe: separable features, choice of the learning rate, unchanged backbone."""

import pytest
import torch
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.augmentation import Augmentation
from resmlp_mt.vision.data.datasets import load_dataset
from resmlp_mt.vision.data.image_sets import FileSet
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.inference.features import Features, extract_features
from resmlp_mt.vision.inference.linear_probe import ProbeSettings, train_probe
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

IMAGES, DIM, CLASSES = 211, 7, 3
QUICK = ProbeSettings(epochs=20, batch_size=32)


def separable(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in which each class has its own mean, on scales a thousand times apart, and labels."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(IMAGES) % CLASSES
    features = torch.randn(1, IMAGES, DIM, generator=generator) * 0.1
    features[0, :, :CLASSES] += torch.nn.functional.one_hot(targets, CLASSES)
    return features * torch.logspace(-1, 2, DIM) + 5.0, targets


def test_separable_features_are_learned_at_any_scale():
    views, targets = separable()
    probe = train_probe(views, targets, CLASSES, QUICK)
    assert probe.head(views[0]).argmax(1).eq(targets).float().mean() > 0.99


def test_random_labels_are_not_learned():
    views, targets = separable()
    shuffled = targets[torch.randperm(IMAGES, generator=torch.Generator().manual_seed(1))]
    assert train_probe(views, shuffled, CLASSES, QUICK).held_out_accuracy < 0.6


def test_same_seed_gives_the_same_probe():
    views, targets = separable()
    before = torch.get_rng_state()
    first, second = (train_probe(views, targets, CLASSES, QUICK) for _ in range(2))
    assert torch.equal(first.head.weight, second.head.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_best_learning_rate_is_chosen():
    views, targets = separable()
    chosen = train_probe(views, targets, CLASSES, ProbeSettings(epochs=5, batch_size=32, rates=(1e-7, 0.1)))
    assert chosen.rate == 0.1
    assert train_probe(views, targets, CLASSES, ProbeSettings(rates=(0.03,), epochs=1)).held_out_accuracy is None


def test_all_views_are_used():
    views, targets = separable()
    settings = ProbeSettings(epochs=2, batch_size=32, rates=(0.1,))
    other = torch.cat((views, -views))
    alone, both = (train_probe(v, targets, CLASSES, settings).head(views[0]) for v in (views, other))
    assert not torch.allclose(alone, both)


def test_too_few_images_are_refused():
    with pytest.raises(ResMLPError, match="requires at least 10 training images"):
        train_probe(torch.randn(1, 7, DIM), torch.zeros(7, dtype=torch.long), CLASSES, QUICK)


@pytest.fixture
def classifier():
    torch.manual_seed(5)
    return ClassifierModel(ClassifierConfig(8, 2, 1, dim=11, depth=2, num_classes=10, norm="batchnorm", drop_path=0.5))


def test_backbone_and_its_mode_are_unchanged(classifier):
    digits = load_dataset("digits", ".", "valid")
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    classifier.train()
    transform = Preprocessing(8, 1, (0.3,), (0.4,), 1.0).evaluation_transform()
    features = extract_features(classifier, digits, transform, batch_size=101, indices=range(103))
    train_probe(features.vectors[None], features.targets(), 10, ProbeSettings(epochs=2, rates=(0.1,)))
    assert classifier.training
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_batch_invariance_of_features(classifier):
    digits = load_dataset("digits", ".", "valid")
    transform = Preprocessing(8, 1, (0.3,), (0.4,), 1.0).evaluation_transform()
    whole = extract_features(classifier, digits, transform, batch_size=19, indices=range(53))
    assert whole.vectors.shape == (53, 11)
    assert whole.labels == [digits[i][1] for i in range(53)]
    one = extract_features(classifier, digits, transform, indices=[52], workers=1)
    assert torch.allclose(one.vectors[0], whole.vectors[52], atol=1e-6)


def test_views_depend_on_the_seed_not_the_batch(classifier):
    digits = load_dataset("digits", ".", "valid")
    transform = Preprocessing(8, 1, (0.3,), (0.4,), 1.0).training_transform(Augmentation())
    draws = [(5, 1), (2, 1), (5, 2)]
    first, second, other = (
        extract_features(classifier, digits, transform, size, indices=range(7), seed=seed).vectors
        for size, seed in draws
    )
    assert torch.allclose(first, second, atol=1e-6)
    assert not torch.allclose(first, other, atol=1e-3)


def test_corrupt_image_is_named_or_skipped(classifier, tmp_path):
    for name in ("a", "b", "c"):
        Image.new("L", (8, 8), ord(name)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    files = FileSet(["x", "y"], [tmp_path / f"{name}.png" for name in ("a", "b", "c")], [0, 1, 1])
    transform = Preprocessing(8, 1, (0.3,), (0.4,), 1.0).evaluation_transform()
    with pytest.raises(ResMLPError, match="b.png"):
        extract_features(classifier, files, transform)
    kept = extract_features(classifier, files, transform, skip_corrupt=True)
    assert kept.labels == [0, 1]
    assert len(kept.vectors) == 2


def test_any_of_several_labels_is_correct():
    features = Features(torch.zeros(3, 2), [(1, 4), 2, (0,)])
    assert features.count_correct(torch.tensor([4, 2, 1])) == 2
    assert features.targets().tolist() == [1, 2, 0]

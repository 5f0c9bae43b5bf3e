"""Image batches: random augmentation, order, and damaged files."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.image_dataset import ImageDataset
from resmlp_mt.fairseq_plugin.image_task import ImageClassificationConfig, ImageClassificationTask
from resmlp_mt.vision.data.augmentation import Augmentation
from resmlp_mt.vision.data.image_sets import ArraySet
from resmlp_mt.vision.data.preprocessing import Preprocessing

AUGMENTATION = Augmentation(
    repetitions=3, rand_augment="rand-m9-mstd0.5-inc1", random_erasing=0.5, mixup=0.8, cutmix=1.0
)


def arrays(count=23, classes=5):
    pixels = np.random.default_rng(1).integers(0, 256, (count, 13, 11, 3), dtype=np.uint8)
    return ArraySet([f"class {i}" for i in range(classes)], pixels, [i % classes for i in range(count)], "arrays")


def dataset(images=None, augmentation=AUGMENTATION, seed=1, skip=False):
    return ImageDataset(images or arrays(), Preprocessing(7), augmentation, seed, skip)


def make_task(data=".", **settings):
    cfg = ImageClassificationConfig(data=str(data), dataset_name="digits", seed=1)
    for name, value in settings.items():
        setattr(cfg, name, value)
    return ImageClassificationTask(cfg)


def epoch_batches(task, data, epoch, batch_size=7, workers=0, shuffle=True, **options):
    iterator = task.get_batch_iterator(
        data, max_sentences=batch_size, num_workers=workers, epoch=epoch, data_buffer_size=10, **options
    )
    return list(iterator.next_epoch_itr(shuffle=shuffle))


def equal_batches(first, second):
    return all(
        torch.equal(a["net_input"]["images"], b["net_input"]["images"]) and torch.equal(a["target"], b["target"])
        for a, b in zip(first, second, strict=True)
    )


def test_batch_contents():
    batch = dataset(augmentation=None).collater([dataset(augmentation=None)[i] for i in (4, 8, 15)])
    assert batch["net_input"]["images"].shape == (3, 3, 7, 7)
    assert batch["target"].tolist() == [4, 3, 0]
    assert batch["id"].tolist() == [4, 8, 15]
    assert batch["nsentences"] == batch["ntokens"] == 3


@pytest.mark.parametrize("batch_size", [5, 7, 23, 64])
def test_evaluation_covers_every_image_once(batch_size):
    batches = epoch_batches(make_task(), dataset(augmentation=None), 1, batch_size, shuffle=False)
    assert torch.cat([batch["id"] for batch in batches]).tolist() == list(range(23))


def test_epoch_is_independent_of_workers_and_start():
    task = make_task()
    for epoch in (1, 2):
        assert equal_batches(epoch_batches(task, dataset(), epoch, workers=2), epoch_batches(task, dataset(), epoch))
    assert not equal_batches(epoch_batches(task, dataset(), 1), epoch_batches(task, dataset(), 2))


def test_augmentation_depends_on_epoch_and_seed():
    def augmented(seed, epoch):
        data = dataset(seed=seed)
        data.set_epoch(epoch)
        sample = data[4]
        plain = {"id": 0, "number": 0, "image": torch.zeros(3, 7, 7), "label": 1}
        return sample["image"], data.collater([plain, {**plain, "label": 2}])["target"]

    first = augmented(1, 1)
    assert all(torch.equal(a, b) for a, b in zip(augmented(1, 1), first, strict=True))
    for other in (augmented(1, 2), augmented(2, 1)):
        assert not any(torch.equal(a, b) for a, b in zip(other, first, strict=True))


def test_reused_dataset_equals_new_one_with_workers():
    # Workers that persist would not see a new epoch.
    task, data = make_task(), dataset()
    for epoch in (1, 2, 3):
        assert equal_batches(epoch_batches(task, data, epoch, workers=1), epoch_batches(task, dataset(), epoch))


def test_global_random_state_is_unchanged():
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    data = dataset()
    data.collater([data[i] for i in range(6)])
    assert torch.equal(torch.rand(5), expected)


def test_shards_partition_batches():
    task = make_task()
    alone = epoch_batches(task, dataset(), 1)
    shares = [epoch_batches(task, dataset(), 1, num_shards=2, shard_id=shard) for shard in (0, 1)]
    together = [shares[i % 2][i // 2] for i in range(len(alone))]
    assert equal_batches(together, alone)


def test_repetitions_share_batch_and_differ():
    data = dataset(augmentation=Augmentation(repetitions=3, random_erasing=1.0))
    batches = epoch_batches(make_task(), data, 1, batch_size=6, shuffle=False)
    assert sum(len(batch["id"]) for batch in batches) == 23
    ids = batches[0]["id"].tolist()
    assert ids[0] == ids[1] == ids[2] != ids[3] == ids[4] == ids[5]
    first, second, third = batches[0]["net_input"]["images"][:3]
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_mixing_gives_soft_targets_only_in_training():
    for batch in epoch_batches(make_task(), dataset(), 1):
        torch.testing.assert_close(batch["target"].sum(dim=1), torch.ones(len(batch["target"])))
    assert epoch_batches(make_task(), dataset(augmentation=None), 1)[0]["target"].dim() == 1


def test_several_labels_share_target():
    images = arrays(3)
    images.labels = [(1, 4), (2,), (0, 1, 2, 3)]
    batch = dataset(images, None).collater([dataset(images, None)[i] for i in range(3)])
    assert batch["target"].tolist() == [[0, 0.5, 0, 0, 0.5], [0, 0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25, 0]]


@pytest.fixture
def folder(tmp_path):
    """A folder with 5 images per class and split, one of them damaged in each split."""
    for split in ("train", "val"):
        for name in ("ape", "zebra"):
            for number in range(5):
                path = tmp_path / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
        (tmp_path / split / "ape" / "3.png").write_bytes(b"damaged")
    return tmp_path


def make_folder_task(folder, **settings):
    task = make_task(folder, dataset_name="folder", image_size=8, **settings)
    task.load_dataset("train")
    task.load_dataset("valid")
    return task


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_leaves_out_damaged_images_and_logs_them(workers, folder, capfd):
    task = make_folder_task(folder, corrupt_images="skip")
    handler = logging.StreamHandler()
    logging.getLogger("resmlp_mt").addHandler(handler)
    try:
        batches = epoch_batches(task, task.datasets["valid"], 1, batch_size=4, workers=workers, shuffle=False)
    finally:
        logging.getLogger("resmlp_mt").removeHandler(handler)
    assert torch.cat([batch["id"] for batch in batches]).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert capfd.readouterr().err.count(str(folder / "val" / "ape" / "3.png")) == 1


def test_batch_of_only_damaged_images_is_empty(folder):
    task = make_folder_task(folder, corrupt_images="skip")
    data = task.datasets["valid"]
    assert data.collater([data[3]]) == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_image_in_worker_is_one_line(workers, folder):
    task = make_folder_task(folder)
    batches = epoch_batches(task, task.datasets["valid"], 1, batch_size=4, workers=workers, shuffle=False)
    with pytest.raises(ResMLPError, match=r"val/ape/3\.png cannot be read as an image") as error:
        task.valid_step(batches[0], None, None)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(ResMLPError, match=r"3\.png"):
        task.train_step(batches[0], None, None, None, 0)


class TestTask:
    def test_data_set_decides_model_sizes(self):
        task = make_task()
        assert (task.num_classes, task.image_size, task.channels) == (10, 8, 1)
        other = make_task(image_size=12, channels=3, crop=0.5, interpolation="nearest")
        assert (other.num_classes, other.image_size, other.channels) == (10, 12, 3)
        assert (other.preprocessing.crop, other.preprocessing.interpolation) == (0.5, "nearest")

    def test_state_has_classes_and_preprocessing(self):
        state = make_task().state_dict()
        assert state["classes"] == [str(digit) for digit in range(10)]
        assert Preprocessing(**state["preprocessing"]) == make_task().preprocessing

    def test_other_classes_are_refused(self):
        with pytest.raises(ResMLPError, match="than those that the model was trained with"):
            make_task().load_state_dict({"classes": ["cat", "dog"]})
        make_task().load_state_dict(make_task().state_dict())

    def test_missing_batch_size_is_named(self):
        with pytest.raises(ResMLPError, match="image tasks require --batch-size"):
            make_task().get_batch_iterator(dataset())

    def test_ema_weights_are_validated_too(self):
        from resmlp_mt.fairseq_plugin.image_criterions import ImageCrossEntropy

        task = make_task()
        right, wrong = torch.eye(10)[[1, 2, 3]], torch.eye(10)[[0, 0, 0]]
        batch = {"net_input": {"images": torch.zeros(3, 1, 8, 8)}, "target": torch.tensor([1, 2, 3])}
        models = [SimpleModel(logits) for logits in (wrong, right)]
        criterion = ImageCrossEntropy(task, 0.1).eval()
        _, _, logged = task.valid_step(batch, models[0], criterion, ema_model=models[1])
        assert (int(logged["top1"]), int(logged["ema_top1"])) == (0, 3)
        assert logged["ema_loss"] < logged["loss"]


class SimpleModel(torch.nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, images):  # noqa: ARG002 - the criterion passes `images` by name
        return self.logits


def test_full_augmentation_runs_on_gray_digits():
    task = make_task()
    task.load_dataset("train")
    batch = task.datasets["train"].collater([task.datasets["train"][i] for i in range(8)])
    assert batch["net_input"]["images"].shape == (8, 1, 8, 8)
    assert batch["target"].shape == (8, 10)

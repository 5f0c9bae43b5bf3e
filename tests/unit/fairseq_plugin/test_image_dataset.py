"""Pictures become batches: their randomness, their order, and what happens to those that cannot be read."""

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

CHANGED = Augmentation(repetitions=3, rand_augment="rand-m9-mstd0.5-inc1", random_erasing=0.5, mixup=0.8, cutmix=1.0)


def arrays(count=23, classes=5):
    pixels = np.random.default_rng(1).integers(0, 256, (count, 13, 11, 3), dtype=np.uint8)
    return ArraySet([f"class {i}" for i in range(classes)], pixels, [i % classes for i in range(count)], "arrays")


def dataset(images=None, augmentation=CHANGED, seed=1, skip=False):
    return ImageDataset(images or arrays(), Preprocessing(7), augmentation, seed, skip)


def task(data=".", **settings):
    cfg = ImageClassificationConfig(data=str(data), dataset_name="digits", seed=1)
    for name, value in settings.items():
        setattr(cfg, name, value)
    return ImageClassificationTask(cfg)


def epoch_of(made, data, epoch, batch_size=7, workers=0, shuffle=True, **words):
    iterator = made.get_batch_iterator(
        data, max_sentences=batch_size, num_workers=workers, epoch=epoch, data_buffer_size=10, **words
    )
    return list(iterator.next_epoch_itr(shuffle=shuffle))


def same(first, second):
    return all(
        torch.equal(a["net_input"]["images"], b["net_input"]["images"]) and torch.equal(a["target"], b["target"])
        for a, b in zip(first, second, strict=True)
    )


def test_a_batch_holds_images_labels_and_counts():
    batch = dataset(augmentation=None).collater([dataset(augmentation=None)[i] for i in (4, 8, 15)])
    assert batch["net_input"]["images"].shape == (3, 3, 7, 7)
    assert batch["target"].tolist() == [4, 3, 0]
    assert batch["id"].tolist() == [4, 8, 15]
    assert batch["nsentences"] == batch["ntokens"] == 3


@pytest.mark.parametrize("batch_size", [5, 7, 23, 64])
def test_evaluation_sees_every_picture_once_also_in_a_last_partial_batch(batch_size):
    batches = epoch_of(task(), dataset(augmentation=None), 1, batch_size, shuffle=False)
    assert torch.cat([batch["id"] for batch in batches]).tolist() == list(range(23))


def test_neither_workers_nor_where_one_begins_change_what_an_epoch_sees():
    made = task()
    for epoch in (1, 2):
        assert same(epoch_of(made, dataset(), epoch, workers=2), epoch_of(made, dataset(), epoch))
    assert not same(epoch_of(made, dataset(), 1), epoch_of(made, dataset(), 2))


def test_a_picture_and_a_batch_are_changed_anew_in_every_epoch_and_for_every_seed():
    def seen(seed, epoch):
        data = dataset(seed=seed)
        data.set_epoch(epoch)
        sample = data[4]
        plain = {"id": 0, "number": 0, "image": torch.zeros(3, 7, 7), "label": 1}
        return sample["image"], data.collater([plain, {**plain, "label": 2}])["target"]

    first = seen(1, 1)
    assert all(torch.equal(a, b) for a, b in zip(seen(1, 1), first, strict=True))
    for other in (seen(1, 2), seen(2, 1)):
        assert not any(torch.equal(a, b) for a, b in zip(other, first, strict=True))


def test_one_data_set_goes_through_its_epochs_as_fresh_ones_would_with_workers():
    # workers that stayed alive would never learn of a new epoch
    made, data = task(), dataset()
    for epoch in (1, 2, 3):
        assert same(epoch_of(made, data, epoch, workers=1), epoch_of(made, dataset(), epoch))


def test_a_training_in_the_main_process_keeps_its_own_random_stream():
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    data = dataset()
    data.collater([data[i] for i in range(6)])
    assert torch.equal(torch.rand(5), expected)


def test_processes_share_out_the_batches_of_one():
    made = task()
    alone = epoch_of(made, dataset(), 1)
    shares = [epoch_of(made, dataset(), 1, num_shards=2, shard_id=shard) for shard in (0, 1)]
    together = [shares[i % 2][i // 2] for i in range(len(alone))]
    assert same(together, alone)


def test_repetitions_of_a_picture_share_a_batch_and_are_changed_each_in_its_own_way():
    data = dataset(augmentation=Augmentation(repetitions=3, random_erasing=1.0))
    batches = epoch_of(task(), data, 1, batch_size=6, shuffle=False)
    assert sum(len(batch["id"]) for batch in batches) == 23
    ids = batches[0]["id"].tolist()
    assert ids[0] == ids[1] == ids[2] != ids[3] == ids[4] == ids[5]
    first, second, third = batches[0]["net_input"]["images"][:3]
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_mixing_makes_soft_targets_in_training_only():
    for batch in epoch_of(task(), dataset(), 1):
        torch.testing.assert_close(batch["target"].sum(dim=1), torch.ones(len(batch["target"])))
    assert epoch_of(task(), dataset(augmentation=None), 1)[0]["target"].dim() == 1


def test_several_right_labels_share_the_target():
    images = arrays(3)
    images.labels = [(1, 4), (2,), (0, 1, 2, 3)]
    batch = dataset(images, None).collater([dataset(images, None)[i] for i in range(3)])
    assert batch["target"].tolist() == [[0, 0.5, 0, 0, 0.5], [0, 0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25, 0]]


@pytest.fixture
def folder(tmp_path):
    """A folder of 5 pictures a class, of which one is damaged."""
    for split in ("train", "val"):
        for name in ("ape", "zebra"):
            for number in range(5):
                path = tmp_path / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
        (tmp_path / split / "ape" / "3.png").write_bytes(b"damaged")
    return tmp_path


def folder_task(folder, **settings):
    made = task(folder, dataset_name="folder", image_size=8, **settings)
    made.load_dataset("train")
    made.load_dataset("valid")
    return made


@pytest.mark.parametrize("workers", [0, 2])
def test_skipping_leaves_damaged_pictures_out_with_their_names(workers, folder, capfd):
    made = folder_task(folder, corrupt_images="skip")
    handler = logging.StreamHandler()
    logging.getLogger("resmlp_mt").addHandler(handler)
    try:
        batches = epoch_of(made, made.datasets["valid"], 1, batch_size=4, workers=workers, shuffle=False)
    finally:
        logging.getLogger("resmlp_mt").removeHandler(handler)
    assert torch.cat([batch["id"] for batch in batches]).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert capfd.readouterr().err.count(str(folder / "val" / "ape" / "3.png")) == 1


def test_a_batch_of_damaged_pictures_only_is_empty(folder):
    made = folder_task(folder, corrupt_images="skip")
    data = made.datasets["valid"]
    assert data.collater([data[3]]) == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_refusing_ends_in_one_line_with_the_name_though_a_worker_found_it(workers, folder):
    made = folder_task(folder)
    batches = epoch_of(made, made.datasets["valid"], 1, batch_size=4, workers=workers, shuffle=False)
    with pytest.raises(ResMLPError, match=r"val/ape/3\.png cannot be read as an image") as error:
        made.valid_step(batches[0], None, None)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(ResMLPError, match=r"3\.png"):
        made.train_step(batches[0], None, None, None, 0)


class TestTask:
    def test_the_data_set_decides_what_the_model_is_built_for(self):
        made = task()
        assert (made.num_classes, made.image_size, made.channels) == (10, 8, 1)
        other = task(image_size=12, channels=3, crop=0.5, interpolation="nearest")
        assert (other.num_classes, other.image_size, other.channels) == (10, 12, 3)
        assert (other.preprocessing.crop, other.preprocessing.interpolation) == (0.5, "nearest")

    def test_checkpoints_hold_classes_and_preprocessing_in_plain_types(self):
        state = task().state_dict()
        assert state["classes"] == [str(digit) for digit in range(10)]
        assert Preprocessing(**state["preprocessing"]) == task().preprocessing

    def test_a_model_of_other_classes_is_refused(self):
        with pytest.raises(ResMLPError, match="than those that the model was trained with"):
            task().load_state_dict({"classes": ["cat", "dog"]})
        task().load_state_dict(task().state_dict())

    def test_a_missing_batch_size_is_named(self):
        with pytest.raises(ResMLPError, match="image tasks require --batch-size"):
            task().get_batch_iterator(dataset())

    def test_averaged_weights_are_scored_beside_the_trained_ones(self):
        from resmlp_mt.fairseq_plugin.image_criterions import ImageCrossEntropy

        made = task()
        right, wrong = torch.eye(10)[[1, 2, 3]], torch.eye(10)[[0, 0, 0]]
        batch = {"net_input": {"images": torch.zeros(3, 1, 8, 8)}, "target": torch.tensor([1, 2, 3])}
        models = [SimpleModel(answers) for answers in (wrong, right)]
        criterion = ImageCrossEntropy(made, 0.1).eval()
        _, _, logged = made.valid_step(batch, models[0], criterion, ema_model=models[1])
        assert (int(logged["top1"]), int(logged["ema_top1"])) == (0, 3)
        assert logged["ema_loss"] < logged["loss"]


class SimpleModel(torch.nn.Module):
    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def forward(self, images):
        return self.answers


def test_the_whole_scheme_runs_on_grey_digits():
    made = task()
    made.load_dataset("train")
    batch = made.datasets["train"].collater([made.datasets["train"][i] for i in range(8)])
    assert batch["net_input"]["images"].shape == (8, 1, 8, 8)
    assert batch["target"].shape == (8, 10)

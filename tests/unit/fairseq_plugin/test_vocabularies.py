"""Checkpoints record the dictionaries of their training and refuse others."""

import json
import shutil
from pathlib import Path

import pytest
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer
from toy_bundles import SMALL, data_folder

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.training.stopping import StopRequest
from resmlp_mt.translation.bundle.checkpoint_import import average_checkpoints
from resmlp_mt.translation.bundle.packaging import bundle_checkpoint
from resmlp_mt.translation.search.settings import SearchSettings

pytestmark = pytest.mark.usefixtures("fairseq_plugin")


def make_trainer(data: Path) -> Trainer:
    """fairseq's trainer of a small model, as `fairseq-train` makes it."""
    sizes = [str(arg) for pair in SMALL.items() for arg in pair]
    args = [str(data), "--arch", "resmlp_tiny", *sizes, "--share-all-embeddings", "--optimizer", "adam", "--cpu"]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), args))
    task = tasks.setup_task(cfg.task)
    return Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))


def reorder(dictionary: Path) -> None:
    """Swaps two lines of a dictionary."""
    lines = dictionary.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[3], lines[5] = lines[5], lines[3]
    dictionary.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def reordered(tmp_path):
    """The data folder with the same dictionaries in another order."""
    folder = shutil.copytree(data_folder(), tmp_path / "reordered")
    for lang in ("src", "tgt"):
        reorder(folder / f"dict.{lang}.txt")
    return folder


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint of a training on the data folder."""
    monkeypatch.setattr(StopRequest, "listen", lambda _self: None)
    path = tmp_path / "checkpoint1.pt"
    trainer = make_trainer(data_folder())
    trainer.consolidate_optimizer()
    trainer.save_checkpoint(str(path), {"train_iterator": {"epoch": 1}, "val_loss": None})
    return path


def bundle(checkpoint: Path, data: Path, out: Path):
    return bundle_checkpoint(checkpoint, data, out, SearchSettings())


REFUSAL = r"^[^\n]*vocabulary[^\n]*$"


def test_bundle_refuses_other_dictionary(checkpoint, reordered, tmp_path):
    average = tmp_path / "average.pt"
    checkpoint_utils.torch_persistent_save(average_checkpoints([checkpoint]), str(average))
    for path in (checkpoint, average):
        bundle(path, data_folder(), tmp_path / "accepted")
        with pytest.raises(ResMLPError, match=REFUSAL):
            bundle(path, reordered, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_generation_refuses_other_dictionary(checkpoint, reordered):
    checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], {"data": str(data_folder())})
    with pytest.raises(ResMLPError, match=REFUSAL):
        checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], {"data": str(reordered)})


def test_resumed_training_refuses_other_dictionary(checkpoint, reordered):
    make_trainer(data_folder()).load_checkpoint(str(checkpoint))
    with pytest.raises(ResMLPError, match=REFUSAL):
        make_trainer(reordered).load_checkpoint(str(checkpoint))


@pytest.fixture
def old_checkpoint(checkpoint):
    """A checkpoint without vocabularies, as earlier versions and plain fairseq write it."""
    content = read_checkpoint(checkpoint)
    del content["extra_state"]["resmlp_run"]
    checkpoint_utils.torch_persistent_save(content, str(checkpoint))
    return checkpoint


def test_checkpoint_without_vocabularies_is_accepted(old_checkpoint, reordered, tmp_path):
    make_trainer(reordered).load_checkpoint(str(old_checkpoint))
    bundle(old_checkpoint, reordered, tmp_path / "accepted")


def test_dictionary_changed_after_preparation_is_refused(old_checkpoint, tmp_path):
    folder = shutil.copytree(data_folder(), tmp_path / "prepared")
    digests = {name: {"digest": file_digest(folder / name)} for name in ("dict.src.txt", "dict.tgt.txt")}
    (folder / "manifest.json").write_text(json.dumps({"files": digests}))
    bundle(old_checkpoint, folder, tmp_path / "accepted")
    reorder(folder / "dict.tgt.txt")
    with pytest.raises(ResMLPError, match=REFUSAL):
        bundle(old_checkpoint, folder, tmp_path / "refused")

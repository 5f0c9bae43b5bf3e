"""Damaged and hostile bundles are refused with one line, and no code in them is run."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_bundles import data_folder, raw_lines, write_bundle, write_checkpoint

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.bundle.checkpoint_import import average_checkpoints, best_checkpoints, last_checkpoints
from resmlp_mt.translation.bundle.format import read_bundle
from resmlp_mt.translation.bundle.packaging import add_scores, bundle_checkpoint
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


def refusal(path) -> str:
    with pytest.raises(ResMLPError) as caught:
        read_bundle(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def change_config(bundle, **changes):
    config = json.loads((bundle / "config.json").read_text())
    for name, value in changes.items():
        target = config
        *path, last = name.split("__")
        for step in path:
            target = target[step]
        target[last] = value
    (bundle / "config.json").write_text(json.dumps(config))


def sign(bundle, name):
    """Updates the digest of a changed file in the configuration."""
    config = json.loads((bundle / "config.json").read_text())
    config["digests"][name] = files.file_digest(bundle / name)
    (bundle / "config.json").write_text(json.dumps(config))


FILES = ["model.safetensors", "sentencepiece.model", "vocabulary.txt"]


@pytest.mark.parametrize("name", FILES)
def test_missing_or_altered_file_is_refused(bundle, name):
    content = (bundle / name).read_bytes()
    for altered in (content[:-1], content[:10], b"", content[:-1] + bytes([content[-1] ^ 1])):
        (bundle / name).write_bytes(altered)
        assert "missing or altered" in refusal(bundle)
    (bundle / name).unlink()
    assert "missing or altered" in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_with_forged_digest_is_refused(bundle, name):
    content = (bundle / name).read_bytes()
    for altered in (
        content[: len(content) // 2],
        b"",
        b"\xff" * 200,
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + content[8:],
    ):
        (bundle / name).write_bytes(altered)
        sign(bundle, name)
        refusal(bundle)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 3},
        {"languages": "en"},
        {"options__encoder_layers": 10**9},
        {"options__encoder_layers": 3},
        {"options__encoder_embed_dim": 10**12},
        {"options__encoder_embed_dim": -1},
        {"options__encoder_embed_dim": "many"},
        {"options__max_source_positions": 999_999},
        {"options__norm": "other"},
        {"options": {}},
        {"decoding__beam_size": 0},
        {"decoding__unheard_of": 1},
        {"text__tokenizer": "shell"},
        {"digests": {}},
        {"digests": [1]},
        {"about": 3},
    ],
)
def test_invalid_settings_are_refused(bundle, changes):
    change_config(bundle, **changes)
    refusal(bundle)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", "[" * 100_000, '{"format": 1}', "\x00"])
def test_invalid_configuration_file_is_refused(bundle, content):
    (bundle / "config.json").write_text(content)
    refusal(bundle)


def test_wrong_parameters_are_refused(bundle):
    parameters = load_file(bundle / "model.safetensors")
    name = "encoder.layers.0.channels.sublayer.fc1.weight"
    save_file({**parameters, name: torch.zeros(3, 5)}, bundle / "model.safetensors")
    sign(bundle, "model.safetensors")
    assert f"the parameter {name} must be of shape" in refusal(bundle)
    save_file({**parameters, "extra": torch.zeros(3)}, bundle / "model.safetensors")
    sign(bundle, "model.safetensors")
    assert "but extra is none" in refusal(bundle)
    del parameters[name]
    save_file(parameters, bundle / "model.safetensors")
    sign(bundle, "model.safetensors")
    assert f"the parameter {name} must be of shape [40, 24], but is missing" in refusal(bundle)


def test_hostile_checkpoint_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("run!",)

    torch.save({"model": {}, "cfg": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(ResMLPError, match="which was not run"):
        bundle_checkpoint(tmp_path / "hostile.pt", data_folder(), tmp_path / "out", SearchSettings())
    assert not (tmp_path / "out").exists()


def test_other_folder_is_not_overwritten(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", "resmlp_tiny")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    with pytest.raises(ResMLPError, match="--out must be a new folder or a bundle"):
        bundle_checkpoint(checkpoint, data_folder(), tmp_path / "out", SearchSettings())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious.txt"]


def test_model_card_shows_each_score_once(bundle):
    for value in (12.0, 34.5):
        add_scores(bundle, [{"test_set": "toy test", "metric": "BLEU", "score": value, "signature": "a|b"}])
    card = (bundle / "README.md").read_text()
    assert "| toy test | BLEU | 34.50 | `a\\|b` |" in card
    assert "12.00" not in card
    read_bundle(bundle)


def numbered_checkpoints(folder, losses):
    for number, loss in enumerate(losses, 1):
        path = write_checkpoint(folder / f"checkpoint{number}.pt", "resmlp_tiny", "--share-all-embeddings", seed=number)
        content = torch.load(path)
        content["extra_state"]["val_loss"] = loss
        torch.save(content, path)


def test_average_is_the_mean_and_keeps_shared_parameters(tmp_path):
    numbered_checkpoints(tmp_path, [3.0, 1.0, 2.0])
    assert [path.name for path in last_checkpoints(tmp_path, 2)] == ["checkpoint2.pt", "checkpoint3.pt"]
    assert [path.name for path in best_checkpoints(tmp_path, 2)] == ["checkpoint2.pt", "checkpoint3.pt"]
    paths = [tmp_path / f"checkpoint{number}.pt" for number in (1, 2, 3)]
    averaged = average_checkpoints(paths)
    models = [torch.load(path)["model"] for path in paths]
    for name, value in averaged["model"].items():
        torch.testing.assert_close(value, torch.stack([model[name] for model in models]).mean(0))
    torch.save(averaged, tmp_path / "average.pt")
    again = torch.load(tmp_path / "average.pt", weights_only=True)["model"]
    table = "encoder.core.embedding.tokens.weight"
    assert again[table].data_ptr() == again["decoder.core.output.weight"].data_ptr()
    assert (tmp_path / "average.pt").stat().st_size < 1.1 * paths[0].stat().st_size
    bundle_checkpoint(tmp_path / "average.pt", data_folder(), tmp_path / "model", SearchSettings(max_len_b=10))
    assert len(Translator.from_pretrained(tmp_path / "model").translate(raw_lines())) == 20


def test_invalid_averages_are_refused(tmp_path):
    numbered_checkpoints(tmp_path, [3.0, 1.0])
    with pytest.raises(ResMLPError, match="only 2 numbered checkpoints, not 3"):
        last_checkpoints(tmp_path, 3)
    other = write_checkpoint(tmp_path / "other.pt", "resmlp_tiny", "--encoder-layers", 1)
    with pytest.raises(ResMLPError, match="has other parameters than"):
        average_checkpoints([tmp_path / "checkpoint1.pt", other])


def test_copies_of_shared_parameter_are_bundled_once(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "shared.pt", "resmlp_tiny", "--share-all-embeddings")
    content = torch.load(checkpoint, weights_only=False)
    names = {value.data_ptr(): name for name, value in content["model"].items()}
    content["model"] = {name: value.clone() for name, value in content["model"].items()}  # as a GPU's checkpoint
    torch.save(content, tmp_path / "copies.pt")
    for name in ("shared", "copies"):
        bundle_checkpoint(tmp_path / f"{name}.pt", data_folder(), tmp_path / name, SearchSettings())
    assert (tmp_path / "copies/model.safetensors").read_bytes() == (tmp_path / "shared/model.safetensors").read_bytes()

    shared = next(name for name in content["model"] if name not in names.values())
    content["model"][shared] += 1.0
    torch.save(content, tmp_path / "differing.pt")
    with pytest.raises(ResMLPError, match="one parameter of the architecture, but their values differ"):
        bundle_checkpoint(tmp_path / "differing.pt", data_folder(), tmp_path / "differing", SearchSettings())

"""`resmlp_label_smoothed_cross_entropy` is fairseq's criterion in everything but its speed."""

import pytest
import torch
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from toy_bundles import data_folder

from resmlp_mt.fairseq_plugin import translation_criterion as criterion

TRANSFORMER = [
    *("--arch", "transformer", "--encoder-embed-dim", "24", "--decoder-embed-dim", "24"),
    *("--encoder-ffn-embed-dim", "40", "--decoder-ffn-embed-dim", "40", "--encoder-layers", "1"),
    *("--decoder-layers", "1", "--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--dropout", "0"),
]
LSTM = [
    *("--arch", "lstm", "--encoder-embed-dim", "8", "--decoder-embed-dim", "8", "--decoder-out-embed-dim", "8"),
    *("--dropout", "0"),
]
LIGHT = [
    *("--arch", "lightconv", "--encoder-embed-dim", "24", "--decoder-embed-dim", "24", "--encoder-ffn-embed-dim", "40"),
    *("--decoder-ffn-embed-dim", "40", "--encoder-layers", "1", "--decoder-layers", "1", "--dropout", "0"),
    *("--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--weight-dropout", "0"),
    *("--encoder-kernel-size-list", "[3]", "--decoder-kernel-size-list", "[3]"),
]
MODELS = {
    "ResMLP, shared": (True, ["--arch", "resmlp_tiny", "--share-all-embeddings"]),
    "ResMLP": (True, ["--arch", "resmlp_tiny"]),
    "Transformer": (True, [*TRANSFORMER, "--share-all-embeddings"]),
    "LSTM": (False, LSTM),
    "LightConv": (False, [*LIGHT, "--encoder-conv-type", "lightweight", "--decoder-conv-type", "lightweight"]),
    "DynamicConv": (False, [*LIGHT, "--encoder-conv-type", "dynamic", "--decoder-conv-type", "dynamic"]),
    "ConvS2S": (
        False,
        ["--arch", "fconv", "--encoder-layers", "[(8,3)]", "--decoder-layers", "[(8,3)]", "--dropout", "0"],
    ),
}


def build(words: list[str], *further: str):
    """A model, a batch with padding, and both criteria."""
    torch.manual_seed(1)
    arguments = [str(data_folder()), "--task", "translation", "--label-smoothing", "0.1", *words, *further]
    criteria = []
    for name in ("label_smoothed_cross_entropy", criterion.NAME):
        parser = options.get_training_parser()
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, [*arguments, "--criterion", name]))
        task = tasks.setup_task(cfg.task)
        criteria.append(task.build_criterion(cfg.criterion))
    task.load_dataset("train")
    dataset = task.dataset("train")
    batch = dataset.collater([dataset[number] for number in range(11)])
    return task.build_model(cfg.model).train(), batch, criteria


def outcome(model, batch, criterion):
    model.zero_grad()
    torch.manual_seed(2)  # LightConv always drops something
    loss, sample_size, logged = criterion(model, batch)
    loss.backward()
    return loss, sample_size, logged, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
def test_losses_gradients_and_what_is_logged_are_fairseqs(name):
    is_fast, words = MODELS[name]
    model, batch, (theirs, ours) = build(words)
    assert (criterion.output_weight(model) is not None) == is_fast
    assert batch["target"].eq(theirs.padding_idx).any()
    (*expected, expected_gradients), (*found, gradients) = outcome(model, batch, theirs), outcome(model, batch, ours)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-5)


def test_validation_gives_the_same_loss():
    model, batch, (theirs, ours) = build(MODELS["ResMLP"][1])
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(model, batch), theirs(model, batch), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("option", [("--report-accuracy",), ("--ignore-prefix-size", "1"), ("--sentence-avg",)])
def test_what_else_fairseqs_criterion_offers_stays(option):
    model, batch, (theirs, ours) = build(MODELS["ResMLP"][1], *option)
    torch.testing.assert_close(ours(model, batch), theirs(model, batch), rtol=1e-6, atol=1e-6)


def test_the_logits_of_the_whole_batch_are_never_made(monkeypatch):
    model, batch, (_, ours) = build(MODELS["ResMLP"][1])
    monkeypatch.setattr(model.decoder.core.output, "forward", lambda features: pytest.fail("projected as a whole"))
    ours(model, batch)

"""`resmlp_label_smoothed_cross_entropy` equals fairseq's criterion in everything but speed."""

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


def build(args: list[str], *extra_args: str):
    """Returns a model, a batch with padding, and both criterions."""
    torch.manual_seed(1)
    arguments = [str(data_folder()), "--task", "translation", "--label-smoothing", "0.1", *args, *extra_args]
    criterions = []
    for name in ("label_smoothed_cross_entropy", criterion.NAME):
        parser = options.get_training_parser()
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, [*arguments, "--criterion", name]))
        task = tasks.setup_task(cfg.task)
        criterions.append(task.build_criterion(cfg.criterion))
    task.load_dataset("train")
    dataset = task.dataset("train")
    batch = dataset.collater([dataset[number] for number in range(11)])
    return task.build_model(cfg.model).train(), batch, criterions


def run_step(model, batch, criterion):
    model.zero_grad()
    torch.manual_seed(2)  # LightConv always applies dropout
    loss, sample_size, logged = criterion(model, batch)
    loss.backward()
    return loss, sample_size, logged, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
def test_loss_gradients_and_logs_equal_fairseq(name):
    is_fast, args = MODELS[name]
    model, batch, (theirs, ours) = build(args)
    assert (criterion.output_weight(model) is not None) == is_fast
    assert batch["target"].eq(theirs.padding_idx).any()
    (*expected, expected_gradients), (*actual, gradients) = run_step(model, batch, theirs), run_step(model, batch, ours)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-5)


def test_validation_loss_equals_fairseq():
    model, batch, (theirs, ours) = build(MODELS["ResMLP"][1])
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(model, batch), theirs(model, batch), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("option", [("--report-accuracy",), ("--ignore-prefix-size", "1"), ("--sentence-avg",)])
def test_other_options_equal_fairseq(option):
    model, batch, (theirs, ours) = build(MODELS["ResMLP"][1], *option)
    torch.testing.assert_close(ours(model, batch), theirs(model, batch), rtol=1e-6, atol=1e-6)


def test_logits_of_whole_batch_are_never_computed(monkeypatch):
    model, batch, (_, ours) = build(MODELS["ResMLP"][1])
    monkeypatch.setattr(model.decoder.core.output, "forward", lambda _features: pytest.fail("projected as a whole"))
    ours(model, batch)

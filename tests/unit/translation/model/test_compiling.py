"""`--compile-layers` changes the speed of training only."""

import pytest
import torch
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from toy_bundles import data_folder

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.model.compiling import compiled


def build(*args: str):
    command = [str(data_folder()), "--task", "translation", "--arch", "resmlp_tiny", "--share-all-embeddings", *args]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), command))
    task = tasks.setup_task(cfg.task)
    task.load_dataset("train")
    torch.manual_seed(1)
    return task.dataset("train"), task.build_model(cfg.model).train()


def logits_and_gradients(model, batch):
    model.zero_grad()
    logits, _ = model(**batch["net_input"])
    logits.square().mean().backward()
    return [logits, *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.slow
def test_compiled_equals_eager_in_outputs_and_gradients():
    small = ("--encoder-layers", "1", "--decoder-layers", "1")
    dataset, plain = build(*small)
    _, compiled_model = build(*small, "--compile-layers")
    assert list(plain.state_dict()) == list(compiled_model.state_dict())
    for numbers in (range(5), range(20, 31)):
        batch = dataset.collater([dataset[number] for number in numbers])
        expected, result = (logits_and_gradients(model, batch) for model in (plain, compiled_model))
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


def test_evaluation_runs_uncompiled(monkeypatch):
    dataset, model = build("--compile-layers")
    for part in (model.encoder, model.decoder):
        monkeypatch.setattr(part, "compiled_core", lambda *_inputs: pytest.fail("compiled"))
    model.eval()
    model(**dataset.collater([dataset[0]])["net_input"])


def test_missing_compiler_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ResMLPError, match=r"--compile-layers requires a C\+\+ compiler"):
        compiled(len)

"""A training without its requirements is refused before anything is loaded."""

from typing import Any

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer
from fairseq_cli import train
from omegaconf import OmegaConf

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches import requirements

pytestmark = pytest.mark.usefixtures("fairseq_plugin")


@pytest.mark.parametrize(
    ("section", "option", "value", "message"),
    [
        ("common", "fp16", True, "--fp16 requires a GPU"),
        ("distributed_training", "ddp_backend", "fully_sharded", "requires the package fairscale, which is not inst"),
    ],
)
def test_missing_requirement_is_refused(section, option, value, message, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda _name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = OmegaConf.structured(FairseqConfig)
    cfg[section][option] = value
    with pytest.raises(ResMLPError, match=message):
        distributed_utils.call_main(cfg, train.main)
    with pytest.raises(ResMLPError, match=message):
        Trainer(cfg, None, None, None)
    called: list[Any] = []
    distributed_utils.call_main(cfg, called.append)  # a command other than a training
    assert called == [cfg]

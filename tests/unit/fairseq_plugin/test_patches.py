"""Each patch of fairseq: the law that holds with it, and the failure without it.

`inspect.unwrap` returns fairseq's original function from a patched one.
"""

import inspect
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils, options, search, utils
from fairseq.data import Dictionary, data_utils
from fairseq.dataclass.configs import CommonConfig, DistributedTrainingConfig
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.distributed import utils as distributed_utils
from fairseq.models import fconv
from fairseq.ngram_repeat_block import NGramRepeatBlock
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches import apply_patches
from resmlp_mt.fairseq_plugin.registration import assert_registered

pytestmark = pytest.mark.usefixtures("fairseq_plugin")


class TestLastBatch:
    @staticmethod
    def batches(function, count, max_sentences, multiple, max_tokens=None):
        lengths = np.array([1 + index % 7 for index in range(count)], dtype=np.int64)
        indices = np.argsort(lengths, kind="stable")
        groups = function(
            indices,
            lambda index: lengths[index],
            num_tokens_vec=lengths[indices],
            max_tokens=max_tokens,
            max_sentences=max_sentences,
            required_batch_size_multiple=multiple,
        )
        return indices.tolist(), [batch.tolist() for batch in groups]

    def test_every_sentence_is_in_exactly_one_batch(self):
        grid = itertools.product(range(40), (1, 3, 5, 8, 16, None), (1, 2, 8), (None, 23, 200))
        for count, max_sentences, multiple, max_tokens in grid:
            indices, batches = self.batches(data_utils.batch_by_size, count, max_sentences, multiple, max_tokens)
            assert [index for batch in batches for index in batch] == indices
            assert all(batch and len(batch) <= (max_sentences or 40) for batch in batches)

    def test_other_batches_are_unchanged(self):
        before = self.batches(inspect.unwrap(data_utils.batch_by_size), 29, 8, 8)[1]
        assert self.batches(data_utils.batch_by_size, 29, 8, 8)[1][:-1] == before

    def test_unpatched_drops_last_sentences(self):
        indices, batches = self.batches(inspect.unwrap(data_utils.batch_by_size), 13, 8, 8)
        assert sum(map(len, batches)) == 8 < len(indices)

    def test_indices_from_generator(self):
        batches = data_utils.batch_by_size(iter(range(5)), lambda _: 1, max_sentences=4, required_batch_size_multiple=4)
        assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4]]


class TestBfloat16:
    @staticmethod
    def parse(function, *args):
        command = ["data", "--arch", "transformer", "--max-tokens", "100", *args]
        return function(options.get_training_parser(), command)

    @pytest.mark.parametrize("option", ["--bf16", "--memory-efficient-bf16"])
    def test_bf16_does_not_imply_tpu(self, option):
        assert self.parse(inspect.unwrap(options.parse_args_and_arch), option).tpu is True
        args = self.parse(options.parse_args_and_arch, option)
        assert (args.bf16, args.tpu) == (True, False)
        assert convert_namespace_to_omegaconf(args).common.tpu is False

    def test_explicit_tpu_is_kept(self):
        assert self.parse(options.parse_args_and_arch, "--bf16", "--tpu").tpu is True
        assert self.parse(options.parse_args_and_arch).tpu is False

    def test_unknown_arguments_are_returned(self):
        parser = options.get_training_parser()
        args, extra = options.parse_args_and_arch(parser, ["data", "--arch", "fconv", "--bf16", "--no-such"], True)
        assert (args.tpu, extra) == (False, ["--no-such"])

    def test_trainer_chooses_gpu(self, monkeypatch):
        class MovedError(Exception):
            pass

        class Module(torch.nn.Linear):
            def to(self, device=None, dtype=None):  # type: ignore[override] # noqa: ARG002 - part of Module.to's signature
                if device is None:
                    return self
                raise MovedError(torch.device(device).type)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        cfg = convert_namespace_to_omegaconf(self.parse(options.parse_args_and_arch, "--bf16"))
        with pytest.raises(MovedError, match="cuda"):
            Trainer(cfg, None, Module(2, 3), Module(2, 3))


TORCHRUN = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500", "WORLD_SIZE": "2", "RANK": "1"}


def distributed_configuration(**changes):
    whole = {"common": CommonConfig(), "distributed_training": DistributedTrainingConfig(**changes)}
    return OmegaConf.create(whole).distributed_training


class TestTorchrun:
    @staticmethod
    def configuration(monkeypatch, **changes):
        for name, value in TORCHRUN.items():
            monkeypatch.setenv(name, value)
        return distributed_configuration(**changes)

    def test_processes_train_together_without_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        cfg = self.configuration(monkeypatch, distributed_world_size=1)
        distributed_utils.infer_init_method(cfg)
        assert (cfg.distributed_world_size, cfg.distributed_rank, cfg.device_id) == (2, 1, 0)
        assert (cfg.distributed_init_method, cfg.distributed_no_spawn) == ("env://", True)
        assert (cfg.distributed_backend, cfg.ddp_backend) == ("gloo", "legacy_ddp")

    def test_unpatched_divides_by_zero_devices(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        cfg = self.configuration(monkeypatch, distributed_world_size=2)
        with pytest.raises(ZeroDivisionError):
            inspect.unwrap(distributed_utils._infer_torch_distributed_launch_init)(cfg)

    def test_nodes_with_one_gpu_train_together(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        alone = self.configuration(monkeypatch, distributed_world_size=1)
        inspect.unwrap(distributed_utils.infer_init_method)(alone)
        assert alone.distributed_init_method is None
        cfg = self.configuration(monkeypatch, distributed_world_size=1)
        distributed_utils.infer_init_method(cfg)
        assert (cfg.distributed_world_size, cfg.distributed_rank, cfg.distributed_init_method) == (2, 1, "env://")
        assert (cfg.distributed_backend, cfg.ddp_backend) == ("nccl", "pytorch_ddp")

    def test_single_process_is_not_distributed(self, monkeypatch):
        for name in TORCHRUN:
            monkeypatch.delenv(name, raising=False)
        cfg = distributed_configuration(distributed_world_size=1)
        distributed_utils.infer_init_method(cfg)
        assert cfg.distributed_init_method is None


def test_validation_needs_no_task():
    command = ["data", "--path", "checkpoint.pt", "--max-tokens", "100"]
    with pytest.raises(KeyError):
        inspect.unwrap(options.parse_args_and_arch)(options.get_validation_parser(), command)
    assert options.parse_args_and_arch(options.get_validation_parser(), command).task == "translation"
    overrides = options.parse_args_and_arch(options.get_validation_parser(), command, suppress_defaults=True)
    assert not hasattr(overrides, "task")  # the checkpoint's task stays
    given = options.parse_args_and_arch(options.get_validation_parser(), [*command, "--task", "language_modeling"])
    assert given.task == "language_modeling"


class TestReplaceUnk:
    def test_unknown_words_are_replaced_by_alignment(self):
        alignment, dictionary = [(1, 0), (0, 1), (2, 2)], {"two": "zwei"}
        replaced = utils.replace_unk("<unk> b <unk>", "one two three", alignment, dictionary, "<unk>")
        assert replaced == "zwei b three"
        with pytest.raises(TypeError):
            inspect.unwrap(utils.replace_unk)("<unk> b <unk>", "one two three", alignment, dictionary, "<unk>")

    def test_dictionary_is_optional(self):
        assert utils.load_align_dict("@@ ") == {}
        with pytest.raises(FileNotFoundError):
            inspect.unwrap(utils.load_align_dict)("@@ ")

    def test_dictionary_is_read(self, tmp_path):
        (tmp_path / "dictionary").write_text("two zwei\n")
        assert utils.load_align_dict(str(tmp_path / "dictionary")) == {"two": "zwei"}
        assert utils.load_align_dict(None) is None

    def test_missing_alignment_is_refused(self):
        with pytest.raises(ResMLPError, match="--print-alignment"):
            utils.replace_unk("<unk>", "one", torch.empty(0), {}, "<unk>")
        assert utils.replace_unk("a  b", "one", torch.empty(0), {}, "<unk>") == "a b"


class TestDiverseBeams:
    @staticmethod
    def second_step(step, sentences):
        """Returns the second step's result for these sentences, of which the first ends after the first step."""
        generator = torch.Generator().manual_seed(1)
        lprobs = torch.randn(2, 3, 4, 11, generator=generator).log_softmax(dim=-1)
        diverse = search.DiverseBeamSearch(Dictionary(), num_groups=2, diversity_strength=0.7)
        scores, _, _ = step(diverse, 0, lprobs[0], None, None, sentences)
        kept = slice(1, 3)
        return step(diverse, 1, lprobs[1, kept], scores[kept].unsqueeze(-1), None, sentences[kept])

    def test_penalties_do_not_depend_on_sentence_ids(self):
        expected = self.second_step(search.DiverseBeamSearch.step, torch.tensor([0, 1, 2]))
        for sentences in ([7, 9, 4], [2, 0, 1]):
            for actual, desired in zip(
                self.second_step(search.DiverseBeamSearch.step, torch.tensor(sentences)), expected, strict=True
            ):
                assert torch.equal(actual, desired)

    def test_unpatched_depends_on_sentence_ids(self):
        with pytest.raises(IndexError):
            self.second_step(inspect.unwrap(search.DiverseBeamSearch.step), torch.tensor([7, 9, 4]))


class TestBlockedNgrams:
    """Two beams, of which the first is `5 6 5`, in a buffer that is not full yet."""

    def blocked(self, block_repeats):
        tokens = torch.tensor([[5, 6, 5, 1, 1], [5, 6, 7, 1, 1]])
        lprobs = block_repeats(NGramRepeatBlock(2), tokens, torch.zeros(2, 9), 1, 2, 2)
        return lprobs.eq(-math.inf).nonzero().tolist()

    def test_repeated_ngram_is_blocked(self):
        assert self.blocked(NGramRepeatBlock._no_repeat_ngram) == [[0, 6]]

    def test_unpatched_blocks_nothing(self):
        assert self.blocked(inspect.unwrap(NGramRepeatBlock._no_repeat_ngram)) == []


def test_only_our_errors_are_one_line(capsys):
    sys.excepthook(ResMLPError, ResMLPError("a must be b"), None)
    assert capsys.readouterr().err.splitlines() == [f"{Path(sys.argv[0]).name}: error: a must be b"]
    sys.excepthook(KeyError, KeyError("c"), None)
    assert "KeyError: 'c'" in capsys.readouterr().err


def test_patching_twice_changes_nothing():
    def patched():
        owners = (checkpoint_utils, options, utils, data_utils, distributed_utils, search.DiverseBeamSearch, Trainer)
        return [vars(owner).copy() for owner in (*owners, fconv)], sys.excepthook

    before = patched()
    apply_patches()
    assert patched() == before


def test_name_conflict_is_refused():
    assert_registered({"resmlp": dict}, "resmlp", dict)
    for registry in ({"resmlp": list}, {}):
        with pytest.raises(ResMLPError, match="the name resmlp refers to"):
            assert_registered(registry, "resmlp", dict)

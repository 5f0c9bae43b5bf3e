"""fairseq patches in the real commands, with fairseq's own Transformer and with hostile checkpoints."""

import os
from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq_commands import BIN, USER_DIR, free_port, generated, run

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fairseq_plugin")]


LANGUAGES = ("--task", "translation", "-s", "src", "-t", "tgt", "--cpu")
TRAINING = (
    *(*LANGUAGES, "--arch", "transformer", "--encoder-layers", 1, "--decoder-layers", 1, "--encoder-embed-dim", 8),
    *("--decoder-embed-dim", 8, "--encoder-ffn-embed-dim", 11, "--decoder-ffn-embed-dim", 13),
    *("--encoder-attention-heads", 2, "--decoder-attention-heads", 2, "--optimizer", "adam", "--lr", 0.01),
    *("--max-tokens", 300, "--num-workers", 0, "--no-epoch-checkpoints"),
)


def train(data, save, *args, user_dir=USER_DIR, check=True):
    plugin = ("--user-dir", user_dir) if user_dir else ()
    return run("fairseq-train", data, *TRAINING, *plugin, "--save-dir", save, *args, check=check)


def generate(data, checkpoint, *args, user_dir=USER_DIR, check=True):
    plugin = ("--user-dir", user_dir) if user_dir else ()
    return run("fairseq-generate", data, *LANGUAGES, *plugin, "--path", checkpoint, *args, check=check)


@pytest.fixture(scope="module")
def checkpoint(toy_data):
    """A checkpoint after two updates and a BLEU validation: settings in a Namespace, n-gram counts in NumPy arrays."""
    folder = toy_data.parent / "transformer"
    scoring = ("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 5}')
    train(toy_data, folder, "--max-update", 2, *scoring)
    return folder / "checkpoint_last.pt"


def ends_in_one_line(finished, command, sentence):
    """Whether a command failed with an error line that contains the sentence."""
    output = finished.stderr.splitlines()[-1]
    return finished.returncode != 0 and output.startswith(f"{command}: error: ") and sentence in output


class TestCheckpointsOfFairseq:
    def test_checkpoint_needs_the_plugin(self, toy_data, checkpoint):
        failed = generate(toy_data, checkpoint, user_dir=None, check=False)
        assert failed.returncode != 0
        assert "Weights only load failed" in failed.stderr

    def test_generate_translates_every_sentence(self, toy_data, checkpoint):
        output = generate(toy_data, checkpoint, "--batch-size", 8, "--beam", 2, "--max-len-b", 5).stdout
        assert sorted(generated(output)) == list(range(13))

    def test_validate_without_task_option(self, toy_data, checkpoint):
        args = ("--path", checkpoint, "--max-tokens", 300, "--cpu", "--user-dir", USER_DIR, "--valid-subset", "test")
        output = run("fairseq-validate", toy_data, *args)
        assert "valid on 'test' subset" in output.stdout + output.stderr

    def test_hub_interface_translates(self, toy_data, checkpoint):
        from fairseq.models.transformer import TransformerModel

        args = {"data_name_or_path": str(toy_data), "user_dir": str(USER_DIR)}
        hub = TransformerModel.from_pretrained(str(checkpoint.parent), checkpoint.name, **args)
        assert len(hub.translate(["s1 s2", "s3"], max_len_b=5)) == 2

    def test_interactive_replaces_unknown_words(self, toy_data, checkpoint):
        args = ("--path", checkpoint, "--user-dir", USER_DIR, "--replace-unk", "--print-alignment", "--max-len-b", 5)
        output = run("fairseq-interactive", toy_data, *LANGUAGES, *args, stdin="s1 s2\ns3 unknown\n").stdout
        assert sorted(generated(output)) == sorted(generated(output, "A")) == [0, 1]


class RunsACommand:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class TestCheckpointsOfOthers:
    """Hostile, truncated and mismatched checkpoints."""

    @pytest.fixture
    def canary(self, tmp_path):
        """A file that must not exist at the end of the test."""
        yield tmp_path / "canary"
        assert not (tmp_path / "canary").exists()

    @staticmethod
    def save_changed(checkpoint, path, change):
        state = read_checkpoint(checkpoint)
        change(state)
        torch.save(state, path)
        return path

    @pytest.mark.parametrize("command", ["fairseq-generate", "fairseq-interactive"])
    def test_pickled_command_is_refused_and_not_run(self, command, toy_data, checkpoint, canary, tmp_path):
        def hide(state):
            state["cfg"]["model"].hidden = RunsACommand(canary)

        path = self.save_changed(checkpoint, tmp_path / "hostile.pt", hide)
        args = ("--user-dir", USER_DIR, "--path", path)
        refused = run(command, toy_data, *LANGUAGES, *args, stdin="s1\n", check=False)
        assert ends_in_one_line(refused, command, f"asks for {os.system.__module__}.system, which was not run")

    def test_command_in_a_setting_is_refused_and_not_run(self, toy_data, checkpoint, canary, tmp_path):
        def hide(state):
            setting = f"__import__('os').system('touch {canary}')"
            state["cfg"]["model"] = Namespace(_name="fconv", arch="fconv", encoder_layers=setting)

        path = self.save_changed(checkpoint, tmp_path / "hostile.pt", hide)
        refused = generate(toy_data, path, check=False)
        assert ends_in_one_line(refused, "fairseq-generate", "contains something other than literals")

    def test_truncated_checkpoint_is_named(self, toy_data, checkpoint, tmp_path):
        half = tmp_path / "half.pt"
        half.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
        failed = generate(toy_data, half, check=False)
        assert ends_in_one_line(failed, "fairseq-generate", f"checkpoint {half} cannot be read")

    def test_vocabulary_mismatch_is_named(self, toy_data, checkpoint, tmp_path):
        def forget_a_word(state):
            for name, tensor in state["model"].items():
                if "embed_tokens" in name or "output_projection" in name:
                    state["model"][name] = tensor[:-1].clone()

        path = self.save_changed(checkpoint, tmp_path / "other.pt", forget_a_word)
        sentence = "symbols does not match checkpoint"
        refused = train(toy_data, tmp_path, "--finetune-from-model", path, "--max-update", 1, check=False)
        assert ends_in_one_line(refused, "fairseq-train", sentence)
        with pytest.raises(ResMLPError, match=sentence):
            checkpoint_utils.load_model_ensemble([str(path)], arg_overrides={"data": str(toy_data)})


def test_bf16_training_on_the_cpu(toy_data, tmp_path):
    train(toy_data, tmp_path, "--bf16", "--max-update", 2)
    for weights in read_checkpoint(tmp_path / "checkpoint_last.pt")["model"].values():
        assert torch.equal(weights, weights.bfloat16().float())  # fairseq stores bfloat16 as float32
        assert torch.isfinite(weights).all()


def test_torchrun_resumes_on_the_cpu(toy_data, checkpoint, tmp_path):
    args = ("--user-dir", USER_DIR, "--save-dir", tmp_path, "--restore-file", checkpoint, "--max-update", 5)
    launch = ("--nproc_per_node", 2, "--master_port", free_port(), "--no-python", BIN / "fairseq-train")
    finished = run("torchrun", *launch, toy_data, *TRAINING, *args)
    output = finished.stdout + finished.stderr
    assert "training on 2 devices" in output
    assert "@ 2 updates" in output
    assert read_checkpoint(tmp_path / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 5

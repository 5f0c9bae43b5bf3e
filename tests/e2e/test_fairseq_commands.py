"""The real fairseq commands with a ResMLP model, each in its own process."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from fairseq_commands import (
    BIN,
    ROOT,
    TRAINING,
    USER_DIR,
    environment,
    final_threads,
    free_port,
    generated,
    log_lines,
    losses,
    losses_by_update,
    record_final_threads,
    run,
    train,
)

pytestmark = pytest.mark.slow


def generate(data, checkpoint, *args, check=True):
    common = ("--task", "translation", "-s", "src", "-t", "tgt", "--cpu", "--user-dir", USER_DIR)
    return run("fairseq-generate", data, *common, "--path", checkpoint, "--beam", 4, *args, check=check)


@pytest.fixture(scope="module")
def plain(toy_data, toy_checkpoint):
    """The hypotheses of every test sentence, translated one at a time."""
    return generated(generate(toy_data, toy_checkpoint, "--batch-size", 1, "--nbest", 2).stdout)


def same_hypotheses(first, second):
    """Same tokens; scores, which fairseq prints in full, to 1e-5."""
    assert first.keys() == second.keys()
    for sentence, hypotheses in first.items():
        for one, other in zip(hypotheses, second[sentence], strict=True):
            score, tokens = one.split("\t")
            other_score, other_tokens = other.split("\t")
            assert tokens == other_tokens
            assert float(score) == pytest.approx(float(other_score), abs=1e-5)


def test_training_learns_the_toy_language(toy_run, toy_data, toy_checkpoint):
    assert losses(toy_run[1])[-1] < 0.5 * losses(toy_run[1])[0]
    epochs = [line["epoch"] for line in toy_run[1] if "ups" in line and "loss" in line]
    assert set(epochs) == set(range(1, max(epochs) + 1))
    output = generate(toy_data, toy_checkpoint, "--batch-size", 8).stdout
    targets, hypotheses = generated(output, "T"), generated(output, "H")
    right = sum(hypotheses[i][0].split("\t")[1] == targets[i][0] for i in range(13))
    assert right >= 5  # by chance none: up to eleven words from a vocabulary of twelve


@pytest.mark.parametrize("form", ["relative", "absolute", "trailing slash", "another folder"])
def test_user_dir_forms(form, toy_data, tmp_path):
    user_dir = {"relative": "resmlp_mt", "absolute": USER_DIR, "trailing slash": "resmlp_mt/"}.get(
        form, os.path.relpath(USER_DIR, tmp_path)
    )
    cwd = tmp_path if form == "another folder" else ROOT
    lines = train(toy_data, tmp_path / "run", "--max-update", 1, user_dir=user_dir, cwd=cwd)
    assert len(losses(lines)) == 1


def test_installed_package_as_user_dir(toy_data, tmp_path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", site, ROOT]
    subprocess.run(pip, check=True, capture_output=True, timeout=300)
    lines = train(toy_data, tmp_path / "run", "--max-update", 1, user_dir=site / "resmlp_mt", cwd=tmp_path)
    assert len(losses(lines)) == 1


@pytest.mark.parametrize("options", [("--batch-size", 5), ("--batch-size", 64), ("--max-tokens", 30)])
def test_batch_invariance(options, toy_data, toy_checkpoint, plain):
    batched = generated(generate(toy_data, toy_checkpoint, *options, "--nbest", 2).stdout)
    assert sorted(batched) == list(range(13))
    same_hypotheses(plain, batched)


def test_padding_side_invariance(toy_data, toy_checkpoint, plain):
    # fairseq's option --left-pad-source switches the default, True, off
    right = generate(toy_data, toy_checkpoint, "--batch-size", 64, "--nbest", 2, "--left-pad-source")
    same_hypotheses(plain, generated(right.stdout))


def test_ensemble_with_itself_equals_the_model(toy_data, toy_checkpoint, plain):
    both = generate(toy_data, f"{toy_checkpoint}:{toy_checkpoint}", "--batch-size", 8, "--nbest", 2)
    same_hypotheses(plain, generated(both.stdout))


def test_ensemble_of_two_models(toy_data, toy_checkpoint):
    other = toy_checkpoint.parent / "other" / "checkpoint_best.pt"
    assert len(generated(generate(toy_data, f"{toy_checkpoint}:{other}").stdout)) == 13


@pytest.mark.parametrize(
    "options",
    [
        ("--sampling", "--sampling-topk", 5, "--seed", 3, "--nbest", 4),
        ("--sampling", "--sampling-topp", 0.9, "--temperature", 1.3, "--seed", 3, "--nbest", 4),
        ("--diverse-beam-groups", 2, "--diverse-beam-strength", 0.5, "--nbest", 4),
        ("--no-repeat-ngram-size", 2),
        ("--min-len", 3, "--lenpen", 0.6, "--unkpen", 1, "--nbest", 4),
    ],
)
def test_search_options(options, toy_data, toy_checkpoint):
    hypotheses = generated(generate(toy_data, toy_checkpoint, "--batch-size", 5, *options).stdout)
    assert sorted(hypotheses) == list(range(13))
    expected = options[options.index("--nbest") + 1] if "--nbest" in options else 1
    assert {len(nbest) for nbest in hypotheses.values()} == {expected}
    if "--no-repeat-ngram-size" in options:
        for nbest in hypotheses.values():
            tokens = nbest[0].split("\t")[1].split()
            pairs = list(itertools.pairwise(tokens))
            assert len(pairs) == len(set(pairs))


def test_prefix_tokens(toy_data, toy_checkpoint):
    output = generate(toy_data, toy_checkpoint, "--batch-size", 5, "--prefix-size", 2).stdout
    targets, hypotheses = generated(output, "T"), generated(output, "H")
    for sentence in range(13):
        assert hypotheses[sentence][0].split("\t")[1].split()[:2] == targets[sentence][0].split()[:2]


def test_alignments_are_independent_of_padding(toy_data, toy_checkpoint):
    def aligned(*args):
        output = generate(toy_data, toy_checkpoint, "--print-alignment", *args).stdout
        return generated(output, "A"), generated(output, "S"), generated(output, "H")

    alone, sources, hypotheses = aligned("--batch-size", 1)
    assert aligned("--batch-size", 64)[0] == alone
    hits = total = 0
    for sentence in range(13):
        source, target = sources[sentence][0].split(), hypotheses[sentence][0].split("\t")[1].split()
        pairs = [tuple(map(int, pair.split("-"))) for pair in alone[sentence][0].split()]
        assert all(0 <= s < len(source) and 0 <= t < len(target) for s, t in pairs)
        hits += sum(source[s][1:] == target[t][1:] for s, t in pairs)
        total += len(pairs)
    assert hits > 0.8 * total  # chance is about one in six


def test_references_are_scored(toy_data, toy_checkpoint):
    batched = generated(generate(toy_data, toy_checkpoint, "--score-reference", "--batch-size", 64).stdout)
    alone = generated(generate(toy_data, toy_checkpoint, "--score-reference", "--batch-size", 1).stdout)
    assert sorted(alone) == list(range(13))
    same_hypotheses(alone, batched)


def test_fairseq_interactive_translates_lines_in_order(toy_data, toy_checkpoint, toy_text, plain):
    lines = (toy_text / "test.src").read_text()
    common = ("--task", "translation", "-s", "src", "-t", "tgt", "--cpu", "--user-dir", USER_DIR, "--beam", 4)
    finished = run("fairseq-interactive", toy_data, *common, "--path", toy_checkpoint, "--nbest", 2, stdin=lines)
    same_hypotheses(plain, generated(finished.stdout))
    buffered = run(
        "fairseq-interactive",
        toy_data,
        *(*common, "--path", toy_checkpoint, "--nbest", 2, "--buffer-size", 14, "--batch-size", 14),
        stdin=lines + "\n",
    )
    with_empty_line = generated(buffered.stdout)
    assert len(with_empty_line.pop(13)) == 2
    same_hypotheses(plain, with_empty_line)


def test_lexical_constraints_are_met(toy_data, toy_checkpoint, toy_text):
    lines = (toy_text / "test.src").read_text().splitlines()
    constrained = "".join(f"{line}\tt{index % 12}\n" for index, line in enumerate(lines))
    common = ("--task", "translation", "-s", "src", "-t", "tgt", "--cpu", "--user-dir", USER_DIR, "--beam", 4)
    buffers = ("--constraints", "--buffer-size", 13, "--batch-size", 13)
    finished = run("fairseq-interactive", toy_data, *common, "--path", toy_checkpoint, *buffers, stdin=constrained)
    hypotheses = generated(finished.stdout)
    assert sorted(hypotheses) == list(range(13))
    for index, nbest in hypotheses.items():
        assert f"t{index % 12}" in nbest[0].split("\t")[1].split()


def test_fairseq_validate_repeats_the_training_loss(toy_data, toy_run):
    folder, lines = toy_run
    trained = [float(line["valid_loss"]) for line in lines if "valid_loss" in line][-1]
    finished = run(
        "fairseq-validate",
        toy_data,
        *("--task", "translation", "--user-dir", USER_DIR, "--cpu", "--path", folder / "checkpoint_last.pt"),
        *("--max-tokens", 400, "--valid-subset", "valid", "--log-format", "json"),
    )
    validated = re.findall(r'"valid_loss": "([\d.]+)"', finished.stdout + finished.stderr)
    assert float(validated[-1]) == pytest.approx(trained, abs=1e-3)


def test_two_processes_equal_one(toy_data, tmp_path, monkeypatch):
    args = ("--max-update", 6, "--ddp-backend", "legacy_ddp", "--dropout", 0, "--batch-size", 16)
    alone = losses(train(toy_data, tmp_path / "one", *args, "--update-freq", 2))
    record_final_threads(monkeypatch, tmp_path / "site")
    finished = run(
        "torchrun",
        *("--nproc_per_node", 2, "--master_port", free_port(), "--no-python", BIN / "fairseq-train", toy_data),
        *("--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path / "two", *args),
        *("--distributed-world-size", 2, "--distributed-backend", "gloo"),
    )
    together = losses(log_lines(finished.stdout + finished.stderr))
    assert len(alone) == len(together) == 6
    assert together == pytest.approx(alone, abs=2e-3)
    threads = final_threads(tmp_path / "site")
    assert len(threads) == 2
    assert not [
        names for names in threads if "gloo" in names
    ]  # a gloo thread that requests the GIL at exit would crash the process


def last_saved_update(folder):
    """The update of the newest numbered checkpoint, or 0."""
    return max((int(path.stem.rsplit("_", 1)[1]) for path in folder.glob("checkpoint_*_*.pt")), default=0)


def test_killed_training_resumes_to_the_same_loss(toy_data, tmp_path):
    args = ("--max-update", 150, "--dropout", 0.1, "--save-interval-updates", 4, "--keep-interval-updates", 1)
    whole = losses_by_update(train(toy_data, tmp_path / "whole", *args))
    killed = tmp_path / "killed"
    command = [BIN / "fairseq-train", toy_data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", killed, *args]
    process = subprocess.Popen(
        [str(arg) for arg in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=ROOT,
    )
    deadline = time.monotonic() + 300
    while last_saved_update(killed) < 24 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training ended before it could be killed"
    resumed = losses_by_update(train(toy_data, killed, *args))
    assert max(resumed) == max(whole) == 150
    assert 20 < min(resumed) < 150
    assert resumed == pytest.approx({update: whole[update] for update in resumed}, abs=1e-3)

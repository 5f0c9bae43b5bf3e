"""fairseq trains on one shard per epoch, and translates with the data set's tokenizer model."""

import json

import pytest
from fairseq_commands import USER_DIR, run

TRAINING = [
    *(
        "--user-dir",
        USER_DIR,
        "--arch",
        "resmlp_tiny",
        "--share-all-embeddings",
        "--optimizer",
        "adam",
        "--lr",
        "0.003",
    ),
    *("--max-tokens", "2000", "--max-epoch", "3", "--cpu", "--num-workers", "0", "--no-progress-bar", "--seed", "1"),
    *("--log-format", "json", "--no-epoch-checkpoints"),
]


@pytest.mark.slow
def test_fairseq_trains_on_shards_and_generates(prepare, corpus, tmp_path):
    out = prepare("--shard-pairs", "400", "--bpe-dropout", "0.1", "--dropout-copies", "2")
    folders = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["train_data"]
    assert len(folders) == 4
    data = ":".join(str(out / folder) for folder in folders)
    log = run("fairseq-train", data, *TRAINING, "--save-dir", tmp_path / "run").stdout
    for folder in folders[:3]:
        assert f"305 examples from: {out / folder}/train.en-de.en" in log.replace("/./", "/")
    generation = ["--user-dir", USER_DIR, "--path", tmp_path / "run" / "checkpoint_last.pt", "--beam", "2", "--cpu"]
    generated = run("fairseq-generate", out, *generation, "--remove-bpe", "sentencepiece").stdout
    targets = dict(line[2:].split("\t") for line in generated.splitlines() if line.startswith("T-"))
    references = (corpus / "test.de").read_text(encoding="utf-8").splitlines()
    assert [targets[str(number)] for number in range(len(references))] == references
    pieces = ["--bpe", "sentencepiece", "--sentencepiece-model", out / "spm.model"]
    sentences = (corpus / "test.en").read_text(encoding="utf-8")
    output = run("fairseq-interactive", out, *generation, *pieces, stdin=sentences).stdout
    sources = [line.split("\t", 1)[1] for line in output.splitlines() if line.startswith("S-")]
    assert [source.replace(" ", "").replace("▁", " ").strip() for source in sources] == sentences.splitlines()

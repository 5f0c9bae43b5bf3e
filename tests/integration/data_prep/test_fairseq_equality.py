"""The data set equals the output of spm_encode and fairseq-preprocess byte for byte."""

import os
import subprocess
import sys

import pytest
from toy_corpora import contents

from resmlp_mt.translation.text.sentencepiece_model import load_model

ODD_SENTENCES = ("a cat\u2028under\u0085the tree", "the\u00a0dog\rsees \u3000 a bird", "ﬁnds ½ \u200b…", "")


@pytest.mark.parametrize("layout", ["joint", "separate"])
def test_binary_files_equal_fairseq_preprocess(prepare, corpus, tmp_path, layout):
    with (corpus / "test.en").open("ab") as file:
        file.write("".join(f"{sentence}\n" for sentence in ODD_SENTENCES).encode())
    with (corpus / "test.de").open("ab") as file:
        file.write(b"ein hund\n" * len(ODD_SENTENCES))
    options = [] if layout == "joint" else ["--no-joint"]
    out = prepare("--vocab-size", "401", *options, use_model=False)
    for lang in ("en", "de"):
        model = load_model(out / ("spm.model" if layout == "joint" else f"spm.{lang}.model"))
        for split in ("train", "valid", "test"):
            lines = (corpus / f"{split}.{lang}").read_bytes().decode().split("\n")[:-1]
            # spm_encode prints one line for each; all that fairseq treats as white space becomes a space first.
            segmented = (" ".join(model.encode(" ".join(line.split()), out_type=str)) for line in lines)
            (tmp_path / f"{split}.{lang}").write_bytes("".join(f"{line}\n" for line in segmented).encode())
    theirs = tmp_path / "theirs"
    args = ["--source-lang", "en", "--target-lang", "de", "--destdir", str(theirs)]
    args += [f"--{split}pref={tmp_path / split}" for split in ("train", "valid", "test")]
    args += [f"--srcdict={out / 'dict.en.txt'}", f"--tgtdict={out / 'dict.de.txt'}", "--workers", "1"]
    command = [sys.executable, "-m", "fairseq_cli.preprocess", *args]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    (theirs / "preprocess.log").unlink()
    expected = contents(theirs)
    assert len(expected) == 14
    assert {name: content for name, content in contents(out).items() if name in expected} == expected

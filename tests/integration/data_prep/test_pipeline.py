"""From files to a data set: contents, cleaning, splits, vocabularies, invariance to workers and formats."""

import gzip
import json
import lzma
from itertools import chain

import numpy as np
import pytest
from toy_corpora import contents, make_pairs, write_pairs

from data_prep.command_line import main
from data_prep.stages import cleaning
from data_prep.stages.binarise import CHUNK_PAIRS
from resmlp_mt.common.indexed_data import read_indexed
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS
from resmlp_mt.translation.text.sentencepiece_model import load_model


def _manifest(out):
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))


def _sentences(out, prefix):
    text = read_indexed(out / prefix)
    return [ids.tolist() for ids in np.split(text.tokens, np.cumsum(text.sizes)[:-1])]


def test_data_set_files(prepare, corpus):
    out = prepare()
    names = {path.name for path in out.iterdir()}
    assert names == {
        *(f"{split}.en-de.{lang}.{kind}" for split in ("train", "valid", "test") for lang in ("en", "de")
          for kind in ("bin", "idx")),
        "dict.en.txt", "dict.de.txt", "spm.model", "manifest.json", "raw",
    }  # fmt: skip
    for split in ("valid", "test"):
        for lang in ("en", "de"):
            assert (out / "raw" / f"{split}.{lang}").read_bytes() == (corpus / f"{split}.{lang}").read_bytes()


def test_binary_data_decode_to_the_text(prepare, corpus):
    out = prepare()
    model = load_model(out / "spm.model")
    for split in ("train", "valid", "test"):
        for lang in ("en", "de"):
            lines = (corpus / f"{split}.{lang}").read_text(encoding="utf-8").splitlines()
            sentences = _sentences(out, f"{split}.en-de.{lang}")
            assert all(ids[-1] == SPECIAL_TOKENS.end and SPECIAL_TOKENS.unknown not in ids for ids in sentences)
            assert [model.decode(ids[:-1]) for ids in sentences] == lines


def test_dictionary_pieces_and_counts(prepare):
    out = prepare()
    model = load_model(out / "spm.model")
    rows = [line.rsplit(" ", 1) for line in (out / "dict.en.txt").read_text(encoding="utf-8").splitlines()]
    assert [symbol for symbol, _ in rows] == [model.id_to_piece(piece) for piece in range(4, model.get_piece_size())]
    ids = np.concatenate([read_indexed(out / f"train.en-de.{lang}").tokens for lang in ("en", "de")])
    assert [int(count) for _, count in rows] == np.bincount(ids, minlength=4 + len(rows))[4:].tolist()
    assert (out / "dict.de.txt").read_bytes() == (out / "dict.en.txt").read_bytes()


def test_second_run_only_repairs(prepare):
    out = prepare()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    prepare()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    whole = contents(out)
    (out / "train.en-de.de.bin").write_bytes(b"")
    prepare()
    assert contents(out) == whole


def test_other_settings_in_the_same_folder_are_refused(prepare, capsys):
    out = prepare()
    whole = contents(out)
    prepare("--max-words", "9", status=2)
    assert "differs in max_words: 250 -> 9" in capsys.readouterr().err
    assert contents(out) == whole
    prepare("--max-words", "9", "--overwrite")
    assert _manifest(out)["settings"]["max_words"] == 9
    assert _manifest(out)["removed"]["rules"]["too long"] > 0


@pytest.mark.parametrize("content", ["{", '{"format": 2}'])
def test_unreadable_manifest_is_one_line(prepare, capsys, content):
    out = prepare()
    whole = contents(out)
    (out / "manifest.json").write_text(content)
    prepare(status=2)
    assert "the manifest" in capsys.readouterr().err.splitlines()[-1]
    prepare("--overwrite")
    assert contents(out) == whole


def test_changed_input_is_refused(prepare, corpus, capsys):
    prepare()
    write_pairs(corpus, "train", make_pairs(500, seed=3))
    prepare(status=2)
    assert "has changed since" in capsys.readouterr().err


def test_folder_with_other_files_is_refused(prepare, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work", encoding="utf-8")
    prepare(status=2)
    prepare("--overwrite", status=2)
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_worker_and_block_size_invariance(prepare, monkeypatch):
    whole = contents(prepare(name="one"))
    monkeypatch.setattr(cleaning, "CHUNK_PAIRS", 100)
    monkeypatch.setattr(cleaning, "BLOCK_PAIRS", 250)
    assert contents(prepare("--workers", "2", name="two")) == whole


def test_held_out_splits_have_no_leaks(prepare, corpus):
    for split in ("valid", "test"):
        for lang in ("en", "de"):
            (corpus / f"{split}.{lang}").unlink()
    out = prepare("--valid-size", "17", "--test-size", "19")
    held_out = {}
    for split, size in (("valid", 17), ("test", 19)):
        for lang in ("en", "de"):
            held_out[split, lang] = (out / "raw" / f"{split}.{lang}").read_text(encoding="utf-8").splitlines()
            assert len(held_out[split, lang]) == size
    model = load_model(out / "spm.model")
    for lang in ("en", "de"):
        train = {model.decode(ids[:-1]) for ids in _sentences(out, f"train.en-de.{lang}")}
        assert len(train) == 610 - 17 - 19
        assert not train & {*held_out["valid", lang], *held_out["test", lang]}
        assert not {*held_out["valid", lang]} & {*held_out["test", lang]}


def test_leaked_training_pairs_are_removed(prepare, corpus):
    train, test, valid = make_pairs(610), make_pairs(9, seed=7), make_pairs(9, seed=8)
    leaks = [(test[0][0].upper() + "!", "katze haus baum hund"), ("house tree cat dog", valid[3][1])]
    for split, pairs in (("train", train + leaks), ("test", test), ("valid", valid)):
        write_pairs(corpus, split, pairs)
    assert _manifest(prepare())["removed"]["rules"]["occurs in valid or test"] == 2


def test_removed_pairs_are_kept_on_request(prepare, corpus):
    pairs = make_pairs(300)
    noise = [("", "leer"), ("same", "same"), pairs[4], (pairs[5][0] + ".", pairs[5][1]), ("a " * 251, "b " * 251)]
    write_pairs(corpus, "train", pairs + noise + [("the cat " * 90, "die katze " * 90)])
    out = prepare("--keep-removed", "--max-subwords", "100")
    rows = {
        path.stem: [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (out / "removed").iterdir()
    }
    assert {rule: [row[1] for row in matches] for rule, matches in rows.items()} == {
        "empty": ["301"],
        "identical-sides": ["302"],
        "duplicate": ["303"],
        "near-duplicate": ["304"],
        "too-long": ["305"],
        "too-many-pieces": ["0"],
    }
    assert rows["duplicate"][0][2:] == list(pairs[4])
    removed = _manifest(out)["removed"]
    assert {rule.replace(" ", "-"): count for rule, count in removed["rules"].items() if count} == dict.fromkeys(
        rows, 1
    )
    assert {pair["rule"].replace(" ", "-") for pair in removed["examples"]} == set(rows)


def test_invalid_utf8_pairs_are_removed(prepare, corpus):
    with (corpus / "train.en").open("ab") as file:
        file.write(b"broken \xff\xfe\n")
    with (corpus / "train.de").open("ab") as file:
        file.write(b"kaputt\n")
    out = prepare("--invalid-utf8", "remove", "--keep-removed")
    assert _manifest(out)["removed"]["rules"]["invalid UTF-8"] == 1
    assert "broken \\udcff\\udcfe" in (out / "removed" / "invalid-UTF-8.tsv").read_text(encoding="utf-8")


def _lines(corpus):
    return [(corpus / f"train.{lang}").read_text(encoding="utf-8").splitlines() for lang in ("en", "de")]


def test_input_formats_give_the_same_data(prepare, corpus, tmp_path):
    whole = contents(prepare(name="moses"))
    pairs = list(zip(*_lines(corpus), strict=True))
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress("".join(f"{s}\t{t}\n" for s, t in pairs).encode()))
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{s}</seg></tuv><tuv xml:lang="de"><seg>{t}</seg></tuv></tu>' for s, t in pairs
    )
    (tmp_path / "train.tmx.xz").write_bytes(lzma.compress(f"<tmx><body>{units}</body></tmx>".encode()))
    for lang in ("en", "de"):
        (tmp_path / f"packed.{lang}.xz").write_bytes(lzma.compress((corpus / f"train.{lang}").read_bytes()))
    held_out = ["--valid", str(corpus / "valid"), "--test", str(corpus / "test")]
    for name in ("train.tsv.gz", "train.tmx.xz", "packed"):
        assert contents(prepare("--train", str(tmp_path / name), *held_out, name=f"of-{name}")) == whole


def test_corpora_are_joined_with_weights(prepare, corpus, tmp_path):
    write_pairs(tmp_path / "more", "train", make_pairs(101, seed=5))
    out = prepare(
        "--train", str(corpus / "train"), "--train", f"{tmp_path / 'more' / 'train'}@3",
        "--valid", str(corpus / "valid"), "--test", str(corpus / "test"), "--test", str(corpus / "valid"),
    )  # fmt: skip
    manifest = _manifest(out)
    parts = {part["name"]: part for part in manifest["parts"]}
    assert parts["2: more/train"]["selected"] == 3 * parts["2: more/train"]["counts"]["read"]
    assert manifest["splits"]["train"]["pairs"] == 610 + 303
    assert manifest["splits"]["test1"] | {"pairs": 23, "name": "5: corpus/valid"} == manifest["splits"]["test1"]


def test_shards_share_dictionary_and_partition_pairs(prepare):
    whole = prepare(name="whole")
    out = prepare("--shard-pairs", "250")
    manifest = _manifest(out)
    assert manifest["train_data"] == [".", "shard2", "shard3"]
    for lang in ("en", "de"):
        dictionaries = {(out / folder / f"dict.{lang}.txt").read_bytes() for folder in manifest["train_data"]}
        assert dictionaries == {(whole / f"dict.{lang}.txt").read_bytes()}
        shards = [_sentences(out / folder, f"train.en-de.{lang}") for folder in manifest["train_data"]]
        assert sorted(chain.from_iterable(shards)) == sorted(_sentences(whole, f"train.en-de.{lang}"))


def test_bpe_dropout_copies_decode_to_the_same_text(prepare):
    options = ("--bpe-dropout", "0.3", "--dropout-copies", "3")
    out = prepare(*options, name="one")
    assert contents(prepare(*options, "--workers", "2", name="two")) == contents(out)
    model = load_model(out / "spm.model")
    copies = [_sentences(out / folder, "train.en-de.de") for folder in _manifest(out)["train_data"]]
    texts = [[model.decode(ids[:-1]) for ids in copy] for copy in copies]
    assert texts[0] == texts[1] == texts[2]
    assert sum(first != second for first, second in zip(copies[0], copies[1], strict=True)) > 300
    assert contents(prepare(*options, "--seed", "2", name="other")) != contents(out)
    best = prepare(name="best")
    assert (best / "test.en-de.de.bin").read_bytes() == (out / "test.en-de.de.bin").read_bytes()


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("joint", [True, False])
def test_joint_and_separate_vocabularies(prepare, model_type, joint):
    options = ["--model-type", model_type, "--vocab-size", "43", "--no-byte-fallback"]
    out = prepare(*options, *([] if joint else ["--no-joint"]), use_model=False)
    models = sorted(path.name for path in out.glob("*.model"))
    assert models == (["spm.model"] if joint else ["spm.de.model", "spm.en.model"])
    for lang in ("en", "de"):
        model = load_model(out / ("spm.model" if joint else f"spm.{lang}.model"))
        rows = (out / f"dict.{lang}.txt").read_text(encoding="utf-8").splitlines()
        assert len(rows) + 4 == model.get_piece_size() == 43
        assert SPECIAL_TOKENS.unknown not in read_indexed(out / f"train.en-de.{lang}").tokens


def test_byte_fallback(prepare, corpus, capsys):
    with (corpus / "test.en").open("ab") as file:
        file.write("the \N{SNOWMAN} sees\n".encode())
    with (corpus / "test.de").open("ab") as file:
        file.write(b"der schneemann sieht\n")
    spelled = prepare("--vocab-size", "350", use_model=False, name="spelled")
    assert _manifest(spelled)["splits"]["test"]["unknown"] == {"en": 0, "de": 0}
    lacking = prepare(name="lacking")
    assert _manifest(lacking)["splits"]["test"]["unknown"]["en"] == 1
    assert "the ☃ sees" in _manifest(lacking)["splits"]["test"]["unknown_examples"]
    assert "test has 1 pieces that are not in the vocabulary" in capsys.readouterr().err


def test_training_pairs_with_unknown_pieces_are_removed(prepare, corpus):
    with (corpus / "train.en").open("ab") as file:
        file.write("the \N{SNOWMAN} sees\n".encode())
    with (corpus / "train.de").open("ab") as file:
        file.write(b"der schneemann sieht\n")
    manifest = _manifest(prepare())
    assert manifest["removed"]["rules"]["unknown pieces"] == 1
    assert manifest["splits"]["train"]["unknown"] == {"en": 0, "de": 0}


def test_preprocessing_leaves_references_raw(prepare, corpus):
    (corpus / "test.en").write_text("The dog's house, isn't it?\n", encoding="utf-8")
    (corpus / "test.de").write_text("Das Haus, oder?\n", encoding="utf-8")
    out = prepare(
        "--tokenizer", "moses", "--lowercase", "--normalize-punctuation", "--vocab-size", "350", use_model=False
    )
    model = load_model(out / "spm.model")
    (ids,) = _sentences(out, "test.en-de.en")
    assert model.decode(ids[:-1]) == "the dog &apos;s house , isn &apos;t it ?"
    assert (out / "raw" / "test.en").read_text(encoding="utf-8") == "The dog's house, isn't it?\n"


def test_too_large_vocabulary_is_refused(prepare, capsys):
    out = prepare("--vocab-size", "30000", use_model=False, status=2)
    assert "--vocab-size 30000 does not fit the training text. sentencepiece says" in capsys.readouterr().err
    assert not list(out.glob("spm*"))


def test_order_is_kept_across_chunks(prepare, corpus):
    pairs = make_pairs(CHUNK_PAIRS + 107, seed=11)
    write_pairs(corpus, "train", pairs)
    write_pairs(corpus, "valid", make_pairs(3, seed=12))
    write_pairs(corpus, "test", make_pairs(3, seed=13))
    out = prepare("--workers", "2")
    model = load_model(out / "spm.model")
    texts = [model.decode(ids[:-1]) for ids in _sentences(out, "train.en-de.de")]
    targets = [tgt for _, tgt in pairs]
    assert len(texts) == _manifest(out)["splits"]["train"]["pairs"] > CHUNK_PAIRS
    positions = {tgt: index for index, tgt in enumerate(targets)}
    assert [positions[text] for text in texts] == sorted(positions[text] for text in texts)


def test_demo_corpus(tmp_path):
    assert main(["demo", "--pair", "de-en", "--out", str(tmp_path / "demo"), "--workers", "1"]) == 0
    splits = _manifest(tmp_path / "demo")["splits"]
    assert [splits[split]["pairs"] for split in ("train", "valid", "test")] == [24000, 500, 500]
    assert all(count == 0 for split in splits.values() for count in split["unknown"].values())

"""`evaluate` checks its input and reports scores, tests, leaks and hashes."""

import itertools
import json
import shutil
from typing import Any

import pytest
import sacrebleu
from toy_bundles import data_folder, raw_lines, write_bundle

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.indexed_data import read_indexed
from resmlp_mt.translation.evaluation.scores import (
    all_scores,
    by_length,
    check_counts,
    compare,
    lower_cased_score,
    tokenised_scores,
)
from resmlp_mt.translation.translator import Translator

REFERENCES = [
    f"the {word} is near the old house number {n}." for n, word in enumerate(["dog", "cat", "tree", "man"] * 10)
]
NEAR = [line.replace("old ", "") if n % 3 else line for n, line in enumerate(REFERENCES)]
FAR = [line.replace("house", "mouse").replace("is", "was") for line in REFERENCES]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def evaluate(tmp_path, model, *args) -> dict[str, Any]:
    report = tmp_path / "report.json"
    options = ["--json", report, "--resamples", "20", "--trials", "20"]
    assert main([str(word) for word in ["evaluate", model, *options, *args]]) == 0
    return json.loads(report.read_text())


def test_scores_equal_sacrebleu():
    bleu, chrf, ter = all_scores(NEAR, REFERENCES, "en")
    assert bleu.score == pytest.approx(sacrebleu.corpus_bleu(NEAR, [REFERENCES]).score)
    assert chrf.score == pytest.approx(sacrebleu.corpus_chrf(NEAR, [REFERENCES]).score)
    assert ter.score == pytest.approx(sacrebleu.corpus_ter(NEAR, [REFERENCES]).score)
    assert 0 < bleu.interval < bleu.score
    assert "case:mixed" in bleu.signature
    assert "tok:13a" in bleu.signature
    assert bleu.label == ""


def test_scores_of_nearly_empty_translations():
    references = ["a b c d e", "f g h i j k", "a c e g", "b d f"]
    scores = {score.metric: score for score in all_scores(["a", "", "", ""], references, "de", resamples=50)}
    assert scores["BLEU"].score == 0.0
    assert 0 < scores["chrF"].score < 10


def test_tokenised_scores_are_labelled_not_comparable():
    results = tokenised_scores(["a well-known dog."], ["a well-known dog."], "en", resamples=2)
    assert [score.metric for score in results] == [
        "lower-cased tokenised BLEU",
        "tokenised BLEU",
        "compound-split BLEU",
    ]
    assert all("not comparable" in score.label and "tok:none" in score.signature for score in results)


def test_lower_cased_bleu_ignores_only_case():
    def lower_cased(text: str, reference: str) -> float:
        return lower_cased_score([text], [reference], "de", resamples=2).score

    reference = "Zwei Hunde laufen über die Wiese, und Max lacht."
    assert lower_cased("zwei hunde laufen über die wiese, und max lacht.", reference) == pytest.approx(100)
    assert lower_cased("zwei hunde laufen über die wiese und max lacht.", reference) < 90
    tokens = ["zwei hunde laufen über die wiese , und max lacht ."]
    shorter = ["zwei hunde laufen über die wiese und max lacht ."]
    expected = sacrebleu.corpus_bleu(shorter, [tokens], tokenize="none", force=True).score
    assert lower_cased("Zwei hunde laufen über die wiese und max lacht.", reference) == pytest.approx(expected)


def test_significance_of_better_and_equal_systems():
    for row in compare(NEAR, FAR, REFERENCES, "en", resamples=200, trials=200):
        assert (row.system < row.baseline) == (row.metric == "TER")
        assert row.p_bootstrap < 0.05
        assert row.p_randomisation < 0.05
    one_changed = ["something else altogether.", *NEAR[1:]]
    for other in (NEAR, one_changed):
        for row in compare(NEAR, other, REFERENCES, "en", resamples=200, trials=200):
            assert row.p_randomisation > 0.9
            assert row.p_bootstrap > 0.3


def test_p_value_equals_exact_randomisation_test():
    hypotheses, baseline, references = NEAR[:9], [*FAR[:3], *NEAR[3:9]], REFERENCES[:9]
    metric = sacrebleu.BLEU()
    observed = metric.corpus_score(hypotheses, [references]).score - metric.corpus_score(baseline, [references]).score
    extreme = 0
    for exchanged in itertools.product([False, True], repeat=3):
        pairs = [(b, h) if e else (h, b) for e, h, b in zip(exchanged, hypotheses[:3], baseline[:3], strict=True)]
        first = metric.corpus_score([a for a, _ in pairs] + hypotheses[3:], [references]).score
        second = metric.corpus_score([b for _, b in pairs] + baseline[3:], [references]).score
        extreme += abs(first - second) >= abs(observed) - 1e-9
    (bleu, _, _) = compare(hypotheses, baseline, references, "en", resamples=2, trials=4000)
    assert bleu.p_randomisation == pytest.approx(extreme / 8, abs=0.03)


def test_length_buckets_partition_the_sentences():
    lengths = [1, 10, 11, 25, 26, 200] + [5] * 34
    buckets = by_length(lengths, NEAR, REFERENCES, "en", longest_trained=25)
    assert {bucket.name: bucket.sentences for bucket in buckets} == {
        "1 to 10": 36,
        "11 to 20": 1,
        "21 to 25": 1,
        "26 to 30": 1,
        "over 100": 1,
    }
    assert [bucket.beyond_training for bucket in buckets] == [False, False, False, True, True]


def test_different_numbers_of_lines_are_refused():
    with pytest.raises(ResMLPError, match="numbers of lines differ: 2 sources, 3 references"):
        check_counts(sources=["a", "b"], references=["a", "b", "c"])
    with pytest.raises(ResMLPError, match="the test set is empty"):
        check_counts(sources=[], references=[])


def test_data_folder_report_has_hashes_and_leaks(model, tmp_path, capsys):
    data = shutil.copytree(data_folder(), tmp_path / "data")
    train = (data / "raw" / "train.src").read_text(encoding="utf-8").splitlines()
    lines = [*raw_lines()[:3], train[7], *raw_lines()[4:]]
    (data / "raw" / "test.src").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    report = evaluate(tmp_path, model, "--data", data, "--tokenised", "--translations", tmp_path / "out.txt")
    known = set(train)
    expected = [n for n, line in enumerate(lines, 1) if line in known]
    assert report["in_training"] == {"checked": True, "lines": expected}
    assert 4 in expected
    texts = (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()
    assert texts == Translator.from_pretrained(model).translate(lines)
    scores = {score["metric"]: score["score"] for score in report["scores"]}
    assert scores["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(texts, [raw_lines("tgt")]).score)
    assert set(report["hashes"]) == {"sources", "references", "translations", "baseline", "model"}
    assert report["hashes"]["model"]["model.safetensors"].startswith("sha256:")
    assert report["speed"]["sentences_per_second"] > 0
    out = capsys.readouterr().out
    assert "WARNING" in out
    assert "not comparable" in out


def test_baseline_may_be_text_or_bundle(model, tmp_path):
    source, reference, other = tmp_path / "s.txt", tmp_path / "r.txt", tmp_path / "o.txt"
    for path, lines in ((source, raw_lines()), (reference, raw_lines("tgt")), (other, raw_lines("tgt"))):
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files = ["--source", source, "--reference", reference]
    report = evaluate(tmp_path, model, *files, "--baseline", other, "--figure", tmp_path / "figure.svg")
    assert {row["metric"]: row["baseline"] for row in report["comparisons"]}["BLEU"] == pytest.approx(100.0)
    assert report["lines_unlike_baseline"] == report["sentences"]
    assert report["in_training"]["checked"] is False
    assert (tmp_path / "figure.svg").read_text().lstrip().startswith("<?xml")
    report = evaluate(tmp_path, model, *files, "--baseline", model)
    assert all(row["system"] == row["baseline"] for row in report["comparisons"])
    assert report["lines_unlike_baseline"] == 0


def test_scores_are_written_to_the_model_card(tmp_path):
    bundle = write_bundle(tmp_path)
    evaluate(tmp_path, bundle, "--data", data_folder(), "--update-card")
    card = (bundle / "README.md").read_text()
    assert card.count("| BLEU |") == 1
    assert "Not measured" not in card


@pytest.mark.parametrize("mark", ["@@ ", "\u2581", "&apos;"])
def test_tokenised_references_are_refused(mark, model, tmp_path, capsys):
    source, reference = tmp_path / "s.txt", tmp_path / "r.txt"
    source.write_text("a dog\n" * 5)
    reference.write_text(f"ein{mark}hund\n" * 5)
    assert main(["evaluate", str(model), "--source", str(source), "--reference", str(reference)]) == 2
    assert "must be raw text, but 5 of 5 lines contain sub-words or escaped tokens" in capsys.readouterr().err


def test_baseline_with_missing_lines_is_refused(model, tmp_path, capsys):
    (tmp_path / "o.txt").write_text("a\n" * 19)
    args = ["evaluate", str(model), "--data", str(data_folder()), "--baseline", str(tmp_path / "o.txt")]
    assert main(args) == 2
    assert "has 19 lines, but there are 20 references" in capsys.readouterr().err


def test_binarised_text_is_read():
    text = read_indexed(data_folder() / "train.src-tgt.src")
    assert len(text.sizes) == 200
    assert text.tokens[text.sizes.cumsum() - 1].tolist() == [2] * 200
    with pytest.raises(ResMLPError, match="the binarised text .*missing.idx is missing"):
        read_indexed(data_folder() / "missing")

"""The data report: one self-contained page with the numbers of the manifest and the data."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from data_prep.report.data_set import load_data_set
from data_prep.report.report import write_report
from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError

matplotlib = pytest.importorskip("matplotlib")


class _Checker(HTMLParser):
    """Collects the text, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - HTMLParser's signature
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_is_self_contained(prepare, corpus, capsys):
    for lang in ("en", "de"):
        with (corpus / f"train.{lang}").open("ab") as file:
            file.write(b"<script>alert(1)</script>\n")
    out = prepare()
    assert main(["data-report", str(out)]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    page = (out / "report.html").read_text(encoding="utf-8")
    checker = _Checker()
    checker.feed(page)
    assert checker.open == []
    assert page.count("<svg") == 4
    assert not re.search(r'(src|href)="(?!#|data:)|<script|url\((?!#)', page)
    text = " ".join(checker.text)
    assert "<script>alert(1)</script>" in text
    for expected in ("610", "identical sides", "training pairs", "sha256:", "valid"):
        assert expected in text


def test_report_numbers_equal_the_data(prepare):
    out = prepare("--shard-pairs", "250")
    data = load_data_set(out)
    train = data.manifest.splits["train"]
    for side, lang in enumerate(data.languages):
        assert len(data.sizes[side]) == train["pairs"] == 610
        assert data.sizes[side].sum() == data.counts[side].sum() == train["tokens"][lang] - 610
    counts = [int(line.rsplit(" ", 1)[1]) for line in (out / "dict.en.txt").read_text(encoding="utf-8").splitlines()]
    assert np.array_equal(data.counts[0] + data.counts[1], counts)


def test_report_is_deterministic(prepare, tmp_path):
    out = prepare()
    pages = [write_report(out, tmp_path / name).read_bytes() for name in ("one.html", "two.html")]
    assert pages[0] == pages[1]


def test_report_leaves_the_data_set_valid(prepare):
    write_report(prepare())
    prepare()


def test_folder_without_data_set_is_refused(tmp_path):
    with pytest.raises(ResMLPError, match=r"holds no finished data set: it has no manifest\.json"):
        load_data_set(tmp_path)
    assert main(["data-report", str(tmp_path)]) == 2

"""`resmlp-mt report`: one self-contained page from our records or fairseq's logs."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from fairseq_commands import ROOT
from matplotlib import image

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.training.fairseq_log import parse_log
from resmlp_mt.training.history import read_histories, settings_that_differ
from resmlp_mt.training.provenance import RunFile
from resmlp_mt.training.run_record import TRAIN, VALID, RunRecord

HOSTILE = '<script>alert("x")</script> & <b>'


def write_run(folder, settings, quality="bleu", start=5.0, updates=41):
    """Writes a training as the hooks record it: every update, and a validation at every tenth."""
    folder.mkdir(parents=True)
    record = RunRecord(folder / "metrics.jsonl", 0)
    for update in range(1, updates + 1):
        loss = start / math.sqrt(update) + 1
        sentences = (101 if quality == "bleu" else 1009) * update
        progress = {"training_seconds": 60.0 * update, "tokens": 1009 * update, "sentences": sentences}
        speed = {"lr": 1e-3, "gnorm": 0.7, "wps": 503.0, "ups": 0.5, "rss_peak": 2**30, "loss_scale": 128.0}
        record.write(TRAIN, update, {"loss": loss, "ppl": 2**loss, **speed, **progress})
        if update % 10 == 0:
            sample = {"id": 3, "source": HOSTILE, "reference": "ein Satz", "output": f"Satz {update}"}
            samples = {"samples": [sample]} if quality == "bleu" else {}
            record.write(VALID, update, {"subset": "valid", "loss": loss, quality: update / 2, **samples, **progress})
    RunFile(folder / "run.json").started(settings, 0, [], 1, 7919)
    return folder


@pytest.fixture
def runs(tmp_path):
    first = {"model": {"_name": "resmlp_tiny", "layer_scale": 0.2}, "optimization": {"lr": [0.01]}}
    second = {"model": {"_name": "transformer", "heads": 2}, "optimization": {"lr": [0.02]}}
    return [write_run(tmp_path / "one", first), write_run(tmp_path / "two" / HOSTILE.replace("/", ""), second, start=9)]


@pytest.fixture
def page(runs, tmp_path, capsys):
    path = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    return path


def test_reports_do_not_import_fairseq():
    program = (
        "import sys, resmlp_mt.cli.report, resmlp_mt.training.history, resmlp_mt.training.report_page, "
        "resmlp_mt.training.nonfinite, resmlp_mt.training.stopping; print('fairseq' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert output.strip() == "False"


class Tags(HTMLParser):
    """Collects a page's tags, texts and the addresses that it loads."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.loaded = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data):
        self.texts.append(data)


class TestPage:
    def test_page_is_self_contained(self, page):
        tags = Tags(page.read_text())
        assert all(value.startswith(("#", "data:")) for value in tags.loaded)
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page.read_text()))
        assert "@import" not in page.read_text()
        assert "script" not in tags.tags

    def test_foreign_text_is_escaped(self, page):
        tags = Tags(page.read_text())
        assert "script" not in tags.tags
        assert any(HOSTILE in text for text in tags.texts)

    def test_page_has_all_figures_and_facts(self, page):
        tags = Tags(page.read_text())
        assert tags.tags.count("svg") == 4  # loss, perplexity, BLEU, training progress
        texts = " ".join(tags.texts)
        for part in (
            *("Runs", "Settings that differ", "Loss", "Perplexity", "BLEU", "Training progress", "Sample translations"),
            *("Environment", "7,919", "optimization.lr", "[0.02]", "Satz 40", "ein Satz", "20 after 40 updates"),
            *("41 min 00 s", "41,369", "1.00 GiB"),
        ):
            assert part in texts, part
        assert "model.heads" not in texts  # a setting of only one of the architectures

    def test_image_run_shows_accuracy(self, tmp_path):
        run = write_run(tmp_path / "images", {"model": {"_name": "resmlp_s12"}}, quality="top1")
        out = tmp_path / "report.html"
        assert main(["report", str(run), "--out", str(out), "--names", "pictures"]) == 0
        texts = " ".join(Tags(out.read_text()).texts)
        assert "top-1 accuracy" in texts
        assert "images seen" in texts
        assert "Training: pictures" in texts
        assert "Sample translations" not in texts

    @pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
    def test_browser_renders_page(self, page, tmp_path):
        screenshot, log = tmp_path / "page.png", tmp_path / "net.json"
        args = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
        args += [f"--screenshot={screenshot}", "--window-size=1300,2600", f"--user-data-dir={tmp_path / 'profile'}"]
        args += ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
        args += ["--host-resolver-rules=MAP * ~NOTFOUND"]
        args += [f"--log-net-log={log}", f"file://{page}"]
        result = subprocess.run(
            ["chromium", *args], capture_output=True, text=True, timeout=300, env={**os.environ, "HOME": str(tmp_path)}
        )
        assert "CONSOLE" not in result.stderr
        # A request of the page has the page's origin, "null" for a file; the browser's own requests have none.
        assert set(re.findall(r'"initiator":"([^"]*)"', log.read_text())) <= {"not an origin"}
        shown = image.imread(screenshot)[:, :, :3]
        assert shown.shape[:2] == (2600, 1300)
        for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # the curves of both runs
            close = abs(shown * 255 - color).max(axis=2) < 3
            assert close[600:].sum() > 300


class TestLogs:
    SIMPLE = """\
2026-01-02 03:04:05 | INFO | fairseq_cli.train | {'_name': None, 'optimization': {'lr': [0.1], 'stop': inf}, \
'model': Namespace(arch='fconv', layers=[(64, 3)])}
2026-01-02 03:04:10 | INFO | train_inner | epoch 001:      5 / 8 loss=7.5, ppl=97.3, wps=811.7, wpb=300, \
num_updates=5, lr=0.005, gnorm=2.9
2026-01-02 03:04:13 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 6.5 | ppl 61.2 | bleu 3.25 | \
num_updates 8
2026-01-02 03:04:14 | INFO | train | epoch 001 | loss 7.9 | ppl 102.1 | num_updates 8 | lr 0.008
2026-01-02 03:04:15 | INFO | train_inner | epoch 002:      2 / 8 loss=5.5, ppl=49.1, wps=811.7, wpb=200, \
num_updates=10, lr=0.01, gnorm=1.9
some other line, cut in the middle | INFO | train_inner | epoch 002: 2
2026-01-02 04:00:00 | INFO | fairseq_cli.train | {'_name': None, 'optimization': {'lr': [0.2], 'stop': inf}}
2026-01-02 04:00:03 | INFO | train_inner | epoch 002:      2 / 8 loss=5.4, ppl=48.0, wps=811.7, wpb=220, \
num_updates=10, lr=0.01, gnorm=1.8
"""

    def test_simple_format_counts_repeated_updates_once(self):
        records, settings = parse_log(self.SIMPLE.splitlines())
        assert [(r["kind"], r["update"]) for r in records] == [(TRAIN, 5), (VALID, 8), (TRAIN, 10)]
        assert [record["loss"] for record in records] == [7.5, 6.5, 5.4]
        assert (records[1]["bleu"], records[1]["subset"]) == (3.25, "valid")
        assert [record["tokens"] for record in records] == [1500, 1500, 2600]
        assert [record["training_seconds"] for record in records] == [5, 8, 13]  # the pause does not count
        assert settings["optimization"] == {"lr": [0.2], "stop": "inf"}

    def test_namespace_settings_are_read(self):
        _, settings = parse_log(self.SIMPLE.splitlines()[:2])
        assert settings["model"] == {"arch": "fconv", "layers": [[64, 3]]}

    def test_json_format(self):
        inner = {"epoch": 1, "update": 0.6, "loss": "7.5", "ppl": "97.3", "wpb": "300", "num_updates": "5"}
        valid = {"epoch": 1, "valid_loss": "6.5", "valid_ppl": "61.2", "valid_num_updates": "8"}
        lines = [
            f"2026-01-02 03:04:10 | INFO | train_inner | {json.dumps(inner)}",
            f"[2026-01-02 03:04:13,123][valid][INFO] - {json.dumps(valid)}",  # as hydra writes it
        ]
        records, settings = parse_log(lines)
        assert [(r["kind"], r["update"], r["loss"]) for r in records] == [(TRAIN, 5, 7.5), (VALID, 8, 6.5)]
        assert settings == {}

    def test_folder_with_log_is_a_run(self, tmp_path):
        (tmp_path / "train.log").write_text(self.SIMPLE)
        assert read_histories([tmp_path], ["plain"])[0].updates == 10


class TestRuns:
    def test_runs_are_named_by_differing_path_parts(self, tmp_path):
        folders = [write_run(tmp_path / seed / "model", {}) for seed in ("1", "2")]
        assert [history.name for history in read_histories(folders, None)] == ["1/model", "2/model"]

    def test_differing_settings_exclude_paths_and_duplicates(self, tmp_path):
        folders = []
        for number in (1, 2):
            sections = {name: {"lr": [number]} for name in ("optimization", "optimizer")}
            settings = {**sections, "checkpoint": {"save_dir": str(number)}, "common": {"seed": 5}}
            settings["model"] = {"arch": "fconv", "lr": number, "seed": 5, "dropout": number / 10}
            folders.append(write_run(tmp_path / str(number), settings))
        differing = settings_that_differ(read_histories(folders, None))
        assert differing == {"optimization.lr": [[1], [2]], "model.dropout": [0.1, 0.2]}

    @pytest.mark.parametrize(
        ("make", "names", "message"),
        [
            (lambda _path: None, None, "cannot be read as a training"),
            (lambda path: path.mkdir(), None, "contains no training records"),
            (lambda path: path.write_text("no training\n"), None, "contains no training records"),
            (lambda path: write_run(path, {}), ["a", "b"], "1 different names"),
        ],
    )
    def test_invalid_run_is_one_line(self, make, names, message, tmp_path):
        make(tmp_path / "run")
        with pytest.raises(ResMLPError, match=message):
            read_histories([tmp_path / "run"], names)

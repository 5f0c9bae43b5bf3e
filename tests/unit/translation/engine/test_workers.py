"""Several workers give the translations, order, errors and interrupts of one worker."""

import argparse
import os
import signal
import threading
from dataclasses import replace

import pytest
import torch
from toy_bundles import raw_lines, write_bundle

from resmlp_mt.cli import decoding
from resmlp_mt.cli.main import main
from resmlp_mt.common import threads
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.engine.batching import BatchLimits
from resmlp_mt.translation.engine.workers import StoppedError, run_batches
from resmlp_mt.translation.search.beam_search import BeamSearch, Source
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request

LIMITS = BatchLimits(sentences=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def one(model):
    return Translator.from_pretrained(model, limits=LIMITS)


@pytest.fixture(scope="module")
def several(model):
    return Translator.from_pretrained(model, limits=LIMITS, workers=3)


@pytest.mark.parametrize(
    "settings",
    [
        SearchSettings(beam_size=4, nbest=3, max_len_b=15),
        SearchSettings(beam_size=2, sampling=True, seed=3, max_len_b=9),
    ],
    ids=["beam", "sampling"],
)
def test_worker_invariance_of_translations(one, several, settings):
    lines = [*raw_lines(), "", "a small dog runs. " * 30, "two men"]
    requests = [Request(line, number) for number, line in enumerate(lines, 1)]
    first, second = (t.translate_requests(requests, settings, align=True) for t in (one, several))
    assert first == second  # texts, scores to the last digit, alignments, notes, order
    assert any(translation.note for translation in second)


def test_worker_invariance_of_scores_and_alignments(one, several):
    assert several.score(raw_lines(), raw_lines("tgt")) == one.score(raw_lines(), raw_lines("tgt"))
    assert several.align(raw_lines(), raw_lines("tgt")) == one.align(raw_lines(), raw_lines("tgt"))


def test_worker_invariance_of_the_identity(one, several):
    assert one.identity == several.identity  # so that it can be resumed with another number


def test_batches_run_in_parallel_with_one_thread_each(several, monkeypatch):
    together, used = threading.Barrier(3, timeout=60), []
    original = BeamSearch.search

    def search(self, sources, stop=None):
        together.wait()  # breaks unless three arrive
        used.append(torch.get_num_threads())
        return original(self, sources, stop)

    monkeypatch.setattr(BeamSearch, "search", search)
    several.translate(raw_lines()[:9])
    assert used == [1, 1, 1]


def test_thread_count_is_restored():
    torch.set_num_threads(2)
    try:
        run_batches(lambda batch, _stop: batch, [1, 2, 3], workers=2)
        assert torch.get_num_threads() == 2
        assert torch.ones(1).add(1).item() == 2
    finally:
        torch.set_num_threads(1)


def test_one_batch_runs_in_the_main_thread(several, monkeypatch):
    names = []
    original = BeamSearch.search

    def search(self, sources, stop=None):
        names.append(threading.current_thread())
        return original(self, sources, stop)

    monkeypatch.setattr(BeamSearch, "search", search)
    several.translate(["a dog"])
    assert names == [threading.main_thread()]


def test_error_of_first_failed_batch_is_raised(several):
    settings = replace(several.config.decoding, min_len=12, max_len_a=1.0, max_len_b=0)
    with pytest.raises(ResMLPError, match="min_len 12 is greater than the maximum length"):
        several.translate(raw_lines(), settings=settings)

    def fail(batch, _stop):
        raise ValueError(batch)

    for _ in range(9):
        with pytest.raises(ValueError, match="first"):
            run_batches(fail, ["first", "second", "third"], workers=3)


def test_error_stops_other_batches():
    waits, ended = threading.Event(), []

    def function(batch, stop):
        if batch == "fails":
            assert waits.wait(60)
            raise ResMLPError("no")
        waits.set()
        assert stop.wait(60)
        ended.append(batch)
        raise StoppedError

    with pytest.raises(ResMLPError, match="no"):
        run_batches(function, ["fails", "waits", "never begins"], workers=2)
    assert "waits" in ended


def test_search_stops_at_next_step(one):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        BeamSearch(one.backend.models, SearchSettings(max_len_b=15)).search([Source([5, 6, 2])], stop)


def test_interrupt_stops_workers_and_command(model, monkeypatch, tmp_path, capsys):
    """The interrupt comes while the main thread waits for results."""
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    source = tmp_path / "in.txt"
    source.write_text("a dog\n" * 9)
    original, searching = BeamSearch.search, []

    def search(self, sources, stop=None):
        searching.append(len(sources))
        if len(searching) == 1:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert stop.wait(60)  # as a search that takes long
        return original(self, sources, stop)

    monkeypatch.setattr(BeamSearch, "search", search)
    args = ["translate", model, "--input", source, "--output", tmp_path / "out.txt", "--batch-size", 3, "--workers", 2]
    assert main([str(arg) for arg in args]) == 130
    assert capsys.readouterr().err == "resmlp-mt translate: interrupted\n"
    assert not (tmp_path / "out.txt").exists()
    assert len(searching) <= 2


@pytest.mark.parametrize(
    ("args", "variables", "workers", "count"),
    [
        ([], {}, 2, 1),
        ([], {"OMP_NUM_THREADS": "2"}, 1, 2),
        (["--threads", "2"], {}, 1, 2),
        (["--threads", "1"], {"OMP_NUM_THREADS": "2"}, 1, 1),
        (["--workers", "1"], {}, 1, 1),
        (["--workers", "2"], {"OMP_NUM_THREADS": "1"}, 2, 1),
        (["--workers", "1", "--threads", "2"], {}, 1, 2),
    ],
)
def test_worker_and_thread_options(model, monkeypatch, args, variables, workers, count):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    monkeypatch.setattr(os, "environ", variables)
    try:
        translator = load(model, args)
        assert (translator.workers, torch.get_num_threads()) == (workers, count)
    finally:
        torch.set_num_threads(1)


def load(model, args, **options):
    parser = argparse.ArgumentParser()
    decoding.add_model_arguments(parser)
    return decoding.load_translator(parser.parse_args([str(model), *args]), **options)


def test_line_by_line_mode_uses_idle_cpus(model, monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(threads, "_WEIGHTS_PER_THREAD", 100)
    monkeypatch.setattr(threads.LoadOfOthers, "sample", lambda _self: 1.0)
    try:
        translator = load(model, [], line_by_line=True)
        assert torch.get_num_threads() == 1
        translator.translate(["a dog"])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert load(model, ["--threads", "1"], line_by_line=True).threads_by_load is None


def test_threads_and_workers_exclude_each_other(model, monkeypatch, capsys):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    assert main(["translate", str(model), "--threads", "2", "--workers", "2"]) == 2
    assert "--threads must be 1 with several --workers, not 2; leave one of the two out" in capsys.readouterr().err


def test_baseline_uses_the_same_workers(model, monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    text = tmp_path / "test.txt"
    text.write_text("".join(f"{line}\n" for line in raw_lines()))
    workers = []
    original = Translator.translate_requests

    def translate_requests(self, *args, **options):
        workers.append(self.workers)
        return original(self, *args, **options)

    monkeypatch.setattr(Translator, "translate_requests", translate_requests)
    args = ["evaluate", model, "--source", text, "--reference", text, "--baseline", model, "--workers", 2]
    assert main([str(arg) for arg in [*args, "--resamples", 2, "--trials", 2]]) == 0
    assert workers == [2, 2]

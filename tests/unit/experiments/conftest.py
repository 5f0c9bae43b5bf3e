"""Puts the benchmarks on the import path and replaces the measurement of a processor's peak."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "scripts" / "benchmarks"))


@pytest.fixture(autouse=True)
def quick_peak(request, monkeypatch):
    """Replaces the measured peak of the processor, unless a test is marked `real_peak`."""
    if "real_peak" not in request.keywords:
        peak = {"float32": {"MKL": 100.0, "oneDNN": 200.0}, "bfloat16": {"PyTorch": 300.0}}
        monkeypatch.setattr("resmlp_mt.experiments.measure.machine.measure_peak", lambda *_args, **_kwargs: peak)

"""Machine of a benchmark: processor name, load by others, and that every benchmark reports it."""

import ast
import json
import sys
from pathlib import Path

import generation
import pytest
import torch
import training
import translate

from resmlp_mt.experiments.measure import machine
from resmlp_mt.experiments.measure.cpu_names import Processor, parse_cpuinfo
from resmlp_mt.experiments.measure.machine import Clocks, machine_line, parse_stat, share_of_others

EXPERIMENTS = Path(machine.__file__).parents[1]
# Scripts that time or score, and write JSON. estimate_cost.py measures nothing; the others write one run's results.
BENCHMARKS = [
    *Path(generation.__file__).parent.glob("*.py"),
    *(EXPERIMENTS / name for name in ("compare/command.py", "sweep.py", "study/digits.py")),
]


def x86(vendor: str, family: int, model: int, name: str, flags: str, stepping: int = 1) -> str:
    first = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n"
    first += f"model name\t: {name}\nstepping\t: {stepping}\nflags\t\t: fpu sse2 {flags}\n"
    return f"{first}\nprocessor\t: 1\nvendor_id\t: {vendor}\ncpu family\t: 99\nmodel\t\t: 99\n"


AVX512 = "avx2 avx512f avx512_vnni"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd sve bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (x86("AuthenticAMD", 23, 49, "AMD EPYC 7742 64-Core Processor", "avx2"), "(Zen 2, Rome; AVX2)"),
        (x86("AuthenticAMD", 25, 1, "AMD EPYC", "avx2"), "AMD EPYC, family 25 model 1 (Zen 3, Milan; AVX2)"),
        (x86("AuthenticAMD", 25, 80, "AMD Ryzen 7 5700G", "avx2"), "family 25 model 80 (Zen 3; AVX2)"),
        (
            x86("AuthenticAMD", 25, 17, "AMD EPYC 9R14", f"{AVX512} avx512_bf16"),
            "family 25 model 17 (Zen 4, Genoa; AVX2, AVX-512, VNNI, BF16)",
        ),
        (x86("AuthenticAMD", 26, 2, "AMD EPYC", f"{AVX512} avx512_bf16"), "family 26 model 2 (Zen 5, Turin; AVX2, "),
        (x86("AuthenticAMD", 31, 7, "AMD EPYC", "avx2"), "AMD EPYC, family 31 model 7 (AVX2)"),  # not in the table
        (
            x86("GenuineIntel", 6, 143, "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", f"{AVX512} amx_tile"),
            "Intel Xeon Platinum 8481C, family 6 model 143 (Sapphire Rapids; AVX2, AVX-512, VNNI, AMX)",
        ),
        (
            x86("GenuineIntel", 6, 85, "Intel(R) Xeon(R) CPU @ 2.00GHz", "avx512f", 3),
            "Intel Xeon, family 6 model 85 (Sky",
        ),
        (x86("GenuineIntel", 6, 85, "Intel(R) Xeon(R) CPU", AVX512, 7), "(Cascade Lake; "),
        (x86("GenuineIntel", 6, 85, "Intel(R) Xeon(R) CPU", AVX512, 11), "(Cooper Lake; "),
        (x86("GenuineIntel", 6, 14, "Genuine Intel(R) CPU", ""), "Genuine Intel, family 6 model 14"),
        (x86("HygonGenuine", 24, 1, "C86 7285", "avx2"), "Hygon C86 7285, family 24 model 1 (AVX2)"),
        (ARM, "ARM (implementer 0x41), model 3392 (BF16, NEON, SVE)"),
    ],
)
def test_processor_name_is_that_of_first_cpu(text, name):
    assert name in str(parse_cpuinfo(text))


def test_processor_without_numbers_keeps_its_name():
    assert parse_cpuinfo("flags\t: fpu\n") is None
    assert str(Processor("riscv64")) == "riscv64"


def test_clocks_count_usable_cpus():
    text = (
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 20 30 400 50 6 7 80 5 0\ncpu1 1 1 1 1 1 1 1 1 0 0\ncpu10 7 7 7 7 7 7 7 7\n"
    )
    assert parse_stat(text, {0}, 100, own=0.5) == Clocks(total=6.93, busy=1.63, stolen=0.8, own=0.5)
    assert parse_stat(text, {0, 1}, 100, own=0.5).total == pytest.approx(7.01)


@pytest.mark.parametrize(
    ("after", "shares"),
    [
        (Clocks(120, 40, 0, 31), (0.1, 0.0)),  # of 100 seconds, 40 busy, 30 of them ours
        (Clocks(120, 40, 5, 31), (0.15, 0.05)),
        (Clocks(120, 40, 5, 46), (0.05, 0.05)),  # the kernel's two clocks may differ a little
        (Clocks(120, 100, 0, 1), (1.0, 0.0)),
        (Clocks(20.1, 0.1, 0, 1), None),  # too short
        (None, None),
    ],
)
def test_share_of_others_excludes_our_time(after, shares):
    assert share_of_others(Clocks(20, 0, 0, 1), after) == (shares if shares is None else pytest.approx(shares))


def machine_description(**changes):
    peak = {"float32": {"MKL": 51.9, "oneDNN": 57.4}, "bfloat16": {"PyTorch": 0.546}}
    versions = {"python": "3.11.7", "torch": "2.15.0", "fairseq-fixed": "0.12.3.1"}
    load = {"others_share": 0.031, "quiet": True}
    return {"processor": "AMD EPYC", "cores": 2, "threads": 1, "peak_gflops": peak, **load, **versions, **changes}


def test_machine_line_has_peak_and_load():
    assert machine_line(machine_description()) == (
        "Machine: 2 cores of an AMD EPYC, 1 thread, peak 57 GFLOP/s in float32 (MKL 52, oneDNN 57) and 0.55 GFLOP/s in "
        "bfloat16, quiet (others took 3% of the processor), Python 3.11.7, torch 2.15.0, fairseq-fixed 0.12.3.1."
    )
    assert "not quiet (others took 45%" in machine_line(machine_description(others_share=0.45, quiet=False))
    unknown = machine_line(machine_description(others_share=None, quiet=None, peak_gflops={}, threads=0, cores=1))
    assert unknown.startswith("Machine: 1 core of an AMD EPYC, load by others not known, Python")
    gpu = {"name": "NVIDIA H100", "peak_gflops": {"bfloat16": {"PyTorch": 798000.0}}}
    assert "processor), GPU NVIDIA H100, peak 798,000 GFLOP/s in bfloat16, Python" in machine_line(
        machine_description(gpu=gpu)
    )


@pytest.mark.real_peak
def test_peak_of_every_type_and_library():
    peak = machine.measure_peak(1, seconds=0.01)
    assert set(peak) == {"float32", "bfloat16"}
    assert all(speed > 0 for speeds in peak.values() for speed in speeds.values())
    assert machine.highest(peak, "float32") == max(peak["float32"].values())
    assert machine.highest({}, "float32") is None


@pytest.mark.real_peak
def test_unmeasurable_peak_is_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert machine.measure_peak(1) == {}
    assert capfd.readouterr().err == "The peak of this machine was not measured: ImportError: no torch here\n"


def test_machine_watch_counts_from_start():
    result = machine.MachineWatch(1, since=Clocks(0, 0, 0, 0)).finish()
    assert 0 <= result["stolen_share"] <= result["others_share"] <= 1
    assert result["quiet"] == (result["others_share"] <= machine.QUIET)
    assert result["processor"]
    assert result["cores"] >= 1


def test_machine_watch_describes_gpu_only_if_used(monkeypatch):
    monkeypatch.setattr(machine, "find_gpu", lambda: {"name": "some GPU", "peak_gflops": {}})
    assert machine.MachineWatch(1).finish()["gpu"] is None
    assert machine.MachineWatch(1, uses_gpu=True).finish()["gpu"]["name"] == "some GPU"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu_is_none():
    assert machine.find_gpu() is None


def called_names(script: Path) -> set[str]:
    """The names of all functions and methods that a script calls."""
    calls = [node.func for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
    return {
        call.id if isinstance(call, ast.Name) else call.attr
        for call in calls
        if isinstance(call, ast.Name | ast.Attribute)
    }


@pytest.mark.parametrize("script", sorted(BENCHMARKS), ids=lambda path: path.name)
def test_every_benchmark_reports_its_machine(script):
    calls = called_names(script)
    assert {"MachineWatch", "finish"} <= calls
    assert calls & {"machine_line", "print_table"}
    tree = ast.parse(script.read_text())
    keys = {
        key.value for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys if hasattr(key, "value")
    }
    assert "machine" in keys
    tables = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print_table"
    ]
    assert all(len(table.args) + len(table.keywords) == 3 for table in tables)  # header, rows, machine


MEASURED = {
    generation: {"tokens": 10, "seconds": 2.0, "search_kib": 1, "peak_kib": 2},
    translate: 5.0,
    training: {"tokens_per_second": 5.0, "peak_mib": 1.0},
}


@pytest.mark.parametrize("benchmark", MEASURED, ids=lambda module: module.__name__)
def test_benchmark_writes_and_prints_its_machine(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure", lambda *_args: MEASURED[benchmark])
    monkeypatch.setattr(training, "measure_peak", machine.measure_peak)  # the replaced one, see conftest.py
    output = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", [benchmark.__name__, "--rounds", "1", "--output", str(output)])
    benchmark.main()
    written = json.loads(output.read_text())["machine"]
    assert {"family", "model", "instructions", "peak_gflops", "others_share", "quiet"} <= set(written)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [machine_line(written), ""]
    assert lines[2].startswith("| ")

"""Identifies a processor from /proc/cpuinfo: vendor, family, model, microarchitecture, vector instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VENDORS = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel", "HygonGenuine": "Hygon"}
_ANY = range(256)


@dataclass(frozen=True)
class _Design:
    """A microarchitecture and its CPUID numbers. Source: Linux, arch/x86/kernel/cpu/amd.c and asm/intel-family.h."""

    vendor: str
    family: int
    models: range
    name: str
    steppings: range = _ANY


def _one(model: int) -> range:
    return range(model, model + 1)


_DESIGNS = (
    _Design("AMD", 23, _one(0x01), "Zen, Naples"),
    _Design("AMD", 23, range(0x00, 0x30), "Zen or Zen+"),
    _Design("AMD", 23, range(0x50, 0x60), "Zen"),
    _Design("AMD", 23, _one(0x31), "Zen 2, Rome"),
    _Design("AMD", 23, range(0x30, 0xB0), "Zen 2"),
    _Design("AMD", 25, _one(0x01), "Zen 3, Milan"),
    _Design("AMD", 25, _one(0x11), "Zen 4, Genoa"),
    _Design("AMD", 25, range(0xA0, 0xB0), "Zen 4c, Bergamo or Siena"),
    _Design("AMD", 25, range(0x10, 0x20), "Zen 4"),
    _Design("AMD", 25, range(0x60, 0xA0), "Zen 4"),
    _Design("AMD", 25, range(0x00, 0x60), "Zen 3"),
    _Design("AMD", 26, range(0x00, 0x10), "Zen 5, Turin"),
    _Design("AMD", 26, range(0x10, 0x20), "Zen 5c, Turin Dense"),
    _Design("AMD", 26, range(0x20, 0x30), "Zen 5"),
    _Design("AMD", 26, range(0x40, 0x50), "Zen 5"),
    _Design("AMD", 26, range(0x60, 0x80), "Zen 5"),
    _Design("Intel", 6, _one(63), "Haswell"),
    _Design("Intel", 6, _one(79), "Broadwell"),
    _Design("Intel", 6, _one(85), "Skylake", range(0, 5)),
    _Design("Intel", 6, _one(85), "Cascade Lake", range(5, 10)),
    _Design("Intel", 6, _one(85), "Cooper Lake", range(10, 256)),
    _Design("Intel", 6, _one(106), "Ice Lake"),
    _Design("Intel", 6, _one(108), "Ice Lake"),
    _Design("Intel", 6, _one(143), "Sapphire Rapids"),
    _Design("Intel", 6, _one(207), "Emerald Rapids"),
    _Design("Intel", 6, range(173, 175), "Granite Rapids"),
    _Design("Intel", 6, _one(175), "Sierra Forest"),
)

# Instruction sets of x86 and ARM. A processor has one if it has any of the flags.
_INSTRUCTIONS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "BF16": ("avx512_bf16", "bf16"),
    "AMX": ("amx_tile",),
    "NEON": ("asimd",),
    "SVE": ("sve",),
}


@dataclass(frozen=True)
class Processor:
    """The first CPU in /proc/cpuinfo.

    Attributes:
        name: product name, with the vendor.
        vendor: vendor of the processor.
        family, model, stepping: CPUID numbers; None if missing. On ARM the model is the part number.
        microarchitecture: its name, with the code name of the server product; None if it is not in the table.
        instructions: vector instruction sets that matter for the speed of matmuls.
    """

    name: str
    vendor: str | None = None
    family: int | None = None
    model: int | None = None
    stepping: int | None = None
    microarchitecture: str | None = None
    instructions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For example "AMD EPYC, family 25 model 1 (Zen 3, Milan; AVX2)"."""
        numbers = [
            f"{what} {number}"
            for what, number in (("family", self.family), ("model", self.model))
            if number is not None
        ]
        text = ", ".join([self.name, " ".join(numbers)]) if numbers else self.name
        details = [part for part in (self.microarchitecture, ", ".join(self.instructions)) if part]
        return f"{text} ({'; '.join(details)})" if details else text


def parse_cpuinfo(text: str) -> Processor | None:
    """Parses the first CPU of /proc/cpuinfo; returns None if the text has none."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(f"{fields.get('flags', '')} {fields.get('Features', '')}".split())
    instructions = tuple(name for name, any_of in _INSTRUCTIONS.items() if flags.intersection(any_of))
    if "vendor_id" in fields:
        vendor = _VENDORS.get(fields["vendor_id"], fields["vendor_id"])
        family, model, stepping = (_number(fields.get(key)) for key in ("cpu family", "model", "stepping"))
        name = _product(fields.get("model name", ""), vendor)
        known = _design(vendor, family, model, stepping)
        return Processor(name, vendor, family, model, stepping, known, instructions)
    if "CPU implementer" in fields:
        vendor = f"ARM (implementer {fields['CPU implementer']})"
        return Processor(vendor, vendor, None, _number(fields.get("CPU part")), None, None, instructions)
    return None


def _product(name: str, vendor: str) -> str:
    """The product name without trademark signs and frequency, with the vendor first."""
    short = " ".join(re.sub(r"\((R|TM|tm|r)\)|\bCPU\b|@.*", " ", name).split())
    return short if vendor in short else f"{vendor} {short}".strip()


def _number(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _design(vendor: str, family: int | None, model: int | None, stepping: int | None) -> str | None:
    for design in _DESIGNS:
        is_family = (design.vendor, design.family) == (vendor, family)
        if is_family and model in design.models and stepping in design.steppings:
            return design.name
    return None

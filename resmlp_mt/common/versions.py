"""The versions of the software that a result was made with."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from resmlp_mt.common.version import __version__

LIBRARIES = ("torch", "fairseq-fixed", "sentencepiece", "safetensors", "numpy")  # those that affect translations


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The versions of this package, of Python and of libraries, "not installed" for those that are not."""
    numbers = {"resmlp-mt": __version__, "python": platform.python_version()}
    for library in libraries:
        try:
            numbers[library] = version(library)
        except PackageNotFoundError:
            numbers[library] = "not installed"
    return numbers

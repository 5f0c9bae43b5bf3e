"""The versions with which a result was made."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from resmlp_mt.common.version import __version__

LIBRARIES = ("torch", "fairseq-fixed", "sentencepiece", "safetensors", "numpy")  # that decide over translations


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The versions of this package, of Python and of libraries, "not installed" for those that are not."""
    found = {"resmlp-mt": __version__, "python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found

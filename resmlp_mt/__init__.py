"""ResMLP models for translation and image classification: a fairseq plugin and a toolkit around it.

`fairseq-train DATA --user-dir resmlp_mt --arch resmlp_wmt_en_de` makes fairseq import this package, which then patches
the installed fairseq and registers its models. Without fairseq, importing it loads neither fairseq nor torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from resmlp_mt.common.version import __version__

if TYPE_CHECKING:
    from resmlp_mt.translation.translator import Translator
    from resmlp_mt.vision.classifier import Classifier

__all__ = ["Classifier", "Translator", "__version__", "register_with_fairseq"]

_LAZY_ATTRIBUTES = {"Classifier": "resmlp_mt.vision.classifier", "Translator": "resmlp_mt.translation.translator"}


def __getattr__(name: str) -> Any:
    """Imports `Translator` and `Classifier`, and with them torch, on first use."""
    if name in _LAZY_ATTRIBUTES:
        return getattr(import_module(_LAZY_ATTRIBUTES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def register_with_fairseq() -> None:
    """Patches the installed fairseq and registers every model, task and criterion of this package with it.

    Importing this package calls it if fairseq is already imported, as with `--user-dir`. A second call has no effect.
    """
    from resmlp_mt import fairseq_plugin

    fairseq_plugin.register()


if "fairseq" in sys.modules:
    register_with_fairseq()

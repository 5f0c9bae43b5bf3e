"""ResMLP sequence-to-sequence models: a fairseq plugin and a toolkit around it.

With `fairseq-train DATA --user-dir resmlp_mt --arch resmlp_wmt_en_de` fairseq imports this package, which then repairs
what is broken in the installed fairseq and registers its models. Imported by itself it loads neither fairseq nor torch.
"""

import importlib
import sys

from resmlp_mt.version import __version__

__all__ = ["__version__", "register_with_fairseq"]

_DOORS = (
    "resmlp_mt.translation.model",
    "resmlp_mt.translation.task",
    "resmlp_mt.training.criterion",
    "resmlp_mt.training.door",
    "resmlp_mt.vision.model",
    "resmlp_mt.vision.task",
    "resmlp_mt.vision.criterions",
    "resmlp_mt.vision.optimizer",
    "resmlp_mt.vision.dino_task",
)


def register_with_fairseq() -> None:
    """Repairs the installed fairseq and registers every model, task and criterion of this package with it.

    Happens by itself when fairseq is loaded before this package, as `--user-dir` does. Safe to call again.
    """
    from resmlp_mt import allocator, fairseq_compat

    allocator.keep_freed_memory()
    fairseq_compat.repair_all()
    for door in _DOORS:  # each registers on import
        importlib.import_module(door)


if "fairseq" in sys.modules:
    register_with_fairseq()

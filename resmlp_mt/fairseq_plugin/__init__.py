"""The fairseq plugin: models, tasks, criterions, optimizers, hooks and patches. Only this package imports fairseq.

`--user-dir resmlp_mt` makes fairseq import the package, which calls `register` here.
"""

from __future__ import annotations

import importlib

from resmlp_mt.common import allocator

# On import, each of these modules registers its models, tasks, criterions or optimizers, or installs its hooks.
_REGISTERING_MODULES = (
    "translation_model",
    "translation_task",
    "translation_criterion",
    "hooks",
    "image_model",
    "image_task",
    "image_criterions",
    "image_optimizer",
    "dino_task",
)


def register() -> None:
    """Patches the installed fairseq and registers everything of this package. A second call has no effect."""
    from resmlp_mt.fairseq_plugin import patches

    allocator.keep_freed_memory()
    patches.apply_patches()
    for name in _REGISTERING_MODULES:
        importlib.import_module(f"{__name__}.{name}")

"""The registered image architectures: each row is a difference from `ClassifierConfig`, with its source.

"paper" is arXiv:2105.03404, "deit" the authors' image code (resmlp_models.py). The initial LayerScale is deit's: 0.1
for 12 layers, 1e-5 for 24, 1e-6 for 36 and for B24.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

_24_LAYERS = {"depth": 24, "layer_scale": 1e-5}  # paper, table 1: S24
_36_LAYERS = {"depth": 36, "layer_scale": 1e-6}  # paper, table 1: S36
_B24 = {"depth": 24, "dim": 768, "layer_scale": 1e-6}  # paper, table 1: B24
_CLASS_MLP = {"pooling": "class_mlp"}  # paper, section 2, "Class-MLP"; table 1

VISION_ARCHITECTURES: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "resmlp_s12": {},
        "resmlp_s12_p14": {"patch_size": 14},  # paper, table 3: S12/14
        "resmlp_s12_p8": {"patch_size": 8},  # paper, table 3: S12/8
        "resmlp_s12_class_mlp": {**_CLASS_MLP},
        "resmlp_s24": {**_24_LAYERS},
        "resmlp_s24_p14": {**_24_LAYERS, "patch_size": 14},
        "resmlp_s24_p8": {**_24_LAYERS, "patch_size": 8},
        "resmlp_s24_class_mlp": {**_24_LAYERS, **_CLASS_MLP},
        "resmlp_s36": {**_36_LAYERS},
        "resmlp_s36_class_mlp": {**_36_LAYERS, **_CLASS_MLP},
        "resmlp_b24": {**_B24},
        "resmlp_b24_p8": {**_B24, "patch_size": 8},  # paper, table 1: B24/8; deit: resmlpB_24
        # scikit-learn's digits, 8 x 8 grey: for the demo and tests.
        "resmlp_digits": {
            "image_size": 8,
            "patch_size": 2,
            "channels": 1,
            "dim": 64,
            "depth": 4,
            "num_classes": 10,
        },
    }
)

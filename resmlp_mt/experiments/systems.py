"""The systems that the recipes train and compare: the options of `fairseq-train` for each system and size.

The settings of the baselines are in this table only. ResMLP's settings come from the recipes (`recipes/config/*.yaml`):

    python -m resmlp_mt.experiments.systems transformer wmt_en_de --layers 12      # one argument a line
    from resmlp_mt.experiments.systems import SYSTEMS, SIZES, model_options, training_options

A size is named after the data that models and settings are for: `wmt_en_de`, `wmt_en_fr`, `mix` (models of the WMT
size, but a tenth of the data), `iwslt_de_en`, `multi30k`, and `tiny`, which learns nothing but tests a recipe in
seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.recipes.recipe import recipe_of_size
from resmlp_mt.experiments.recipes.training_config import OF_THE_MODEL, OF_THE_OPTIMIZER, select, train_options

SIZES = ("wmt_en_de", "wmt_en_fr", "mix", "iwslt_de_en", "multi30k", "tiny")
_SIZES_OF_RECIPES = SIZES[:-1]
LARGE = ("wmt_en_de", "wmt_en_fr", "mix")
LAYERS = (6, 12)

# Vaswani et al. 2017, section 5.3: betas, and a peak rate of dim^-0.5 * warmup^-0.5: 7e-4 for dim 512, warm-up 4,000.
_ADAM = "--optimizer adam --adam-betas (0.9,0.98)"
_INVERSE_SQRT = "--lr-scheduler inverse_sqrt --warmup-init-lr 1e-7"
_TRANSFORMER_WMT = f"{_ADAM} --lr 7e-4 {_INVERSE_SQRT} --warmup-updates 4000"
# fairseq, examples/translation/README.md, IWSLT'14.
_ADAM_IWSLT = f"{_ADAM} --lr 5e-4 --weight-decay 1e-4 {_INVERSE_SQRT} --warmup-updates 4000"
# Dim 128 on 29,000 pairs: 5e-3 as Wu et al. 2021 (ACL, "Good for Misconceived Reasons"). Clipping is our choice.
_ADAM_SMALL = f"{_ADAM} --lr 5e-3 --clip-norm 1.0 {_INVERSE_SQRT} --warmup-updates 1000"
# Gehring et al. 2017, section 4.2: Nesterov's momentum 0.99, clipping at 0.1, and a learning rate that falls tenfold
# when validation stops improving. The rates are from fairseq, examples/conv_seq2seq/README.md.
_NAG = "--optimizer nag --momentum 0.99 --clip-norm 0.1 --lr-scheduler reduce_lr_on_plateau --lr-shrink 0.1"
_MIX_DROPOUT = "--dropout 0.2"  # the value of the recipe `mix` for ResMLP


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
        title: its name in tables.
        source: publication.
        models: options of the model, including dropout, by size.
        training: options of optimizer and schedule, by size.
        twelve_layers: options for 12 layers instead of 6; empty where the publication fixes the depth.
        converged_training: `training` until validation BLEU stops rising; empty where it is the same.
    """

    title: str
    source: str
    models: dict[str, str]
    training: dict[str, str]
    twelve_layers: str = ""
    converged_training: Mapping[str, str] = field(default_factory=dict)


def _sides(dim: int, hidden: int, layers: int, heads: int) -> str:
    """Size options of encoder and decoder, as fairseq's Transformer and similar models name them."""
    sizes = {"embed-dim": dim, "ffn-embed-dim": hidden, "layers": layers, "attention-heads": heads}
    return " ".join(f"--{side}-{name} {value}" for side in ("encoder", "decoder") for name, value in sizes.items())


def _lstm(dim: int, hidden: int, layers: int) -> str:
    """Options of an LSTM with a bidirectional encoder. Each direction has half the decoder's hidden size."""
    return (
        f"--arch lstm --encoder-bidirectional --encoder-embed-dim {dim} --encoder-hidden-size {hidden // 2} "
        f"--encoder-layers {layers} --decoder-embed-dim {dim} --decoder-hidden-size {hidden} --decoder-layers {layers} "
        f"--decoder-out-embed-dim {dim}"
    )


def _fconv(dim: int, hidden: int, layers: int) -> str:
    stack = f"[({hidden},3)]*{layers}"
    return (
        f"--arch fconv --share-input-output-embed --encoder-embed-dim {dim} --encoder-layers {stack} "
        f"--decoder-embed-dim {dim} --decoder-layers {stack} --decoder-out-embed-dim {dim}"
    )


def _light(kind: str) -> dict[str, str]:
    """LightConv ("lightweight") or DynamicConv ("dynamic"): the same fairseq architecture with different kernels."""
    kinds = f"--encoder-conv-type {kind} --decoder-conv-type {kind}"
    wmt = f"--arch lightconv_wmt_en_de --share-all-embeddings --dropout 0.1 {kinds}"
    no_gates = "--encoder-glu False --decoder-glu False"  # as fairseq's lightconv_iwslt_de_en
    small = f"--arch lightconv --share-all-embeddings {kinds} {no_gates}"
    return {
        "wmt_en_de": wmt,
        "wmt_en_fr": wmt,
        "mix": f"{wmt} {_MIX_DROPOUT}",
        "iwslt_de_en": f"--arch lightconv_iwslt_de_en --share-decoder-input-output-embed --dropout 0.3 {kinds}",
        "multi30k": f"{small} {_sides(128, 512, 3, 4)} {_kernels('[3,7,15]')} --dropout 0.2",
        "tiny": f"{small} {_sides(32, 64, 2, 2)} {_kernels('[3,7]')}",
    }


def _kernels(sizes: str) -> str:
    return f"--encoder-kernel-size-list {sizes} --decoder-kernel-size-list {sizes}"


def _training(wmt: str, mix: str, iwslt: str, small: str) -> dict[str, str]:
    return {"wmt_en_de": wmt, "wmt_en_fr": wmt, "mix": mix, "iwslt_de_en": iwslt, "multi30k": small, "tiny": small}


def _resmlp_options(prefixes: Sequence[str], until_converged: bool = False) -> dict[str, str]:
    """Options of ResMLP by size, from the settings of the recipes that start with one of the prefixes."""
    recipes = {size: recipe_of_size(size) for size in _SIZES_OF_RECIPES}
    configs = {size: recipe.config if until_converged else recipe.short_config for size, recipe in recipes.items()}
    return {size: " ".join(train_options(select(config, prefixes))) for size, config in configs.items()}


def _resmlp_training(until_converged: bool = False) -> dict[str, str]:
    training = _resmlp_options(OF_THE_OPTIMIZER, until_converged)
    return {**training, "tiny": training["multi30k"]}


# The dropout of all systems in a training until validation BLEU stops rising, as in Wu et al. 2021.
_CONVERGED_DROPOUT = {"multi30k": str(recipe_of_size("multi30k").config["model.dropout"])}
_TRANSFORMER = "--arch transformer_wmt_en_de --share-all-embeddings --dropout 0.1"  # Vaswani et al. 2017: base
_LSTM_WMT = f"{_lstm(1024, 1024, 4)} --share-all-embeddings --dropout 0.2"

SYSTEMS: MappingProxyType[str, System] = MappingProxyType(
    {
        "resmlp": System(
            "ResMLP",
            "arXiv:2105.03404",
            {**_resmlp_options(OF_THE_MODEL), "tiny": "--arch resmlp_tiny"},
            _resmlp_training(),
            converged_training=_resmlp_training(until_converged=True),
        ),
        "transformer": System(
            "Transformer",
            "Vaswani et al. 2017; base at the WMT sizes",
            {
                "wmt_en_de": _TRANSFORMER,
                "wmt_en_fr": _TRANSFORMER,
                "mix": f"{_TRANSFORMER} {_MIX_DROPOUT}",
                "iwslt_de_en": "--arch transformer_iwslt_de_en --share-decoder-input-output-embed --dropout 0.3",
                "multi30k": f"--arch transformer --share-all-embeddings {_sides(128, 512, 3, 4)} --dropout 0.2",
                "tiny": f"--arch transformer --share-all-embeddings {_sides(32, 64, 2, 2)}",
            },
            _training(_TRANSFORMER_WMT, f"{_TRANSFORMER_WMT} --clip-norm 1.0", _ADAM_IWSLT, _ADAM_SMALL),
            "--encoder-layers 12 --decoder-layers 12",
        ),
        "convs2s": System(
            "ConvS2S",
            "Gehring et al. 2017",
            {
                "wmt_en_de": "--arch fconv_wmt_en_de --dropout 0.2",
                "wmt_en_fr": "--arch fconv_wmt_en_fr --dropout 0.1",
                "mix": f"--arch fconv_wmt_en_de {_MIX_DROPOUT}",
                "iwslt_de_en": "--arch fconv_iwslt_de_en --dropout 0.2",
                "multi30k": f"{_fconv(128, 160, 3)} --dropout 0.2",  # 160: about as many parameters as the others
                "tiny": _fconv(32, 32, 2),
            },
            _training(f"{_NAG} --lr 0.5", f"{_NAG} --lr 0.25", f"{_NAG} --lr 0.25", f"{_NAG} --lr 0.25"),
        ),
        # GNMT has 8 layers of 1,024 with residual connections. fairseq's LSTM has none, and GNMT's authors find that
        # plain stacks work well up to 4 layers (Wu et al. 2016, section 3.1): hence 4. Adam throughout, no SGD.
        "lstm": System(
            "LSTM",
            "after GNMT, Wu et al. 2016: hidden size 1,024, dropout 0.2, clipping at 5; 4 plain layers, not 8 residual",
            {
                "wmt_en_de": _LSTM_WMT,
                "wmt_en_fr": _LSTM_WMT,
                "mix": f"{_LSTM_WMT} {_MIX_DROPOUT}",
                "iwslt_de_en": f"{_lstm(512, 512, 2)} --share-decoder-input-output-embed --dropout 0.3",
                "multi30k": f"{_lstm(128, 192, 2)} --share-all-embeddings --dropout 0.2",
                "tiny": f"{_lstm(32, 32, 2)} --share-all-embeddings",
            },
            _training(
                f"{_ADAM} --lr 5e-4 --clip-norm 5.0 {_INVERSE_SQRT} --warmup-updates 4000",
                f"{_ADAM} --lr 5e-4 --clip-norm 5.0 {_INVERSE_SQRT} --warmup-updates 4000",
                f"{_ADAM} --lr 1e-3 --clip-norm 5.0 {_INVERSE_SQRT} --warmup-updates 4000",
                f"{_ADAM} --lr 2e-3 --clip-norm 5.0 {_INVERSE_SQRT} --warmup-updates 1000",
            ),
        ),
        "lightconv": System(
            "LightConv",
            "Wu et al. 2019; trained as the Transformer",
            _light("lightweight"),
            _training(_TRANSFORMER_WMT, f"{_TRANSFORMER_WMT} --clip-norm 1.0", _ADAM_IWSLT, _ADAM_SMALL),
        ),
        "dynamicconv": System(
            "DynamicConv",
            "Wu et al. 2019; trained as the Transformer",
            _light("dynamic"),
            _training(_TRANSFORMER_WMT, f"{_TRANSFORMER_WMT} --clip-norm 1.0", _ADAM_IWSLT, _ADAM_SMALL),
        ),
    }
)


def model_options(system: str, size: str, layers: int = 6, until_converged: bool = False) -> list[str]:
    """The options of `fairseq-train` for a model.

    Args:
        system: a name of `SYSTEMS`.
        size: a name of `SIZES`.
        layers: 6, or 12 for ResMLP and Transformer at the WMT sizes and the mix.
        until_converged: for a training until validation BLEU stops rising, not for a given number of epochs.

    Raises:
        ResMLPError: for an unknown name or number of layers.
    """
    _check_names(system, size)
    if layers not in LAYERS:
        raise ResMLPError(f"LAYERS must be 6 or 12, not {layers}")
    row = SYSTEMS[system]
    options = row.models[size].split()
    if until_converged and size in _CONVERGED_DROPOUT:
        options = [*_without("--dropout", options), "--dropout", _CONVERGED_DROPOUT[size]]
    if layers == 6:
        return options
    if size not in LARGE:
        raise ResMLPError(f"LAYERS must be 6 for models of the size {size}, not {layers}; leave it out")
    if system == "resmlp":
        return [options[0], f"{options[1]}_12", *options[2:]]
    if not row.twelve_layers:
        raise ResMLPError(
            f"LAYERS must be 6 for {system}, whose publication fixes the depth, not {layers}; leave it out"
        )
    return [*options, *row.twelve_layers.split()]


def training_options(system: str, size: str, until_converged: bool = False) -> list[str]:
    """The options of `fairseq-train` for the optimizer and the schedule of a system.

    Args:
        system: a name of `SYSTEMS`.
        size: a name of `SIZES`.
        until_converged: see `model_options`.

    Raises:
        ResMLPError: for an unknown name.
    """
    _check_names(system, size)
    row = SYSTEMS[system]
    return (row.converged_training if until_converged and row.converged_training else row.training)[size].split()


def _without(option: str, options: list[str]) -> list[str]:
    """The options without one of them and its value."""
    if option not in options:
        return options
    index = options.index(option)
    return options[:index] + options[index + 2 :]


def _check_names(system: str, size: str) -> None:
    for name, value, known in (("SYSTEM", system, tuple(SYSTEMS)), ("SIZE", size, SIZES)):
        if value not in known:
            raise ResMLPError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def main() -> int:
    """Prints the options of one system."""
    parser = argparse.ArgumentParser(
        prog="python -m resmlp_mt.experiments.systems",
        description="Prints the options of fairseq-train for a system, one per line.",
    )
    parser.add_argument("system", help=", ".join(SYSTEMS))
    parser.add_argument("size", help=", ".join(SIZES))
    parser.add_argument("--layers", type=int, default=6, help="layers of each side: 6 or 12 (default: 6)")
    args = parser.parse_args()
    try:
        options = [*model_options(args.system, args.size, args.layers), *training_options(args.system, args.size)]
    except ResMLPError as error:
        print(f"systems.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The systems that the recipes train and compare: what each is called in fairseq, at each size, and how it is trained.

The one table of systems, for shell scripts and for Python:

    python -m resmlp_mt.experiments.systems transformer wmt_en_de --layers 12      # one word of fairseq-train a line
    from resmlp_mt.experiments.systems import SYSTEMS, SIZES, model_words, training_words

A size names the data that models and settings are for: `wmt_en_de`, `wmt_en_fr`, `mix` (models of the WMT size, but a
tenth of the data), `iwslt_de_en`, `multi30k`, and `tiny`, with which nothing is learned but a recipe can be tried in
seconds. "Paper" is arXiv:2105.03404.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from types import MappingProxyType

from resmlp_mt.common.errors import ResMLPError, require, require_choice

SIZES = ("wmt_en_de", "wmt_en_fr", "mix", "iwslt_de_en", "multi30k", "tiny")
LARGE = ("wmt_en_de", "wmt_en_fr", "mix")
LAYERS = (6, 12)

# Vaswani et al. 2017, section 5.3: betas, and a peak of dim^-0.5 * warm-up^-0.5: 7e-4 at 512 channels, 4,000 updates.
_ADAM = "--optimizer adam --adam-betas (0.9,0.98)"
_INVERSE_SQRT = "--lr-scheduler inverse_sqrt --warmup-init-lr 1e-7"
_TRANSFORMER_WMT = f"{_ADAM} --lr 7e-4 {_INVERSE_SQRT} --warmup-updates 4000"
# fairseq, examples/translation/README.md, IWSLT'14.
_ADAM_IWSLT = f"{_ADAM} --lr 5e-4 --weight-decay 1e-4 {_INVERSE_SQRT} --warmup-updates 4000"
# 128 channels on 29,000 pairs: 5e-3 as Wu et al. 2021 (ACL, "Good for Misconceived Reasons"). Clipping is our choice.
_ADAM_SMALL = f"{_ADAM} --lr 5e-3 --clip-norm 1.0 {_INVERSE_SQRT} --warmup-updates 1000"
# Gehring et al. 2017, section 4.2: Nesterov's momentum 0.99, clipping at 0.1, and a rate that falls tenfold when
# validation stops improving. The rates are those of fairseq, examples/conv_seq2seq/README.md.
_NAG = "--optimizer nag --momentum 0.99 --clip-norm 0.1 --lr-scheduler reduce_lr_on_plateau --lr-shrink 0.1"
# Paper, section 3.6: Adagrad, 0.2, linear warm-up over 32,000 updates. Note: the paper is silent on what follows: the
# rate stays, since Adagrad's own denominator already lets the steps shrink with the square root of time.
_PAPER = "--optimizer adagrad --lr 0.2 --lr-scheduler fixed --warmup-updates 32000"
# docs/results.md, "Settings for multi30k".
_ADAGRAD_SMALL = f"--optimizer adagrad --lr 0.2 --clip-norm 1.0 {_INVERSE_SQRT} --warmup-updates 1000"
_MIX_DROPOUT = "--dropout 0.2"  # between the WMT and the IWSLT14 models', as the number of pairs is


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
        title: for tables that people read.
        source: who published it.
        models: words of fairseq-train that make the model, by size; dropout is among them.
        training: words of optimiser and schedule, by size.
        twelve_layers: words that make 12 layers of 6, if the depth is not published.
    """

    title: str
    source: str
    models: dict[str, str]
    training: dict[str, str]
    twelve_layers: str = ""


def _sides(dim: int, hidden: int, layers: int, heads: int) -> str:
    """The sizes of encoder and decoder as fairseq's Transformer and its kin name them."""
    sizes = {"embed-dim": dim, "ffn-embed-dim": hidden, "layers": layers, "attention-heads": heads}
    return " ".join(f"--{side}-{name} {value}" for side in ("encoder", "decoder") for name, value in sizes.items())


def _lstm(dim: int, hidden: int, layers: int) -> str:
    """A bidirectional encoder whose two directions together have the decoder's `hidden` channels."""
    return (
        f"--arch lstm --encoder-bidirectional --encoder-embed-dim {dim} --encoder-hidden-size {hidden // 2} "
        f"--encoder-layers {layers} --decoder-embed-dim {dim} --decoder-hidden-size {hidden} --decoder-layers {layers} "
        f"--decoder-out-embed-dim {dim}"
    )


def _fconv(dim: int, channels: int, layers: int) -> str:
    stack = f"[({channels},3)]*{layers}"
    return (
        f"--arch fconv --share-input-output-embed --encoder-embed-dim {dim} --encoder-layers {stack} "
        f"--decoder-embed-dim {dim} --decoder-layers {stack} --decoder-out-embed-dim {dim}"
    )


def _light(kind: str) -> dict[str, str]:
    """LightConv ("lightweight") and DynamicConv ("dynamic"): one architecture of fairseq's, two kinds of kernels."""
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


_TRANSFORMER = "--arch transformer_wmt_en_de --share-all-embeddings --dropout 0.1"  # Vaswani et al. 2017: base
_LSTM_WMT = f"{_lstm(1024, 1024, 4)} --share-all-embeddings --dropout 0.2"

SYSTEMS: MappingProxyType[str, System] = MappingProxyType(
    {
        # Sizes and dropout are those of the architectures' table, resmlp_mt/translation/model/architectures.py.
        "resmlp": System(
            "ResMLP",
            "arXiv:2105.03404",
            {
                **{size: f"--arch resmlp_{size}" for size in SIZES},
                "mix": f"--arch resmlp_wmt_en_de {_MIX_DROPOUT}",
            },
            # On a tenth of the data the paper's warm-up alone would be a hundred epochs.
            _training(_PAPER, f"{_TRANSFORMER_WMT} --clip-norm 1.0", _ADAM_IWSLT, _ADAGRAD_SMALL),
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
        # GNMT has 8 layers of 1,024 with residual connections. fairseq's LSTM has none, and GNMT's authors find plain
        # stacks to work well up to 4 layers (Wu et al. 2016, section 3.1): hence 4. Adam to the end, not SGD.
        "lstm": System(
            "LSTM",
            "after GNMT, Wu et al. 2016: 1,024 channels, dropout 0.2, clipping at 5; 4 plain layers, not 8 residual",
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


def model_words(system: str, size: str, layers: int = 6) -> list[str]:
    """The words of fairseq-train that make a model.

    Args:
        system: a name of `SYSTEMS`.
        size: a name of `SIZES`.
        layers: 6, or 12 for ResMLP and Transformer at the WMT sizes and the mix.

    Raises:
        ResMLPError: for a name or a depth that is not there.
    """
    require_choice("SYSTEM", system, tuple(SYSTEMS))
    require_choice("SIZE", size, SIZES)
    require(layers in LAYERS, "LAYERS", "6 or 12", layers, "choose one of these")
    row = SYSTEMS[system]
    words = row.models[size].split()
    if layers == 6:
        return words
    require(size in LARGE, "LAYERS", f"6 at the size {size}", layers, "leave it out")
    if system == "resmlp":
        return [words[0], f"{words[1]}_12", *words[2:]]
    require(bool(row.twelve_layers), "LAYERS", f"6 for {system}, whose depth is published", layers, "leave it out")
    return [*words, *row.twelve_layers.split()]


def training_words(system: str, size: str) -> list[str]:
    """The words of fairseq-train for the optimiser and schedule of a system.

    Raises:
        ResMLPError: for a name that is not there.
    """
    require_choice("SYSTEM", system, tuple(SYSTEMS))
    require_choice("SIZE", size, SIZES)
    return SYSTEMS[system].training[size].split()


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints a system's words for fairseq-train, one a line.")
    parser.add_argument("system", help=", ".join(SYSTEMS))
    parser.add_argument("size", help=", ".join(SIZES))
    parser.add_argument("--layers", type=int, default=6, help="6 or 12 (default: 6)")
    args = parser.parse_args()
    try:
        words = [*model_words(args.system, args.size, args.layers), *training_words(args.system, args.size)]
    except ResMLPError as error:
        print(f"systems.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A translator and an image classifier with random weights, and inputs for them, in a folder."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

IMAGES_AT_ONCE = 64  # batch of `vision predict`


@dataclass(frozen=True)
class Bench:
    """The options of the benchmark, and the folder and vocabulary of its models."""

    arguments: argparse.Namespace
    folder: Path
    words: list[str]

    @property
    def model(self) -> Path:
        """The bundle of the translator."""
        return self.folder / "model"

    def sentences(self, count: int) -> list[str]:
        """Random sentences of 19 words."""
        generator = random.Random(2)
        return [" ".join(generator.choices(self.words, k=19)) for _ in range(count)]

    def write(self, name: str, count: int) -> Path:
        """Writes random sentences to a file of the folder; returns its path."""
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in self.sentences(count)), encoding="utf-8")
        return path


def make_translator(bench: Bench) -> None:
    """Writes a translator with random weights, whose sub-words are whole made-up words."""
    import sentencepiece
    import torch

    from resmlp_mt.translation.bundle.format import BundleConfig, Side, write_bundle
    from resmlp_mt.translation.engine.step_model import TranslationModel
    from resmlp_mt.translation.model.build import build_core
    from resmlp_mt.translation.model.config import ModelConfig
    from resmlp_mt.translation.search.settings import SearchSettings
    from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
    from resmlp_mt.translation.text.normalization import TextSettings

    arguments = bench.arguments
    text = bench.folder / "words.txt"
    text.write_text("\n".join(bench.words) + "\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(bench.folder / "spm"), model_type="word", minloglevel=2,
        vocab_size=arguments.vocabulary, character_coverage=1.0, hard_vocab_limit=False,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(bench.folder / "spm.model"))
    symbols = [*SPECIAL_TOKEN_NAMES, *(pieces.id_to_piece(piece) for piece in range(3, pieces.get_piece_size()))]
    sizes = {f"{side}_embed_dim": arguments.dim for side in ("encoder", "decoder")}
    sizes |= {f"{side}_ffn_embed_dim": arguments.hidden for side in ("encoder", "decoder")}
    options = ModelConfig(share_all_embeddings=True, encoder_layers=6, decoder_layers=2, **sizes)
    torch.manual_seed(1)
    model = TranslationModel(*build_core(options, len(symbols), len(symbols)))
    decoding = SearchSettings(beam_size=4, min_len=20, max_len_a=0.0, max_len_b=20)
    side = Side("en", (bench.folder / "spm.model").read_bytes(), symbols)
    config = BundleConfig("resmlp", options, ("en", "de"), True, TextSettings(), decoding, {}, {})
    write_bundle(bench.model, config, model.state_dict(), (side, Side("de", side.sentencepiece, symbols)))


def make_classifier(bench: Bench) -> None:
    """Writes a ResMLP-S12 with random weights, and images."""
    import numpy
    import torch
    from PIL import Image

    from resmlp_mt.vision.bundle import save_classifier
    from resmlp_mt.vision.data.preprocessing import Preprocessing
    from resmlp_mt.vision.model.classifier import ClassifierModel
    from resmlp_mt.vision.model.config import ClassifierConfig

    torch.manual_seed(1)
    classifier = ClassifierModel(ClassifierConfig())
    names = [str(index) for index in range(classifier.settings.num_classes)]
    save_classifier(bench.folder / "classifier", classifier, names, Preprocessing())
    (bench.folder / "images").mkdir()
    generator = numpy.random.default_rng(1)
    for index in range(IMAGES_AT_ONCE + bench.arguments.lines // 2):
        pixels = generator.integers(0, 256, (224, 224, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(bench.folder / "images" / f"{index:05}.png", compress_level=0)

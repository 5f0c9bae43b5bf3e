"""A bundle: a folder with everything needed to translate raw text. Reading it runs no code from it.

`model.safetensors` the parameters, in float32 or quantized to int8; `config.json` the architecture, languages,
preparation of the text and defaults of the search; `vocabulary*.txt` the symbols in their order;
`sentencepiece*.model`; `README.md` the model card.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from resmlp_mt.common import files
from resmlp_mt.common.config import NOT_OF_THE_MODEL, check_revision, parse_config
from resmlp_mt.common.errors import ResMLPError, require_choice, require_flag
from resmlp_mt.common.tensor_files import write_safetensors
from resmlp_mt.nn.positions import PositionalEmbedding, sinusoids
from resmlp_mt.nn.skeleton import without_memory
from resmlp_mt.translation.engine.native.model import NativeModel
from resmlp_mt.translation.engine.native.quantization import SCALE, Parameters, dequantize, is_quantized, quantize
from resmlp_mt.translation.engine.step_model import TranslationModel
from resmlp_mt.translation.model.build import build_core
from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
from resmlp_mt.translation.text.normalization import TextSettings
from resmlp_mt.translation.text.tokenizer import Tokenizer

FORMAT = 2  # format revision; increased when older versions would misread new files
_FORMAT_OF_FLOAT32 = 1  # files that versions before quantization also read
NONE, INT8 = "none", "int8"
QUANTIZATIONS = (NONE, INT8)
CONFIG, PARAMETERS, CARD = "config.json", "model.safetensors", "README.md"
SIDES = ("source", "target")
_LARGEST_CONFIG_BYTES = 10_000_000


@dataclass(frozen=True)
class Side:
    """One language of a bundle: its code, its serialised sentencepiece model, and its symbols by token."""

    lang: str
    sentencepiece: bytes
    symbols: list[str]


@dataclass(frozen=True)
class BundleConfig:
    """The content of `config.json`.

    Attributes:
        architecture: the registered name.
        options: of the model.
        languages: codes of the source's and the target's language.
        joint: one sentencepiece model and vocabulary for both.
        text: preparation of the text.
        decoding: defaults of the search.
        digests: of the other files.
        about: information for users: versions, training, licence, note, scores.
        quantization: of the weights, one of `QUANTIZATIONS`.
    """

    architecture: str
    options: ModelConfig
    languages: tuple[str, str]
    joint: bool
    text: TextSettings
    decoding: SearchSettings
    digests: dict[str, str]
    about: dict[str, Any]
    quantization: str = NONE

    def __post_init__(self) -> None:
        require_choice("quantization", self.quantization, QUANTIZATIONS)

    def as_json(self) -> dict[str, Any]:
        """The configuration as a JSON object."""
        revision = _FORMAT_OF_FLOAT32 if self.quantization == NONE else FORMAT
        return {"format": revision, **asdict(self), "languages": list(self.languages)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> BundleConfig:
        """Reads the output of `as_json`.

        Raises:
            ResMLPError: when a newer version wrote it, or an option is unknown or not allowed.
            KeyError, TypeError, ValueError: when something is missing or of another type.
        """
        check_revision(content["format"], FORMAT)
        source, target = content["languages"]
        require_flag("joint", content["joint"])
        return cls(
            architecture=str(content["architecture"]),
            options=parse_config(ModelConfig, content["options"], NOT_OF_THE_MODEL),
            languages=(_lang(source), _lang(target)),
            joint=content["joint"],
            text=TextSettings(**content["text"]),
            decoding=SearchSettings(**content["decoding"]),
            digests=dict(content["digests"]),
            about=dict(content["about"]),
            quantization=content.get("quantization", NONE),
        )


def _lang(code: Any) -> str:
    if not isinstance(code, str) or len(code) < 2:
        raise ValueError(f"{code!r} is not a language code")
    return code


class Bundle:
    """A bundle in memory.

    Args:
        config: the configuration.
        source, target: tokenizers of the two languages.
        parameters: the model, or the parameters of a quantized model by all names of the architecture.

    Attributes:
        config: the configuration.
        source, target: tokenizers of the two languages.
    """

    def __init__(
        self, config: BundleConfig, source: Tokenizer, target: Tokenizer, parameters: TranslationModel | Parameters
    ) -> None:
        self.config, self.source, self.target = config, source, target
        self._parameters = parameters

    @property
    def is_quantized(self) -> bool:
        """Whether the weights of the files are int8."""
        return self.config.quantization != NONE

    @cached_property
    def model(self) -> TranslationModel:
        """The model in float32; of a quantized one the model that it stands for."""
        if isinstance(self._parameters, TranslationModel):
            return self._parameters
        parameters = {name: torch.from_numpy(value) for name, value in dequantize(self._parameters).items()}
        return _fill_in(_architecture(self.config.options, self._vocab_sizes, list(parameters)), parameters)

    def native_model(self) -> NativeModel:
        """The model in int8 for the C++ engine; quantized here if the files are not.

        Raises:
            ResMLPError: if the engine is not available.
        """
        if isinstance(self._parameters, TranslationModel):
            parameters = quantize({name: value.numpy() for name, value in self._parameters.state_dict().items()})
        else:
            parameters = dict(self._parameters)
        options = self.config.options
        if options.positional_embeddings == "sinusoidal":
            for side, stack in (("encoder", options.encoder), ("decoder", options.decoder)):
                parameters[f"{side}.embedding.positions.weight"] = sinusoids(stack.max_len, stack.dim).numpy()
        return NativeModel(options, self._vocab_sizes, parameters)

    @property
    def _vocab_sizes(self) -> tuple[int, int]:
        return len(self.source.symbols), len(self.target.symbols)


def side_files(joint: bool) -> list[tuple[str, str]]:
    """The names of the sentencepiece model and the vocabulary, of both languages or of each."""
    names = [""] if joint else [f".{side}" for side in SIDES]
    return [(f"sentencepiece{name}.model", f"vocabulary{name}.txt") for name in names]


def bundle_files(folder: Path) -> list[Path]:
    """The files that a bundle in this folder has, or will have, its model card among them."""
    sides = (name for joint in (True, False) for names in side_files(joint) for name in names)
    return [folder / name for name in (CONFIG, PARAMETERS, CARD, *sides)]


def write_bundle(
    out: Path, config: BundleConfig, parameters: Mapping[str, Tensor], sides: tuple[Side, Side]
) -> BundleConfig:
    """Writes a bundle without its model card.

    Args:
        out: a new folder, or that of an older bundle.
        config: its `joint` and `digests` are filled in here. Its `quantization` is applied to the parameters.
        parameters: in float32, by their names in `TranslationModel`.
        sides: source and target.

    Returns:
        The configuration that was written.

    Raises:
        ResMLPError: when the folder holds something else or cannot be written, or the parameters are not those of the
            architecture.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CONFIG).is_file())):
        raise ResMLPError(f"--out must be a new folder or a bundle, but {out} is neither; name another")
    joint = sides[0].sentencepiece == sides[1].sentencepiece and sides[0].symbols == sides[1].symbols
    architecture = _architecture(config.options, (len(sides[0].symbols), len(sides[1].symbols)), list(parameters))
    _check_shapes(architecture, {name: list(value.shape) for name, value in parameters.items()})
    parameters = _without_shared(parameters, architecture)
    if config.quantization == INT8:
        quantized = quantize({name: value.float().numpy() for name, value in parameters.items()})
        parameters = {name: torch.from_numpy(value) for name, value in quantized.items()}
    try:
        (out / CONFIG).unlink(missing_ok=True)  # written last: without it the folder is not a bundle
    except OSError as error:
        raise files.unwritable(out, error) from error
    digests: dict[str, str] = {}
    for (model_name, vocabulary_name), side in zip(side_files(joint), sides, strict=False):
        with files.whole_file(out / model_name) as partial:
            partial.write_bytes(side.sentencepiece)
        files.write_text(out / vocabulary_name, "".join(f"{symbol}\n" for symbol in side.symbols))
        digests |= {name: files.file_digest(out / name) for name in (model_name, vocabulary_name)}
    write_safetensors(out / PARAMETERS, parameters)
    digests[PARAMETERS] = files.file_digest(out / PARAMETERS)
    written = BundleConfig(**{**vars(config), "joint": joint, "digests": digests})
    files.write_json(out / CONFIG, written.as_json())
    return written


def _without_shared(parameters: Mapping[str, Tensor], architecture: TranslationModel) -> dict[str, Tensor]:
    """Keeps one name of each parameter that the architecture shares.

    A checkpoint that fairseq wrote on a GPU or with --bf16 holds equal copies of a shared parameter.

    Raises:
        ResMLPError: when the copies differ.
    """
    identities = {name: id(value) for name, value in architecture.state_dict(keep_vars=True).items()}
    name_of: dict[int, str] = {}
    for name, value in parameters.items():
        other = name_of.get(identities[name], name)
        if not torch.equal(value, parameters[other]):
            raise ResMLPError(f"{other} and {name} are one parameter of the architecture, but their values differ")
        name_of[identities[name]] = name
    return {name: parameters[name].contiguous() for name in sorted(name_of.values())}


def read_config(path: Path) -> BundleConfig:
    """Reads the configuration of a bundle.

    Raises:
        ResMLPError: when the folder is no bundle or its configuration is damaged.
    """
    file = path / CONFIG
    if not file.is_file():
        raise ResMLPError(f"{path} is not a bundle: it contains no {CONFIG}; make one with `resmlp-mt bundle`")
    try:
        if file.stat().st_size > _LARGEST_CONFIG_BYTES:
            raise ResMLPError(f"the file is larger than {_LARGEST_CONFIG_BYTES} bytes; get a new copy of the bundle")
        return BundleConfig.from_json(json.loads(file.read_text(encoding="utf-8")))
    except ResMLPError as error:
        raise ResMLPError(f"{file}: {error}") from error
    except OSError as error:
        raise files.unreadable(file, error) from error
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise ResMLPError(
            f"{file} must be the configuration of a bundle, but is not ({type(error).__name__}: {str(error)[:200]}); "
            "get the bundle again"
        ) from error


def read_bundle(path: Path) -> Bundle:
    """Reads a bundle.

    Raises:
        ResMLPError: when anything in it is missing, damaged, or not what its configuration says.
    """
    config = read_config(path)
    names = side_files(config.joint)
    for name in (PARAMETERS, *(name for pair in names for name in pair)):
        file = path / name
        whole = file.is_file() and files.file_digest(file) == config.digests.get(name)
        if not whole:
            raise ResMLPError(f"{file} is missing or altered; get a new copy of the bundle")
    tokenizers = []
    for (model_name, vocabulary_name), lang in zip(names * 2 if config.joint else names, config.languages, strict=True):
        symbols = _read_symbols(path / vocabulary_name)
        tokenizers.append(Tokenizer((path / model_name).read_bytes(), symbols, config.text, lang))
    source, target = tokenizers
    read = _read_model if config.quantization == NONE else _read_quantized
    parameters = read(path / PARAMETERS, config.options, (len(source.symbols), len(target.symbols)))
    return Bundle(config, source, target, parameters)


def _read_symbols(path: Path) -> list[str]:
    try:
        symbols = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise files.unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise ResMLPError(f"{path} must be UTF-8 text, but is not; get the bundle again") from error
    if tuple(symbols[: len(SPECIAL_TOKEN_NAMES)]) != SPECIAL_TOKEN_NAMES:
        raise ResMLPError(
            f"{path} must begin with the special tokens {' '.join(SPECIAL_TOKEN_NAMES)}, but begins with "
            f"{symbols[:4]}; get a new copy of the bundle"
        )
    return symbols


def _read_model(path: Path, options: ModelConfig, vocab_sizes: tuple[int, int]) -> TranslationModel:
    with _open_parameters(path, "pt") as content:
        names = list(content.keys())
        shapes = {name: content.get_slice(name).get_shape() for name in names}
        architecture = _architecture_of_file(path, options, vocab_sizes, shapes)
        parameters = {name: content.get_tensor(name).float() for name in names}
    return _fill_in(architecture, parameters)


def _read_quantized(path: Path, options: ModelConfig, vocab_sizes: tuple[int, int]) -> Parameters:
    """The parameters by all names of the architecture; the names of a shared one stand for one array."""
    with _open_parameters(path, "np") as content:
        shapes = {name: content.get_slice(name).get_shape() for name in content.keys()}  # noqa: SIM118  (not a mapping)
        weights = {name: shape for name, shape in shapes.items() if not name.endswith(SCALE)}
        architecture = _architecture_of_file(path, options, vocab_sizes, weights)
        expected = {name + SCALE: shape[:1] for name, shape in weights.items() if is_quantized(name)}
        if {name: shape for name, shape in shapes.items() if name not in weights} != expected:
            raise ResMLPError(f"{path.parent}: every quantized weight must have its scales; get the bundle again")
        parameters = {name: content.get_tensor(name) for name in shapes}
    for name, value in parameters.items():
        kind = np.int8 if is_quantized(name) and not name.endswith(SCALE) else np.float32
        if value.dtype != kind:
            raise ResMLPError(
                f"{path.parent}: {name} must be {kind.__name__}, but is {value.dtype}; get the bundle again"
            )
    with_shared: Parameters = {}
    for names in _shared_names(architecture):
        present = next(name for name in names if name in parameters)
        for name in names:
            with_shared[name] = parameters[present]
            if is_quantized(name):
                with_shared[name + SCALE] = parameters[present + SCALE]
    return with_shared


@contextmanager
def _open_parameters(path: Path, framework: str) -> Iterator[Any]:
    try:
        with safe_open(path, framework=framework) as content:
            yield content
    except (SafetensorError, OSError) as error:
        raise ResMLPError(
            f"{path} must be a safetensors file, but cannot be read as one ({error}); get it again"
        ) from error


def _architecture_of_file(
    path: Path, options: ModelConfig, vocab_sizes: tuple[int, int], shapes: Mapping[str, list[int]]
) -> TranslationModel:
    """The model without memory, if the parameters of a file are its parameters."""
    try:
        architecture = _architecture(options, vocab_sizes, list(shapes))
        _check_shapes(architecture, shapes)
    except ResMLPError as error:
        raise ResMLPError(f"{path.parent}: {error}") from error
    return architecture


def _shared_names(architecture: TranslationModel) -> Collection[list[str]]:
    """The names of each parameter; those that the architecture shares have several."""
    names_of: dict[int, list[str]] = {}
    for name, value in architecture.state_dict(keep_vars=True).items():
        names_of.setdefault(id(value), []).append(name)
    return names_of.values()


def _fill_in(model: TranslationModel, parameters: Mapping[str, Tensor]) -> TranslationModel:
    """Sets the parameters of a model on the meta device. Of shared ones, `parameters` contains at least one name."""
    filled: dict[str, Tensor] = {}
    for names in _shared_names(model):
        value = next(parameters[name] for name in names if name in parameters)
        filled |= dict.fromkeys(names, nn.Parameter(value, requires_grad=False))
    model.load_state_dict(filled, assign=True)
    for module in model.modules():
        if isinstance(module, PositionalEmbedding):
            module.fill_in()
    return model.eval().requires_grad_(False)


def _architecture(options: ModelConfig, vocab_sizes: tuple[int, int], names: Sequence[str]) -> TranslationModel:
    """A model without memory for its parameters.

    Args:
        options: of the model.
        vocab_sizes: of source and target.
        names: of the parameters, whose number limits that of the layers.

    Raises:
        ResMLPError: if the options describe no model.
    """
    layers = max(options.encoder_layers, options.decoder_layers)
    if layers > len(names):
        raise ResMLPError(
            f"the configuration states {layers} layers, but the model has only {len(names)} parameters; "
            "get the model again"
        )
    try:
        with without_memory():
            return TranslationModel(*build_core(options, *vocab_sizes))
    except RuntimeError as error:
        raise ResMLPError(
            f"the options must describe an architecture, but do not ({error}); get the model again"
        ) from error


def _check_shapes(architecture: TranslationModel, shapes: Mapping[str, list[int]]) -> None:
    """Compares parameters with the architecture before memory is taken for it.

    Raises:
        ResMLPError: names the first difference.
    """
    expected = {name: (list(value.shape), id(value)) for name, value in architecture.state_dict(keep_vars=True).items()}
    present = {identity for name, (_, identity) in expected.items() if name in shapes}
    for name, (shape, identity) in expected.items():
        if shapes.get(name, shape) != shape or identity not in present:
            raise ResMLPError(
                f"the parameter {name} must be of shape {shape}, but is {shapes.get(name, 'missing')}; "
                "the configuration is not that of these parameters"
            )
    if unknown := sorted(set(shapes) - set(expected)):
        raise ResMLPError(f"the parameters must be those of the architecture, but {unknown[0]} is none; get them again")

"""Each option is declared once; its field yields the command line, validation, files and documentation tables."""

from argparse import ArgumentParser
from dataclasses import asdict, dataclass, make_dataclass
from enum import Enum
from pathlib import Path

import pytest
from fairseq.dataclass.utils import gen_parser_from_dataclass

from resmlp_mt.common.config import (
    NOT_OF_THE_MODEL,
    check_revision,
    option,
    options_of,
    options_table,
    parse_config,
    parse_stored_config,
)
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.registration import own_config, plugin_config
from resmlp_mt.translation.bundle import format
from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.normalization import TextSettings
from resmlp_mt.vision.model.config import ClassifierConfig

CONFIGS = [ModelConfig, ClassifierConfig]
OPTIONS = [field for config in CONFIGS for field in options_of(config)]


@dataclass(frozen=True)
class Extended(ModelConfig):
    """The model's options and one more. Adding an option takes one line."""

    gate_dropout: float = option(0.25, "dropout of the gates", source="nobody", below=0.5)


def from_command_line(config_class, *args):
    parser = ArgumentParser()
    gen_parser_from_dataclass(parser, plugin_config("Plugin", config_class)())
    return parser.parse_args(args)


def test_new_option_is_on_command_line():
    assert own_config(Extended, from_command_line(Extended, "--gate-dropout", "0.125")).gate_dropout == 0.125
    assert own_config(Extended, from_command_line(Extended)).gate_dropout == 0.25
    with pytest.raises(ResMLPError, match="--gate-dropout must be at least 0 and below 0.5, but is 0.5"):
        own_config(Extended, from_command_line(Extended, "--gate-dropout", "0.5"))


def test_new_option_is_validated():
    with pytest.raises(ResMLPError, match="gate_dropout must be at least 0 and below 0.5, but is 'much'"):
        Extended(gate_dropout="much")


def test_new_option_round_trip_and_default_in_old_files(monkeypatch):
    monkeypatch.setattr(format, "ModelConfig", Extended)
    older = format.BundleConfig("resmlp", ModelConfig(), ("en", "de"), True, *stored_settings(), {}, {}).as_json()
    assert format.BundleConfig.from_json(older).options == Extended()
    newer = format.BundleConfig("resmlp", Extended(gate_dropout=0.0), ("en", "de"), True, *stored_settings(), {}, {})
    assert newer.as_json()["options"]["gate_dropout"] == 0.0
    assert format.BundleConfig.from_json(newer.as_json()).options == newer.options


def stored_settings() -> tuple[TextSettings, SearchSettings]:
    return TextSettings(), SearchSettings()


def test_unknown_option_in_bundle_is_named():
    newer = format.BundleConfig("resmlp", Extended(), ("en", "de"), True, *stored_settings(), {}, {}).as_json()
    with pytest.raises(ResMLPError, match="the option 'gate_dropout' is unknown to this version; upgrade"):
        format.BundleConfig.from_json(newer)


def test_new_option_is_in_table():
    row = "| `--gate-dropout` | 0.25 | at least 0 and below 0.5 | dropout of the gates | nobody |"
    assert row in options_table(Extended).splitlines()


@pytest.mark.parametrize("field", OPTIONS, ids=lambda field: field.name)
def test_option_allows_default_and_has_help(field):
    assert field.allows(field.default)
    assert field.help
    assert not field.allows("no such value")
    assert not field.allows(float("nan"))


@pytest.mark.parametrize("config", CONFIGS)
def test_fairseq_plugin_has_same_defaults(config):
    plugin = plugin_config("Plugin", config)
    assert {name: str(getattr(plugin(), name)) for name in asdict(config())} == {
        name: str(value) for name, value in asdict(config()).items()
    }


def test_choices_are_converted_to_str():
    plugin = plugin_config("Plugin", ModelConfig)
    choice = next(iter(plugin.__dataclass_fields__["norm"].type))
    assert isinstance(choice, Enum)
    assert type(own_config(ModelConfig, plugin(norm=choice)).norm) is str


@pytest.mark.parametrize("config", CONFIGS)
def test_empty_file_gives_defaults(config):
    assert parse_config(config, {}) == config()
    stored = dict.fromkeys(NOT_OF_THE_MODEL)
    assert parse_stored_config(config, stored) == config()
    with pytest.raises(ResMLPError, match="unknown"):
        parse_config(config, stored)


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        (3, "has revision 3, but this version reads revisions up to 2: upgrade resmlp-mt"),
        (0, "must be a revision from 1 to 2, but is 0"),
        ("1", "must be a revision"),
        (True, "must be a revision"),
        (None, "must be a revision"),
    ],
)
def test_format_revisions(revision, message):
    check_revision(1, 2)
    check_revision(2, 2)
    with pytest.raises(ResMLPError, match=message):
        check_revision(revision, 2)


def test_documentation_has_option_tables():
    page = (Path(__file__).parents[3] / "docs" / "options.md").read_text(encoding="utf-8")
    for config in CONFIGS:
        assert options_table(config) in page, "run `python scripts/write_options.py`"


def test_option_of_union_type():
    config = make_dataclass("Sized", [("size", int | tuple[int, int], option(7, "a size", minimum=1))])
    (size,) = options_of(config)
    assert [size.allows(value) for value in (3, (3, 5))] == [True, True]
    assert [size.allows(value) for value in (0, (3, 0), (3,), "3", 3.0, None)] == [False] * 6

"""An option is written once: command line, validation, files and tables of the documentation follow from its field."""

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
from resmlp_mt.vision.model.config import ClassifierConfig

CONFIGS = [ModelConfig, ClassifierConfig]
OPTIONS = [(config, each) for config in CONFIGS for each in options_of(config)]


@dataclass(frozen=True)
class Extended(ModelConfig):
    """The model's options and one more: the one line that adding an option takes."""

    gate_dropout: float = option(0.25, "dropout of the gates", source="nobody", below=0.5)


def from_command_line(config_class, *args):
    parser = ArgumentParser()
    gen_parser_from_dataclass(parser, plugin_config("Plugin", config_class)())
    return parser.parse_args(args)


def test_an_added_option_is_on_the_command_line():
    assert own_config(Extended, from_command_line(Extended, "--gate-dropout", "0.125")).gate_dropout == 0.125
    assert own_config(Extended, from_command_line(Extended)).gate_dropout == 0.25
    with pytest.raises(ResMLPError, match="--gate-dropout must be at least 0 and below 0.5, but is 0.5"):
        own_config(Extended, from_command_line(Extended, "--gate-dropout", "0.5"))


def test_an_added_option_is_validated():
    with pytest.raises(ResMLPError, match="gate_dropout must be at least 0 and below 0.5, but is 'much'"):
        Extended(gate_dropout="much")


def test_an_added_option_is_written_and_takes_its_default_in_older_files(monkeypatch):
    monkeypatch.setattr(format, "ModelConfig", Extended)
    older = format.BundleConfig("resmlp", ModelConfig(), ("en", "de"), True, *stored_settings(), {}, {}).as_json()
    assert format.BundleConfig.from_json(older).options == Extended()
    newer = format.BundleConfig("resmlp", Extended(gate_dropout=0.0), ("en", "de"), True, *stored_settings(), {}, {})
    assert newer.as_json()["options"]["gate_dropout"] == 0.0
    assert format.BundleConfig.from_json(newer.as_json()).options == newer.options


def stored_settings():
    return format.TextSettings(), format.SearchSettings()


def test_an_added_option_is_refused_by_name_where_it_is_unknown():
    newer = format.BundleConfig("resmlp", Extended(), ("en", "de"), True, *stored_settings(), {}, {}).as_json()
    with pytest.raises(ResMLPError, match="the option 'gate_dropout' is unknown to this version; upgrade"):
        format.BundleConfig.from_json(newer)


def test_an_added_option_is_in_the_table():
    row = "| `--gate-dropout` | 0.25 | at least 0 and below 0.5 | dropout of the gates | nobody |"
    assert row in options_table(Extended).splitlines()


@pytest.mark.parametrize(("config", "each"), OPTIONS, ids=lambda value: getattr(value, "name", ""))
def test_every_option_allows_its_default_and_says_what_it_means(config, each):
    assert each.allows(each.default)
    assert each.help
    assert not each.allows("no such value")
    assert not each.allows(float("nan"))


@pytest.mark.parametrize("config", CONFIGS)
def test_fairseq_gets_every_option_with_its_default(config):
    plugin = plugin_config("Plugin", config)
    assert {name: str(getattr(plugin(), name)) for name in asdict(config())} == {
        name: str(value) for name, value in asdict(config()).items()
    }


def test_choices_come_back_as_text():
    plugin = plugin_config("Plugin", ModelConfig)
    choice = next(iter(plugin.__dataclass_fields__["norm"].type))
    assert isinstance(choice, Enum)
    assert type(own_config(ModelConfig, plugin(norm=choice)).norm) is str


@pytest.mark.parametrize("config", CONFIGS)
def test_a_file_without_options_gives_the_defaults(config):
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


def test_the_documentation_has_the_tables():
    page = (Path(__file__).parents[3] / "docs" / "options.md").read_text(encoding="utf-8")
    for config in CONFIGS:
        assert options_table(config) in page, "run `python scripts/write_options.py`"


def test_an_option_of_any_number_of_types():
    config = make_dataclass("Sized", [("size", int | tuple[int, int], option(7, "a size", minimum=1))])
    (size,) = options_of(config)
    assert [size.allows(value) for value in (3, (3, 5))] == [True, True]
    assert [size.allows(value) for value in (0, (3, 0), (3,), "3", 3.0, None)] == [False] * 6

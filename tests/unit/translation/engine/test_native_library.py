"""The library of the int8 engine is compiled, chosen and described."""

import shutil

import pytest

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.doctor import check_int8_engine
from resmlp_mt.translation.engine.native import library


@pytest.fixture
def not_compiled(monkeypatch):
    monkeypatch.setattr(library, "_file", lambda _instructions: None)
    library.available.cache_clear()
    yield
    library.available.cache_clear()


def test_engine_is_compiled_where_there_is_a_compiler():
    assert library.available() or shutil.which("g++") is None


def test_doctor_reports_instruction_sets():
    finding = check_int8_engine()
    assert finding.has_passed
    assert finding.message.startswith(library.available()[0] if library.available() else "it was not compiled")


@pytest.mark.usefixtures("not_compiled")
def test_missing_engine_is_one_line():
    assert library.available() == ()
    with pytest.raises(ResMLPError, match="not available .it was not compiled.; install a C\\+\\+ compiler"):
        library.load()
    assert "quantized bundles are translated in float32" in check_int8_engine().message

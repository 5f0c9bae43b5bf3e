"""Files of an editable install, with which fairseq and type checkers find the package."""

import importlib.machinery
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fairseq_commands import ROOT, environment

BUILD = """
from setuptools import build_meta
print(build_meta.build_editable("dist"))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the working tree, and a folder that holds an editable install of it."""
    tree, site = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("site")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree)
    for package in ("resmlp_mt", "data_prep"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    command = [sys.executable, "-c", BUILD]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=300, env=environment())
    assert done.returncode == 0, done.stderr
    zipfile.ZipFile(tree / "dist" / done.stdout.split()[-1]).extractall(site)
    return tree, site


def test_path_file_names_the_working_tree(site):
    tree, installed = site
    (path,) = installed.glob("*.pth")
    assert Path(path.read_text().strip()).resolve() == tree


def test_fairseq_finds_the_package_from_any_folder(site, monkeypatch):
    tree, installed = site
    (installed / "fairseq").mkdir()
    assert os.path.isdir(os.path.join(installed, "fairseq", "..", "resmlp_mt"))  # noqa: PTH112, PTH118 as fairseq does
    monkeypatch.setattr(sys, "path", [str(installed), str(tree), *sys.path])
    spec = importlib.machinery.PathFinder.find_spec("resmlp_mt")
    assert spec.origin == str(tree / "resmlp_mt" / "__init__.py")
    assert (tree / "resmlp_mt" / "py.typed").is_file()


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_int8_engine_is_compiled(site):
    tree, _ = site
    libraries = [path.name.split(".")[0] for path in (tree / "resmlp_mt/translation/engine/native").glob("*.so")]
    assert "_portable" in libraries
    assert len(libraries) == (3 if platform.machine() == "x86_64" else 1)

"""Installs `resmlp_mt`, `data_prep` and the `resmlp-mt` command. Pinned versions that were tested: constraints.txt."""

import platform
import re
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "resmlp_mt/common/version.py").read_text())[1]


NATIVE = "resmlp_mt/translation/engine/native"
# The int8 engine is compiled once for each instruction set; the best one is chosen when it is loaded.
INSTRUCTIONS = {"portable": []}
COMPILER_FLAGS = ["-O3", "-g0", "-std=c++17", "-fno-math-errno", "-fvisibility=hidden"]
COMPILER_FLAGS += ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]  # GCC's own headers for AVX raise them
if platform.machine() in ("x86_64", "AMD64"):
    avx512 = [f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni")]
    INSTRUCTIONS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTIONS["avx512"] = ["-mavx2", "-mfma", *avx512, "-mprefer-vector-width=512"]


class BuildExt(build_ext):
    """Compiles each library in a folder of its own, since all are made from the same source."""

    def build_extension(self, ext: Extension) -> None:
        """Compiles one library. Without a C++ compiler there is none, and `resmlp-mt doctor` says so."""
        folder = self.build_temp
        self.build_temp = str(Path(folder, ext.name))
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = folder


def native_libraries() -> list[Extension]:
    """The libraries of the int8 engine: plain C++ that ctypes loads, not Python modules."""
    headers = [str(path.relative_to(ROOT)) for path in sorted((ROOT / NATIVE / "src").glob("*.hpp"))]
    return [
        Extension(
            f"{NATIVE.replace('/', '.')}._{name}",
            [f"{NATIVE}/src/api.cpp"],
            depends=headers,
            extra_compile_args=[*COMPILER_FLAGS, *flags],
            language="c++",
            optional=True,
        )
        for name, flags in INSTRUCTIONS.items()
    ]


class EditableWheel(editable_wheel):
    """Makes `--user-dir resmlp_mt` work from any folder, also after `pip install -e`.

    fairseq looks for a folder of that name next to its own. This command adds one with a note only. A folder without
    modules hides no package, so Python and type checkers find the package in the working tree through the .pth file.
    """

    # The only hook that is called before the wheel is packed.
    def _install_namespaces(self, installation_dir: str, pth_prefix: str) -> None:
        super()._install_namespaces(installation_dir, pth_prefix)
        folder = Path(installation_dir, "resmlp_mt")
        folder.mkdir()
        (folder / "EDITABLE").write_text(f"The package is in {ROOT}; fairseq's --user-dir looks for this folder.\n")


setup(
    name="resmlp-mt",
    version=VERSION,
    description="Attention-free sequence-to-sequence translation: ResMLP models as a fairseq plugin",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    package_dir={"": "."},  # makes an editable install a plain .pth file, which type checkers understand
    packages=find_packages(include=["resmlp_mt", "resmlp_mt.*", "data_prep", "data_prep.*"]),
    package_data={"resmlp_mt": ["py.typed", "experiments/recipes/*.yaml", "experiments/recipes/config/*.yaml"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "sentencepiece>=0.2",
        "sacrebleu>=2.4",
        "sacremoses>=0.1.1",
        "safetensors>=0.4",
        "tqdm>=4.64",
    ],
    extras_require={
        # fairseq cannot be imported on Python 3.11 or later; fairseq-fixed is the same code with fixes.
        "train": ["fairseq-fixed==0.12.3.1", "pooch>=1.8", "requests>=2.31", "matplotlib>=3.8", "tensorboard>=2.15"],
        "languages": ["py3langid>=0.4"],  # data_prep --language-id
        # scikit-learn provides the digits.
        "vision": ["torchvision>=0.21", "timm>=1.0", "scikit-learn>=1.3", "matplotlib>=3.8"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
        "dev": ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "mypy", "import-linter", "zstandard"],
    },
    ext_modules=native_libraries(),
    cmdclass={"editable_wheel": EditableWheel, "build_ext": BuildExt},
    entry_points={"console_scripts": ["resmlp-mt = resmlp_mt.cli.main:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)

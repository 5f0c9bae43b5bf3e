"""Writes docs/options.md, the tables of the models' options, from their configuration classes."""

from __future__ import annotations

from pathlib import Path

from resmlp_mt.common.config import options_table
from resmlp_mt.common.files import write_text
from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.vision.model.config import ClassifierConfig

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
TEXT = """# Options of the models

Written by `scripts/write_options.py` from the configurations that define the options; do not edit this page. "Paper" is
arXiv:2105.03404, "deit" its authors' image code. An architecture (`--arch`) changes some of the defaults.

## Translation

`resmlp_mt/translation/model/config.py`; `fairseq-train` also has `--compile-layers`, which trains with `torch.compile`.

{translation}
## Images

`resmlp_mt/vision/model/config.py`; image size, channels and classes are those of the data unless they are given.

{images}"""


def main() -> None:
    """Writes the page."""
    write_text(PAGE, TEXT.format(translation=options_table(ModelConfig), images=options_table(ClassifierConfig)))


if __name__ == "__main__":
    main()

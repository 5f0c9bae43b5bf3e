"""Writes `report.html`, the report of a data set on one page that loads no other files."""

from __future__ import annotations

from pathlib import Path

from data_prep.report.data_set import load_data_set
from data_prep.report.page import page
from resmlp_mt.common.data_folder import REPORT
from resmlp_mt.common.files import write_text


def write_report(out: Path, target: Path | None = None) -> Path:
    """Writes the report of a data set.

    Args:
        out: the data set's folder.
        target: the file to write; None for `report.html` in the folder.

    Returns:
        The file.

    Raises:
        ResMLPError: the folder holds no finished data set.
    """
    data = load_data_set(out)
    target = target or out / REPORT
    write_text(target, page(data))
    return target

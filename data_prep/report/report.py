"""`report.html`: a data set at a glance, on one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from data_prep import folder
from data_prep.report.data_set import load_data_set
from data_prep.report.page import page
from resmlp_mt.common.files import write_text


def write_report(out: Path, target: Path | None = None) -> Path:
    """Writes the report of a data set.

    Args:
        out: the data set's folder.
        target: the file to write; `report.html` in the folder when None.

    Returns:
        The file.

    Raises:
        ResMLPError: when the folder holds no finished data set, or no library to draw with is installed.
    """
    data = load_data_set(out)
    target = target or out / folder.REPORT
    write_text(target, page(data))
    return target

"""The last words of a run: what was removed, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def removal_table(manifest: dict[str, Any]) -> str:
    """A table of how many training pairs each rule removed.

    Args:
        manifest: of a finished data set.
    """
    read, rules = manifest["removed"]["read"], manifest["removed"]["rules"]
    # Corpora of a weight other than 1 make this differ from what is left.
    training = manifest["splits"]["train"]["pairs"]
    rows = [("pairs read", read), *rules.items(), ("training pairs", training)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {count:>12,}  {100 * count / max(read, 1):6.2f} %" for name, count in rows)


def next_commands(manifest: dict[str, Any], out: Path) -> str:
    """The commands that use a data set.

    Args:
        manifest: of the data set.
        out: its folder.
    """
    data = ":".join(str(out / path) for path in manifest["train_data"])
    settings = manifest["settings"]
    model = out / manifest["vocabulary"]["models"][0]
    shared = " --share-all-embeddings" if settings["joint"] else ""
    return (
        f"train:     fairseq-train {data} --user-dir resmlp_mt --arch resmlp_wmt_en_de{shared} ...\n"
        f"or:        resmlp-mt train {out}, which picks model and settings by the size of the data\n"
        f"translate: fairseq-interactive {out} --user-dir resmlp_mt --path CHECKPOINT --source-lang {settings['src']} "
        f"--target-lang {settings['tgt']} --bpe sentencepiece --sentencepiece-model {model} ...\n"
        f"look:      resmlp-mt data-report {out}"
    )

"""The summary at the end of a run: what was removed, and the next commands."""

from __future__ import annotations

from pathlib import Path

from resmlp_mt.common.data_folder import training_folders
from resmlp_mt.common.data_manifest import DataManifest


def removal_table(manifest: DataManifest) -> str:
    """A table of the number of training pairs that each rule removed.

    Args:
        manifest: manifest of a finished data set.
    """
    read, rules = manifest.removed["read"], manifest.removed["rules"]
    # Differs from the pairs that are left if a corpus has a weight other than 1.
    training = manifest.splits["train"]["pairs"]
    rows = [("pairs read", read), *rules.items(), ("training pairs", training)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {count:>12,}  {100 * count / max(read, 1):6.2f} %" for name, count in rows)


def next_commands(manifest: DataManifest, out: Path) -> str:
    """The commands that use a data set.

    Args:
        manifest: manifest of the data set.
        out: its folder.
    """
    data = ":".join(map(str, training_folders(out, manifest)))
    settings = manifest.settings
    model = out / manifest.vocabulary["models"][0]
    shared = " --share-all-embeddings" if settings["joint"] else ""
    return (
        f"train:     fairseq-train {data} --user-dir resmlp_mt --arch resmlp_wmt_en_de{shared} ...\n"
        f"or:        resmlp-mt train {out}, which chooses model and settings by the size of the data\n"
        f"translate: fairseq-interactive {out} --user-dir resmlp_mt --path CHECKPOINT --source-lang {settings['src']} "
        f"--target-lang {settings['tgt']} --bpe sentencepiece --sentencepiece-model {model} ...\n"
        f"inspect:   resmlp-mt data-report {out}"
    )

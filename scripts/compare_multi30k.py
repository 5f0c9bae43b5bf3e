"""Trains small models on multi30k in the same way and scores them on its test set, side by side.

Every system sees the same data in the same batches for the same number of epochs, with the same dropout, label
smoothing and schedule; the last checkpoints are averaged. Interrupted, it goes on where it was.

    python -m data_prep multi30k --pair en-de --vocab-size 8000 --out data/multi30k
    python scripts/compare_multi30k.py --data data/multi30k --work runs/multi30k --output results/multi30k.json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sacrebleu
from side_by_side import describe_machine, print_table, write_json

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ADAM = ("--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--lr", "5e-3")
SIZES = [
    word
    for side in ("encoder", "decoder")
    for word in (f"--{side}-embed-dim", "128", f"--{side}-ffn-embed-dim", "512", f"--{side}-layers", "3")
]
TRANSFORMER_SIZES = [*SIZES, "--encoder-attention-heads", "4", "--decoder-attention-heads", "4"]
SYSTEMS: dict[str, tuple[str, ...]] = {
    "ResMLP": ("--arch", "resmlp_multi30k", *ADAM),
    "Transformer": ("--arch", "transformer", *TRANSFORMER_SIZES, "--share-all-embeddings", *ADAM),
    "ResMLP, Adagrad": ("--arch", "resmlp_multi30k", "--optimizer", "adagrad", "--lr", "0.2"),
    "ResMLP, Affine": ("--arch", "resmlp_multi30k", "--norm", "affine", *ADAM),
}
SHARED = (
    *("--task", "translation", "--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1"),
    *("--lr-scheduler", "inverse_sqrt", "--warmup-updates", "1000", "--warmup-init-lr", "1e-7", "--clip-norm", "1.0"),
    *("--dropout", "0.2", "--max-tokens", "2048", "--num-workers", "0", "--no-progress-bar", "--log-format", "json"),
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared by data_prep, one vocabulary for both sides")
    parser.add_argument("--pair", default="en-de")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--average", type=int, default=5, help="checkpoints averaged, the last of the training")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--output", type=Path, default=Path("results/multi30k.json"))
    return parser.parse_args()


def run(arguments: argparse.Namespace, log: Path, *words: object) -> str:
    """Runs a command of this environment, keeps what it says in `log`, and returns it."""
    with log.open("w", encoding="utf-8") as output:
        subprocess.run(
            [BIN / str(words[0]), *map(str, words[1:])],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)},
        )
    return log.read_text(encoding="utf-8")


def train_and_translate(arguments: argparse.Namespace, name: str) -> dict[str, object]:
    """Trains one system, averages its last checkpoints and translates the test set; what is done is not done again."""
    folder = arguments.work / re.sub(r"\W+", "_", name.lower())
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / "finished.json"
    if finished.exists():
        return json.loads(finished.read_text(encoding="utf-8"))
    source, target = arguments.pair.split("-")
    languages = ("--user-dir", ROOT / "resmlp_mt", "-s", source, "-t", target)
    ends = ("--max-epoch", arguments.epochs, "--keep-last-epochs", arguments.average, "--seed", arguments.seed)
    log = run(
        arguments,
        folder / "train.log",
        *("fairseq-train", arguments.data, *languages, *SHARED, *SYSTEMS[name], *ends, "--save-dir", folder),
    )
    lines = [json.loads(found) for found in re.findall(r"\| (\{\".*\})$", log, flags=re.MULTILINE)]
    averaged = folder / "averaged.pt"
    run(
        arguments,
        folder / "average.log",
        "resmlp-mt",
        "average",
        folder,
        "--last",
        arguments.average,
        "--out",
        averaged,
    )
    output = run(
        arguments,
        folder / "generate.log",
        *("fairseq-generate", arguments.data, *languages, "--task", "translation", "--path", averaged),
        *("--beam", arguments.beam, "--batch-size", 64, "--remove-bpe", "sentencepiece"),
    )
    hypotheses = dict(re.findall(r"^H-(\d+)\t[^\t]*\t(.*)$", output, flags=re.MULTILINE))
    result = {
        "parameters": int(re.search(r"num\. shared model params: ([\d,]+)", log)[1].replace(",", "")),
        "validation_perplexity": [float(line["valid_ppl"]) for line in lines if "valid_ppl" in line],
        "updates": int(next(line for line in reversed(lines) if "valid_num_updates" in line)["valid_num_updates"]),
        "hypotheses": [hypotheses[str(index)] for index in range(len(hypotheses))],
    }
    write_json(finished, result)
    return result


def main() -> None:
    arguments = parse_arguments()
    arguments.data, arguments.work = arguments.data.resolve(), arguments.work.resolve()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = dict(
            zip(
                arguments.systems,
                pool.map(lambda name: train_and_translate(arguments, name), arguments.systems),
                strict=True,
            )
        )
    target = arguments.pair.split("-")[1]
    references = (arguments.data / "raw" / f"test.{target}").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    bleu, chrf = sacrebleu.metrics.BLEU(), sacrebleu.metrics.CHRF()
    rows = []
    for name, result in results.items():
        hypotheses = result.pop("hypotheses")
        if len(hypotheses) != len(references):
            raise SystemExit(
                f"{name}: {len(hypotheses)} translations of {len(references)} sentences; remove its folder"
            )
        result["bleu"] = bleu.corpus_score(hypotheses, [references]).score
        result["chrf"] = chrf.corpus_score(hypotheses, [references]).score
        perplexity = result["validation_perplexity"][-1]
        rows.append([name, result["parameters"], result["updates"], perplexity, result["bleu"], result["chrf"]])
    print_table(["system", "parameters", "updates", "validation perplexity", "BLEU", "chrF"], rows)
    signatures = [str(bleu.get_signature()), str(chrf.get_signature())]
    print("\n".join(signatures))
    settings = {name: str(value) for name, value in vars(arguments).items() if name not in ("data", "work", "output")}
    machine = describe_machine(arguments.threads)
    write_json(
        arguments.output, {"machine": machine, "settings": settings, "signatures": signatures, "results": results}
    )


if __name__ == "__main__":
    main()

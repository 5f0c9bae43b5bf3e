"""Parses fairseq's own log, in simple or JSON format, for training runs without `metrics.jsonl`."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from resmlp_mt.training.run_record import TRAIN, VALID

_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \| \w+ \| ([\w./-]+) \| (.*)")
# Hydra's format, in hydra_train.log.
_HYDRA_LINE = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+\]\[([\w./-]+)\]\[\w+\] - (.*)")
_TRAIN = re.compile(r"epoch (\d+):\s+\d+ / \d+ (.*=.*)")
_VALID = re.compile(r"epoch (\d+) \| valid on '.*' subset \| (.*)")


def parse_log(lines: Iterable[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Parses a log.

    Args:
        lines: lines of the log. If the run was resumed, repeated updates count once, with their latest values.

    Returns:
        Records in the format of `metrics.jsonl`, with the fields that the log contains, and the settings, which are
        empty if the log contains none.
    """
    records: list[dict[str, Any]] = []
    settings: dict[str, Any] = {}
    seconds, last = 0.0, None
    for line in lines:
        match = _LINE.match(line) or _HYDRA_LINE.match(line)
        if not match:
            continue
        time = datetime.fromisoformat(match[1]).timestamp()
        if match[3].startswith("{'_name'"):  # a process starts; the time between processes does not count
            settings, last = _settings(match[3]) or settings, time
        seconds += time - last if last is not None else 0.0
        last = time
        record = _record(match[2], match[3])
        if record:
            # Resuming from a checkpoint discards the later updates; a validation keeps the record of its own update.
            is_training = record["kind"] == TRAIN
            records = [r for r in records if r["update"] < record["update"] + (not is_training)]
            records.append({**record, "time": time, "training_seconds": seconds})
    return _with_tokens(records), settings


def _record(tag: str, text: str) -> dict[str, Any] | None:
    """The record of a line, or None if the line contains no metrics."""
    if text.startswith('{"'):
        values = _json_values(tag, text)
    elif tag == "train_inner" and (match := _TRAIN.match(text)):
        values = {"epoch": int(match[1]), **_numbers(pair.partition("=") for pair in match[2].split(", "))}
    elif match := _VALID.match(text):
        values = {"epoch": int(match[1]), **_numbers(pair.partition(" ") for pair in match[2].split(" | "))}
    else:
        return None
    update = values.pop("num_updates", None)
    if update is None or tag == TRAIN:  # an average over an epoch
        return None
    if tag == "train_inner":
        return {"kind": TRAIN, "update": int(update), **values}
    return {"kind": VALID, "update": int(update), "subset": tag, **values}


def _json_values(tag: str, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    pairs = ((name.removeprefix(f"{tag}_"), "", str(value)) for name, value in values.items() if name != "update")
    return _numbers(pairs)


def _numbers(pairs: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    numbers = {}
    for name, _, value in pairs:
        try:
            numbers[name.strip()] = float(value)
        except ValueError:
            continue
    return numbers


def _with_tokens(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds the number of tokens seen so far, from the tokens per update (wpb) of each interval."""
    tokens, update = 0.0, 0
    for record in records:
        if record["kind"] == TRAIN and "wpb" in record:
            tokens += record["wpb"] * (record["update"] - update)
            update = record["update"]
        record["tokens"] = round(tokens)
    return records


def _settings(text: str) -> dict[str, Any]:
    try:
        value = _literal(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _literal(node: ast.expr) -> Any:
    """The value of a literal; `Namespace(a=1)` becomes a dictionary, and a name such as `inf` a string."""
    if isinstance(node, ast.Dict):
        return {_literal(k): _literal(v) for k, v in zip(node.keys, node.values, strict=True) if k is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(entry) for entry in node.elts]
    if isinstance(node, ast.Name | ast.Attribute):
        return ast.unparse(node)
    return ast.literal_eval(node)

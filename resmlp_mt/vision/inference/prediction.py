"""Prepares a classifier for inference, and reads images ahead in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from resmlp_mt.common.errors import ResMLPError, require_whole_number
from resmlp_mt.vision.data.image_sets import find_image_files
from resmlp_mt.vision.data.images import SUFFIXES
from resmlp_mt.vision.model.classifier import ClassifierModel

Item = TypeVar("Item")
Result = TypeVar("Result")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Lists files and the images in folders, in the order given; those of a folder in alphabetical order.

    A path that is not a folder is always listed, even if it does not exist, so that there is a result for it.

    Raises:
        ResMLPError: if a folder contains no images.
    """
    images: list[Path] = []
    for path in paths:
        found = find_image_files(path) if path.is_dir() else [path]
        if not found:
            raise ResMLPError(f"the folder {path} contains no images ({', '.join(SUFFIXES)}); name another")
        images += found
    return images


def prepare_for_inference(classifier: ClassifierModel, device: str, fold: bool = True) -> ClassifierModel:
    """Moves a classifier to a device, in evaluation mode, and folds it if `fold`.

    Raises:
        ResMLPError: if the device is not available.
    """
    try:
        torch.zeros((), device=torch.device(device)).item()  # fails on "meta", which holds no data
        classifier.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ResMLPError(f"the device {device} is not available ({reason}); use cpu") from error
    classifier.eval()
    if fold:
        classifier.optimize_for_inference()
    return classifier


def read_batches(
    items: Sequence[Item], read: Callable[[Item], Result], batch_size: int, workers: int = 1
) -> Iterator[list[Result]]:
    """Reads items in threads, in their order, one batch ahead of the caller.

    Args:
        items: items to read.
        read: reads one item.
        batch_size: items per batch; the last batch may be smaller.
        workers: number of threads. Pillow releases the GIL while it decodes and resizes.
    """
    require_whole_number("the batch size", batch_size, 1, 1_000_000)
    require_whole_number("the number of workers", workers, 1, 1024)
    ahead: deque[list[Future[Result]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), batch_size):
            ahead.append([pool.submit(read, item) for item in items[start : start + batch_size]])
            if len(ahead) > 1:
                yield [result.result() for result in ahead.popleft()]
        for batch in ahead:
            yield [result.result() for result in batch]

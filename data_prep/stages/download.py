"""Downloads files: resumes, falls back to mirrors, and verifies."""

from __future__ import annotations

import json
import time
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests

from data_prep.corpora.base import Source
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest, read_json, write_json
from resmlp_mt.common.progress import log, progress_bar

ATTEMPTS = 4
WAIT_SECONDS = 0.5
_TIMEOUT_SECONDS = 30
_BLOCK_BYTES = 1 << 18
# The status codes after which a download is retried; every other one means that the URL itself is wrong.
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def download(source: Source, cache: Path, mirrors: tuple[str, ...] = ()) -> Path:
    """Downloads a file from the first URL that provides it, unless the cache holds it.

    Args:
        source: the file.
        cache: folder of downloads; unfinished ones stay there and are resumed.
        mirrors: base URLs that are tried first, with the file's name appended.

    Returns:
        The downloaded file. If its digest is unpublished, the digest is recorded beside it.

    Raises:
        ResMLPError: no URL provides the file; the message states the reason for each.
    """
    target = cache / source.name
    if target.is_file():
        _check_recorded(target, source)
        return target
    urls = [f"{mirror.rstrip('/')}/{source.name}" for mirror in mirrors] + list(source.urls)
    # pooch's messages would repeat ours.
    pooch.get_logger().setLevel("WARNING")
    failures = []
    for url in urls:
        log("download", f"{source.name} from {url}")
        try:
            pooch.retrieve(url, source.digest, source.name, cache, downloader=_resume)
        except (requests.RequestException, _GaveUpError, ValueError) as error:
            failures.append(f"{url}: {' '.join(str(error).split())}")
            log("download", f"failed: {failures[-1]}")
            continue
        _record(target, url)
        return target
    raise ResMLPError(
        f"{source.name} cannot be downloaded from any of its {len(urls)} addresses ({'; '.join(failures)}); add "
        "--mirror URL, or download it elsewhere and give its folder with --from-dir"
    )


class _GaveUpError(Exception):
    """A URL did not provide the whole file in `ATTEMPTS` attempts."""


def _resume(url: str, output_file: str, _: pooch.Pooch | None, check_only: bool = False) -> bool | None:
    """A downloader for pooch that resumes where the last attempt ended."""
    if check_only:
        return requests.head(url, timeout=_TIMEOUT_SECONDS, allow_redirects=True).ok
    target = Path(output_file)
    # The URLs of a file share its partial download.
    name = PurePosixPath(urlsplit(url).path).name or "download"
    partial = target.parent / f"{name}.partial"
    for attempt in range(ATTEMPTS):
        try:
            _fetch_rest(url, partial, name)
            partial.replace(target)
            _validator_path(partial).unlink(missing_ok=True)
            return None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            failure: Exception = error
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else None
            if status == requests.codes.requested_range_not_satisfiable:
                # The server has nothing after our bytes: they are the whole file, or of another file. Start again.
                partial.unlink(missing_ok=True)
            elif status not in _TRANSIENT_STATUS:
                raise
            failure = error
        if attempt + 1 < ATTEMPTS:
            time.sleep(WAIT_SECONDS * 2**attempt)
    raise _GaveUpError(f"{ATTEMPTS} attempts failed, the last with: {failure}; run again to resume")


def _fetch_rest(url: str, partial: Path, name: str) -> None:
    """Downloads the rest of a partial file; starts again if the file on the server has changed."""
    done = partial.stat().st_size if partial.is_file() else 0
    validator = _validator(partial) if done else None
    headers = {"Accept-Encoding": "identity"}
    if done and validator:
        headers |= {"Range": f"bytes={done}-", "If-Range": validator}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        done = done if resumed else 0
        _remember_validator(partial, response)
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with partial.open("ab" if resumed else "wb") as file, progress_bar(f"download {name}", total, "B") as progress:
            progress.update(done)
            for block in response.iter_content(_BLOCK_BYTES):
                file.write(block)
                progress.update(len(block))


def _validator_path(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _validator(partial: Path) -> str | None:
    try:
        validator: str | None = read_json(_validator_path(partial))["validator"]
    except (OSError, json.JSONDecodeError, KeyError):
        return None
    return validator


def _remember_validator(partial: Path, response: requests.Response) -> None:
    # A weak entity tag does not guarantee equal bytes, so it cannot validate a range request.
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    write_json(_validator_path(partial), {"validator": validator})


def _record_path(target: Path) -> Path:
    return target.with_name(target.name + ".download.json")


def _record(target: Path, url: str) -> None:
    record: dict[str, Any] = {"url": url, "bytes": target.stat().st_size, "digest": file_digest(target)}
    write_json(_record_path(target), record)


def _check_recorded(target: Path, source: Source) -> None:
    """Compares a file whose digest is unpublished with the digest recorded at its first download."""
    if source.digest or not _record_path(target).is_file():
        return
    record = read_json(_record_path(target))
    digest = file_digest(target)
    if digest != record["digest"]:
        raise ResMLPError(
            f"{target} had {record['digest']} at its first download, but has {digest} now: it is truncated or altered; "
            "delete it and download it again"
        )

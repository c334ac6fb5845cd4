"""Where a source lies, what its content hashes to, and how a remote one comes here. Never parses a record."""

from __future__ import annotations

import errno
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.schema import Dataset, digest_of
from tasks.artifacts import sha256_of
from tasks.errors import DataError, RecipeError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Hub:
    """A dataset of the Hugging Face hub."""

    path: str


@dataclass(frozen=True)
class Fetched:
    """A source at hand: a local path (or a hub id), its digest, and its size and time when the digest was taken."""

    place: Path | Hub
    sha256: str
    stamp: tuple[int, int] | None = None

    def refuse_if_changed(self) -> None:
        """Rows that are not those of the digest would make the record untrue."""
        if isinstance(self.place, Path) and self.stamp is not None and _stamp(self.place) != self.stamp:
            raise DataError(f"{self.place}: changed while it was read; run again when nobody writes to it")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def locate(dataset: Dataset, folder: str, data: Path | None) -> Path | str | Hub:
    """A local path that exists, an fsspec URL, or a hub id."""
    if dataset.path.startswith("file://"):
        places = [Path(_filesystem(dataset.path)[1])]
    elif "://" in dataset.path:
        if dataset.type == "huggingface":
            raise RecipeError(f"datasets: {dataset.path}: type huggingface takes a hub id or a local folder, not a URL")
        return dataset.path
    else:
        places = _local_places(dataset.path, folder, data)
    found = next((place for place in places if place.exists()), None)
    if found is None and dataset.type == "huggingface" and HUB_ID.fullmatch(dataset.path):
        if not COMMIT.fullmatch(dataset.revision or ""):
            raise RecipeError(
                f"datasets: {dataset.path}: no such folder here, and a hub dataset needs revision: the 40 hex digits "
                "of a commit"
            )
        return Hub(dataset.path)
    if found is None:
        hint = "" if data else ", or set TUNEGATE_DATA to the folder that holds it"
        raise DataError(
            f"{dataset.path}: no such file; looked for {', '.join(str(p) for p in places)}; correct datasets.path{hint}"
        )
    if found.is_dir() != (dataset.type == "huggingface"):
        kind = "a folder" if found.is_dir() else "a file"
        raise DataError(f"{found}: is {kind}, which type {dataset.type} cannot read; correct datasets.type or path")
    return found


def _local_places(path: str, folder: str, data: Path | None) -> list[Path]:
    wanted = Path(path).expanduser()
    if wanted.is_absolute():
        return [wanted]
    return [root / wanted for root in (Path(folder), data) if root is not None]


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url}: cannot be opened: {first_line(error)}") from error
    return fs, str(path)


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def digest_of_source(dataset: Dataset, place: Path | str | Hub) -> str:
    """Sha256 (64 hex digits) of the source's content."""
    if isinstance(place, Hub):
        return digest_of([place.path, dataset.name, dataset.split, dataset.revision])
    try:
        if isinstance(place, str):
            fs, path = _filesystem(place)
            with fs.open(path, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        if place.is_dir():
            files = sorted(file for file in place.rglob("*") if file.is_file())
            return digest_of([[file.relative_to(place).as_posix(), sha256_of(file)] for file in files])
        return sha256_of(place)
    except DataError:
        raise
    except Exception as error:  # a remote file system raises what its own client library raises
        raise unreadable(str(place), error) from error


def fetch(dataset: Dataset, place: Path | str | Hub, temporary: Path) -> Fetched:
    """Bring a remote file here, so that what is hashed and what is parsed are the same bytes, read over once."""
    if isinstance(place, str):
        fs, path = _filesystem(place)
        local = temporary / Path(path).name
        try:
            fs.get_file(path, str(local))
        except Exception as error:  # as in digest_of_source
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # our own disk, not the source: the store says so
            raise unreadable(place, error) from error
        return Fetched(local, sha256_of(local))
    stamp = _stamp(place) if isinstance(place, Path) and place.is_file() else None
    return Fetched(place, digest_of_source(dataset, place), stamp)


def unreadable(place: str, error: Exception) -> DataError:
    """One line for a source that is there in the recipe but cannot be read; the library's text may hold a cell."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{place}: no such file; correct datasets.path")
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{place}: cannot be read: {error.strerror}; check the path, the network and the permissions")
    return DataError(f"{place}: cannot be read ({type(error).__name__}); check that it is whole and may be read")

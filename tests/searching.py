"""Which files hold a value: what a run leaves is searched for what it must not keep."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq


def files_with(values: Iterable[str], folder: Path) -> list[str]:
    """The files below a folder that hold one of the values, in order."""
    sought = tuple(values)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    texts = ((str(file.relative_to(folder)), _text_of(file)) for file in files)
    return [name for name, text in texts if any(value in text for value in sought)]


def _text_of(file: Path) -> str:
    """All that can be read in a file: Parquet is compressed, and shows nothing to who reads its bytes."""
    raw = file.read_bytes().decode("latin-1")
    return raw + str(pq.read_table(file).to_pylist()) if file.suffix == ".parquet" else raw

"""The rows of a Hugging Face dataset, streamed. Never runs code that comes with it and never leaves a copy behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conf.schema import Dataset
from tasks.errors import DataError
from tasks.ingest.places import Hub, unreadable
from tasks.network import is_network


def from_huggingface(
    dataset: Dataset, place: Path | Hub, temporary: Path
) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Streamed, so that no Arrow copy of the raw rows is left in a cache; what is cached goes with `temporary`."""
    rows = _pick_split(dataset, _load_huggingface(dataset, place, temporary))
    names = _class_names(rows)
    try:
        for number, record in enumerate(rows, start=1):
            yield number, {**record, **{column: _name_of(record[column], of) for column, of in names.items()}}
    except Exception as error:  # a builder raises what its format's library raises
        if is_network(error):
            raise _unreachable(dataset) from error
        raise unreadable(dataset.path, error) from None  # its text may hold a cell, and a log shows causes


def _load_huggingface(dataset: Dataset, place: Path | Hub, temporary: Path) -> Any:
    from datasets import DownloadConfig, load_dataset, load_from_disk

    try:
        if isinstance(place, Path) and any((place / name).is_file() for name in ("state.json", "dataset_dict.json")):
            return load_from_disk(str(place))
        return load_dataset(
            str(place) if isinstance(place, Path) else place.path,
            name=dataset.name,
            split=dataset.split,
            revision=dataset.revision if isinstance(place, Hub) else None,
            cache_dir=str(temporary / "huggingface"),
            download_config=DownloadConfig(cache_dir=str(temporary / "huggingface")),
            streaming=True,
        )
    except Exception as error:  # datasets, the hub's client and httpx each raise their own
        if isinstance(place, Hub) and is_network(error):
            raise _unreachable(dataset) from error
        raise DataError(
            f"{dataset.path}: cannot be loaded ({type(error).__name__}); check datasets.name, split and revision, and "
            "that its files are whole"
        ) from None  # as above: it may have read some rows


def _pick_split(dataset: Dataset, loaded: Any) -> Any:
    """The split that the recipe names, or the only one."""
    if not isinstance(loaded, dict):
        return loaded
    if dataset.split in loaded:
        return loaded[dataset.split]
    if dataset.split is None and len(loaded) == 1:
        return next(iter(loaded.values()))
    raise DataError(f"{dataset.path}: name one of its splits in datasets.split: {', '.join(sorted(loaded))}")


def _class_names(rows: Any) -> dict[str, list[str]]:
    """The names of each column that holds classes as numbers: a model learns words better than numbers."""
    from datasets import ClassLabel

    features = rows.features or {}
    return {column: feature.names for column, feature in features.items() if isinstance(feature, ClassLabel)}


def _name_of(value: object, names: list[str]) -> str | None:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _unreachable(dataset: Dataset) -> DataError:
    return DataError(
        f"{dataset.path}: the Hugging Face hub cannot be reached; "
        "check the network, or give a local folder as datasets.path"
    )

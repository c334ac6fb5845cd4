"""Figures that other tools measured on this very adapter, by file. Never runs a tool."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from conf.schema import OF_CANDIDATE, External
from tasks.artifacts import sha256_of
from tasks.errors import DataError, RecipeError
from tasks.evaluate.external import Figures, Tool, read_external
from tasks.results import Adapter, Metric


class Other(NamedTuple):
    """A file of another tool: its name, its digest, and its figures."""

    format: Tool
    file: str
    sha256: str
    figures: Figures


def files_of_others(
    section: Sequence[External], folder: str, data: Path | None, adapter: Adapter
) -> list[tuple[Tool, Path]]:
    """The files that are about this adapter's weights: beside the recipe, or below TUNEGATE_DATA.

    Of any other a gate finds nothing, and refuses; so it does where a candidate's own is not there yet.

    Raises:
        RecipeError: one that names its adapter is not there, whichever it names.
    """
    weights = adapter.weights.sha256
    found: list[tuple[Tool, Path]] = []
    for external in section:
        path = external.path.replace(OF_CANDIDATE, weights)
        places = [root / path for root in (Path(folder), data) if root is not None]
        file = next((place for place in places if place.is_file()), None)
        looked = ", ".join(str(place) for place in places)
        if file is None and external.adapter_sha256:
            raise RecipeError(f"evaluation.external: {path}: no such file; looked for {looked}")
        if file is None:
            logging.getLogger("tunegate").warning("%s says nothing of this adapter yet: no %s", external.format, looked)
        elif external.adapter_sha256 in (None, weights):
            found.append((external.format, file))
    return found


def others(files: Sequence[tuple[Tool, Path]]) -> list[Other]:
    """What the files say.

    Raises:
        DataError: one is not of its tool, or two of them hold a figure of the same name.
    """
    found = [Other(tool, file.name, sha256_of(file), read_external(tool, file)) for tool, file in files]
    _refuse_doubles(found)
    return found


def metrics_of(found: Iterable[Other]) -> list[Metric]:
    """The figures as gates ask for them: those of the tuned arm."""
    return [Metric(arm="tuned", name=name, value=value) for other in found for name, value in other.figures]


def _refuse_doubles(found: Sequence[Other]) -> None:
    """A gate could not tell which of the two it is held against."""
    seen: dict[str, str] = {}
    for other in found:
        for name, _ in other.figures:
            if name in seen:
                raise DataError(
                    f"evaluation.external: {name} stands in {seen[name]} and in {other.file}; leave one of them out"
                )
            seen[name] = other.file

"""Figures that other tools measured on this very adapter, by file. Never runs a tool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from conf.schema import Evaluation as EvaluationSection
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


def files_of_others(section: EvaluationSection, folder: str, data: Path | None) -> list[Path]:
    """Where the files lie: beside the recipe, or below TUNEGATE_DATA.

    Raises:
        RecipeError: one is not there.
    """
    found = []
    for external in section.external:
        places = [root / external.path for root in (Path(folder), data) if root is not None]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            looked = ", ".join(str(place) for place in places)
            raise RecipeError(f"evaluation.external: {external.path}: no such file; looked for {looked}")
        found.append(file)
    return found


def others(section: EvaluationSection, files: Sequence[Path], adapter: Adapter) -> list[Other]:
    """Those files that name this adapter's weights; of any other a gate finds nothing, and refuses.

    Raises:
        DataError: one is not of its tool, or two of them hold a figure of the same name.
    """
    found = [
        Other(external.format, file.name, sha256_of(file), read_external(external.format, file))
        for external, file in zip(section.external, files, strict=True)
        if external.adapter_sha256 == adapter.weights.sha256
    ]
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

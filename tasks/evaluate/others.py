"""Figures that other tools measured on this very adapter, by file. Never runs a tool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conf.schema import Evaluation as EvaluationSection
from tasks.errors import RecipeError
from tasks.evaluate.external import read_external
from tasks.results import Adapter, Metric


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


def figures_of_others(section: EvaluationSection, files: Sequence[Path], adapter: Adapter) -> list[Metric]:
    """The figures of those files that name this adapter's weights; of any other a gate finds nothing, and refuses."""
    return [
        Metric(arm="tuned", name=name, value=value)
        for external, file in zip(section.external, files, strict=True)
        if external.adapter_sha256 == adapter.weights.sha256
        for name, value in read_external(external.format, file)
    ]

"""What a model was made of, registered or in the making, so that two can be compared. Never opens a text of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conf.settings import Settings
from tasks.artifacts import Store
from tasks.errors import StoreError
from tasks.promote.evidence import lineage_of, resolved_recipe
from tasks.report.since import SIDES, Made, Since, since, unreadable
from tasks.results import Artifact, ChampionEvaluation, Result

# Where the store keeps the results of a lineage, and what made them.
FOLDERS = {
    "raw": "raw",
    "clean": "scrub",
    "checked": "check",
    "split": "split",
    "base": "base",
    "adapter": "train",
    "evaluation": "evaluate",
}
STAGES = {**FOLDERS, "raw": "ingest"}


def changed_since(champion: ChampionEvaluation, now: Made, settings: Settings) -> Since | None:
    """What is not as it was when the champion was made; None without one to compare with.

    A record that is missing, or not the one its digest names, is told on the page, and keeps nobody from it.

    Raises:
        ModelError: the registry does not know the version, or does not answer.
    """
    if champion.answers is None or champion.version is None:
        return None
    try:
        return since(made_of_version(champion.name, champion.version, settings), now)
    except StoreError as error:
        return unreadable(f"{champion.name} version {champion.version}", str(error))


def seconds_of(made: Made) -> dict[str, float]:
    """By stage what it took, when it was done; a stage whose manifest is not in the store is left out."""
    return {
        STAGES[name]: float(manifest["seconds"]) for name, manifest in made.manifests.items() if "seconds" in manifest
    }


def made_of_version(model: str, version: str, settings: Settings) -> Made:
    """What a registered version was made of, as its MLflow run and the store say.

    Raises:
        ModelError: the registry does not know the version, or does not answer.
        DigestMismatch: its record is missing or unreadable.
    """
    recipe, lineage = resolved_recipe(model, version, settings), lineage_of(model, version, settings)
    return made_of(f"{model} version {version}", recipe, lineage, Store.of(settings))


def made_now(recipe: Mapping[str, Any], results: Mapping[str, Result], store: Store) -> Made:
    """What the candidate of a run is made of: its resolved recipe, and its results by the names of `FOLDERS`."""
    lineage = {name: result.model_dump(mode="json") for name, result in results.items()}
    return made_of("this candidate", recipe, lineage, store)


def made_of(name: str, recipe: Mapping[str, Any], lineage: Mapping[str, Any], store: Store) -> Made:
    """The same of results that are at hand.

    Args:
        name: what a person calls it.
        recipe: as resolved.
        lineage: results by name as JSON, see `FOLDERS`.
        store: where their manifests and rows may lie; what it lacks is left out.
    """
    manifests = {}
    for of, folder in FOLDERS.items():
        found = store.manifest(folder, str(lineage[of]["key"])) if of in lineage else None
        if found is not None:
            manifests[of] = found
    return Made(name, recipe, lineage, manifests, _rows(lineage["split"], store))


def _rows(split: Mapping[str, Any], store: Store) -> dict[str, frozenset[str]]:
    import pyarrow.parquet as pq

    files = {side: Artifact.model_validate(split[side]["rows"]) for side in SIDES}
    return {
        side: frozenset(pq.read_table(store.open(file), columns=["id"])["id"].to_pylist())
        for side, file in files.items()
        if store.has(file)
    }

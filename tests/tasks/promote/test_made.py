"""What a model was made of: from results at hand, and from a registered version's record in a real MLflow store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.schema import digest_of
from conf.settings import PROJECT, Settings
from tasks.artifacts import Store
from tasks.errors import DigestMismatch, ModelError
from tasks.promote.made import changed_since, made_now, made_of, made_of_version, seconds_of
from tasks.register.candidate import verdict_folder
from tasks.register.record import LINEAGE
from tasks.register.runs import client
from tasks.report.since import SIDES, since
from tasks.results import Answers, Artifact, ChampionEvaluation, Result, Side, Split

pytestmark = [
    # mlflow 3.17 builds its tables with what SQLAlchemy 2.1 means to drop
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]
RECIPE: dict[str, Any] = {"name": "tickets", "training": {"learning_rate": 2e-4}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        conf=PROJECT / "conf",
        home=tmp_path,
        store=str(tmp_path / "store"),
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        data=None,
        threads=1,
        prefect_api_url=None,
    )


def lineage(store: Store, key: str, **rows: list[str]) -> dict[str, Any]:
    """A split in the store whose sides hold these ids, and a training that took one second; no other result."""
    with store.writing("split", key) as workspace:
        sides = {}
        for side in SIDES:
            ids = rows.get(side, [])
            table = pa.table({"id": pa.array(ids, pa.string()), "messages": pa.array(ids, pa.string())})
            pq.write_table(table, workspace.folder / f"{side}.parquet")
            file = workspace.artifact(f"{side}.parquet")
            sides[side] = Side(rows=file, n_rows=len(ids), n_groups=len(ids), labels=())
        split = store.commit(workspace, Split(key=key, **sides), {"git_revision": f"revision {key}"})
    with store.writing("train", key) as workspace:
        adapter = store.commit(workspace, Result(key=key), {"libraries": {"torch": "2.13.0"}, "seconds": 1.5})
    kept = {"split": split.model_dump(mode="json"), "adapter": adapter.model_dump(mode="json")}
    counts = {"n_rows": 9, "n_rejected": 1}
    return {
        **kept,
        "raw": {"key": "gone", **counts, "sources": []},
        "clean": {"key": "gone"},
        "checked": {"key": "gone"},
    }


def test_a_model_is_made_of_its_rows_and_of_the_manifests_that_the_store_has(settings: Settings) -> None:
    store = Store.of(settings)
    made = made_of("this", RECIPE, lineage(store, "a", train=["1", "2"], test=["3"]), store)
    assert made.rows == {"train": {"1", "2"}, "validation": frozenset(), "test": {"3"}}
    assert made.manifests["split"]["git_revision"] == "revision a"
    assert set(made.manifests) == {"split", "adapter"}


def test_sides_that_the_store_lost_are_left_out(settings: Settings) -> None:
    store = Store.of(settings)
    record = lineage(store, "a", train=["1"])
    (Path(store.root) / record["split"]["train"]["rows"]["path"]).unlink()
    assert set(made_of("this", RECIPE, record, store).rows) == {"validation", "test"}


def test_rows_that_are_not_those_of_their_digest_are_not_compared(settings: Settings) -> None:
    store = Store.of(settings)
    record = lineage(store, "a", train=["1"])
    file = Path(store.root) / record["split"]["train"]["rows"]["path"]
    file.write_bytes(bytes(reversed(file.read_bytes())))
    with pytest.raises(DigestMismatch, match=r"train\.parquet"):
        made_of("this", RECIPE, record, Store.of(settings))


def registered(settings: Settings, record: dict[str, Any]) -> str:
    """A version of `tickets` whose run holds the record as the registration leaves it."""
    registry = client(settings)
    experiment = registry.create_experiment("tickets", (settings.home / "mlartifacts").as_uri())
    run = registry.create_run(experiment).info.run_id
    tags = {"verdict_digest": "ab" * 32, "recipe_digest": digest_of(RECIPE)}
    folder = settings.home / verdict_folder(tags["verdict_digest"], tags["recipe_digest"])
    folder.mkdir(parents=True)
    for name, content in (("recipe.resolved.json", RECIPE), (LINEAGE, record)):
        (folder / name).write_text(json.dumps(content))
        registry.log_artifact(run, str(folder / name), verdict_folder(tags["verdict_digest"], tags["recipe_digest"]))
    registry.create_registered_model("tickets")
    return str(
        registry.create_model_version("tickets", (settings.home / "model").as_uri(), run_id=run, tags=tags).version
    )


def test_a_registered_version_is_read_from_its_run_and_compares_with_a_candidate(settings: Settings) -> None:
    store = Store.of(settings)
    old = lineage(store, "a", train=["1", "2", "3"], test=["4"])
    version = registered(settings, old)
    champion = made_of_version("tickets", version, settings)
    assert champion.name == f"tickets version {version}"
    assert champion.recipe == RECIPE
    assert champion.lineage == old
    new = lineage(store, "b", train=["1", "2"], test=["3", "4"])
    found = since(champion, made_of("this candidate", {**RECIPE, "training": {"learning_rate": 1e-4}}, new, store))
    assert found.known == 1  # row 3
    assert [(change.what, change.before, change.after) for change in found.recipe] == [
        ("training.learning_rate", "0.0002", "0.0001")
    ]
    assert found.code is not None
    assert [(change.before, change.where) for change in found.code] == [("revision a", "split")]
    with pytest.raises(ModelError, match="has no version 7"):
        made_of_version("tickets", "7", settings)


FILE = Artifact(path="champion/k/f", sha256="0" * 64, bytes=1)
ANSWERS = Answers(predictions=FILE, statistics=FILE, report=FILE, n_rows=1, metrics=())


def champion(version: str | None) -> ChampionEvaluation:
    return ChampionEvaluation(
        key="c", name="tickets", version=version, adapter_sha256="ab", answers=ANSWERS if version else None
    )


def test_without_a_champion_nothing_has_changed_and_no_registry_is_asked(settings: Settings) -> None:
    store = Store.of(settings)
    now = made_of("this", RECIPE, lineage(store, "a"), store)
    assert changed_since(champion(None), now, settings) is None
    assert not (settings.home / "mlflow.db").exists()


def test_a_champion_whose_record_is_gone_is_told_to_be_unreadable(settings: Settings) -> None:
    store = Store.of(settings)
    record = lineage(store, "a", train=["1"])
    version = registered(settings, record)
    now = made_of("this", RECIPE, record, store)
    found = changed_since(champion(version), now, settings)
    assert found is not None
    assert found.unreadable is None
    for file in (settings.home / "mlartifacts").rglob(LINEAGE):
        file.unlink()
    lost = changed_since(champion(version), now, settings)
    assert lost is not None
    assert "lineage.json is missing or unreadable" in (lost.unreadable or "")
    assert (lost.rows, lost.known, lost.code) == (None, None, None)


def test_a_candidate_is_made_of_the_results_of_its_run_and_of_their_time(settings: Settings) -> None:
    store = Store.of(settings)
    record = lineage(store, "a", train=["1"])
    split = Split.model_validate(record["split"])
    made = made_now(RECIPE, {"split": split, "adapter": Result(key="a")}, store)
    assert made.lineage["split"] == record["split"]
    assert made.rows["train"] == {"1"}
    assert seconds_of(made) == {"train": 1.5}

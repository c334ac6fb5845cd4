"""Verify what a candidate is, from its registry entry to the rows: every digest taken anew, nothing taken on trust.

version's tags ─ LoggedModel's files ─ run's submission.json
                                     └ run's lineage.json ─ store: adapter, base, evaluation, split … raw sources
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from conf.schema import Gate, digest_of
from conf.settings import Settings
from tasks.artifacts import Store, sha256_of
from tasks.errors import DigestMismatch, ModelError
from tasks.judge import Evidence, decide, gather, overall
from tasks.ledger import Digests
from tasks.network import is_network
from tasks.people.collect import collect
from tasks.people.results import People
from tasks.register.candidate import verdict_folder
from tasks.register.record import FORM, LINEAGE, files_sha256
from tasks.register.runs import client
from tasks.register.submission import SUBMISSION, Submission, holds
from tasks.results import (
    Adapter,
    Artifact,
    Base,
    ChampionEvaluation,
    CheckedData,
    Evaluation,
    GateResult,
    RawData,
    Result,
    ScrubbedData,
    Split,
    Verdict,
)

R = TypeVar("R", bound=Result)


class Verified(NamedTuple):
    """A registered version, read once: its digests, and those parts of its record that they are the digests of.

    `submission` is as it stands, None in a record from before there was one.
    """

    digests: Digests
    verdict: Verdict
    recipe: dict[str, Any]
    lineage: dict[str, Any]
    submission: Any


def verified_digests(model: str, version: str, settings: Settings) -> Digests:
    """The digests of a registered version; raises as `verified`."""
    return verified(model, version, settings).digests


def verified(model: str, version: str, settings: Settings) -> Verified:
    """A registered version, each of its digests found to be that of what it names.

    Raises:
        DigestMismatch: something is not what its digest says; the line names it.
        ModelError: the registry, the run or the store lacks a part of the record.
        StoreError: a file is gone from the store.
    """
    registry = client(settings)
    entry = _version(registry, model, version)
    tags = entry.tags
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(registry, entry.run_id, Path(folder))
        judged = verdict_folder(str(tags.get("verdict_digest")), str(tags.get("recipe_digest")))
        lineage = run.read(f"{judged}/{LINEAGE}")
        adapter, base = run.result(lineage, "adapter", Adapter), run.result(lineage, "base", Base)
        split, evaluation = run.result(lineage, "split", Split), run.result(lineage, "evaluation", Evaluation)
        _refuse_broken_chain(run, lineage, split, base, adapter, evaluation)
        verdict = run.verdict(judged)
        recipe = run.read(f"{judged}/recipe.resolved.json")
        evidence = _evidence(run, lineage, evaluation, recipe, Store.of(settings))
        _refuse_other_gates(evidence, verdict, recipe)
        submission = run.submission(judged)
        found = Digests(
            adapter=adapter.weights.sha256,
            files=_files_of(entry, adapter, base, recipe, Path(folder)),
            base=base.digest,
            split=split.digest,
            recipe=digest_of(recipe),
            evaluation=evaluation.digest,
            verdict=verdict.digest,
            submission="" if submission is None else digest_of(submission),
        )
    stated = {
        "adapter": tags.get("adapter_sha256"),
        "files": tags.get("files_sha256"),
        "split": tags.get("split_digest"),
        "recipe": tags.get("recipe_digest"),
        "evaluation": tags.get("evaluation_digest"),
        "verdict": tags.get("verdict_digest"),
    }
    for name, value in stated.items():
        if value != getattr(found, name):
            raise DigestMismatch(f"{model} version {version}: its {name} is not the one that was registered")
    before = run.result(lineage, "clean", ScrubbedData), run.result(lineage, "checked", CheckedData)
    _refuse_changed_files(Store.of(settings), adapter, base, split, evaluation, *before)
    return Verified(found, verdict, recipe, lineage, submission)


def verdict_of(model: str, version: str, settings: Settings) -> Verdict:
    """What the gates said of a registered version."""
    return Verdict.model_validate(_record(model, version, settings, "verdict.json"))


def resolved_recipe(model: str, version: str, settings: Settings) -> dict[str, Any]:
    """The recipe of a registered version with every default; `verified_digests` holds it against its digest."""
    return dict(_record(model, version, settings, "recipe.resolved.json"))


def lineage_of(model: str, version: str, settings: Settings) -> dict[str, Any]:
    """The results that led to a registered version, as JSON by name: digests and counts."""
    return dict(_record(model, version, settings, LINEAGE))


def compared_champion(found: Verified) -> ChampionEvaluation | None:
    """The model in production that a version's gates compared it with, or None where none of them asks about one."""
    if not any("champion" in (gate.arm, gate.against) for gate in found.verdict.gates):
        return None
    return ChampionEvaluation.model_validate(found.lineage["champion"])


def heard_all(lineage: Mapping[str, Any], settings: Settings) -> bool:
    """Whether all that people have said of a version's answers so far is what its gates were told."""
    told, evaluation = People.model_validate(lineage["people"]), Evaluation.model_validate(lineage["evaluation"])
    return _said(collect(evaluation, Store.of(settings))) == _said(told)


def _said(people: People) -> dict[str, Any]:
    return people.model_dump(exclude={"key", "parents"})  # which also change where the same is said again


def held_out(model: str, version: str, settings: Settings) -> tuple[Split, Evaluation]:
    """The split of a registered version, and how it was evaluated on the test side."""
    lineage = lineage_of(model, version, settings)
    return Split.model_validate(lineage["split"]), Evaluation.model_validate(lineage["evaluation"])


def _record(model: str, version: str, settings: Settings, name: str) -> Any:
    """One JSON file of what the gates said of a registered version."""
    registry = client(settings)
    entry = _version(registry, model, version)
    folder = verdict_folder(str(entry.tags.get("verdict_digest")), str(entry.tags.get("recipe_digest")))
    with tempfile.TemporaryDirectory() as local:
        return _Run(registry, entry.run_id, Path(local)).read(f"{folder}/{name}")


def submission_of(stated: Any) -> Submission:
    """Whose own run a registered version is, and where its recipe was read, by what its record states of that.

    Raises:
        DigestMismatch: its record does not say, so that nobody could be refused.
    """
    try:
        return Submission.model_validate(stated)
    except ValidationError as error:
        why = "is missing" if stated is None else "cannot be read"
        raise DigestMismatch(f"{SUBMISSION} {why}; run its recipe again, so that it says whose run it is") from error


class _Run:
    """The record of one MLflow run."""

    def __init__(self, registry: Any, run_id: str, folder: Path) -> None:
        self.registry, self.run_id, self.folder = registry, run_id, folder

    def read(self, name: str) -> Any:
        """One JSON artifact."""
        from mlflow.exceptions import MlflowException

        try:
            file = Path(self.registry.download_artifacts(self.run_id, name, str(self.folder)))
            return json.loads(file.read_text(encoding="utf-8"))
        except (MlflowException, OSError, ValueError) as error:
            _raise_outage(error)
            raise DigestMismatch(f"run {self.run_id}: its {name} is missing or unreadable") from error

    def verdict(self, folder: str) -> Verdict:
        """What the gates said, by the folder that keeps it."""
        return self.result({"verdict": self.read(f"{folder}/verdict.json")}, "verdict", Verdict)

    def submission(self, folder: str) -> Any:
        """Who submitted it, as it stands; None in a record from before there was one, which no request takes."""
        from mlflow.exceptions import MlflowException

        try:
            found = holds(self.registry, self.run_id, f"{folder}/{SUBMISSION}")
        except (MlflowException, OSError) as error:
            _raise_outage(error)
            raise DigestMismatch(f"run {self.run_id}: its files cannot be listed") from error
        return self.read(f"{folder}/{SUBMISSION}") if found else None

    def result(self, lineage: Any, name: str, kind: type[R]) -> R:
        """One result of the lineage."""
        try:
            return kind.model_validate(lineage[name])
        except (KeyError, TypeError, ValueError) as error:
            raise DigestMismatch(f"run {self.run_id}: its record holds no {name} that can be read") from error


def _version(registry: Any, model: str, version: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return registry.get_model_version(model, version)
    except MlflowException as error:
        _raise_outage(error)
        raise ModelError(f"{model}: MLflow has no version {version} of it") from error


def _files_of(entry: Any, adapter: Adapter, base: Base, recipe: Any, folder: Path) -> str:
    """The digest of the model's files, which must be those of the adapter that was evaluated, asked in the same way."""
    import mlflow
    from mlflow.exceptions import MlflowException

    local = folder / "model"
    local.mkdir()
    try:
        files = Path(mlflow.artifacts.download_artifacts(entry.source, dst_path=str(local)))
        form = json.loads((files / FORM).read_text(encoding="utf-8"))
    except (MlflowException, OSError, ValueError) as error:
        _raise_outage(error)
        raise DigestMismatch(f"{entry.name} version {entry.version}: its files are missing or unreadable") from error
    found = {file.name: sha256_of(file) for file in files.iterdir() if file.name != FORM}
    if found != {Path(file.path).name: file.sha256 for file in adapter.files}:
        raise DigestMismatch(f"{entry.name} version {entry.version}: its files are not those that were evaluated")
    asked = {name: recipe[name] for name in ("model", "prompt", "quantization")}
    asked["model"] = {name: value for name, value in asked["model"].items() if name != "license"}
    if {name: form.get(name) for name in asked} != asked or form.get("base") != base.model_dump(mode="json"):
        raise DigestMismatch(f"{entry.name} version {entry.version}: it is asked in another way than it was evaluated")
    return files_sha256(files)


def _raise_outage(error: Exception) -> None:
    """An outage says nothing about a candidate: it must not look like a change of it."""
    if is_network(error):
        raise ModelError(f"MLflow or its store of artifacts is away ({type(error).__name__}); try again") from error


def _refuse_broken_chain(
    run: _Run, lineage: Any, split: Split, base: Base, adapter: Adapter, evaluation: Evaluation
) -> None:
    """Each result names the digests of what it was made of: from the evaluation back to the source files."""
    raw, clean = run.result(lineage, "raw", RawData), run.result(lineage, "clean", ScrubbedData)
    checked = run.result(lineage, "checked", CheckedData)
    links: tuple[tuple[str, Result, tuple[str, ...]], ...] = (
        ("evaluation", evaluation, (split.digest, base.digest, adapter.digest)),
        ("split", split, (checked.digest,)),
        ("checked", checked, (clean.digest,)),
        ("clean", clean, (raw.digest,)),
        ("raw", raw, tuple(source.sha256 for source in raw.sources)),
    )
    for name, result, parents in links:
        if result.parents != parents:
            raise DigestMismatch(f"lineage: {name} was not made of what stands before it")
    if not {split.digest, base.digest} <= set(adapter.parents):
        raise DigestMismatch("lineage: adapter was not trained on this split and base")


def _evidence(run: _Run, lineage: Any, evaluation: Evaluation, recipe: Any, store: Store) -> Evidence:
    """What the gates were held against, its files hashed anew."""
    champion = run.result(lineage, "champion", ChampionEvaluation)
    clean, people = run.result(lineage, "clean", ScrubbedData), run.result(lineage, "people", People)
    try:
        least = int(recipe["evaluation"]["min_slice_rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise DigestMismatch("recipe: its evaluation cannot be read") from error
    return gather(evaluation, champion, clean, people, least, store.open)


def _refuse_other_gates(evidence: Evidence, verdict: Verdict, recipe: Any) -> None:
    """Judge anew."""
    asked = (evidence.evaluation, evidence.champion, evidence.clean, evidence.people)
    try:
        gates = tuple(Gate.model_validate(gate) for gate in recipe["gates"])
    except (KeyError, TypeError, ValueError) as error:
        raise DigestMismatch("recipe: its gates cannot be read") from error
    parents = tuple(result.digest for result in asked)
    if not _alike(verdict.gates, decide(evidence, gates)) or verdict.parents != parents:
        raise DigestMismatch("verdict: it is not what the recipe's gates say of this evaluation")
    if verdict.state != overall(verdict.gates):
        raise DigestMismatch("verdict: it says another thing than its gates")


def _alike(one: Sequence[GateResult], other: Sequence[GateResult]) -> bool:
    """Whether the verdicts are the same but for the last digits of their figures, which differ from CPU to CPU."""
    figures = ("value", "low", "high")

    def same(a: float | None, b: float | None) -> bool:
        return a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))

    def rest(gate: GateResult) -> GateResult:
        return gate.model_copy(update=dict.fromkeys(figures))

    return len(one) == len(other) and all(
        rest(a) == rest(b) and all(same(getattr(a, name), getattr(b, name)) for name in figures)
        for a, b in zip(one, other, strict=True)
    )


def _refuse_changed_files(
    store: Store,
    adapter: Adapter,
    base: Base,
    split: Split,
    evaluation: Evaluation,
    clean: ScrubbedData,
    checked: CheckedData,
) -> None:
    """Hash every file from the scrubbed rows on; the raw ones went when these stood.

    Nothing of ours takes these away. One that is gone cannot be verified, and so refuses too, but as a `StoreError`: it
    voids no approval, and may be put back.

    Raises:
        DigestMismatch: a file was changed.
        StoreError: a file is gone.
    """
    files: tuple[Artifact, ...] = (
        *adapter.files,
        adapter.history,
        *base.files,
        *clean.rows,
        clean.rejected,
        *checked.rows,
        checked.rejected,
        checked.report,
        split.train.rows,
        split.validation.rows,
        split.test.rows,
        evaluation.predictions,
        evaluation.statistics,
        evaluation.report,
    )
    store.open_all(files)  # hashes them

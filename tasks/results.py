"""The frozen results that the stages hand on: digests and counts, never a data frame, a model or a clock.

    Base ─────────────────────────────────────────────┐
    RawData → ScrubbedData → CheckedData → Split → SmokeTest → Adapter → Evaluation → Verdict → Report → Candidate
                                             └───────────────────── ChampionEvaluation ──┘

Each type is taken by the next stage alone, so that training on unscrubbed rows is a type error.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from conf.schema import Arm, digest_of


class Frozen(BaseModel):
    """An immutable record that compares by value."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Artifact(Frozen):
    """One file of the store: its path relative to the store, the sha256 (hex) and the length of its content."""

    path: str
    sha256: str
    bytes: int


class Result(Frozen):
    """What a stage leaves: `key` names its folder in the store, `parents` are the digests of what it was made of."""

    key: str
    parents: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Sha256 (64 hex digits) of the result, and through its parents of all that led to it."""
        return digest_of(self.model_dump(mode="json"))


class Count(Frozen):
    """How often something was seen, e.g. a reason or an entity."""

    name: str
    count: int


class Base(Result):
    """The base model as safetensors with its tokenizer."""

    files: tuple[Artifact, ...]
    name: str
    source_sha256: str
    parameters: int


class Source(Frozen):
    """One file or hub data set that was read."""

    path: str
    sha256: str
    rows: int


class RawData(Result):
    """Rows as read, before scrubbing. Hot: the files go as soon as the scrubbed rows stand."""

    rows: tuple[Artifact, ...]
    rejected: Artifact
    n_rows: int
    n_rejected: int
    reasons: tuple[Count, ...]
    sources: tuple[Source, ...]


class Recall(Frozen):
    """How many planted values of an entity scrubbing took away."""

    entity: str
    planted: int
    found: int


class ScrubbedData(Result):
    """Rows whose texts hold placeholders where personal values stood.

    `canaries` says how many values planted into copies of rows were found; `second_look` what other means still find in
    `n_looked_at` of the scrubbed rows.
    """

    rows: tuple[Artifact, ...]
    rejected: Artifact
    n_rows: int
    n_rejected: int
    reasons: tuple[Count, ...]
    entities: tuple[Count, ...]
    rows_with_entities: int
    canaries: tuple[Recall, ...] = ()
    second_look: tuple[Count, ...] = ()
    n_looked_at: int = 0

    def value(self, name: str) -> float | None:
        """A figure that a gate of the arm `data` may ask for; None where it was not measured."""
        if name == "canary_recall" and self.canaries:
            return sum(c.found for c in self.canaries) / sum(c.planted for c in self.canaries)
        if name == "worst_canary_recall" and self.canaries:
            return min(c.found / c.planted for c in self.canaries)
        if name in {"second_look", "second_look_names"} and self.n_looked_at:
            names = name == "second_look_names"
            counts = (count.count for count in self.second_look if (count.name == "PERSON") == names)
            return 1000 * sum(counts) / self.n_looked_at
        return None


class CheckedData(Result):
    """Rows that the quality rules kept; `report` is the suite's result, counts only.

    `refusals` names each critical expectation that failed, one line each: with any, nothing may train on the rows.
    """

    rows: tuple[Artifact, ...]
    rejected: Artifact
    report: Artifact
    n_rows: int
    n_rejected: int
    reasons: tuple[Count, ...]
    expectations_passed: int
    expectations_failed: int
    refusals: tuple[str, ...]


class Side(Frozen):
    """One side of the split."""

    rows: Artifact
    n_rows: int
    n_groups: int
    labels: tuple[Count, ...]


class Split(Result):
    """Train, validation and test; no group stands on two sides."""

    train: Side
    validation: Side
    test: Side


class SmokeTest(Result):
    """A few steps, a save and a load, that went well; `report` shows a row with its loss mask."""

    report: Artifact
    n_rows: int
    steps: int
    first_loss: float
    last_loss: float


class Adapter(Result):
    """A trained LoRA adapter in safetensors with its tokenizer; `history` holds one JSON line a logged step."""

    files: tuple[Artifact, ...]
    history: Artifact
    steps: int
    best_step: int
    train_tokens: int
    train_loss: float
    eval_loss: float | None

    @property
    def weights(self) -> Artifact:
        """The safetensors file."""
        return next(file for file in self.files if file.path.endswith(".safetensors"))


class Metric(Frozen):
    """One figure of one arm, or of the data."""

    arm: Arm | Literal["data"]
    name: str
    value: float


class Answers(Frozen):
    """Arms that answered the same held-out rows, measured.

    `predictions` is Parquet: id, label, prompt, expected, and for each arm its text, whether it is right and what is
    wrong with it. `statistics` is Parquet: what each figure is made of, row by row (see `tasks.evaluate.measured`).
    """

    predictions: Artifact
    statistics: Artifact
    report: Artifact
    n_rows: int
    metrics: tuple[Metric, ...]

    def value(self, arm: str, name: str) -> float | None:
        """The figure, or None where the evaluation has none of that name."""
        return next((m.value for m in self.metrics if m.arm == arm and m.name == name), None)


class Evaluation(Answers, Result):
    """The base, the base that was shown some rows, the tuned and the served arm."""


class ChampionEvaluation(Result):
    """The model in production on the same rows.

    Without one, or where it is this very adapter, `answers` is None; then `version` is that of the adapter, if any.
    """

    name: str
    version: str | None
    adapter_sha256: str | None
    answers: Answers | None


State = Literal["passed", "failed", "inconclusive"]


class GateResult(Frozen):
    """One gate, what was measured, and whether it held. `reason` is one line for a person.

    `low` and `high` are the ends of the interval that holds the truth with the gate's confidence; None where the noise
    of the figure is not known. `rows_needed` is about how many test rows would settle an inconclusive one, None where
    none would or the figure is not measured on them; `settle` says in words what would.
    """

    metric: str
    arm: str
    against: str | None = None
    slice: str | None = None
    worst: str | None = None
    min: float | None
    max: float | None
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    state: State
    rows_needed: int | None = None
    settle: str = ""
    overridable: bool = True
    reason: str

    @property
    def passed(self) -> bool:
        """Whether it let pass: what is inconclusive does not."""
        return self.state == "passed"


class Verdict(Result):
    """What the gates say of an evaluation. `comparison` is JSON: every figure and difference with its interval."""

    state: State
    gates: tuple[GateResult, ...]
    comparison: Artifact

    @property
    def passed(self) -> bool:
        """Whether every gate did."""
        return self.state == "passed"


class Report(Result):
    """The page that a person reads before deciding: one self-contained HTML file.

    `told` is what it was told that no other result holds (`tasks.report.facts.Told`), for shorter forms of it.
    """

    page: Artifact
    told: Artifact


class Recorded(Result):
    """The MLflow run and LoggedModel that hold a training's record."""

    note: Artifact
    run_id: str
    model_id: str


class Candidate(Result):
    """What the registry holds of an adapter: a version, under the alias `challenger` where no gate refused it."""

    note: Artifact
    name: str
    version: str
    is_challenger: bool
    model_uri: str
    run_id: str


class Prepared(Result):
    """All that the flow `prepare` hands to `finetune`; its key is that of the split."""

    raw: RawData
    clean: ScrubbedData
    checked: CheckedData
    split: Split


class Outcome(Frozen):
    """All that a whole run ends with."""

    prepared: Prepared
    adapter: Adapter
    evaluation: Evaluation
    champion: ChampionEvaluation
    verdict: Verdict
    page: Report
    candidate: Candidate

"""What people said of an evaluation: frozen, unblinded, and without a text of a row."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from tasks.results import Artifact, Frozen, Result

Scale = Literal["relevance", "factual_accuracy", "brand_voice", "safety"]
Opponent = Literal["base", "champion"]  # the arm whose answers stand beside those of the arm `tuned`
Side = Literal["tuned", "against"]
SCALES: tuple[Scale, ...] = get_args(Scale)
SIDES: tuple[Side, ...] = get_args(Side)
MAX_NOTES = 2000  # characters


class Sheet(Result):
    """The rows that reviewers are asked about, and the secret that says which answer of a row stands first.

    `rows` are ids in the order of the sheet; row 1 is the first. `predictions` holds the answers of the tuned
    arm, `opponents` those of the other one: the same file, or that of the champion (see `tasks.results.Answers`).
    """

    evaluation: str
    predictions: Artifact
    opponents: Artifact
    against: Opponent
    rows: tuple[str, ...]
    secret: Artifact

    @property
    def name(self) -> str:
        """What pages and files call it. Begins with letters, so that no spreadsheet takes it for a number."""
        return f"sheet-{self.digest[:16]}"


class Marks(Frozen):
    """What one reviewer gave one answer, 1 (worst) to 5 on each scale, and why."""

    relevance: int = Field(ge=1, le=5)
    factual_accuracy: int = Field(ge=1, le=5)
    brand_voice: int = Field(ge=1, le=5)
    safety: int = Field(ge=1, le=5)
    notes: str = Field("", max_length=MAX_NOTES)

    def on(self, scale: Scale) -> int:
        """The score on one scale."""
        return int(getattr(self, scale))


class Card(Frozen):
    """What one reviewer said of one row; `preferred` is None where they did not say."""

    row: str
    tuned: Marks
    against: Marks
    preferred: Side | Literal["neither"] | None = None

    def of(self, side: Side) -> Marks:
        """The marks of one side."""
        return self.tuned if side == "tuned" else self.against


class Scorecard(Result):
    """One reviewer's whole sheet; `supersedes` is the digest of the one that they left for it before."""

    evaluation: str
    sheet: str
    against: Opponent
    reviewer: str
    cards: tuple[Card, ...]
    supersedes: str | None = None


class Showstopper(Frozen):
    """A score so low that no mean makes up for it."""

    row: str
    scale: Scale
    score: int
    reviewer: str


class Figure(Frozen):
    """One figure that a gate may ask for."""

    name: str
    value: float


class People(Result):
    """What all reviewers say together.

    `against` is what the tuned arm was compared with, None where nobody scored anything. `lacks` says why reviewers or
    rows are too few for a figure, so that a gate on one refuses; empty where they are enough. `showstoppers` are those
    of every scorecard, of which one is enough.
    """

    against: Opponent | None
    n_reviewers: int
    n_rows: int
    figures: tuple[Figure, ...]
    lacks: str = ""
    showstoppers: tuple[Showstopper, ...] = ()

    def value(self, name: str) -> float | None:
        """A figure, or None where there is none of that name."""
        return next((figure.value for figure in self.figures if figure.name == name), None)

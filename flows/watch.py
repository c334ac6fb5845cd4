"""What the Prefect UI shows of a run: the lines of its stages, a progress bar while it trains, the review page.

At a terminal all of it stays away: the display of stages is there. Never decides or runs a stage.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from rich.console import Console

from conf.schema import Recipe
from conf.settings import settings, without_password
from flows.events import tell
from flows.review import review
from flows.runs import deployed_run
from flows.terminal import StageBoard
from tasks import judge
from tasks.artifacts import Store
from tasks.progress import Board, listening
from tasks.register.runs import run_page
from tasks.report.answers import read_answers
from tasks.report.facts import Told
from tasks.results import Outcome

SECONDS_BETWEEN_UPDATES = 5.0  # of the progress bar: each is a request


def watched() -> AbstractContextManager[Board | None]:
    """Within the block, stages of a deployed run tell the UI where they are."""
    return _told_to_the_ui() if deployed_run() else nullcontext()


@contextmanager
def _told_to_the_ui() -> Iterator[Board]:
    with UiBoard() as board, listening(board):
        yield board


class UiBoard(StageBoard):
    """The lines of a stage board as log lines of the flow run, and a progress bar for the stages that take long."""

    BARS = ("scrub", "train", "evaluate")

    def __init__(self) -> None:
        super().__init__(console=Console(file=cast(TextIO, _Log(get_run_logger())), width=200, color_system=None))
        self._bars: dict[str, UUID] = {}
        self._updated = 0.0

    def progress(self, name: str, done: float, total: float | None = None, unit: str = "rows", note: str = "") -> None:
        """A stage is so far; see `StageBoard.progress`."""
        super().progress(name, done, total, unit, note)
        if name in self.BARS and total and time.monotonic() - self._updated >= SECONDS_BETWEEN_UPDATES:
            self._updated = time.monotonic()
            self._draw(name, 100 * done / total)

    def finished(self, name: str, summary: str = "") -> None:
        """A stage is done."""
        super().finished(name, summary)
        if name in self._bars:
            self._draw(name, 100.0)

    def _draw(self, name: str, percent: float) -> None:
        try:
            if name not in self._bars:
                bar = create_progress_artifact(percent, key=f"progress-{name}", description=f"{name}, percent")
                self._bars[name] = cast(UUID, bar)
            update_progress_artifact(self._bars[name], percent, description=f"{name}: {self.stages[name].figures()}")
        except httpx.HTTPError as error:  # a bar that cannot be drawn is no reason to end a training
            logging.getLogger("tunegate").warning("%s: its progress could not be shown: %r", name, error)


class _Log:
    """A text stream whose lines are log lines."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._logger = logger

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._logger.info(line.rstrip())
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def publish(recipe: Recipe, outcome: Outcome) -> None:
    """Put the review page beside a deployed run, say that there is a candidate, and fail the run if a gate refused.

    Raises:
        GateRefused: deployed, and a gate refused; at a terminal the caller shows it.
    """
    if deployed_run() is None:
        return
    name, candidate = recipe.registered_name, outcome.candidate
    store, server = Store.of(settings()), without_password(settings().tracking_uri)
    answered = read_answers(outcome.evaluation, outcome.champion, outcome.verdict, store.open)
    told = Told.model_validate_json(store.open(outcome.page.told).read_text(encoding="utf-8"))
    create_markdown_artifact(
        review(recipe, outcome, answered, told, server, run_page(settings(), candidate.run_id)),
        key=f"review-{name}",
        description=f"{name}: {outcome.verdict.state}",
    )
    judge.require(outcome.verdict)
    if candidate.is_challenger:
        tell("candidate.registered", name, f"{candidate.name} version {candidate.version} passed all its gates")

"""How a stage tells where it is, without knowing who listens. Never carries a text of a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from tasks.results import CheckedData, Result, Verdict
from tasks.summary import summary


class Board(Protocol):
    """Who listens: a terminal's display, or nobody."""

    def started(self, name: str) -> None:
        """A stage begins."""

    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        """A stage has `done` of `total` units behind it; `note` is a short figure such as `loss 0.21`."""

    def finished(self, name: str, summary: str) -> None:
        """A stage is done."""

    def cached(self, name: str, summary: str) -> None:
        """A stage was done before."""

    def refused(self, name: str, message: str) -> None:
        """A stage is done and its answer is no."""

    def failed(self, name: str, message: str) -> None:
        """A stage ended in an error."""


class Nobody:
    """The listener where no one looks."""

    def started(self, name: str) -> None: ...
    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None: ...
    def finished(self, name: str, summary: str) -> None: ...
    def cached(self, name: str, summary: str) -> None: ...
    def refused(self, name: str, message: str) -> None: ...
    def failed(self, name: str, message: str) -> None: ...


_board: ContextVar[Board] = ContextVar("board", default=Nobody())  # noqa: B039  # it holds nothing
_stage: ContextVar[str] = ContextVar("stage", default="")


def report(done: float, total: float | None = None, unit: str = "rows", note: str = "") -> None:
    """Say that the running stage has `done` of `total` units behind it."""
    _board.get().progress(_stage.get(), done, total, unit, note)


def cached(name: str, result: Result) -> None:
    """Say that a stage was done before."""
    tell = _board.get().refused if is_refusal(result) else _board.get().cached
    tell(name, summary(result))


def finished(name: str, result: Result) -> None:
    """Say that a stage is done."""
    tell = _board.get().refused if is_refusal(result) else _board.get().finished
    tell(name, summary(result))


def is_refusal(result: Result) -> bool:
    """Whether the stage was done well and what it found stops the run."""
    return (isinstance(result, Verdict) and not result.passed) or (
        isinstance(result, CheckedData) and bool(result.refusals)
    )


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name the stage that reports within the block; an error that leaves the block is told to the board."""
    token = _stage.set(name)
    _board.get().started(name)
    try:
        yield
    except BaseException as error:
        first = str(error).splitlines()
        _board.get().failed(name, first[0] if first else type(error).__name__)
        raise
    finally:
        _stage.reset(token)


@contextmanager
def listening(board: Board) -> Iterator[None]:
    """Send what stages tell to `board` within the block."""
    token = _board.set(board)
    try:
        yield
    finally:
        _board.reset(token)

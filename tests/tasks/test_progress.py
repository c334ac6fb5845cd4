"""What a stage tells, to whom, and in whose name."""

from __future__ import annotations

import pytest

from tasks.errors import DataError, GateRefused
from tasks.progress import cached, finished, is_refusal, listening, report, stage
from tasks.results import Artifact, CheckedData, GateResult, Recorded, Result, Verdict

FILE = Artifact(path="stage/k/file", sha256="0" * 64, bytes=1)
PASSED = GateResult(metric="accuracy", arm="tuned", min=0.5, max=None, value=0.9, state="passed", reason="holds")
HELD = Verdict(key="k", state="passed", gates=(PASSED,), comparison=FILE)
REFUSED = Verdict(key="k", state="failed", gates=(PASSED.model_copy(update={"state": "failed"}),), comparison=FILE)
KEPT = CheckedData(
    key="k",
    rows=(FILE,),
    rejected=FILE,
    report=FILE,
    n_rows=10,
    n_rejected=0,
    reasons=(),
    expectations_passed=2,
    expectations_failed=0,
    refusals=(),
)
UNFIT = KEPT.model_copy(update={"expectations_passed": 1, "refusals": ("too few rows",)})
RECORDED = Recorded(key="k", note=FILE, run_id="1234567890", model_id="m")


class Notes:
    """A board that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def started(self, name: str) -> None:
        self.told.append(("started", name))

    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        self.told.append(("progress", name, done, total, unit, note))

    def finished(self, name: str, summary: str) -> None:
        self.told.append(("finished", name, summary))

    def cached(self, name: str, summary: str) -> None:
        self.told.append(("cached", name, summary))

    def refused(self, name: str, message: str) -> None:
        self.told.append(("refused", name, message))

    def failed(self, name: str, message: str) -> None:
        self.told.append(("failed", name, message))


def test_progress_is_told_in_the_name_of_the_stage_that_runs() -> None:
    board = Notes()
    with listening(board), stage("scrub"):
        report(10, 20, note="half")
        report(3, unit="steps")
    assert board.told == [
        ("started", "scrub"),
        ("progress", "scrub", 10, 20, "rows", "half"),
        ("progress", "scrub", 3, None, "steps", ""),
    ]


def test_a_stage_within_a_stage_gives_the_name_back() -> None:
    board = Notes()
    with listening(board), stage("train"):
        with stage("smoke"):
            report(1)
        report(2)
    assert [told[1] for told in board.told] == ["train", "smoke", "smoke", "train"]


def test_nobody_is_told_outside_of_a_listening_block() -> None:
    board = Notes()
    with listening(board):
        pass
    with stage("scrub"):
        report(1)
    finished("record", RECORDED)
    assert board.told == []


def test_the_board_that_listened_before_listens_again() -> None:
    outer, inner = Notes(), Notes()
    with listening(outer), stage("scrub"):
        with listening(inner):
            report(1)
        report(2)
    assert [told[2] for told in inner.told] == [1]
    assert [told[2] for told in outer.told if told[0] == "progress"] == [2]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("tickets.jsonl: no row is left"), "tickets.jsonl: no row is left"),
        (GateRefused("the first", "the second"), "the first"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_an_error_is_told_in_one_line_and_goes_on(error: BaseException, line: str) -> None:
    board = Notes()
    with pytest.raises(type(error)) as raised, listening(board), stage("check"):
        raise error
    assert raised.value is error
    assert board.told == [("started", "check"), ("failed", "check", line)]


@pytest.mark.parametrize(
    ("result", "when_done", "when_done_before"),
    [
        (HELD, "finished", "cached"),
        (REFUSED, "refused", "refused"),
        (KEPT, "finished", "cached"),
        (UNFIT, "refused", "refused"),
        (RECORDED, "finished", "cached"),
    ],
)
def test_a_refusal_is_never_told_as_done(result: Result, when_done: str, when_done_before: str) -> None:
    board = Notes()
    with listening(board):
        finished("stage", result)
        cached("stage", result)
    assert [told[0] for told in board.told] == [when_done, when_done_before]
    assert is_refusal(result) == (when_done == "refused")

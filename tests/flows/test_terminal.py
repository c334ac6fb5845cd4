"""What a person at a terminal sees, and what a log gets instead."""

import io
import re
import threading
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from flows.terminal import STAGES, StageBoard, next_steps, outcome
from tasks import progress
from tasks.report.answers import read_comparison
from tests.tasks.report.finished import Run, finished_run


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def log() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=False)


def terminal(width: int = 80, *, colour: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, height=30, force_terminal=True, no_color=not colour)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(what: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(what)
    return written(console)


def line_of(board: StageBoard, name: str, width: int = 80) -> str:
    return next(line for line in shown(board.render(), width).splitlines() if name in line[:12])


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("run"), "classification", state="failed")


def outcome_of(run: Run) -> RenderableType:
    comparison = read_comparison(run.verdict, run.store.open)
    return outcome(run.evaluation, run.champion, run.verdict, comparison)


def test_a_log_gets_one_plain_line_an_event() -> None:
    clock, console = Clock(), log()
    with StageBoard(console=console, clock=clock) as board:
        board.cached("ingest", "1,477 rows")
        board.started("scrub")
        clock.now += 75
        board.finished("scrub", "1,470 rows, 7 rejected")
        board.started("judge")
        board.refused("judge", "1 of 3 gates refused")
        board.started("report")
        board.failed("report", "no space left")
    assert written(console).splitlines() == [
        "ingest: already done: 1,477 rows",
        "scrub: started",
        "scrub: done in 1:15: 1,470 rows, 7 rejected",
        "judge: started",
        "judge: refused after 0:00: 1 of 3 gates refused",
        "report: started",
        "report: failed after 0:00: no space left",
    ]


def test_a_log_gets_progress_only_every_thirty_seconds() -> None:
    clock, console = Clock(), log()
    with StageBoard(console=console, clock=clock) as board:
        board.started("train")
        for step in range(0, 100, 10):
            board.progress("train", step, 100, "steps", f"loss {1 / (step + 1):.2f}")
            clock.now += 7
        board.finished("train", "")
    assert written(console).splitlines() == [
        "train: started",
        "train: 50%, 50/100 steps, 1.4/s, loss 0.02, 0:35 left",
        "train: done in 1:10",
    ]


def test_a_log_line_is_never_broken_however_long_it_is() -> None:
    console = log()
    with StageBoard(console=console) as board:
        board.failed("report", "word " * 60)
    assert len(written(console).splitlines()) == 1


def test_a_log_holds_no_control_characters_and_no_markup_is_read_in_a_message() -> None:
    console = log()
    with StageBoard(console=console) as board:
        board.failed("train", "[red]see [/tmp][/red]")
    assert "[red]see [/tmp][/red]" in written(console)
    assert "\x1b" not in written(console)


def test_the_board_starts_with_every_stage_waiting_in_its_order() -> None:
    lines = shown(StageBoard(console=log()).render()).splitlines()
    assert [line.split()[1] for line in lines] == list(STAGES)
    assert {line.split()[0] for line in lines} == {"·"}


def test_a_running_stage_shows_its_share_its_rate_its_note_and_its_time() -> None:
    clock = Clock()
    board = StageBoard(console=log(), clock=clock)
    board.started("train")
    board.progress("train", 0, 882, "steps", "")
    clock.now += 20
    board.progress("train", 441, 882, "steps", "loss 0.21")
    line = line_of(board, "train")
    assert "50% 441/882 steps, 22/s, loss 0.21, 0:20 left" in line
    assert line.rstrip().endswith("0:20")


def test_a_stage_without_a_known_total_shows_what_is_done() -> None:
    board = StageBoard(console=log())
    board.started("ingest")
    board.progress("ingest", 1_200, None, "rows", "")
    assert "1,200 rows" in line_of(board, "ingest")
    assert "%" not in line_of(board, "ingest")


def test_a_rate_starts_anew_when_the_stage_goes_on_to_other_work() -> None:
    clock = Clock()
    board = StageBoard(console=log(), clock=clock)
    board.progress("evaluate", 0, 100, "rows", "base")
    clock.now += 10
    board.progress("evaluate", 100, 100, "rows", "base")
    board.progress("evaluate", 0, 100, "rows", "tuned")
    clock.now += 10
    board.progress("evaluate", 50, 100, "rows", "tuned")
    assert "50/100 rows, 5/s, tuned" in line_of(board, "evaluate")


def test_a_rate_starts_at_the_last_report_of_nothing_done() -> None:
    clock = Clock()
    board = StageBoard(console=log(), clock=clock)
    board.progress("evaluate", 0, 100, "rows", "prompted")  # its rows are not answered: the shots are picked meanwhile
    clock.now += 10
    board.progress("evaluate", 0, 100, "rows", "tuned")
    clock.now += 10
    board.progress("evaluate", 50, 100, "rows", "tuned")
    assert "50/100 rows, 5/s, tuned" in line_of(board, "evaluate")


def test_each_end_has_a_mark_and_a_word_and_not_a_colour_alone() -> None:
    board = StageBoard(console=log())
    board.finished("scrub", "1,470 rows")
    board.cached("ingest", "1,477 rows")
    board.refused("judge", "1 gate")
    board.failed("report", "no space left\nand more")
    assert "✓ scrub    1,470 rows" in line_of(board, "scrub")
    assert "↺ ingest   already done: 1,477 rows" in line_of(board, "ingest")
    assert "✗ judge    refused: 1 gate" in line_of(board, "judge")
    assert "✗ report   failed: no space left" in line_of(board, "report")
    assert "and more" not in shown(board.render())


def test_a_late_report_does_not_wake_a_stage_that_has_ended() -> None:
    board = StageBoard(console=log())
    board.started("scrub")
    board.finished("scrub", "all rows")
    board.progress("scrub", 1, 10, "rows", "")
    assert "all rows" in line_of(board, "scrub")


def test_a_stage_that_runs_when_the_block_is_left_is_shown_as_stopped() -> None:
    console = log()
    board = StageBoard(console=console)

    def interrupted() -> None:
        with board:
            board.started("train")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "train: stopped after 0:00" in written(console)
    assert "■ train" in line_of(board, "train")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_of_the_board_is_wider_than_the_terminal(width: int) -> None:
    board = StageBoard(console=terminal(width))
    board.finished("scrub", "a summary that goes on " * 20)
    board.started("train")
    board.progress("train", 100_000, 900_000, "steps", "a note that goes on " * 20)
    lines = shown(board.render(), width).splitlines()
    assert len(lines) == len(STAGES)
    assert max(map(len, lines)) <= width


def test_a_terminal_gets_the_board_itself_and_its_cursor_back() -> None:
    console = terminal()
    with StageBoard(console=console) as board:
        board.started("scrub")
        board.finished("scrub", "1,470 rows")
    assert "1,470 rows" in written(console)
    assert "scrub: started" not in written(console)
    assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")


def test_no_colour_is_written_where_none_is_wanted(refused: Run) -> None:
    console = terminal(colour=False)
    with StageBoard(console=console) as board:
        board.failed("train", "no space left")
    console.print(outcome_of(refused))
    coloured = [code for code in ("31", "32", "33", "34", "35", "36") if f"\x1b[{code}m" in written(console)]
    assert coloured == []
    assert "\x1b[1;31m" not in written(console)


def test_the_board_takes_what_stages_tell_from_any_thread(refused: Run) -> None:
    board = StageBoard(console=log())

    def stage(name: str) -> None:
        with progress.listening(board), progress.stage(name):
            for done in range(100):
                progress.report(done, 100, "rows", "")
            progress.finished(name, refused.split)

    threads = [threading.Thread(target=stage, args=(f"shard-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("✓ shard-" in line for line in shown(board.render()).splitlines()) == 8


def test_a_report_outside_a_stage_makes_no_line() -> None:
    board = StageBoard(console=log())
    with progress.listening(board):
        progress.report(1, 2)
    assert len(shown(board.render()).splitlines()) == len(STAGES)


def test_the_outcome_shows_every_arm_and_every_gate_within_80_columns(refused: Run) -> None:
    text = shown(outcome_of(refused))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    tuned = next(gate for gate in refused.verdict.gates if gate.metric == "accuracy")
    assert any(re.fullmatch(r"accuracy 0\.0\d\d 0\.[89]\d\d ▲ better", line) for line in lines)
    assert "latency_seconds_per_row 0.183 s 0.191 s" in lines  # its noise is not known: no word
    gate = lines.index(f"✗ failed accuracy {tuned.value:.3f} at least 0.97")
    assert lines[gate + 1] == f"tuned {tuned.low:.3f} to {tuned.high:.3f} 95 % sure"
    assert "✗ failed bleu not measured at least 0.5" in lines
    assert any(line.startswith("✓ passed accuracy +0.8") for line in lines)
    assert "✓ passed latency_seconds_per_row 0.191 s at most 0.5" in lines
    assert "REFUSED Of 9 gates 2 failed." in lines
    assert "bleu is missing: refused" in lines
    assert max(map(len, text.splitlines())) <= 80


def test_the_gates_that_refuse_stand_first(refused: Run) -> None:
    text = shown(outcome_of(refused))
    assert text.rindex("✗ failed") < text.index("✓ passed")


def test_a_passed_outcome_says_so_in_words_and_compares_with_the_champion(tmp_path: Path) -> None:
    text = shown(outcome_of(finished_run(tmp_path, champion=True)), 120)
    assert "PASSED  All 11 gates passed." in text
    assert "the word is on tuned against champion" in text
    assert "refused" not in text
    line = next(line for line in text.splitlines() if line.split()[:1] == ["exact_match"])
    assert line.rstrip().endswith("? open")


def test_an_inconclusive_outcome_says_how_many_rows_it_lacks(tmp_path: Path) -> None:
    text = " ".join(shown(outcome_of(finished_run(tmp_path, state="inconclusive")), 120).split())
    assert "INCONCLUSIVE, so refused Of 9 gates 1 is inconclusive." in text
    assert "test rows would settle it" in text


def test_the_next_steps_keep_the_path_and_both_commands_whole() -> None:
    page = Path("/a/very/long/home") / ("folder" * 12) / "report.html"
    prefect, mlflow = "PREFECT_HOME=/x prefect server start", "mlflow ui --backend-store-uri sqlite:///" + "y" * 70
    console = log()
    console.print(next_steps(page, prefect, mlflow), soft_wrap=True)
    lines = written(console).splitlines()
    assert any(line.endswith(f" {page}") for line in lines)
    assert any(line.endswith(f" {prefect}") for line in lines)
    assert any(line.endswith(f" {mlflow}") for line in lines)
    assert "promote" not in "".join(lines)


def test_a_passed_run_tells_how_to_ask_for_its_promotion() -> None:
    console = log()
    console.print(next_steps(Path("/report.html"), "prefect", "mlflow", "tunegate promote demo"), soft_wrap=True)
    assert written(console).splitlines()[-1] == "  promote     tunegate promote demo"

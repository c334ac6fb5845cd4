"""What a person at a terminal sees: stages as they run, base against tuned, where to look next.

Where the output is not a terminal, each event is one plain line, as a log wants it. Never decides or runs
a stage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tasks.report import wording
from tasks.report.answers import Comparison
from tasks.results import ChampionEvaluation, Evaluation, Verdict

State = Literal["waiting", "running", "done", "cached", "refused", "failed", "stopped"]

STAGES = (
    "ingest", "scrub", "check", "split", "base", "smoke", "train",
    "evaluate", "champion", "record", "judge", "report", "register",
)  # fmt: skip
SECONDS_BETWEEN_LINES = 30.0  # of progress, in a log
MARKS: dict[State, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": (" ", ""),
    "done": ("✓", "green"),
    "cached": ("↺", "cyan"),
    "refused": ("✗", "bold red"),
    "failed": ("✗", "bold red"),
    "stopped": ("■", "yellow"),
}
TOLD: dict[wording.Told, tuple[str, str]] = {
    "better": ("▲ better", "green"),
    "worse": ("▼ worse", "red"),
    "changed": ("changed", "dim"),
    "open": ("? open", "dim"),  # the interval holds zero
}
STATES = {
    "passed": ("✓ passed", "green"),
    "failed": ("✗ failed", "bold red"),
    "inconclusive": ("? open", "bold yellow"),
}
RULINGS = {
    "passed": ("PASSED", "bold green"),
    "failed": ("REFUSED", "bold red"),
    "inconclusive": ("INCONCLUSIVE, so refused", "bold yellow"),
}


@dataclass
class Stage:
    """One line of the board; times in seconds of the board's clock."""

    name: str
    state: State = "waiting"
    began: float = 0.0
    ended: float | None = None
    text: str = ""
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    note: str = ""
    first: tuple[float, float] | None = None  # the time and the count of the first report: what a rate is measured from
    last: float = 0.0  # time of the last report
    printed: float = 0.0  # time of the last line in a log

    def rate(self) -> float | None:
        """Units a second since the first report, or None before the second one."""
        if self.first is None or self.last <= self.first[0] or self.done <= self.first[1]:
            return None
        return (self.done - self.first[1]) / (self.last - self.first[0])

    def share(self) -> float | None:
        """How much is behind us, 0 to 1, or None where the total is not known."""
        return min(1.0, self.done / self.total) if self.total else None

    def left(self) -> float | None:
        """Seconds until the end at this rate, or None where that is not known."""
        rate = self.rate()
        return (self.total - self.done) / rate if rate and self.total and self.total > self.done else None

    def figures(self) -> str:
        """`810/1,300 rows, 240/s, loss 0.21, 0:02 left`."""
        parts = []
        if self.unit:
            of = f"/{self.total:,.0f}" if self.total else ""
            parts.append(f"{self.done:,.0f}{of} {self.unit}")
        rate = self.rate()
        if rate is not None:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
        left = self.left()
        parts += [self.note, "" if left is None else f"{wording.duration(left)} left"]
        return ", ".join(part for part in parts if part)


class StageBoard:
    """A live display of stages, the `tasks.progress.Board` of a terminal.

    Events may come from any thread, and for a stage that the board did not expect.

    Args:
        stages: in the order in which they run.
        console: where to write; a terminal gets the live display, anything else one plain line an event.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        stages: Iterable[str] = STAGES,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console()
        self.stages = {name: Stage(name) for name in stages}
        self._clock = clock
        self._lock = threading.RLock()
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self.render, console=self.console, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            running = [stage.name for stage in self.stages.values() if stage.state == "running"]
        for name in running:
            self._end(name, "stopped", "")
        if self._live is not None:
            self._live.stop()
            self._live = None

    def started(self, name: str) -> None:
        """A stage begins."""
        with self._lock:
            now = self._clock()
            self.stages[name] = Stage(name, "running", began=now, printed=now)
        self._say(name, "started")

    def progress(self, name: str, done: float, total: float | None = None, unit: str = "rows", note: str = "") -> None:
        """A stage is so far; the arguments are those of `tasks.progress.report`. One that has ended stays ended."""
        if not name:
            return  # work outside a stage, which has no line here
        with self._lock:
            if self._stage(name).state == "waiting":
                self.started(name)
            stage = self.stages[name]
            if stage.state != "running":
                return
            now = self._clock()
            if stage.first is None or done == 0 or done < stage.done or unit != stage.unit:
                stage.first = (now, done)  # the stage went on to another kind of work
            stage.done, stage.total, stage.unit, stage.note, stage.last = done, total, unit, note, now
            due = now - stage.printed >= SECONDS_BETWEEN_LINES
            if due:
                stage.printed = now
            share, figures = stage.share(), stage.figures()
        if due:
            self._say(name, f"{share:.0%}, {figures}" if share is not None else figures)

    def finished(self, name: str, summary: str = "") -> None:
        """A stage is done."""
        self._end(name, "done", summary)

    def cached(self, name: str, summary: str = "") -> None:
        """A stage was done before, and is not done again."""
        self._end(name, "cached", summary)

    def refused(self, name: str, message: str) -> None:
        """A gate or an expectation said no."""
        self._end(name, "refused", message)

    def failed(self, name: str, message: str) -> None:
        """A stage could not be done."""
        self._end(name, "failed", message)

    def render(self) -> RenderableType:
        """The board as it stands."""
        table = Table.grid(padding=(0, 1), expand=False)
        table.add_column(width=1)
        table.add_column(width=max(map(len, self.stages)))
        table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        table.add_column(justify="right", width=7)
        table.width = min(self.console.width, 100)
        with self._lock:
            for stage in self.stages.values():
                table.add_row(*self._line(stage))
        return table

    def _line(self, stage: Stage) -> tuple[RenderableType, RenderableType, RenderableType, RenderableType]:
        mark, style = MARKS[stage.state]
        name = Text(stage.name, style="dim" if stage.state == "waiting" else "bold" if stage.state == "running" else "")
        if stage.state == "waiting":
            return Text(mark, style=style), name, Text(""), Text("")
        spent = (self._clock() if stage.ended is None else stage.ended) - stage.began
        if stage.state == "running":
            return self._spinner, name, _progress(stage), Text(wording.duration(spent))
        words = {"done": "", "cached": "already done"}.get(stage.state, stage.state)
        text = Text(": ".join(part for part in (words, _first_line(stage.text)) if part))
        text.stylize(style if stage.state in {"refused", "failed"} else "dim" if stage.state == "cached" else "")
        return Text(mark, style=style), name, text, Text("" if stage.state == "cached" else wording.duration(spent))

    def _end(self, name: str, state: State, text: str) -> None:
        with self._lock:
            now = self._clock()
            stage = self._stage(name)
            if stage.state == "waiting":
                stage.began = now
            stage.state, stage.ended, stage.text = state, now, text
            spent = now - stage.began
        words = {"done": "done", "cached": "already done"}.get(state, state)
        after = f" in {wording.duration(spent)}" if state == "done" else f" after {wording.duration(spent)}"
        said = words if state == "cached" else f"{words}{after}"
        self._say(name, f"{said}: {text}" if text else said)

    def _stage(self, name: str) -> Stage:
        return self.stages.setdefault(name, Stage(name))

    def _say(self, name: str, text: str) -> None:
        """One line in a log; at a terminal the board itself tells."""
        if self._live is None:
            self.console.print(Text(f"{name}: {text}"), soft_wrap=True)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _progress(stage: Stage) -> RenderableType:
    share = stage.share()
    if share is None:
        return Text(stage.figures())
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=10)
    grid.add_column(justify="right", width=4)
    grid.add_column(overflow="ellipsis", no_wrap=True)
    grid.add_row(
        ProgressBar(total=1.0, completed=share, width=10, complete_style="cyan", finished_style="cyan"),
        f"{share:.0%}",
        Text(stage.figures()),
    )
    return grid


def outcome(
    evaluation: Evaluation, champion: ChampionEvaluation, verdict: Verdict, comparison: Comparison
) -> RenderableType:
    """The arms, then the gates: each with its number, its bound and its word."""
    return Group(Text(), _metrics(evaluation, champion, comparison), Text(), _gates(verdict), Text(), _ruling(verdict))


def _metrics(evaluation: Evaluation, champion: ChampionEvaluation, comparison: Comparison) -> Table:
    arms = wording.arms(evaluation, champion)
    rival = "champion" if "champion" in arms else "base"
    table = _table(f"{evaluation.n_rows:,} held-out rows; the word is on tuned against {rival}")
    table.add_column("metric")
    for name in arms:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for metric in wording.metrics_of_arms(evaluation):
        difference = comparison.against(rival, metric)
        word, style = ("", "dim") if difference is None else TOLD[wording.told(metric, difference.low, difference.high)]
        values = [wording.of_arm(evaluation, champion, arm, metric) for arm in arms]
        table.add_row(
            Text(metric),
            *(
                Text(wording.figure(metric, value) if value is not None else "", style="bold" if arm == "tuned" else "")
                for arm, value in zip(arms, values, strict=True)
            ),
            Text(word, style=style),
        )
    return table


def _gates(verdict: Verdict) -> Table:
    """Two lines a gate, so that its name and its interval are whole at 80 columns."""
    table = _table("Gates")
    table.add_column("", no_wrap=True)
    table.add_column("gate")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("asked", no_wrap=True)
    for gate in wording.worst_first(verdict.gates):
        between = wording.interval(gate.metric, gate.low, gate.high)
        sure = f"{100 * gate.confidence:g} % sure" if gate.confidence else ""
        table.add_row(
            Text(*STATES[gate.state]),
            Text.assemble(gate.metric, "\n", (wording.arm(gate), "dim")),
            Text.assemble(wording.measured(gate), *(("\n", (between, "dim")) if between else ())),
            Text.assemble(wording.bound(gate), *(("\n", (sure, "dim")) if sure else ())),
        )
    return table


def _ruling(verdict: Verdict) -> Text:
    word, style = RULINGS[verdict.state]
    why = [f"\n   {gate.reason}" for gate in wording.worst_first(verdict.gates) if not gate.passed]
    return Text.assemble(" ", (word, style), "  ", wording.headline(verdict.gates), *why)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=True, header_style="dim")


def next_steps(page: Path, prefect_ui: str, mlflow_ui: str, promote: str | None = None) -> Text:
    """Where to look next: the report's path, the commands that open both UIs, and the one that asks for a promotion.

    Print it with `soft_wrap=True`, so that a path or a command that is longer than the line can still be copied whole.
    """
    lines = Text("\nLook next\n")
    lines.append("  report      ", style="dim").append(str(page), style=f"bold link {page.absolute().as_uri()}")
    steps = [("Prefect UI", prefect_ui), ("MLflow UI", mlflow_ui), *([("promote", promote)] if promote else [])]
    for title, command in steps:
        lines.append(f"\n  {title:<12}", style="dim").append(command, style="bold")
    return lines

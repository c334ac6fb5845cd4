"""The commands of people who score answers: make a sheet, add a filled-in one, show what all say. Holds no rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from conf.policy import NAME
from conf.settings import settings
from flows.decisions import as_json_option, prepared, print_json
from tasks.account import account
from tasks.errors import RecipeError, StoreError
from tasks.people.results import Opponent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tasks.people.candidate import Version
    from tasks.people.collect import Opinion

_version = click.option("--version", metavar="N", help="Of MODEL-candidates; default: the challenger, or the newest.")


@click.group()
def scorecard() -> None:
    """Let people score answers, without knowing whose they are."""


@scorecard.command()
@click.argument("model")
@_version
@click.option("--rows", default=20, show_default=True, type=click.IntRange(1, 500), help="How many held-out rows.")
@click.option(
    "--against", type=click.Choice(get_args(Opponent)), help="Default: the champion where it answered, else the base."
)
@click.option("--out", type=click.Path(path_type=Path), help="The page; default: cards.html, without --csv.")
@click.option("--csv", "as_csv", type=click.Path(path_type=Path), help="The sheet for a spreadsheet.")
@as_json_option
def make(
    model: str,
    version: str | None,
    rows: int,
    against: Opponent | None,
    out: Path | None,
    as_csv: Path | None,
    as_json: bool,
) -> None:
    """Write the sheet of MODEL's candidate that reviewers fill in: a page, a CSV, or both."""
    from tasks.artifacts import Store, write_atomically
    from tasks.people.candidate import evaluated
    from tasks.people.cards import write_cards
    from tasks.people.collect import ROWS_NEEDED
    from tasks.people.page import render
    from tasks.people.sheet import count_rows, make_sheet, questions

    store = Store.of(prepared())
    found, evaluation, champion = evaluated(model, version, settings())
    sheet = make_sheet(evaluation, rows, against, store, champion)
    asked = questions(sheet, store)
    written = []
    if out is not None or as_csv is None:
        page = out or Path("cards.html")
        write_atomically(page, render(sheet, asked, f"{found.model}, version {found.version}"))
        written.append(str(page))
    if as_csv is not None:
        _write_new(as_csv, write_cards(sheet, asked))
        written.append(str(as_csv))
    needed = min(ROWS_NEEDED, count_rows(evaluation.predictions, store))
    few = f"\nBelow {needed} rows there is no figure: showstoppers alone count" if len(sheet.rows) < needed else ""
    if as_json:
        answer = {"model": found.model, "version": found.version, "against": sheet.against, "rows": len(sheet.rows)}
        print_json({"sheet": sheet.name, "files": written, **answer})
    else:
        click.echo(
            f"{', '.join(written)}: {sheet.name}, {len(sheet.rows)} rows of {found.model} version {found.version} "
            f"against the {sheet.against}\n"
            "At least two people fill it in, each for themselves; then, for each of them:\n\n"
            f"  tunegate scorecard add {sheet.name}.csv --as NAME{few}"
        )


@scorecard.command()
@click.argument("cards", type=click.Path(path_type=Path))
@click.option("--as", "reviewer", required=True, metavar="NAME", help="Whose scores they are.")
@as_json_option
def add(cards: Path, reviewer: str, as_json: bool) -> None:
    """Keep a reviewer's filled-in sheet, CARDS.csv, also in MLflow; a second one of theirs replaces the first."""
    if not re.fullmatch(NAME, reviewer):
        raise RecipeError("--as: small letters, digits and . _ - only, e.g. first-reviewer")
    content = _read(cards)
    from tasks.artifacts import Store
    from tasks.people.cards import read_cards, read_lines, sheet_of, unblinded
    from tasks.people.collect import add_scorecard, opinion_of, scorecards, standing
    from tasks.people.record import record_scorecard
    from tasks.people.sheet import answers, count_rows, find_sheet, order

    store = Store.of(prepared())
    lines = read_lines(cards.name, content)
    sheet = sheet_of(cards.name, lines, lambda name: find_sheet(name, store))
    said = unblinded(sheet, read_cards(cards.name, lines, sheet), order(sheet, store))
    kept = add_scorecard(sheet, reviewer, said, store, account())
    found, traces = record_scorecard(kept, answers(sheet, store), settings())
    see = f"see: tunegate scorecard show {found.model} --version {found.version}"
    of_sheet = [c for c in standing(scorecards(sheet.evaluation, store)) if c.sheet == sheet.digest]
    opinion = opinion_of(of_sheet, count_rows(sheet.predictions, store))
    if as_json:
        print_json({"scorecard": kept.digest, "traces": list(traces), "reviewers": list(opinion.reviewers)})
    else:
        click.echo(
            f"{reviewer}: {len(said)} rows of {found.model} version {found.version} kept, "
            f"{len(traces)} answers in MLflow\n{_waits_for(opinion) or see}"
        )


@scorecard.command()
@click.argument("model")
@_version
@as_json_option
def show(model: str, version: str | None, as_json: bool) -> None:
    """Show what people say of MODEL's candidate: scores of both arms, agreement, showstoppers."""
    from tasks.artifacts import Store
    from tasks.people.candidate import evaluated
    from tasks.people.collect import figures, opinion_of, scorecards, standing
    from tasks.people.sheet import count_rows

    store = Store.of(prepared())
    found, evaluation, _ = evaluated(model, version, settings())
    given = standing(scorecards(evaluation.digest, store))
    opinion = opinion_of(given, count_rows(evaluation.predictions, store))
    if as_json:
        named = {figure.name: figure.value for figure in figures(opinion)}
        print_json(
            {"model": found.model, "version": found.version, **opinion.model_dump(mode="json"), "figures": named}
        )
    else:
        from rich.console import Console

        Console().print(_table(found, opinion))


def _waits_for(opinion: Opinion) -> str:
    """What is missing before there is a figure; empty where nothing is."""
    return f"{opinion.lacks}: no figure before, so that nobody is led" if opinion.lacks else ""


def _table(found: Version, opinion: Opinion) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from tasks.people.page import MEANINGS
    from tasks.report.wording import short

    title = Text(f"{found.model} version {found.version}", style="bold")
    stoppers = [
        Text(f"✗ showstopper: row {short(s.row)}, {MEANINGS[s.scale][0].lower()} {s.score} ({s.reviewer})", "bold red")
        for s in opinion.showstoppers
    ]
    if opinion.preference is None:
        return Group(title, Text(_waits_for(opinion)), *stoppers)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("mean of 1 to 5")
    for name in ("tuned", str(opinion.against), "alpha"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in opinion.lines:
        alpha = "all the same" if line.agreement is None else f"{line.agreement:.2f}"
        table.add_row(MEANINGS[line.scale][0], Text(f"{line.tuned:.2f}", style="bold"), f"{line.against:.2f}", alpha)
    said = opinion.preference
    share = "" if said.share is None else f": {said.share:.0%} of those who decided prefer the tuned"
    return Group(
        title,
        Text(f"{opinion.n_rows} rows, {len(opinion.reviewers)} reviewers: {', '.join(opinion.reviewers)}", style="dim"),
        Text(),
        table,
        Text(),
        Text(f"preferred: tuned {said.tuned}, {opinion.against} {said.against}, neither {said.neither}{share}"),
        *(stoppers or [Text("no showstopper", style="green")]),
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror or 'cannot be read'}") from error


def _write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet: what is there may be half filled in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise StoreError(f"{file}: is there already, and may hold scores; name another file, or delete it") from error

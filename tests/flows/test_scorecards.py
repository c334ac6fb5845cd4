"""People score a candidate: a page filled in in a real browser, a spreadsheet, and what the commands make of both.

Screenshots of the page lie in the folder that TUNEGATE_SCREENSHOTS names, or in the test's own.
"""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import NEEDS_A_BROWSER, chromium, screenshots_folder
from tests.flows.place import Place

pytestmark = NEEDS_A_BROWSER

ROWS = 20
SCALES = ("relevance", "factual_accuracy", "brand_voice", "safety")
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where a candidate is registered."""
    made = Place(tmp_path_factory.mktemp("scorecards"))
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def sheet(place: Place) -> dict[str, Any]:
    """What `scorecard make` says; the page and the CSV lie in the place."""
    page, spreadsheet = str(place.folder / "cards.html"), str(place.folder / "cards.csv")
    done = place.command(
        "scorecard", "make", "tiny", "--rows", str(ROWS), "--out", page, "--csv", spreadsheet, "--json"
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return screenshots_folder(tmp_path_factory)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that knows nothing of the page yet."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, place: Place, sheet: dict[str, Any]) -> Iterator[Page]:
    """The page, opened from its file; whatever it asks of a network, or complains of, fails the test."""
    asked: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: asked.append(message.text))
    opened.on("pageerror", lambda error: asked.append(str(error)))
    opened.goto((place.folder / "cards.html").as_uri())
    yield opened
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []


def score(page: Page, row: int, letter: str, value: int) -> None:
    for scale in SCALES:
        page.locator(f"input[name='{row}_{letter}_{scale}'][value='{value}']").check()


def download(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


def lines_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline="")))


def test_make_writes_both_forms_of_one_sheet_and_says_what_to_do(place: Place, sheet: dict[str, Any]) -> None:
    assert (sheet["model"], sheet["version"], sheet["against"], sheet["rows"]) == ("tiny", "1", "base", ROWS)
    assert {line["sheet"] for line in lines_of(place.folder / "cards.csv")} == {sheet["sheet"]}
    assert sheet["sheet"] in (place.folder / "cards.html").read_text()
    assert stat.S_IMODE((place.folder / "cards.html").stat().st_mode) == 0o600
    again = place.command("scorecard", "make", "tiny", "--rows", str(ROWS), "--out", str(place.folder / "cards.html"))
    assert again.returncode == 0
    assert f"{sheet['sheet']}, {ROWS} rows of tiny version 1 against the base" in again.stdout
    (key,) = place.home.glob("store/sheets/*/order.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_spreadsheet_that_may_be_half_filled_in_is_never_written_over(place: Place, sheet: dict[str, Any]) -> None:
    file = place.folder / "cards.csv"
    before = file.read_bytes()
    done = place.command("scorecard", "make", "tiny", "--rows", str(ROWS), "--csv", str(file))
    assert done.returncode == 1
    assert f"{file}: is there already, and may hold scores" in done.stderr
    assert file.read_bytes() == before


def test_it_counts_what_is_scored_and_keeps_it_over_a_reload(page: Page) -> None:
    expect(page.locator("#done")).to_have_text(f"0 of {ROWS} scored")
    score(page, 1, "a", 4)
    expect(page.locator("article").first.locator("[data-state]")).to_have_text("4 to go")
    score(page, 1, "b", 3)
    page.locator("textarea[name='1_b_notes']").fill("two\nlines")
    expect(page.locator("#done")).to_have_text(f"1 of {ROWS} scored")
    page.reload()
    expect(page.locator("#done")).to_have_text(f"1 of {ROWS} scored")
    expect(page.locator("textarea[name='1_b_notes']")).to_have_value("two\nlines")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Forget all scores").click()
    page.reload()
    expect(page.locator("#done")).to_have_text(f"0 of {ROWS} scored")
    expect(page.locator("textarea[name='1_b_notes']")).to_have_value("")


def test_it_does_not_download_what_is_unfinished_unless_told(page: Page, tmp_path: Path, place: Place) -> None:
    score(page, 1, "a", 4)
    page.get_by_role("button", name="Download CSV").click()
    expect(page.get_by_role("alert")).to_contain_text(f"{ROWS} of {ROWS} rows not finished")
    page.get_by_role("button", name="Go to the first").click()
    expect(page.locator("input[name='1_b_relevance']").first).to_be_focused()
    page.get_by_role("button", name="Download CSV").click()
    file = download(page, "Download anyway", tmp_path)
    assert file.name.endswith("-unfinished.csv")
    done = place.command("scorecard", "add", str(file), "--as", "ada")
    assert done.returncode == 3
    assert f"error: {file.name}:2 b_relevance: missing; a whole number from 1 to 5" in done.stderr
    assert len(done.stderr.splitlines()) == 8 * ROWS - 4


def test_the_keyboard_alone_is_enough(page: Page, tmp_path: Path) -> None:
    page.locator("input[name='1_a_relevance']").first.focus()
    for row in range(ROWS):
        page.keyboard.type("54321234")
        page.keyboard.press("ATB"[row % 3] if row < ROWS - 1 else "Enter")
    expect(page.locator("#done")).to_have_text(f"{ROWS} of {ROWS} scored")
    lines = lines_of(download(page, "Download CSV", tmp_path))
    assert [line["preference"] for line in lines] == [*(("A", "tie", "B") * ROWS)[: ROWS - 1], ""]
    for line in lines:
        assert [line[f"a_{scale}"] for scale in SCALES] == ["5", "4", "3", "2"]
        assert [line[f"b_{scale}"] for scale in SCALES] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "＝", "＋", "－", "＠", "'"])  # noqa: RUF001
def test_notes_that_begin_like_a_formula_are_guarded_as_the_reader_expects(
    page: Page, tmp_path: Path, begins: str
) -> None:
    from tasks.people.cards import guarded, unguarded

    note = f'{begins}cmd|"/c calc"!A1, and\nmore'
    page.locator("textarea[name='1_a_notes']").fill(note)
    page.get_by_role("button", name="Download CSV").click()
    (first, *_) = lines_of(download(page, "Download anyway", tmp_path))
    assert first["a_notes"] == guarded(note)
    assert unguarded(first["a_notes"]) == note


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme"),
    [
        ("desktop", 1280, 900, "light"),
        ("dark", 1280, 900, "dark"),
        ("phone", 390, 844, "light"),
        ("small", 360, 740, "dark"),
    ],
)
def test_nothing_sticks_out_at_any_width(
    browser: Browser,
    place: Place,
    sheet: dict[str, Any],
    screenshots: Path,
    name: str,
    width: int,
    height: int,
    scheme: Any,
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto((place.folder / "cards.html").as_uri())
    page.screenshot(path=screenshots / f"scorecard-{name}-top.png")
    score(page, 1, "a", 5)
    score(page, 1, "b", 2)
    score(page, 2, "a", 4)
    page.locator("summary").nth(1).click()
    page.get_by_role("button", name="Download").first.click()
    page.locator("article").first.scroll_into_view_if_needed()
    page.screenshot(path=screenshots / f"scorecard-{name}-row.png")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    edges = "[...document.querySelectorAll('button, .choices span')].map(e => e.getBoundingClientRect().right)"
    assert max(page.evaluate(edges)) <= width
    context.close()


def test_one_reviewer_gives_no_figure(page: Page, place: Place, sheet: dict[str, Any], tmp_path: Path) -> None:
    for row in range(1, ROWS + 1):
        score(page, row, "a", 4)
        score(page, row, "b", 5)
        page.locator(f"input[name='{row}_preference'][value='B']").check()
    page.locator("textarea[name='2_a_notes']").fill('short, "but" right')
    file = download(page, "Download CSV", tmp_path)
    assert file.name == f"{sheet['sheet']}.csv"
    done = place.command("scorecard", "add", str(file), "--as", "ada")
    assert done.returncode == 0, done.stderr
    assert f"ada: {ROWS} rows of tiny version 1 kept, {2 * ROWS} answers in MLflow" in done.stdout
    assert "1 of 2 reviewers" in done.stdout
    shown = place.command("scorecard", "show", "tiny")
    assert shown.returncode == 0, shown.stderr
    assert "1 of 2 reviewers" in shown.stdout
    said = json.loads(place.command("scorecard", "show", "tiny", "--json").stdout)
    assert (said["figures"], said["lines"], said["reviewers"]) == ({}, [], ["ada"])


def test_a_second_one_with_a_spreadsheet_makes_them_figures(place: Place, tmp_path: Path) -> None:
    lines = lines_of(place.folder / "cards.csv")
    for line in lines:
        line |= {f"{letter}_{scale}": "5" for letter in "ab" for scale in SCALES}
    lines[0] |= {"a_safety": "1", "b_safety": "1"}  # whichever is the candidate's
    file = tmp_path / "filled.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(lines)
    for _ in range(2):  # the second time changes nothing
        done = place.command("scorecard", "add", str(file), "--as", "ben")
        assert done.returncode == 0, done.stderr
        assert "see: tunegate scorecard show tiny --version 1" in done.stdout
    said = json.loads(place.command("scorecard", "show", "tiny", "--json").stdout)
    assert said["reviewers"] == ["ada", "ben"]
    assert said["figures"]["showstoppers"] == 1
    # ada gave the candidate 4 where it was A and 5 where it was B: half of the rows each
    assert said["figures"]["people_relevance"] == (4.5 + 5) / 2
    assert said["figures"]["people_preference"] == 0.5
    shown = place.command("scorecard", "show", "tiny").stdout
    assert f"{ROWS} rows, 2 reviewers: ada, ben" in shown
    assert "✗ showstopper: row " in shown
    assert ", safety 1 (ben)" in shown


def test_the_scores_stand_in_mlflow_under_the_reviewers_names(place: Place) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    traces = client.search_traces(locations=[experiment.experiment_id])
    assert len(traces) == 2 * ROWS
    for trace in traces:
        named = {(a.source.source_id, a.name) for a in trace.info.assessments}
        assert {("ada", scale) for scale in SCALES} | {("ben", scale) for scale in SCALES} <= named
        assert len([a for a in trace.info.assessments if a.name == "safety"]) == 2


@pytest.mark.parametrize("name", ["Ada", "a da", "../x", ""])
def test_a_reviewers_name_is_one_of_a_few_letters(place: Place, sheet: dict[str, Any], name: str) -> None:
    done = place.command("scorecard", "add", str(place.folder / "cards.csv"), "--as", name)
    assert done.returncode == 3
    assert done.stderr.startswith("error: --as: small letters, digits")


def test_a_file_that_is_not_there_is_one_clear_line(place: Place, tmp_path: Path) -> None:
    done = place.command("scorecard", "add", str(tmp_path / "none.csv"), "--as", "ada")
    assert done.returncode == 3
    assert done.stderr == f"error: {tmp_path / 'none.csv'}: No such file or directory\n"


def test_a_showstopper_is_shown_before_there_is_a_figure_and_the_figure_says_what_it_waits_for() -> None:
    from rich.console import Console

    from flows.scorecards import _table
    from tasks.people.candidate import Version
    from tasks.people.collect import opinion_of
    from tasks.people.results import Scorecard
    from tests.tasks.people.made import card, marks

    cards = (card(0, marks(5, safety=2), marks(5)),)
    alone = Scorecard(key="k", evaluation="e", sheet="s", against="base", reviewer="ada", cards=cards)
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as shown:
        console.print(_table(Version(model="m", version="1", run_id="r", experiment_id="x"), opinion_of([alone], 40)))
    assert "1 of 2 reviewers, 1 of 20 rows: no figure before" in shown.get()
    assert ", safety 2 (ada)" in shown.get()

"""The platform as its people use it, in a real browser: pick a recipe, press Run, read the review, decide, roll back.

Screenshots of each page lie in the folder that TUNEGATE_SCREENSHOTS names, or in the test's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import NEEDS_A_BROWSER, chromium, screenshots_folder
from tests.flows.place import Place
from tests.flows.platform import Platform, platform
from tests.waiting import wait_for

pytestmark = NEEDS_A_BROWSER

APPROVER, OTHER = "first-approver", "second-approver"
RUN_SECONDS = 600
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("ui"))


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Platform]:
    with platform(place) as up:
        yield up


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(30_000)
        yield page


class Person:
    """Somebody at the browser."""

    def __init__(self, page: Page, server: Platform, place: Place, folder: Path) -> None:
        self.page, self.server, self.place, self.folder = page, server, place, folder
        self.seen = 0

    def opens(self, path: str) -> None:
        self.page.goto(f"{self.server.ui}{path}")

    def rests(self) -> None:
        """Nobody draws a moving page on the cores that train."""
        self.page.goto("about:blank")

    def looks(self, name: str) -> None:
        self.page.wait_for_timeout(1500)  # until what moves has come to rest
        self.page.screenshot(path=self.folder / f"{self.seen:02d}-{name}.png")
        self.seen += 1

    def opens_the_form_of(self, deployment: str) -> None:
        self.opens("/deployments")
        self.page.get_by_role("link", name=deployment, exact=True).last.click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Custom run").click()
        expect(self.page.get_by_text("Validate parameters")).to_be_visible()

    def field(self, label: str) -> Locator:
        return self.page.locator(".p-label").filter(has=self.page.get_by_text(label, exact=True)).last

    def picks(self, label: str, choice: str) -> None:
        self.field(label).locator(".p-select-button__control").focus()
        self.page.keyboard.press("ArrowDown")
        self.page.get_by_role("option", name=choice).click()

    def writes(self, label: str, text: str) -> None:
        self.field(label).locator("textarea, input").last.fill(text)

    def presses(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).last.click()
        self.page.wait_for_timeout(4000)  # the browser sends while Playwright waits, not while the test does

    def submits(self) -> None:
        """Press Submit on a form that is filled in, and wait until the server has taken it: the form is gone.

        Where it stays open it is pressed again, as a person does: Prefect's server answers 503 and takes nothing when
        two write to its SQLite at once; its own client sends such a request again, its page does not.
        """
        button = self.page.get_by_role("button", name="Submit", exact=True)
        for seconds in (40, 40, 120):
            button.last.click()
            with contextlib.suppress(AssertionError):
                expect(button).to_have_count(0, timeout=1000 * seconds)
                return
        pytest.fail("the form stays open")


@pytest.fixture(scope="module")
def person(browser_page: Page, server: Platform, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Person:
    for approver in (APPROVER, OTHER):
        assert "otpauth://totp/" in place.command("enroll", approver).stdout
    return Person(browser_page, server, place, screenshots_folder(tmp_path_factory))


def test_an_engineer_picks_a_recipe_presses_run_and_watches(person: Person, server: Platform) -> None:
    person.opens_the_form_of("retrain")
    person.picks("recipe", "tiny")
    person.looks("form")
    person.submits()
    run = server.wait_for_run("retrain", "Running")
    person.opens(f"/runs/flow-run/{run}")
    person.looks("running")
    person.rests()
    server.wait_for_state(run, "Completed", "Failed", "Crashed", seconds=RUN_SECONDS)
    person.opens(f"/runs/flow-run/{run}")
    expect(person.page.get_by_text("Completed").first).to_be_visible()
    (training,) = server.runs("finetune", "Completed")
    person.opens(f"/runs/flow-run/{training}")
    expect(person.page.get_by_text("train: done in").first).to_be_visible()
    person.looks("finetune")


def test_the_review_page_is_an_artifact_of_the_run(person: Person, server: Platform) -> None:
    found = server.artifact("review-tiny")
    assert found["data"].startswith("# Passed: tiny-candidates version 1")
    (training,) = server.runs("finetune", "Completed")
    assert found["flow_run_id"] == training
    person.opens(f"/artifacts/artifact/{found['id']}")
    expect(person.page.get_by_text("Passed: tiny-candidates version 1")).to_be_visible()
    expect(person.page.get_by_text("perplexity").first).to_be_visible()
    person.looks("review")


def test_the_candidate_waits_for_a_person_and_an_empty_form_decides_nothing(person: Person, server: Platform) -> None:
    run = server.wait_for_run("promote", "Suspended")
    person.opens(f"/runs/flow-run/{run}")
    person.presses("Resume")
    expect(person.page.get_by_text("Make tiny-candidates version 1 the champion of tiny?")).to_be_visible()
    person.looks("request")
    person.presses("Submit")
    person.looks("empty-form")
    assert server.state(run)["name"] == "Suspended"
    assert person.place.alias("champion") is None
    person.rests()


def test_it_outlives_a_restart_of_everything(server: Platform) -> None:
    run = server.wait_for_run("promote", "Suspended")
    assert "stopped" in server.down()
    assert server.processes() == []
    server.up()
    assert server.state(run)["name"] == "Suspended"


def test_the_approver_decides_in_the_form_and_the_champion_moves(person: Person, server: Platform) -> None:
    run = server.wait_for_run("promote", "Suspended")
    candidate = person.place.candidate("1")
    person.opens(f"/runs/flow-run/{run}")
    person.presses("Resume")
    person.picks("Decision", "approve")
    for label, text in (("Approver", APPROVER), ("Candidate", candidate[:12]), ("Reason", "read the review")):
        person.writes(label, text)
    person.writes("Code", person.place.code(APPROVER))
    person.looks("decision")
    person.submits()
    state = server.wait_for_state(run, "Completed", "Failed", "Crashed")
    assert state["name"] == "Completed", state["message"]
    person.opens(f"/runs/flow-run/{run}")
    person.looks("promoted")
    person.rests()
    assert person.place.alias("champion") == "1"


def test_one_click_rolls_back(person: Person, server: Platform) -> None:
    server.start("retrain/retrain", recipe="tiny", overrides=["training.seed=7"])
    run = server.wait_for_run("promote", "Suspended")
    server.resume(
        run,
        decision="approve",
        approver=APPROVER,
        candidate=person.place.candidate("2")[:12],
        reason="better",
        code=person.place.code(APPROVER),
    )
    wait_for(lambda: person.place.alias("champion") == "2")
    person.opens_the_form_of("rollback")
    for label, text in (("model", "tiny"), ("approver", APPROVER), ("reason", "wrong answers")):
        person.writes(label, text)
    person.writes("code", person.place.code(APPROVER))
    person.looks("rollback")
    person.submits()
    # one alias is moved after the other
    wait_for(lambda: (person.place.alias("champion"), person.place.alias("previous")) == ("1", "2"), seconds=120)
    assert person.place.command("verify").returncode == 0


def test_mlflow_shows_the_champion(person: Person, server: Platform) -> None:
    person.page.goto(f"{server.mlflow}/#/models/tiny")
    expect(person.page.get_by_text("champion").first).to_be_visible()
    person.looks("mlflow")

"""Each gate refuses what it is there for: recipes that are bad in one way, and their good twin, run for real.

What is wrong with a recipe, which gate must say so and in what words stands at the head of its file.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tasks.people.results import SCALES
from tests.flows.bad_recipes.made import make
from tests.flows.warm import WarmCommandLine

pytestmark = pytest.mark.long

RECIPES = Path(__file__).parent / "bad_recipes"
# In the order in which they cost least: what another has trained already is found in the store.
REFUSED = (
    "too_few_rows",
    "no_reviewers",
    "external_of_another",
    "leak",
    "poisoned_labels",
    "worst_slice",
    "custom_metric",
    "longest_quarter",
    "overfitting",
    "served",
    "forgotten_abilities",
    "forgetting",
    "over_refusal",
    "unsafe",
    "pii_missed",
    "pii_in_answers",
    "pii_disclosed",
)


class Head(NamedTuple):
    """What a recipe's comments say of it."""

    verdict: str
    gate: str
    says: str


class Desk:
    """A warm command line with a TUNEGATE_HOME of its own, and the data that all recipes read."""

    def __init__(self, folder: Path, line: WarmCommandLine) -> None:
        self.home, self._data, self._line = folder / "home", folder / "data", line

    def command(self, *arguments: str) -> str:
        """What `tunegate` with these arguments prints where it ends well."""
        ended = self._line.command(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def run(self, name: str) -> tuple[int, dict[str, Any]]:
        """The exit code of a recipe's run, and its answer."""
        recipe = RECIPES / f"{name}.yaml"
        model = f"model.model_name_or_path={self._data / 'base'}"
        ended = self._line.command("run", str(recipe), "--set", model, "--json")
        assert ended.stdout.startswith("{"), ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def crown(self, model: str, candidates: str) -> None:
        """Put the first version of a candidate into production under another model's name, as a promotion leaves it."""
        registry = self.registry
        registry.copy_model_version(f"models:/{candidates}/1", model)
        registry.set_registered_model_alias(model, "champion", "1")

    @property
    def registry(self) -> Any:
        """A client of the same registry."""
        import mlflow

        address = f"sqlite:///{self.home / 'mlflow.db'}"
        return mlflow.MlflowClient(address, address)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    make(folder / "data")
    own = {
        "TUNEGATE_HOME": str(folder / "home"),
        "TUNEGATE_DATA": str(folder / "data"),
        "TUNEGATE_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    with WarmCommandLine({**os.environ, **own}, folder / "log") as line:
        yield Desk(folder, line)


def head_of(name: str) -> Head:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    return Head(*(re.search(rf"^# {key}: +(.+)$", text, re.MULTILINE)[1] for key in ("Verdict", "Gate", "Says")))  # type: ignore[index]


def says(sentence: str, reason: str) -> bool:
    """Whether the reason is the sentence, with any words for each `…`."""
    return re.fullmatch(".+".join(map(re.escape, sentence.split("…"))), reason) is not None


def test_the_good_one_passes_and_challenges(desk: Desk) -> None:
    code, answer = desk.run("good")
    assert [gate["reason"] for gate in answer["gates"] if gate["state"] != "passed"] == []
    assert (code, answer["verdict"], answer["passed"]) == (0, "passed", True)
    assert answer["candidate"]["is_challenger"]


@pytest.mark.parametrize("name", REFUSED)
def test_each_gate_refuses_what_it_is_there_for_and_no_other_does(desk: Desk, name: str) -> None:
    head = head_of(name)
    code, answer = desk.run(name)
    refusing = [gate for gate in answer["gates"] if gate["state"] != "passed"]
    assert (code, answer["verdict"]) == (2, head.verdict)
    expected = [says(head.says, gate["reason"]) for gate in refusing]
    # where people are asked and none answered, their showstoppers are missing too
    if name == "no_reviewers":
        assert [gate["metric"] for gate in refusing] == ["people_factual_accuracy", "showstoppers"]
    else:
        assert len(refusing) == 1, [gate["reason"] for gate in refusing]
    assert expected[0], refusing[0]["reason"]
    assert not answer["candidate"]["is_challenger"]
    assert "challenger" not in desk.registry.get_registered_model(answer["candidate"]["name"]).aliases


def test_too_few_rows_say_how_many_would_settle_it(desk: Desk) -> None:
    _, answer = desk.run("too_few_rows")
    (gate,) = [gate for gate in answer["gates"] if gate["state"] == "inconclusive"]
    assert 20 < gate["rows_needed"] < 2000


def test_a_worse_one_than_the_champion_is_refused_and_was_good_enough_without_one(desk: Desk) -> None:
    _, first = desk.run("worse_than_champion")
    assert first["passed"]  # there is nobody to be worse than
    desk.run("good")
    desk.crown("worse-than-champion", "good-candidates")
    code, answer = desk.run("worse_than_champion")
    head = head_of("worse_than_champion")
    (gate,) = [gate for gate in answer["gates"] if gate["state"] != "passed"]
    assert (code, answer["verdict"]) == (2, head.verdict)
    assert says(head.says, gate["reason"]), gate["reason"]
    assert not answer["candidate"]["is_challenger"]


def test_one_answer_that_one_reviewer_calls_unsafe_is_refused_for_good_though_no_gate_asks_people(
    desk: Desk, tmp_path: Path
) -> None:
    _, first = desk.run("showstopper")
    assert first["passed"]  # nobody has looked
    cards = tmp_path / "cards.csv"
    desk.command("scorecard", "make", "showstopper", "--rows", "3", "--csv", str(cards))
    with cards.open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        line |= {f"{letter}_{scale}": "5" for letter in "ab" for scale in SCALES}
    lines[0] |= {"a_safety": "2", "b_safety": "2"}  # whichever is the candidate's
    with cards.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    desk.command("scorecard", "add", str(cards), "--as", "ada")
    code, answer = desk.run("showstopper")
    head = head_of("showstopper")
    (gate,) = [gate for gate in answer["gates"] if gate["state"] != "passed"]
    assert (code, answer["verdict"], gate["overridable"]) == (2, head.verdict, False)
    assert says(head.says, gate["reason"]), gate["reason"]
    assert not answer["candidate"]["is_challenger"]


def test_every_recipe_of_the_pack_is_run() -> None:
    there = {file.stem for file in RECIPES.glob("*.yaml")}
    assert there == {"good", "worse_than_champion", "showstopper", *REFUSED}

"""The review page in Markdown: the verdict first, every gate with its number, the digits that an approver types."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from flows.review import MINUS, review
from tasks.report.answers import Answered, read_answers
from tasks.report.facts import Told
from tasks.results import Candidate, Outcome, Prepared, Report
from tests.tasks.report.finished import STOPPED, Run, finished_run


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("passed"), champion=True)


@pytest.fixture(scope="module")
def unclear(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("unclear"), state="inconclusive")


def answered(run: Run) -> Answered:
    return read_answers(run.evaluation, run.champion, run.verdict, run.store.open)


def outcome(run: Run) -> Outcome:
    """All that the run ends with; page and candidate as the last stages leave them."""
    note = run.smoke.report
    return Outcome(
        prepared=Prepared(key="split", raw=run.raw, clean=run.clean, checked=run.checked, split=run.split),
        adapter=run.adapter,
        evaluation=run.evaluation,
        champion=run.champion,
        verdict=run.verdict,
        page=Report(key="report", page=note, told=note),
        candidate=Candidate(
            key="register", note=note, name="tickets-candidates", version="4", is_challenger=run.verdict.passed,
            model_uri="models:/m-1", run_id="run-1",
        ),
    )  # fmt: skip


def reviewed(run: Run) -> str:
    return review(run.recipe, outcome(run), answered(run), told(run), "http://mlflow:5000")


def told(run: Run) -> Told:
    """What else the page was told."""
    return Told(people=run.people, since=run.more.get("since"), seconds=run.more.get("seconds", {}))


def part(text: str, title: str) -> list[str]:
    """The lines below a heading, up to the next one."""
    after = text.split(f"## {title}", 1)[1].splitlines()[1:]
    end = next((i for i, line in enumerate(after) if line.startswith("## ")), len(after))
    return [line for line in after[:end] if line]


def test_the_verdict_comes_first_and_then_each_gate_with_its_interval(passed: Run) -> None:
    lines = reviewed(passed).splitlines()
    assert lines[0] == "# Passed: tickets-candidates version 4"
    assert lines[2] == "All 11 gates passed."
    gates = [line for line in lines if line.startswith("| ✓ passed")]
    assert len(gates) == len(passed.verdict.gates)
    first = passed.verdict.gates[0]
    assert f"| {first.value:.3f} | {first.low:.3f} to {first.high:.3f} | at least 0.8 | 95 % |" in gates[0]
    assert any(line.endswith("| at most 0.01 |  |") for line in gates)
    said = [line for line in lines[: lines.index("## Since the champion")] if line.startswith("- ")]
    assert len(said) == 2  # of those that passed, what there is to say of a slice; and which stand for good
    assert said[0].startswith(r"- ✓ passed: field\_accuracy of tuned in the worst label (technical")
    fixed = rf"unsafe\_rate of tuned {MINUS} base; leakage of the data; showstoppers of reviewers"
    assert said[1] == f"- Cannot be overridden: {fixed}"


def test_what_is_inconclusive_says_how_many_rows_would_settle_it(unclear: Run) -> None:
    lines = reviewed(unclear).splitlines()
    assert lines[0] == "# Inconclusive, so refused: tickets-candidates version 4"
    assert re.match(r"Of 9 gates 1 is inconclusive\. About [\d,]+ test rows would settle it; there are 240\.", lines[2])
    first = next(line for line in lines if line.startswith(("| ✓", "| ?", "| ✗")))
    assert first.startswith("| ? **inconclusive** | exact_match")
    (gate,) = (gate for gate in unclear.verdict.gates if gate.state == "inconclusive")
    assert gate.settle
    assert [line for line in lines if line.endswith(gate.settle)] == [
        "- ? **inconclusive**: " + gate.reason.replace("_", r"\_")
    ]


def test_a_gate_without_a_figure_says_why(unclear: Run) -> None:
    lines = reviewed(unclear).splitlines()
    assert r"- ✓ passed: exact\_match of tuned minus champion: no champion yet: nothing to compare with" in lines
    itself = replace(unclear, champion=unclear.champion.model_copy(update={"version": "3"}))
    assert part(reviewed(itself), "Since the champion") == [
        "This very adapter is the champion, version 3: there is nothing to compare with."
    ]


def test_licences_and_figures_of_other_tools_stand_in_it(passed: Run, unclear: Run) -> None:
    assert part(reviewed(passed), "Licences") == [
        "- package:llm\\_smollm2: Apache-2.0",
        "- tickets.jsonl: CC-BY-4.0",
        "- phone-notes.jsonl: **not stated**",
    ]
    _, _, *figures = part(reviewed(passed), "What other tools measured")
    others = answered(passed).others
    assert len(figures) == sum(len(other.figures) for other in others) > 0
    assert f"`{others[0].sha256[:12]}`" in figures[0]
    assert "What other tools measured" not in reviewed(unclear)


def test_every_arm_and_the_differences_to_the_champion_stand_with_their_intervals(passed: Run) -> None:
    text, comparison = reviewed(passed), answered(passed).comparison
    arms = part(text, "The arms on 240 held-out rows")
    assert arms[0] == "| metric | tuned | champion | prompted | base | served |"
    tuned = comparison.arms["tuned"]["exact_match"]
    line = next(line for line in arms if line.startswith("| Exact match"))
    assert f"| {tuned.value:.3f} ({tuned.low:.3f} to {tuned.high:.3f}) |" in line
    against = part(text, "Tuned against champion")
    assert any(line.startswith("| Exact match") and line.endswith("| not told apart |") for line in against)
    assert any(line.startswith("| Latency") and line.endswith("| noise not known |") for line in against)


def test_lost_rows_are_named_by_their_ids_alone_the_worst_first(passed: Run) -> None:
    text, found = reviewed(passed), answered(passed)
    counts, ids = part(text, "Rows against the champion")
    lost, won = found.outcome("lost").total, found.outcome("won").total
    assert counts.startswith(f"- {lost:,} lost, {won:,} won")
    assert re.findall(r"`(\w+)`", ids) == [row[:12] for row in found.outcome("lost").ids[:10]]


def test_no_text_of_a_row_stands_in_it(passed: Run) -> None:
    text = reviewed(passed)
    for group in answered(passed).examples:
        for example in group.shown:
            assert example.prompt not in text
            assert example.expected not in text


def test_failures_probes_and_what_became_of_the_rows_stand_in_it(passed: Run) -> None:
    text = reviewed(passed)
    failures = part(text, "Failures")
    assert failures[0] == "| kind | tuned | champion | prompted | base | served |"
    assert any(line.startswith("| Wrong label |") for line in failures)
    assert any(line.startswith("| Unsafe answers |") for line in part(text, "Off the task"))
    data = part(text, "Data")
    assert "- 2,100 personal values taken out of 1,120 rows; proof: 98.8 % of the planted ones" in data
    assert "- 0 of 240 test rows resemble a training row" in data


def test_what_changed_since_the_champion_stands_in_it(passed: Run, unclear: Run) -> None:
    since = part(reviewed(passed), "Since the champion")
    assert since[0] == "- The champion is tickets version 3"
    assert "- train rows: 800 kept, 200 added, 11 gone" in since
    assert "- recipe: training.learning\\_rate, 0.0004 → 0.0002" in since
    assert "- code: torch, 2.12.1 → 2.13.0" in since
    assert part(reviewed(unclear), "Since the champion") == ["There is no champion to compare with."]


def test_the_worst_slices_of_each_kind_stand_in_it(passed: Run) -> None:
    told, head, _, *found = part(reviewed(passed), "Slices")
    assert told == "Exact match on parts of the test rows, the worst 3 of each kind."
    assert head.endswith(f"tuned {MINUS} champion | truth between |")
    for kind, lines in answered(passed).comparison.slices.items():
        mine = [line for line in found if line.startswith(f"| {kind} |")]
        values = sorted(line.arms["tuned"].value or 0 for line in lines)[:3]
        assert [line.split(" | ")[3] for line in mine] == [f"{value:.3f}" for value in values]


def test_what_people_say_and_what_it_cost_stand_in_it(passed: Run, unclear: Run) -> None:
    text = reviewed(passed)
    asked, stoppers = part(text, "People")
    assert asked.startswith(
        "- 2 reviewers, 40 rows, tuned beside champion; of 5: relevance 4.61, factual accuracy 4.38"
    )
    assert stoppers == "- no showstopper"
    assert part(reviewed(unclear), "People") == ["Nobody was asked."]
    assert part(text, "Cost")[0] == "- 303,412 tokens trained on"
    assert part(text, "Cost")[1].startswith("- time: 11:32 in all stages: ingest ")
    stopped = replace(passed, people=passed.people.model_copy(update=STOPPED))
    assert "- ✗ **showstopper**: row `5e5e5e5e5e5e`, safety 2 (ben)" in part(reviewed(stopped), "People")


def test_it_says_what_an_approver_types_and_where_the_record_lies(passed: Run) -> None:
    text = reviewed(passed)
    assert f"Adapter `{passed.adapter.weights.sha256[:12]}`: what an approver types" in text
    assert "MLflow run `run-1` of http://mlflow:5000" in text


def test_where_a_browser_finds_the_run_it_is_a_link(passed: Run) -> None:
    page = "http://mlflow:5000/#/experiments/1/runs/run-1"
    text = review(passed.recipe, outcome(passed), answered(passed), told(passed), "http://mlflow:5000", page)
    assert f"MLflow run [`run-1`]({page}) of http://mlflow:5000, with report.html" in text


def test_a_name_of_a_slice_makes_no_markup(passed: Run) -> None:
    gate = passed.verdict.gates[0].model_copy(update={"slice": "label", "worst": "a | b\n[c](http://d) <i>"})
    verdict = passed.verdict.model_copy(update={"gates": (gate,)})
    changed = outcome(passed).model_copy(update={"verdict": verdict})
    text = review(passed.recipe, changed, answered(passed), told(passed), "")
    assert r"(a \| b \[c\](http://d) \<i\>)" in text


def test_the_page_of_77_labels_stays_small(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "classification", state="failed")
    assert len(reviewed(run).encode()) < 20_000

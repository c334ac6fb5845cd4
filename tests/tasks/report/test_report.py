"""The page, rendered from finished runs."""

import html
import json
import re
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
from tasks.errors import DigestMismatch
from tasks.report import render, resolved_recipe
from tasks.results import Artifact
from tests.tasks.report.finished import Run, finished_run

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


@pytest.fixture(params=["page", "refused_page"])
def any_page(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_the_stage_leaves_one_html_file_bound_to_all_that_it_shows(run: Run) -> None:
    report = run.written()
    text = run.store.open(report.page).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert report.page.path == "report/page/report.html"
    assert report.parents[-1] == run.verdict.digest
    assert len(report.parents) == 8


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
    }
    page = Page(any_page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"]
    assert "url(http" not in any_page
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in (policy or "")


def test_every_link_of_the_page_leads_to_a_place_on_it(any_page: str) -> None:
    page = Page(any_page)
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links
    assert links <= {f"#{a['id']}" for _, a in page.tags if "id" in a}


def test_the_verdict_stands_before_everything_else(page: str, refused_page: str) -> None:
    for text, word in ((page, "PASSED"), (refused_page, "REFUSED")):
        sections = [a["id"] for tag, a in Page(text).tags if tag == "section"]
        assert sections[0] == "verdict"
        assert word in Page(text[text.index('id="verdict-word"') :]).text[:40]


def test_every_gate_is_named_with_its_number_its_bound_and_its_word(refused_page: str, refused_run: Run) -> None:
    verdict = refused_page[refused_page.index('id="verdict"') : refused_page.index('id="metrics"')]
    text = Page(verdict).text
    for gate in refused_run.verdict.gates:
        assert gate.metric in text
    assert "2 of 4 gates refused." in text
    assert text.count("✗ refused") == 2
    assert text.count("✓ passed") == 2
    assert "not measured" in text
    assert "at least 0.3" in text
    assert "at most 2" in text


def test_each_metric_stands_with_both_arms_and_the_right_direction(page: str) -> None:
    rows = re.findall(r"<tr>.*?</tr>", page[page.index('id="metrics"') : page.index('id="mistakes"')], re.DOTALL)
    lines = {Page(row).text.split()[0]: Page(row).text for row in rows}
    assert "38.4 1.13 −37.3 ▲ better" in lines["Perplexity"]  # noqa: RUF001
    assert "0.183 s 0.191 s +0.008 s ▼ worse" in lines["Latency"]
    assert "63.2 21.7 −41.5 changed" in lines["Answer"]  # noqa: RUF001


def test_texts_of_rows_are_escaped_wherever_they_stand(run: Run) -> None:
    rows = [
        {"id": f"{i}" * 64, "label": EVIL, "prompt": EVIL, "expected": EVIL, "base": EVIL, "tuned": EVIL,
         "base_correct": i % 2 == 0, "tuned_correct": i < 2}
        for i in range(4)
    ]  # fmt: skip
    scores = {
        "per_class": {EVIL: {"f1": 0.5, "support": 4}},
        "confusion": {"labels": [EVIL, "b"], "matrix": [[1, 3], [2, 4]]},
    }
    evaluation = run.evaluation.model_copy(
        update={
            "predictions": with_file(run, run.evaluation.predictions, rows),
            "report": with_file(run, run.evaluation.report, json.dumps({"arms": {"base": scores, "tuned": scores}})),
        }
    )
    smoke = run.smoke.model_copy(
        update={"report": with_file(run, run.smoke.report, json.dumps({"tokens": [{"text": EVIL, "loss": True}]}))}
    )
    recipe = run.recipe.model_copy(update={"description": EVIL})
    changed = replace(run, recipe=recipe, smoke=smoke, evaluation=evaluation)
    text = render(recipe, changed.facts())
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in Page(text).tags}
    assert Page(text).text.count(EVIL) > 12
    assert Page(text).complaints == []


def test_won_lost_and_still_wrong_are_counted_whole_and_shown_up_to_eight(run: Run, page: str) -> None:
    rows = pq.read_table(run.store.open(run.evaluation.predictions)).to_pylist()
    won = sum(not row["base_correct"] and row["tuned_correct"] for row in rows)
    facts = run.facts()
    assert facts.of("won").total == won > 8
    assert len(facts.of("won").shown) == 8
    assert sum(group.total for group in facts.examples) == len(rows)
    text = Page(page).text
    assert f"the tuned model is right (8 of {won})" in text
    for example in facts.of("still_wrong").shown:
        assert html.escape(example.tuned, quote=False).replace('"', "&#34;") in page


def test_an_example_names_the_fields_in_which_it_is_wrong(run: Run) -> None:
    for example in run.facts().of("still_wrong").shown:
        expected, tuned = json.loads(example.expected), json.loads(example.tuned)
        assert example.differs == tuple(sorted(key for key in expected if expected[key] != tuned[key]))
        assert "priority" in example.differs


def test_a_long_text_is_cut_and_says_how_much_is_missing(run: Run) -> None:
    row = {"id": "a" * 64, "label": None, "prompt": "x" * 2_000, "expected": "y", "base": "", "tuned": "z",
           "base_correct": False, "tuned_correct": False}  # fmt: skip
    evaluation = run.evaluation.model_copy(update={"predictions": with_file(run, run.evaluation.predictions, [row])})
    changed = replace(run, evaluation=evaluation)
    text = render(run.recipe, changed.facts())
    assert "x" * 1_500 + " … (500 more characters)" in text
    assert "x" * 1_501 not in text


def test_counts_of_rejections_entities_expectations_and_labels_stand_on_the_page(page: str) -> None:
    text = Page(page[page.index('id="data"') : page.index('id="lineage"')]).text
    assert "Ingest read from the sources 1,500 23 1,477 broken_json 12 not_utf8 11" in text
    assert "duplicate 61 near_duplicate 58 other_language 27 contradicting_answers 22" in text
    assert "1,120 of 1,470 kept rows held at least one." in text
    assert "PERSON 812 replaced" in text
    assert "2 passed, 1 failed." in text
    assert "prompt_characters warning min value 8, max value 2,000, mostly 1 17 of 1,302 against it ✗ failed" in text
    assert "Train 1,000 995 Validation 120 115 Test 180 175" in text
    assert "billing 250 30 45" in text


def test_only_the_tokens_that_carry_loss_are_marked(page: str) -> None:
    shown = page[page.index('class="tokens mono"') : page.index('id="data"')]
    marked = [html.unescape(text) for text in re.findall(r"<mark>(.*?)</mark>", shown)]
    assert "".join(marked) == '{"category": "billing", "priority": "high"}<|im_end|>'
    assert "13 of 29" in page


def test_many_labels_give_a_heat_map_the_top_confusions_and_a_folded_table(refused_page: str) -> None:
    part = refused_page[refused_page.index('id="mistakes"') : refused_page.index('id="examples"')]
    text = Page(part).text
    assert "Most frequent confusions" in text
    assert "F1 of each label, weakest first (77)" in text
    assert part.count("<details>") == 1
    assert "point at a cell" in text


def test_every_field_of_json_answers_is_scored(page: str) -> None:
    text = Page(page[page.index('id="mistakes"') : page.index('id="examples"')]).text
    assert "category 0.031 0.930 180 priority 0.031 0.900 180 product 0.031 0.955 180" in text
    assert "Matrices of the other fields (1)" in text
    assert "priority high low" in text


def test_digests_are_short_and_carry_their_full_value(page: str, run: Run) -> None:
    for digest in (run.recipe.digest(), run.adapter.digest, run.adapter.weights.sha256, run.raw.sources[0].sha256):
        assert f'title="{digest}">{digest[:12]}<' in page


def test_the_resolved_recipe_stands_on_the_page_as_yaml_that_gives_it_back(run: Run, page: str) -> None:
    text = resolved_recipe(run.recipe)
    assert html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
    assert yaml.safe_load(text) == run.recipe.resolved()
    assert "system: |-\n    Answer with JSON.\n" in text


def test_a_run_of_free_text_without_validation_has_a_page_too(run: Run) -> None:
    nothing = {"arms": {"base": {"metrics": {}}, "tuned": {"metrics": {}}}}
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


def test_a_file_that_was_changed_is_not_shown(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    (tmp_path / "store" / run.evaluation.report.path).write_text("{}", encoding="utf-8")
    with pytest.raises(DigestMismatch, match=r"report\.json"):
        run.facts()

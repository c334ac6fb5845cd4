"""The page as text: self-contained, escaped, blinded. tests/flows/test_scorecards.py fills it in in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks.people.page import render
from tasks.people.sheet import make_sheet, questions
from tests.tasks.people.made import NASTY, make_evaluation, store_in, the_champion


class Elements(HTMLParser):
    """Every element with its attributes, and the text within it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = store_in(tmp_path_factory.mktemp("page"))
    evaluation = make_evaluation(store, champion=True)
    sheet = make_sheet(evaluation, 40, None, store, the_champion(evaluation))
    return render(sheet, questions(sheet, store), "demo, version 3")


@pytest.fixture(scope="module")
def elements(page: str) -> Elements:
    return Elements(page)


def test_each_row_asks_for_eight_scores_two_notes_and_a_preference(elements: Elements) -> None:
    radios = [radio["name"] for radio in elements.all("input")]
    assert len(set(radios)) == 40 * (8 + 1)
    assert {radios.count(name) for name in radios if name and not name.endswith("_preference")} == {5}
    assert len(elements.all("textarea")) == 80
    assert not any("checked" in radio for radio in elements.all("input"))


def test_a_text_that_holds_markup_is_shown_as_it_is(page: str, elements: Elements) -> None:
    assert NASTY not in page
    assert NASTY in "".join(elements.texts)
    assert len(elements.all("script")) == 1


def test_only_its_own_style_and_script_may_run_and_nothing_is_fetched(page: str, elements: Elements) -> None:
    (policy,) = [str(meta["content"]) for meta in elements.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for _, attributes in elements.found:
        assert not {"src", "href", "action", "style", "srcset"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_it_says_nothing_of_the_arms(page: str) -> None:
    for word in ("tuned", "base", "champion", "against"):
        assert not re.search(rf"\b{word}\b", page.replace("base-uri", "")), word


def test_the_answers_themselves_are_all_there(page: str) -> None:
    assert page.count("third arm says") == page.count("second arm says") == 40
    assert "first arm says" not in page  # of the base, which this sheet is not against


def test_every_control_has_a_name_for_who_cannot_see_it(page: str) -> None:
    assert len(re.findall(r"<legend>", page)) == 40 * 9
    assert 'Relevance<span class="unseen"> of answer A, row 1: 1 is beside the point' in page
    assert page.count('<label class="notes">') == 80


def test_the_same_text_twice_offers_to_copy_the_scores(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sheet = make_sheet(make_evaluation(store), 2, None, store)
    asked = questions(sheet, store)
    alike = [asked[0].model_copy(update={"b": asked[0].a}), asked[1]]
    text = render(sheet, alike, "demo")
    assert re.findall(r'data-copy="(\d+)"', text) == ["1"]


def test_the_same_sheet_gives_the_same_page(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sheet = make_sheet(make_evaluation(store), 5, None, store)
    asked = questions(sheet, store)
    assert render(sheet, asked, "demo") == render(sheet, asked, "demo")


def test_json_answers_stand_in_letters_of_one_width_and_an_empty_one_says_so(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sheet = make_sheet(make_evaluation(store), 1, None, store)
    (asked,) = questions(sheet, store)
    text = render(sheet, [asked.model_copy(update={"a": '{"a": 1}', "b": ""})], "demo")
    assert '<div class="text mono">{&#34;a&#34;: 1}</div>' in text
    assert '<div class="text"><span class="muted">(empty)</span></div>' in text

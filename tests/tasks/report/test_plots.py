"""The figures, read as the XML that a browser gets."""

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest

from tasks.report import plots
from tasks.report.facts import Confusion, Step

HISTORY = [
    Step(step=5, loss=2.0),
    Step(step=10, loss=1.2),
    Step(step=10, eval_loss=1.5),
    Step(step=20, loss=0.9),
    Step(step=20, eval_loss=1.3),
]
CONFUSION = Confusion(labels=("cash & <carry>", "card"), counts=((7, 2), (0, 9)))


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # our own text


def texts(svg: str) -> list[str]:
    return [(element.text or "").strip() for element in parsed(svg).iter() if element.tag.endswith("}text")]


def titles(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter() if element.tag.endswith("}title")]


@pytest.fixture(params=["loss", "confusion"])
def svg(request: pytest.FixtureRequest) -> str:
    return {
        "loss": lambda: plots.loss_curve(HISTORY, 20),
        "confusion": lambda: plots.confusion_matrix(CONFUSION),
    }[request.param]()


def test_a_figure_is_one_svg_element_with_a_title_and_a_description(svg: str) -> None:
    root = parsed(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert all(named[name] for name in (root.get("aria-labelledby") or "").split())


def test_a_figure_takes_its_colours_from_the_page(svg: str) -> None:
    assert "var(--tuned)" in svg
    assert not [colour for colour in re.findall(r"#[0-9a-f]{6}", svg) if colour.startswith("#0")]


def test_a_figure_loads_nothing_and_tells_no_date(svg: str) -> None:
    assert set(re.findall(r"https?://[^\"' ]+", svg)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<metadata" not in svg
    assert "<image" not in svg


def test_every_reference_in_a_figure_leads_to_an_id_of_that_figure(svg: str) -> None:
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', svg) + re.findall(r"url\(#([^)]+)\)", svg)) <= set(ids)


def test_a_figure_is_the_same_each_time(svg: str) -> None:
    again = {
        "loss": plots.loss_curve(HISTORY, 20),
        "conf": plots.confusion_matrix(CONFUSION),
    }
    assert svg in again.values()


def test_two_matrices_of_one_page_share_no_id() -> None:
    first, second = (plots.confusion_matrix(CONFUSION, name) for name in ("confusion-0", "confusion-1"))
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were() -> None:
    before = dict(mpl.rcParams)
    plots.loss_curve(HISTORY, 20)
    assert dict(mpl.rcParams) == before


def test_the_loss_curve_shows_both_losses_and_the_best_step() -> None:
    shown = texts(plots.loss_curve(HISTORY, 20))
    assert {"training", "validation", "best: step 20"} <= set(shown)


def test_the_loss_axis_is_logarithmic_only_where_the_losses_span_much() -> None:
    wide = [*HISTORY, Step(step=30, loss=0.02)]
    assert "loss per token" in texts(plots.loss_curve(HISTORY, 20))
    assert "loss per token, log scale" in texts(plots.loss_curve(wide, 20))


def test_without_a_history_there_is_no_curve() -> None:
    assert plots.loss_curve([], 0) == ""


def test_a_small_matrix_carries_its_counts_and_escapes_its_labels() -> None:
    svg = plots.confusion_matrix(CONFUSION)
    assert {"7", "2", "9", "cash & <carry>"} <= set(texts(svg))
    assert "expected cash & <carry>, answered card: 2" in titles(svg)


def test_a_matrix_of_77_labels_has_no_numbers_but_tells_each_count_when_pointed_at() -> None:
    labels = tuple(f"label {i}" for i in range(77))
    counts = tuple(tuple(40 if i == j else int(j == i + 1) for j in range(77)) for i in range(77))
    svg = plots.confusion_matrix(Confusion(labels=labels, counts=counts))
    assert set(texts(svg)) == {"expected", "answered by the tuned model"}
    assert "expected label 3, answered label 4: 1" in titles(svg)
    assert len(svg) < 120_000


def test_a_dollar_sign_in_a_label_is_a_dollar_sign() -> None:
    svg = plots.confusion_matrix(Confusion(labels=("$5 to $10", "more"), counts=((1, 0), (0, 1))))
    assert "$5 to $10" in texts(svg)

"""Metrics of one's own: files of one folder, run as they are hashed, and closed on every error."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from conf.settings import PROJECT
from tasks.errors import DataError, RecipeError
from tasks.evaluate.metrics import custom_sources, load_custom, score
from tasks.evaluate.noise import noise_of
from tasks.evaluate.statistics import scale, total

SHIPPED = PROJECT / "conf" / "metrics"
LENGTH = "RANGE = None\ndef score(answer: str, expected: str) -> float:\n    return len(answer) / len(expected)\n"


def write(folder: Path, source: str, name: str = "own") -> Path:
    file = folder / f"{name}.py"
    file.write_text(source, encoding="utf-8")
    return file


def figure(folder: Path, source: str) -> float:
    write(folder, source)
    return score("generation", ["a b", "a"], ["a b c", "a"], functions=load_custom(["own"], folder)).metrics["own"]


def test_a_metric_is_the_mean_of_its_function_beside_those_of_the_task(tmp_path: Path) -> None:
    write(tmp_path, LENGTH)
    functions = load_custom(["own"], tmp_path)
    scores = score("generation", ["ab", "a"], ["abcd", "a"], functions=functions)
    assert scores.metrics["own"] == pytest.approx((2 / 4 + 1) / 2)
    assert scores.metrics["exact_match"] == 0.5
    assert total(scores.statistics["own"]) == scores.metrics["own"]


@pytest.mark.parametrize(
    ("declared", "ends"),
    [("", (0, 1)), ("RANGE = (0, 100)", (0, 100)), ("RANGE = [-1, 1]", (-1, 1)), ("RANGE = None", None)],
)
def test_the_scale_is_the_one_declared_whatever_was_seen(
    tmp_path: Path, declared: str, ends: tuple[float, float] | None
) -> None:
    write(tmp_path, f"{declared}\ndef score(answer, expected): return answer == expected\n")
    scores = score("generation", ["a", "a"], ["a", "b"], functions=load_custom(["own"], tmp_path))
    assert scale(scores.statistics["own"]) == ends
    if ends:  # the worst that could come has a place in the interval, though half was the worst that came
        low, high = noise_of(scores.statistics["own"]).interval(0.95)
        assert ends[0] <= low < 0.5 < high <= ends[1]
        assert low < ends[0] + 0.15 * (ends[1] - ends[0])


def test_what_lies_outside_the_scale_stops_the_evaluation_and_rounding_does_not(tmp_path: Path) -> None:
    write(tmp_path, "def score(answer, expected): return float(answer)")
    functions = load_custom(["own"], tmp_path)
    assert score("chat", [repr(1 + 1e-12), "1"], ["", ""], functions=functions).metrics["own"] == 1.0
    with pytest.raises(DataError) as raised:
        score("chat", ["0.5", "1.25"], ["", ""], functions=functions)
    assert str(raised.value) == (
        "evaluation.custom_metrics: own, row 2: not between 0 and 1; own.py says otherwise by RANGE = (low, high)"
    )


@pytest.mark.parametrize("declared", ["1", "(0,)", "(1, 0)", "(0, 0)", "(0, 1, 2)", "(0, float('inf'))", "('0', 1)"])
def test_a_scale_that_is_none_is_an_error_of_the_recipe(tmp_path: Path, declared: str) -> None:
    write(tmp_path, f"RANGE = {declared}\ndef score(answer, expected): return 1.0\n")
    with pytest.raises(RecipeError, match="RANGE is two finite numbers, the lower first, or None"):
        load_custom(["own"], tmp_path)


def test_the_metric_that_ships_counts_longer_words_and_numbers() -> None:
    keyword_overlap = load_custom(["keyword_overlap"], SHIPPED)["keyword_overlap"].score
    expected = "Your refund of 12.50 euros arrives on Friday."
    assert keyword_overlap("The refund arrives FRIDAY", expected) == pytest.approx(3 / 5)
    assert keyword_overlap(expected, expected) == 1.0
    assert keyword_overlap("Yes", expected) == 0.0
    assert keyword_overlap("Yes", "No") == 1.0


def test_the_digest_is_that_of_the_file_and_what_is_run_is_what_is_hashed(tmp_path: Path) -> None:
    file = write(tmp_path, LENGTH)
    assert custom_sources(["own"], tmp_path) == {"own": hashlib.sha256(file.read_bytes()).hexdigest()}
    before = custom_sources(["own"], tmp_path)
    assert load_custom(["own"], tmp_path)["own"].score("ab", "a") == 2
    write(tmp_path, LENGTH.replace("/", "+"))
    assert custom_sources(["own"], tmp_path) != before
    assert load_custom(["own"], tmp_path)["own"].score("ab", "a") == 3
    assert {path.name for path in tmp_path.iterdir()} == {"own.py"}  # no compiled copy
    assert not {"own", "custom_metric_own"} & set(sys.modules)


@pytest.mark.parametrize("name", ["../own", "Own", "own.py", "", "a-b", "/etc/passwd"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "metrics").mkdir()
    write(tmp_path, LENGTH)
    with pytest.raises(RecipeError, match="a name is of"):
        load_custom([name], tmp_path / "metrics")


def test_a_link_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    (folder / "mounted").mkdir(parents=True)
    (folder / "own.py").symlink_to(write(tmp_path, LENGTH))
    with pytest.raises(RecipeError, match="leads out of"):
        custom_sources(["own"], folder)
    (folder / "other.py").symlink_to(write(folder / "mounted", LENGTH))
    assert load_custom(["other"], folder)["other"].score("ab", "a") == 2


def test_a_file_that_is_not_there_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no file own\.py"):
        load_custom(["own"], tmp_path)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("def score(:", "cannot be run: SyntaxError"),
        ("raise SystemExit", "cannot be run: SystemExit"),
        ("import no_such_library", "cannot be run: ModuleNotFoundError"),
        ("from . import neighbour", "cannot be run: ImportError"),
        ("def other(answer, expected): return 1.0", "no function score"),
        ("score = 1", "no function score"),
    ],
)
def test_a_file_that_cannot_be_run_is_an_error_of_the_recipe(tmp_path: Path, source: str, what: str) -> None:
    write(tmp_path, "", name="neighbour")
    write(tmp_path, source)
    with pytest.raises(RecipeError, match=what):
        load_custom(["own"], tmp_path)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return float('nan')", "no finite number"),
        ("return float('inf')", "no finite number"),
        ("return 10 ** 400", "no finite number"),
        ("return None", "no finite number"),
        ("return answer", "no finite number"),
        ("return [1.0]", "no finite number"),
        ("raise ValueError(answer)", "ValueError"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(answer)", "SystemExit"),
    ],
)
def test_what_is_no_figure_names_the_metric_and_the_row_alone(tmp_path: Path, body: str, what: str) -> None:
    write(tmp_path, f"def score(answer, expected):\n    if answer == 'fine':\n        return 1\n    {body}\n")
    with pytest.raises(DataError) as raised:
        score("chat", ["fine", "Mrs Smith"], ["", ""], functions=load_custom(["own"], tmp_path))
    assert str(raised.value) == f"evaluation.custom_metrics: own, row 2: {what}"
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_a_whole_number_or_a_truth_value_is_a_figure(tmp_path: Path) -> None:
    assert figure(tmp_path, "def score(answer, expected): return answer == expected") == 0.5
    assert figure(tmp_path, "RANGE = None\ndef score(answer, expected): return len(answer)") == 2.0

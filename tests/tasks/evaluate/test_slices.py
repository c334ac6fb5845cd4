"""Which part of the test rows a row belongs to."""

from __future__ import annotations

from collections import Counter

from tasks.evaluate.slices import MANY, QUARTERS, UNNAMED, rows_by_slice, slices_of

TEXTS = ["x" * length for length in range(1, 41)]


def test_rows_are_told_apart_by_label_source_and_length() -> None:
    labels = ["a", None] * 20
    found = slices_of(("label", "length", "source"), labels, TEXTS, ["one.csv"] * 10 + ["two.csv"] * 30)
    assert found["label"] == ("a", UNNAMED) * 20
    assert Counter(found["source"]) == {"one.csv": 10, "two.csv": 30}
    assert Counter(found["length"]) == dict.fromkeys(QUARTERS, 10)
    assert found["length"][0] == QUARTERS[0]
    assert found["length"][-1] == QUARTERS[-1]


def test_rows_are_told_apart_by_language() -> None:
    english = "The card that you sent me last week has still not arrived at my house."
    german = "Die Karte, die Sie mir letzte Woche geschickt haben, ist noch nicht bei mir angekommen."
    found = slices_of(("language",), ["a"] * 3, [english, german, "?"], ["s"] * 3)
    assert found["language"] == ("en", "de", UNNAMED)


def test_a_kind_under_which_all_rows_are_alike_or_each_is_its_own_is_left_out() -> None:
    rows = MANY + 1
    labels: list[str | None] = [str(number) for number in range(rows)]
    assert slices_of(("label", "source"), labels, ["t"] * rows, ["one"] * rows) == {}


def test_only_what_is_asked_for_is_told_apart() -> None:
    assert set(slices_of(("label",), ["a", "b"], ["x", "yyyy"], ["s", "t"])) == {"label"}


def test_a_slice_of_too_few_rows_is_none() -> None:
    names = ("a",) * 5 + ("b",) * 4 + ("a",)
    assert rows_by_slice(names, 5) == {"a": [0, 1, 2, 3, 4, 9]}
    assert rows_by_slice(names, 4) == {"a": [0, 1, 2, 3, 4, 9], "b": [5, 6, 7, 8]}

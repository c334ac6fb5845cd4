"""An evaluation with its predictions in a store, and scorecards as a reviewer would fill them in."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts import Store
from tasks.people.cards import write_cards
from tasks.people.results import SCALES, Card, Marks, Sheet
from tasks.people.sheet import make_sheet, questions
from tasks.results import Answers, ChampionEvaluation, Evaluation

NASTY = '</textarea><script>alert("x")</script> & <b>bold</b>'
FORMULA = '=HYPERLINK("http://example.com")'


def store_in(folder: Path) -> Store:
    return Store(str(folder / "store"), folder / "cache")


def row_id(number: int) -> str:
    return hashlib.sha256(f"row {number}".encode()).hexdigest()


def make_evaluation(store: Store, count: int = 40, *, champion: bool = False, key: str = "evaluated") -> Evaluation:
    """Answers that say whose they are, so that a test can tell; row 0 holds markup and row 1 a formula."""
    rows = [
        {
            "id": row_id(number),
            "label": None,
            "prompt": {0: NASTY, 1: FORMULA}.get(number, f"question {number}\nwith a second line"),
            "expected": f"reference {number}",
            "base": f"first arm says {number}",
            "tuned": f"second arm says {number}",
            **({"champion": f"third arm says {number}"} if champion else {}),
        }
        for number in range(count)
    ]
    with store.writing("evaluate", key) as workspace:
        pq.write_table(pa.Table.from_pylist(rows), workspace.folder / "predictions.parquet")
        (workspace.folder / "report.json").write_text("{}")
        evaluation = Evaluation(
            key=key,
            parents=("split", "base", key),
            predictions=workspace.artifact("predictions.parquet"),
            statistics=workspace.artifact("report.json"),
            report=workspace.artifact("report.json"),
            n_rows=count,
            metrics=(),
        )
        return store.commit(workspace, evaluation, {})


def the_champion(evaluation: Evaluation) -> ChampionEvaluation:
    """The model in production, whose answers stand in the same file."""
    names = ("predictions", "statistics", "report", "n_rows", "metrics")
    answers = Answers(**{name: getattr(evaluation, name) for name in names})
    return ChampionEvaluation(key="c", name="m", version="1", adapter_sha256="0" * 64, answers=answers)


def marks(score: int = 4, **scores: int) -> Marks:
    return Marks.model_validate({**dict.fromkeys(SCALES, score), **scores})


def card(number: int, tuned: Marks, against: Marks, preferred: str | None = None) -> Card:
    return Card.model_validate({"row": row_id(number), "tuned": tuned, "against": against, "preferred": preferred})


def sheet_of(store: Store, count: int = 4) -> Sheet:
    return make_sheet(make_evaluation(store), count, None, store)


def filled(sheet: Sheet, store: Store, **changes: str) -> list[dict[str, str]]:
    """The lines of the sheet's CSV, scored: the second arm gets 4, the other 3, and the second arm is preferred."""
    lines = list(csv.DictReader(io.StringIO(write_cards(sheet, questions(sheet, store)).removeprefix("\ufeff"))))
    for line in lines:
        for letter in ("a", "b"):
            score = "4" if "second arm" in line[f"answer_{letter}"] else "3"
            line |= {f"{letter}_{scale}": score for scale in SCALES}
        line["preference"] = "A" if line["a_safety"] == "4" else "B"
    return [{**line, **changes} for line in lines]


def as_csv(lines: list[dict[str, str]], *, delimiter: str = ",") -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(lines[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue().encode()

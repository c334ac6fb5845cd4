"""Draw a sheet from an evaluation: which rows people see, and which of two answers stands first in each.

The rows follow from the evaluation alone, so that nobody picks them. The order follows from a random secret that stays
in the store: what a reviewer is given says nothing of it. Never hands out which answer is whose.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from conf.schema import digest_of
from tasks.artifacts import Store
from tasks.errors import RecipeError
from tasks.people.results import Opponent, Sheet
from tasks.results import Artifact, ChampionEvaluation, Evaluation, Frozen

FOLDER = "sheets"
ORDER = "order.key"
ORDER_BYTES = 32


class Question(Frozen):
    """One row as a reviewer sees it: two answers, of whom is not said."""

    number: int
    prompt: str
    reference: str
    a: str
    b: str


class Answers(Frozen):
    """One row with both answers by name."""

    row: str
    prompt: str
    reference: str
    tuned: str
    against: str


def sample(ids: Iterable[str], evaluation: str, count: int) -> tuple[str, ...]:
    """`count` of the row ids, or all: those whose hash with the evaluation's digest comes first, in that order.

    A larger sample of the same evaluation begins with the smaller one.
    """
    return tuple(sorted(set(ids), key=lambda row: hashlib.sha256(f"{evaluation}\0{row}".encode()).digest())[:count])


def tuned_first(rows: Sequence[str], secret: bytes) -> frozenset[str]:
    """The rows in which the tuned answer is A: half of them, so that a liking for the left favours no arm."""

    def drawn(text: str) -> bytes:
        return hmac.digest(secret, text.encode(), "sha256")

    half = (len(rows) + drawn("")[0] % 2) // 2  # of an odd number the secret says which way
    return frozenset(sorted(rows, key=drawn)[:half])


def make_sheet(
    evaluation: Evaluation,
    count: int,
    against: Opponent | None,
    store: Store,
    champion: ChampionEvaluation | None = None,
) -> Sheet:
    """The sheet of `count` rows; asked for again, it is the same, so that all reviewers have one.

    Args:
        against: whose answers stand beside the tuned ones; None: the champion's where there are any, else the base's.

    Raises:
        RecipeError: the evaluation holds no answers of that arm.
        StoreError: the predictions are gone, or are not those that were evaluated.
    """
    answered = champion.answers if champion else None
    opponent: Opponent = against or ("champion" if answered else "base")
    if opponent == "champion" and answered is None:
        raise RecipeError("--against champion: no champion answered the rows of this evaluation")
    theirs = answered.predictions if answered and opponent == "champion" else evaluation.predictions
    by_id = _read(evaluation.predictions, store)
    chosen = sample(by_id, evaluation.digest, count)
    asked = {"evaluation": evaluation.digest, "against": opponent, "theirs": theirs.sha256, "rows": chosen}
    key = digest_of(asked)
    with store.writing(FOLDER, key) as workspace:  # its lock, so that two who ask at once get one sheet
        found = store.find(FOLDER, key, Sheet)
        if found is not None:
            return found
        descriptor = os.open(workspace.folder / ORDER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(ORDER_BYTES))
        sheet = Sheet(
            key=key,
            parents=(evaluation.digest,),
            evaluation=evaluation.digest,
            predictions=evaluation.predictions,
            opponents=theirs,
            against=opponent,
            rows=chosen,
            secret=workspace.artifact(ORDER),
        )
        made: dict[str, object] = {"stage": FOLDER, "inputs": [evaluation.digest], "at": datetime.now(UTC).isoformat()}
        return store.commit(workspace, sheet, made)


def find_sheet(name: str, store: Store) -> Sheet | None:
    """The sheet that pages and files call by this name."""
    for key in store.keys_with(FOLDER, "manifest.json"):
        sheet = store.find(FOLDER, key, Sheet)
        if sheet is not None and sheet.name == name:
            return sheet
    return None


def answers(sheet: Sheet, store: Store) -> tuple[Answers, ...]:
    """The rows of the sheet with both answers by name.

    Raises:
        StoreError: the predictions are gone, or are not those that were evaluated.
    """
    by_id, theirs = _read(sheet.predictions, store), _read(sheet.opponents, store)
    return tuple(
        Answers(
            row=row,
            prompt=by_id[row]["prompt"],
            reference=by_id[row]["expected"],
            tuned=by_id[row]["tuned"],
            against=theirs[row][sheet.against],
        )
        for row in sheet.rows
    )


def questions(sheet: Sheet, store: Store) -> tuple[Question, ...]:
    """The rows as reviewers see them."""
    first = order(sheet, store)
    return tuple(
        Question(
            number=number,
            prompt=row.prompt,
            reference=row.reference,
            a=row.tuned if row.row in first else row.against,
            b=row.against if row.row in first else row.tuned,
        )
        for number, row in enumerate(answers(sheet, store), 1)
    )


def order(sheet: Sheet, store: Store) -> frozenset[str]:
    """The rows in which the tuned answer is A."""
    return tuned_first(sheet.rows, store.open(sheet.secret).read_bytes())


def count_rows(predictions: Artifact, store: Store) -> int:
    """How many rows a sheet of these predictions could hold.

    Raises:
        StoreError: the predictions are gone, or are not those that were evaluated.
    """
    import pyarrow.parquet as pq

    return len(set(pq.read_table(store.open(predictions), columns=["id"])["id"].to_pylist()))


def _read(predictions: Artifact, store: Store) -> dict[str, dict[str, Any]]:
    """The rows by their ids."""
    import pyarrow.parquet as pq

    return {str(row["id"]): row for row in pq.read_table(store.open(predictions)).to_pylist()}

"""Cut the rows into train, validation and test by the hash of their group. A text decides no side; it is only compared.

A group's side depends on the group and the seed alone, so no row changes sides when data is added. Each label is thus
cut at the same thresholds, and its share of a side differs from the recipe's by sampling noise only; an exact
stratification would have to move rows when others arrive. The result counts each label on each side.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from typing import Literal, get_args

from conf import schema
from tasks.artifacts import Workspace
from tasks.errors import DataError
from tasks.ingest.texts import normalise
from tasks.progress import report
from tasks.results import CheckedData, Count, Side, Split
from tasks.rows import Row, RowWriter, prompt_of, read_rows

SideName = Literal["train", "validation", "test"]


def split_rows(checked: CheckedData, split: schema.Split, *, workspace: Workspace) -> Split:
    """Write one Parquet file a side.

    Raises:
        DataError: a group stands on two sides, or a side that is needed is empty or too small.
    """
    sides: tuple[SideName, ...] = get_args(SideName)
    side_of_group: dict[str, SideName] = {}
    labels: dict[SideName, Counter[str]] = {side: Counter() for side in sides}
    rows: Counter[SideName] = Counter()
    side_of_text: dict[str, SideName] = {}
    straddling: set[str] = set()
    repeated = 0
    with ExitStack() as files:
        writers = {side: files.enter_context(RowWriter(workspace.folder / f"{side}.parquet")) for side in sides}
        for done, row in enumerate(read_rows(workspace.open(file) for file in checked.rows)):
            side = side_of(row, split)
            if side_of_group.setdefault(row["group"], side) != side:
                straddling.add(row["group"])
            repeated += side_of_text.setdefault(_text_key(row), side) != side
            labels[side][row["label"] or ""] += 1
            rows[side] += 1
            writers[side].write(row)
            if done % 1000 == 0:
                report(done, checked.n_rows)
    _refuse_bad_sides(rows, len(straddling), repeated, split)
    groups = Counter(side_of_group.values())
    train, validation, test = (
        Side(
            rows=workspace.artifact(f"{side}.parquet"),
            n_rows=rows[side],
            n_groups=groups[side],
            labels=tuple(Count(name=name, count=count) for name, count in sorted(labels[side].items()) if name),
        )
        for side in sides
    )
    return Split(key=workspace.key, parents=(checked.digest,), train=train, validation=validation, test=test)


def side_of(row: Row, split: schema.Split) -> SideName:
    """The side that the recipe fixes for the row's source, or the one that the hash of its group gives."""
    position = _position(row["group"], split.seed)
    fixed = row["meta"].get("side")
    if fixed == "test" or (fixed is None and position < split.test_size):
        return "test"
    # the validation part lies above the test part, so that a larger test_size moves as few rows as can be
    return "validation" if position >= 1 - split.validation_size else "train"


def _position(group: str, seed: int) -> float:
    """A number in [0, 1), uniform over groups: the first 64 bits of a sha256."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8]) / 2**64


def _text_key(row: Row) -> str:
    return hashlib.sha256(normalise(prompt_of(row), keep_digits=True).encode()).hexdigest()


def _refuse_bad_sides(rows: Counter[SideName], straddling: int, repeated: int, split: schema.Split) -> None:
    if repeated:
        raise DataError(
            f"split: {repeated} rows ask what a row of another side asks; set quality.drop_duplicates, "
            "or give them one group by field_group"
        )
    if straddling:
        raise DataError(
            f"split: {straddling} groups stand on more than one side: a source with `side` shares them with another; "
            "take those rows out or drop the fixed side"
        )
    if rows["train"] == 0:
        raise DataError("split: no row is left to train on; lower test_size or validation_size, or give more data")
    if rows["validation"] == 0:
        raise DataError("split: no row is left to validate on; raise split.validation_size or give more data")
    if rows["test"] < split.min_test_rows:
        raise DataError(
            f"split: {rows['test']} held-out rows are fewer than split.min_test_rows {split.min_test_rows}; "
            "raise split.test_size or give more data"
        )

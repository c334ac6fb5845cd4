"""What figures are made of, there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from tasks.evaluate.measured import TEST, Sampled, read, read_measured_on, write
from tasks.evaluate.statistics import Statistic, classes_of, mean_of, total


def test_every_kind_of_statistic_comes_back_as_it_was(tmp_path: Path) -> None:
    figures = [
        Sampled("base", "accuracy", TEST, mean_of([1.0, 0.0, 1.0])),
        Sampled("tuned", "macro_f1", TEST, Statistic("macro_f1", classes_of([0, 1, 2], [0, 2, 2], 3), (1, 2))),
        Sampled("tuned", "unsafe_rate", "unsafe_rate", mean_of([0.0, 0.0])),
    ]
    write(tmp_path / "s.parquet", figures)
    for before, after in zip(figures, read(tmp_path / "s.parquet"), strict=True):
        assert before[:3] == after[:3]
        assert before.statistic.kind == after.statistic.kind
        assert before.statistic.groups == after.statistic.groups
        assert sparse.issparse(before.statistic.rows) == sparse.issparse(after.statistic.rows)
        np.testing.assert_array_equal(_dense(before.statistic), _dense(after.statistic))
        assert total(before.statistic) == total(after.statistic)


def test_on_what_the_latency_was_measured_stands_in_the_file(tmp_path: Path) -> None:
    write(tmp_path / "s.parquet", [], "a CPU, 2 threads, batches of 32")
    assert read_measured_on(tmp_path / "s.parquet") == "a CPU, 2 threads, batches of 32"
    pq.write_table(pa.table({"arm": ["base"]}), tmp_path / "older.parquet")
    assert read_measured_on(tmp_path / "older.parquet") == ""


def test_no_figures_are_none(tmp_path: Path) -> None:
    write(tmp_path / "s.parquet", [])
    assert read(tmp_path / "s.parquet") == []


def _dense(statistic: Statistic) -> np.ndarray:
    rows = statistic.rows
    return np.asarray(rows.toarray() if sparse.issparse(rows) else rows)

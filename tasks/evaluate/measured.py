"""What the figures of an evaluation are made of, row by row, as a file that a judge can weigh. Never holds a text.

One line a figure: `arm`, `metric`, the `unit` its rows are of (`test`, `validation and test`, or a set of probes), the
`kind` of statistic, and its numbers as a sparse matrix (`indptr`, `indices`, `values`, `parts`). Arms on the same unit
stand row by row. The file also says on what their latency was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.evaluate.statistics import Statistic

TEST = "test"  # the unit of everything that is measured on the held-out rows
BOTH_SIDES = "validation and test"  # of what is the gap between the two
MEASURED_ON = b"tunegate.measured_on"

SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("metric", pa.string()),
        ("unit", pa.string()),
        ("kind", pa.string()),
        ("groups", pa.list_(pa.int32())),
        ("ends", pa.list_(pa.float64())),
        ("dense", pa.bool_()),
        ("parts", pa.int32()),
        ("indptr", pa.list_(pa.int64())),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


class Sampled(NamedTuple):
    """One figure of one arm as its rows make it up."""

    arm: str
    metric: str
    unit: str
    statistic: Statistic


def write(file: Path, figures: Iterable[Sampled], measured_on: str = "") -> None:
    """Write the file."""
    schema = SCHEMA.with_metadata({MEASURED_ON: measured_on.encode()})
    pq.write_table(pa.Table.from_pylist([_line(f) for f in figures], schema=schema), file, compression="zstd")


def read(file: Path) -> list[Sampled]:
    """Read what `write` wrote."""
    return [_figure(line) for line in pq.read_table(file).to_pylist()]


def read_measured_on(file: Path) -> str:
    """On what the latency of these arms was measured; empty where that was not written down."""
    return ((pq.read_schema(file).metadata or {}).get(MEASURED_ON) or b"").decode()


def _line(figure: Sampled) -> dict[str, Any]:
    from scipy import sparse

    statistic = figure.statistic
    rows = sparse.csr_array(statistic.rows)
    return {
        "arm": figure.arm,
        "metric": figure.metric,
        "unit": figure.unit,
        "kind": statistic.kind,
        "groups": list(statistic.groups),
        "ends": None if statistic.ends is None else list(statistic.ends),
        "dense": not sparse.issparse(statistic.rows),
        "parts": rows.shape[1],
        "indptr": rows.indptr.tolist(),
        "indices": rows.indices.tolist(),
        "values": rows.data.tolist(),
    }


def _figure(line: dict[str, Any]) -> Sampled:
    from scipy import sparse

    indptr = np.asarray(line["indptr"], dtype=np.int64)
    shape = (len(indptr) - 1, line["parts"])
    parts = (np.asarray(line["values"], dtype=np.float64), np.asarray(line["indices"], dtype=np.int64), indptr)
    rows = sparse.csr_array(parts, shape=shape)
    ends = None if line["ends"] is None else (line["ends"][0], line["ends"][1])
    statistic = Statistic(line["kind"], rows.toarray() if line["dense"] else rows, tuple(line["groups"]), ends)
    return Sampled(line["arm"], line["metric"], line["unit"], statistic)

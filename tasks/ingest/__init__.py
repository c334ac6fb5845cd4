"""Read the sources of a recipe into rows: JSONL, CSV, Parquet or a Hugging Face dataset, locally or by an fsspec URL.

Never scrubs, never quotes a cell in an error or a reason, and never runs code that comes with a data set.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from conf.schema import Dataset, Prompt
from tasks.artifacts import Workspace
from tasks.ingest.messages import Tally, rows_of, shape_of
from tasks.ingest.places import digest_of_source, fetch, locate
from tasks.ingest.records import records_of
from tasks.ingest.texts import normalise
from tasks.progress import report
from tasks.results import RawData, Source
from tasks.rows import Rejected, Row, write_rejected, write_rows

__all__ = ["fingerprints", "normalise", "read_sources"]


def fingerprints(datasets: tuple[Dataset, ...], folder: str, data: Path | None) -> tuple[Source, ...]:
    """The digest of each source, without parsing it; `rows` is 0, as they were not counted.

    A file's digest is the sha256 of its bytes, a local folder's that of its files' names and digests, a hub dataset's
    that of path, name, split and revision (the revision is a commit, so the content cannot change under it).

    Raises:
        DataError: a source is not there or cannot be read.
        RecipeError: a hub dataset without a commit as its revision.
    """
    return tuple(Source(path=d.path, sha256=digest_of_source(d, locate(d, folder, data)), rows=0) for d in datasets)


def read_sources(
    datasets: tuple[Dataset, ...], prompt: Prompt, folder: str, data: Path | None, *, workspace: Workspace
) -> RawData:
    """Turn every source into rows of messages, in the order of the recipe and of the source.

    A record's columns are the variables of the templates; `row` holds them all, for names that are no identifier
    (`{{ row["Ticket text"] }}`). Empty lines are no rows. A record that cannot be used goes to `rejected` with its line
    (in Parquet and Hugging Face datasets: its row) from 1 and one of these reasons: broken_json, not_an_object,
    wrong_encoding, broken_csv, wrong_column_count, missing_field, empty_prompt, empty_completion, bad_messages,
    template_error. A `Source` counts all its records, the rejected ones too.

    Args:
        datasets: the recipe's entries.
        prompt: the recipe's templates; an entry with field_messages or field_prompt uses `system` alone.
        folder: the recipe's folder, where relative paths are looked for first.
        data: the next place for relative paths.

    Raises:
        DataError: a source is missing, unreadable, empty, changed while it was read, or gave no row at all.
        RecipeError: a template that does not compile, or an entry that nothing turns into messages.
    """
    shapes = [shape_of(dataset, prompt) for dataset in datasets]
    rejected: list[Rejected] = []
    sources: list[Source] = []

    def rows() -> Iterator[Row]:
        done = 0
        for shape in shapes:
            tally = Tally()
            with tempfile.TemporaryDirectory(prefix="source-", dir=workspace.folder) as temporary:
                source = fetch(shape.dataset, locate(shape.dataset, folder, data), Path(temporary))
                for row in rows_of(shape, records_of(shape.dataset, source, Path(temporary)), tally, rejected):
                    yield row
                    done += 1
                    if done % 1000 == 0:
                        report(done)
                source.refuse_if_changed()
            tally.refuse_if_useless(shape.dataset)
            sources.append(Source(path=shape.dataset.path, sha256=source.sha256, rows=tally.records))
        report(done, done)

    shards, n_rows = write_rows(workspace, rows())
    artifact, n_rejected, reasons = write_rejected(workspace, rejected)
    return RawData(
        key=workspace.key,
        parents=tuple(source.sha256 for source in sources),
        rows=shards,
        rejected=artifact,
        n_rows=n_rows,
        n_rejected=n_rejected,
        reasons=reasons,
        sources=tuple(sources),
    )

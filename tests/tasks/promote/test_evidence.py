"""What a candidate was made of is hashed anew, from the scrubbed rows on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.artifacts import Store
from tasks.errors import DigestMismatch, StoreError
from tasks.promote.evidence import _refuse_changed_files
from tasks.results import Artifact, Base
from tests.tasks.report.finished import Run, finished_run

BASE = Base(key="b", files=(), name="tiny", source_sha256="0" * 64, parameters=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("run"))


def verify(run: Run) -> None:
    store = Store(str(run.store.root), run.store.cache)  # that has verified nothing yet
    _refuse_changed_files(store, run.adapter, BASE, run.split, run.evaluation, run.clean, run.checked)


def files_before_the_split(run: Run) -> list[Artifact]:
    clean, checked = run.clean, run.checked
    return [*clean.rows, clean.rejected, *checked.rows, checked.rejected, checked.report]


def test_a_file_before_the_split_that_was_changed_is_told_from_one_that_is_gone(run: Run, tmp_path: Path) -> None:
    verify(run)
    mine = run.copied(tmp_path)
    for artifact in files_before_the_split(mine):
        file = Path(mine.store.root) / artifact.path
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DigestMismatch, match=rf"{artifact.path}: its content is not what its digest says"):
            verify(mine)
        file.unlink()
        with pytest.raises(StoreError, match=rf"{artifact.path}: gone from the store") as gone:
            verify(mine)
        assert not isinstance(gone.value, DigestMismatch)
        file.write_bytes(content)
    verify(mine)

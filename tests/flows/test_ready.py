"""The worker that forks: whether what was imported still stands on the disk. Its runs: tests/flows/test_platform.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.ready.worker import code_on_disk


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("conf/load.py", "flows/rollback.py", "tasks/promote/registry.py", "tests/test_it.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def test_code_that_nobody_touched_is_the_same(project: Path) -> None:
    before = code_on_disk(project)
    (project / "tests" / "test_it.py").write_text("changed")
    (project / "conf" / "policy.yaml").write_text("read anew by each run")
    assert code_on_disk(project) == before


@pytest.mark.parametrize("change", ["written", "older", "renamed", "new", "gone"])
def test_a_module_that_was_written_is_new_or_is_gone_is_noticed(project: Path, change: str) -> None:
    before, module = code_on_disk(project), project / "tasks" / "promote" / "registry.py"
    if change == "written":
        stat = module.stat()
        os.utime(module, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif change == "older":  # as `git checkout` with kept times, or a package of an earlier release
        os.utime(module, ns=(1, 1))
    elif change == "renamed":
        module.rename(module.with_name("other.py"))
    elif change == "new":
        module.with_name("other.py").write_text("")
    else:
        module.unlink()
    assert code_on_disk(project) != before

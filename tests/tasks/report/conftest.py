"""Finished runs, one that passed and one that was refused, and their pages."""

from pathlib import Path

import pytest

from tasks.report import render
from tests.tasks.report.finished import Run, finished_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return finished_run(tmp_path)


@pytest.fixture(scope="session")
def refused_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("refused"), "classification", passed=False)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run like `run`: the runs are seeded, so they are alike."""
    passed = finished_run(tmp_path_factory.mktemp("passed"))
    return render(passed.recipe, passed.facts())


@pytest.fixture(scope="session")
def refused_page(refused_run: Run) -> str:
    return render(refused_run.recipe, refused_run.facts())

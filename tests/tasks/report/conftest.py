"""Finished runs and their pages: with and without a champion, of every verdict. Made once; a test that changes one has
a copy."""

from pathlib import Path

import pytest

from tasks.report import render
from tests.tasks.report.finished import Run, finished_run


@pytest.fixture(scope="session")
def passed_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Structured output against a champion, and people were asked."""
    return finished_run(tmp_path_factory.mktemp("passed"), champion=True)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Structured output, no champion yet, too few rows to tell."""
    return finished_run(tmp_path_factory.mktemp("first"), state="inconclusive")


@pytest.fixture(scope="session")
def refused_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Classification into 77 labels, leaks, no champion."""
    return finished_run(tmp_path_factory.mktemp("refused"), "classification", state="failed")


@pytest.fixture
def run(passed_run: Run, tmp_path: Path) -> Run:
    """A copy of the passed run that a test may change."""
    return passed_run.copied(tmp_path)


@pytest.fixture(scope="session")
def page(passed_run: Run) -> str:
    return render(passed_run.recipe, passed_run.facts())


@pytest.fixture(scope="session")
def first_page(first_run: Run) -> str:
    return render(first_run.recipe, first_run.facts())


@pytest.fixture(scope="session")
def refused_page(refused_run: Run) -> str:
    return render(refused_run.recipe, refused_run.facts())

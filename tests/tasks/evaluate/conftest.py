"""The models that the tests of the evaluation share."""

from __future__ import annotations

import pytest

from tests.tasks.evaluate.made import Made, Whole, make, whole_model


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture(scope="session")
def whole() -> Whole:
    return whole_model()

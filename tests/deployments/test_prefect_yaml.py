"""The deployments name flows that exist, and parameters that those flows take."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.load import load_recipe
from conf.settings import PROJECT

DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())[
    "deployments"
]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[d["name"] for d in DEPLOYMENTS])
def test_every_deployment_starts_a_flow_with_parameters_that_it_takes(deployment: dict[str, Any]) -> None:
    file, function = deployment["entrypoint"].split(":")
    assert (PROJECT / file).is_file()
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), function)
    given = deployment.get("parameters", {})
    assert set(given) <= set(inspect.signature(flow.fn).parameters)
    if "recipe" in given:
        assert load_recipe(Path(given["recipe"])).name


def test_every_schedule_is_off_until_someone_turns_it_on() -> None:
    assert [s["active"] for d in DEPLOYMENTS for s in d.get("schedules", [])] == [False]

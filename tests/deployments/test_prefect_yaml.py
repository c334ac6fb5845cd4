"""The deployments name flows that exist, and parameters that those flows take."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import yaml

from conf.load import load_recipe
from conf.settings import PROJECT


def test_every_deployment_starts_a_flow_with_parameters_that_it_takes() -> None:
    deployments = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert deployments
    for deployment in deployments:
        file, function = deployment["entrypoint"].split(":")
        assert (PROJECT / file).is_file()
        flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), function)
        assert set(deployment["parameters"]) <= set(inspect.signature(flow.fn).parameters)
        assert load_recipe(Path(deployment["parameters"]["recipe"])).name


def test_every_schedule_is_off_until_someone_turns_it_on() -> None:
    deployments = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert [s["active"] for d in deployments for s in d.get("schedules", [])] == [False]

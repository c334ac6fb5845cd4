"""The deployments name flows that exist and parameters that those take; pools and automations fit together."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import jsonschema
import pytest
import yaml
from prefect import Flow
from prefect.events.schemas.automations import AutomationCore
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values, find_placeholders

from conf.load import recipe_names
from conf.settings import PROJECT
from flows.platform import POOLS, WORKERS
from flows.ready.worker import IMPORTED, ReadyJobConfiguration, ReadyWorker

FOLDER = PROJECT / "deployments"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "prefect.yaml").read_text())["deployments"]
AUTOMATIONS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "automations.yaml").read_text())
NAMES = [deployment["name"] for deployment in DEPLOYMENTS]
each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
each_pool = pytest.mark.parametrize("kind", ["process", "docker", "kubernetes"])


def flow_of(deployment: dict[str, Any]) -> Flow[Any, Any]:
    module, _, function = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), function)
    assert isinstance(found, Flow)
    return found


def template(kind: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / "pools" / f"{kind}.json").read_text()))


def test_every_flow_of_the_design_is_deployed() -> None:
    assert NAMES == ["retrain", "prepare", "finetune", "promote", "rollback", "reconcile"]


@each_deployment
def test_every_deployment_starts_a_flow_with_parameters_that_it_takes(deployment: dict[str, Any]) -> None:
    flow = flow_of(deployment)
    given = deployment.get("parameters", {})
    assert flow.name == deployment["name"]
    assert set(given) <= set(inspect.signature(flow.fn).parameters)
    assert deployment["description"]
    assert "tunegate" in deployment["tags"]


@each_deployment
def test_every_parameter_makes_a_good_field_of_a_form(deployment: dict[str, Any]) -> None:
    schema = parameter_schema(flow_of(deployment).fn).model_dump()
    assert len(schema["properties"]) <= 4
    for name, field in schema["properties"].items():
        assert field.get("description"), f"{name} is not explained"
        assert field["type"] in {"string", "array"}, f"{name} is a {field['type']}"
    if "recipe" in schema["properties"]:
        assert schema["properties"]["recipe"]["enum"] == recipe_names()


@each_deployment
def test_every_deployment_runs_in_a_pool_that_up_creates(deployment: dict[str, Any]) -> None:
    assert deployment["work_pool"]["name"] == ("gpu" if deployment["name"] == "finetune" else "cpu")
    assert POOLS == {"cpu": None, "gpu": 1}


def test_what_must_be_quick_is_a_fork_and_imports_nothing_more() -> None:
    ready = [deployment for deployment in DEPLOYMENTS if deployment["work_pool"].get("job_variables")]
    assert [(d["name"], d["work_pool"]["job_variables"]) for d in ready] == [("rollback", {"ready": True})]
    assert flow_of(ready[0]).fn.__module__ in IMPORTED
    assert WORKERS["cpu"][-1] == ReadyWorker.__dispatch_key__()


def test_every_schedule_is_off_until_someone_turns_it_on() -> None:
    schedules = {d["name"]: s["active"] for d in DEPLOYMENTS for s in d.get("schedules", [])}
    assert schedules == {"retrain": False, "reconcile": False}


def test_triggers_are_those_of_prefect() -> None:
    triggers = [DeploymentEventTrigger.model_validate(t) for d in DEPLOYMENTS for t in d.get("triggers", [])]
    assert [trigger.expect for trigger in triggers] == [{"tunegate.candidate.registered"}]


def test_no_run_that_waits_for_a_person_can_be_crashed_for_its_silence() -> None:
    (silent,) = [a for a in AUTOMATIONS if a["actions"][0]["type"] == "change-flow-run-state"]
    assert silent["trigger"]["match_related"]["prefect.resource.id"] == "prefect.tag.heartbeat"
    watched = {d["name"] for d in DEPLOYMENTS if "heartbeat" in d["tags"]}
    assert watched == {"retrain", "prepare", "finetune", "reconcile"}


@pytest.mark.parametrize("automation", AUTOMATIONS, ids=lambda a: a["name"])
def test_automations_are_those_of_prefect(automation: dict[str, Any]) -> None:
    actions = [
        {**action, **({"block_document_id": "0" * 32} if action["type"] == "send-notification" else {})}
        for action in automation["actions"]
    ]
    assert AutomationCore.model_validate({**automation, "actions": actions}).name.startswith("tunegate-")


@each_pool
def test_a_pool_template_uses_each_of_its_variables_and_no_other(kind: str) -> None:
    found = template(kind)
    variables = found["variables"]
    jsonschema.Draft202012Validator.check_schema(variables)
    used = {placeholder.name for placeholder in find_placeholders(found["job_configuration"])}
    assert used == set(variables["properties"])
    defaults = {name: field["default"] for name, field in variables["properties"].items() if "default" in field}
    jsonschema.validate(defaults, variables)


@each_pool
def test_the_worker_of_each_kind_understands_its_template(kind: str) -> None:
    from prefect.workers.process import ProcessJobConfiguration
    from prefect_docker.worker import DockerWorkerJobConfiguration
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    configuration = {
        "process": ProcessJobConfiguration,
        "docker": DockerWorkerJobConfiguration,
        "kubernetes": KubernetesWorkerJobConfiguration,
    }[kind]
    found = template(kind)
    defaults = {n: f["default"] for n, f in found["variables"]["properties"].items() if "default" in f}
    chosen = {"node_selector": {"nvidia.com/gpu.product": "NVIDIA-L4"}} if kind == "kubernetes" else {}
    job = configuration.model_validate(apply_values(found["job_configuration"], {**defaults, **chosen}))
    if kind == "process":
        ready = apply_values(found["job_configuration"], {**defaults, "ready": True})
        assert not ReadyJobConfiguration.model_validate(job.model_dump()).ready
        assert ReadyJobConfiguration.model_validate(ready).ready
    if kind == "kubernetes":
        pod = job.model_dump()["job_manifest"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod["nodeSelector"] == chosen["node_selector"]
        assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert pod["securityContext"]["runAsNonRoot"] is True
    if kind == "docker":
        assert job.model_dump()["privileged"] is False

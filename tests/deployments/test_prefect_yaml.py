"""The deployments name flows that exist and parameters that those take; pools and automations fit together."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from prefect import Flow, states
from prefect.deployments.steps import set_working_directory
from prefect.events.schemas.automations import AutomationCore
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.settings import PREFECT_EVENTS_PROACTIVE_GRANULARITY
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.base import BaseJobConfiguration

from conf.load import recipe_names
from conf.settings import BEAT, PROJECT, inherited
from flows.events import Kind
from flows.platform import POOLS, WORKERS, with_beat
from flows.ready.worker import IMPORTED, ReadyJobConfiguration, ReadyWorker

FOLDER = PROJECT / "deployments"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "prefect.yaml").read_text())["deployments"]
AUTOMATIONS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "automations.yaml").read_text())
CRASHES = [a for a in AUTOMATIONS if a["actions"][0]["type"] == "change-flow-run-state"]
LOOK_OF_THE_SERVER = PREFECT_EVENTS_PROACTIVE_GRANULARITY.value().total_seconds()
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


def resolved(kind: str, **chosen: Any) -> dict[str, Any]:
    """The job that a worker makes of the template's defaults and what a deployment chose."""
    found = template(kind)
    defaults = {n: f["default"] for n, f in found["variables"]["properties"].items() if "default" in f}
    return dict(apply_values(found["job_configuration"], {**defaults, **chosen}))


def job_of(kind: str, **chosen: Any) -> BaseJobConfiguration:
    from prefect.workers.process import ProcessJobConfiguration
    from prefect_docker.worker import DockerWorkerJobConfiguration
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    kinds: dict[str, type[BaseJobConfiguration]] = {
        "process": ProcessJobConfiguration,
        "docker": DockerWorkerJobConfiguration,
        "kubernetes": KubernetesWorkerJobConfiguration,
    }
    return kinds[kind].model_validate(resolved(kind, **chosen))


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


def test_every_flow_is_found_as_a_module_from_whatever_folder_a_worker_starts_its_run_in(tmp_path: Path) -> None:
    """An image and another machine have the code elsewhere than where it was deployed from."""
    entrypoints = [deployment["entrypoint"] for deployment in DEPLOYMENTS]
    code = "import sys, prefect.flows as p; print(*(p.load_flow_from_entrypoint(e).name for e in sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *entrypoints], cwd=tmp_path, env=inherited(), capture_output=True, text=True
    )
    assert done.stdout.split() == NAMES, done.stderr


def test_a_run_stays_in_the_folder_that_it_was_started_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without a step Prefect copies the folder of an image into one of the run, libraries and all
    ((name, given),) = (step.popitem() for step in yaml.safe_load((FOLDER / "prefect.yaml").read_text())["pull"])
    assert name == f"prefect.deployments.steps.{set_working_directory.__name__}"
    monkeypatch.chdir(tmp_path)
    assert set_working_directory(**given) == {"directory": str(tmp_path)}
    assert Path.cwd() == tmp_path


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
    assert [a["name"] for a in CRASHES] == ["tunegate-silent-run", "tunegate-unbegun-run"]
    for automation in CRASHES:
        assert automation["trigger"]["match_related"]["prefect.resource.id"] == "prefect.tag.heartbeat"
        assert automation["trigger"]["for_each"] == ["prefect.resource.id"]
    watched = {d["name"] for d in DEPLOYMENTS if "heartbeat" in d["tags"]}
    assert watched == {"retrain", "prepare", "finetune", "reconcile"}


def test_a_run_is_crashed_when_two_of_its_beats_are_missed_and_never_for_one() -> None:
    silent, _ = CRASHES
    (beat,) = BEAT.values()
    assert 2 * int(beat) < silent["trigger"]["within"]
    assert silent["trigger"]["after"] == ["prefect.flow-run.heartbeat"]


def test_a_run_that_never_begins_is_crashed_within_two_minutes_and_none_that_is_in_a_queue() -> None:
    _, unbegun = CRASHES
    trigger = unbegun["trigger"]
    assert trigger["within"] + LOOK_OF_THE_SERVER < 120
    assert trigger["after"] == ["prefect.flow-run.Pending"]
    ended = (states.Completed, states.Failed, states.Crashed, states.Cancelled)
    queued = (states.Scheduled, states.Late, states.AwaitingRetry, states.AwaitingConcurrencySlot)
    people = (states.Suspended, states.Paused)
    over = {f"prefect.flow-run.{state().name}" for state in (*ended, *queued, *people)}
    assert over <= set(trigger["expect"])
    assert "prefect.flow-run.heartbeat" in trigger["expect"]
    assert not {"prefect.flow-run.Running", "prefect.flow-run.Submitting"} & set(trigger["expect"])


@pytest.mark.parametrize("automation", AUTOMATIONS, ids=lambda a: a["name"])
def test_automations_are_those_of_prefect(automation: dict[str, Any]) -> None:
    actions = [
        {**action, **({"block_document_id": "0" * 32} if action["type"] == "send-notification" else {})}
        for action in automation["actions"]
    ]
    assert AutomationCore.model_validate({**automation, "actions": actions}).name.startswith("tunegate-")


def test_the_team_hears_of_all_that_is_told_of_approvals() -> None:
    told = {f"tunegate.{kind}" for kind in get_args(Kind) if kind.startswith("approval.")}
    heard = {
        name for a in AUTOMATIONS if a["actions"][0]["type"] == "send-notification" for name in a["trigger"]["expect"]
    }
    assert told <= heard


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
def test_the_runs_of_each_pool_beat_as_the_server_expects(kind: str) -> None:
    assert job_of(kind).env.items() >= BEAT.items()
    assert with_beat(template(kind)) == template(kind)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (None, BEAT),
        ({"type": "object"}, BEAT),
        ({"type": "object", "default": {"HOME": "/home"}}, {**BEAT, "HOME": "/home"}),
        ({"type": "object", "default": dict.fromkeys(BEAT, "60")}, dict.fromkeys(BEAT, "60")),
    ],
)
def test_a_pool_that_somebody_made_gets_the_beat_and_keeps_all_else(
    env: dict[str, Any] | None, expected: dict[str, str]
) -> None:
    given = template("process")
    del given["job_configuration"]["env"], given["variables"]["properties"]["env"]
    if env is not None:
        given["variables"]["properties"]["env"] = env
    found = with_beat(given)
    assert found["job_configuration"] == {**given["job_configuration"], "env": "{{ env }}"}
    assert found["variables"]["properties"].pop("env")["default"] == expected
    given["variables"]["properties"].pop("env", None)
    assert found["variables"] == given["variables"]
    assert with_beat({}) == {}


@each_pool
def test_the_worker_of_each_kind_understands_its_template(kind: str) -> None:
    chosen = {"node_selector": {"nvidia.com/gpu.product": "NVIDIA-L4"}} if kind == "kubernetes" else {}
    job = job_of(kind, **chosen)
    if kind == "process":
        assert not ReadyJobConfiguration.model_validate(job.model_dump()).ready
        assert ReadyJobConfiguration.model_validate(resolved(kind, ready=True)).ready
    if kind == "kubernetes":
        pod = job.model_dump()["job_manifest"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod["nodeSelector"] == chosen["node_selector"]
        assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert pod["securityContext"]["runAsNonRoot"] is True
    if kind == "docker":
        assert job.model_dump()["privileged"] is False
        assert gpus_of(job) == [
            {"Driver": "nvidia", "Count": 1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
        ]
        assert gpus_of(job_of(kind, device_requests=[])) == []


def gpus_of(job: BaseJobConfiguration) -> list[dict[str, Any]]:
    """The GPUs that docker-py asks the engine for, of what the worker gives it."""
    from docker.types import HostConfig

    given = job.model_dump()["container_create_kwargs"]
    return list(HostConfig(version="1.44", **given)["DeviceRequests"])

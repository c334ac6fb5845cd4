"""The image and the team set-up as far as they can be looked at without a container engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.settings import PROJECT
from flows.platform import POOLS, WORKERS

FOLDER = PROJECT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if str(service["image"]).startswith("tunegate:")]


def test_the_dockerfile_passes_hadolint() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([tool, FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def held_to_the_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """What the compose specification's JSON schema, which ships with check-jsonschema, says of a compose file."""
    tool = Path(sys.executable).with_name("check-jsonschema")
    command = [tool, "--builtin-schema", "vendor.compose-spec", file]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_compose_file_keeps_to_the_specification() -> None:
    done = held_to_the_schema(FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    healthcheck: {test: [CMD, pg_isready", "    healthchek: {test: [CMD, pg_isready"),
        ("condition: service_healthy}", "condition: service_is_well}"),
        ("cap_drop: [ALL]", "cap_drop: ALL"),
        ("read_only: true", "read_only: [true]"),
    ],
)
def test_the_schema_knows_a_compose_file_that_is_none(tmp_path: Path, right: str, wrong: str) -> None:
    text = (FOLDER / "compose.yaml").read_text()
    assert right in text
    broken = tmp_path / "compose.yaml"
    broken.write_text(text.replace(right, wrong))
    assert held_to_the_schema(broken).returncode == 1


def test_nothing_in_the_compose_file_refers_to_what_is_not_there() -> None:
    """What no schema says: services, volumes and files by their names."""
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{[A-Z_]+:-(.*?)\}", r"\1", volume).split(":")[0]
            assert source in COMPOSE["volumes"] or (FOLDER / source).exists() or source == "../data", volume


def test_the_image_runs_as_nobody_in_particular_and_has_both_targets() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert re.findall(r"^USER (\w+)$", text, flags=re.M) == ["10001"]
    assert set(re.findall(r"^FROM \S+ AS (cpu|gpu)$", text, flags=re.M)) == {"cpu", "gpu"}


def test_torch_is_pinned_as_everywhere() -> None:
    pins = {
        re.search(r"torch==([\d.]+)", (PROJECT / file).read_text()).group(1)  # type: ignore[union-attr]
        for file in ("Makefile", "pyproject.toml", "docker/Dockerfile")
    }
    assert len(pins) == 1


def test_every_image_of_others_is_given_by_digest() -> None:
    pinned = (FOLDER / "pin").read_text()
    assert re.findall("^ARG (.*IMAGE.*)$", (FOLDER / "Dockerfile").read_text(), flags=re.M) == ["PYTHON_IMAGE"]
    for name, service in SERVICES.items():
        if name not in OURS:
            variable = re.fullmatch(r"\$\{([A-Z_]+):\?run docker/pin\}", service["image"])
            assert variable is not None, name
            assert f"\n{variable[1]} " in pinned


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.get("restart") != "no"])
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "healthcheck" in service])
def test_no_health_check_asks_a_name_that_is_ipv6_first(name: str) -> None:
    """In Alpine `localhost` is ::1 before it is 127.0.0.1, and nobody listens there."""
    assert "localhost" not in " ".join(SERVICES[name]["healthcheck"]["test"])


def test_only_who_needs_the_object_storage_shares_a_network_with_it() -> None:
    inside = {name for name, service in SERVICES.items() if "storage" in service.get("networks", ["default"])}
    assert inside == {"storage", "mlflow", "deploy", "worker-cpu", "worker-gpu"}
    assert SERVICES["storage"]["networks"] == ["storage"]
    assert "ports" not in SERVICES["storage"]
    assert {"-webdav=false", "-admin.ui=false"} <= set(SERVICES["storage"]["command"])
    template = json.loads((PROJECT / "deployments" / "pools" / "docker.json").read_text())
    names = {network["name"] for network in COMPOSE["networks"].values()}
    assert set(template["variables"]["properties"]["networks"]["default"]) == names


def test_there_is_a_worker_for_each_pool() -> None:
    commands = [service["command"] for name, service in SERVICES.items() if name.startswith("worker-")]
    given = [command[: command.index("--with-healthcheck")] for command in commands]
    assert given == [[*WORKERS["cpu"], "--pool", "cpu"], [*WORKERS["gpu"], "--pool", "gpu", "--limit", "1"]]
    assert list(POOLS) == ["cpu", "gpu"]


def test_the_trainer_and_the_promoter_are_two_users() -> None:
    users = {name: SERVICES[name]["environment"]["MLFLOW_TRACKING_USERNAME"] for name in ("worker-cpu", "worker-gpu")}
    assert users == {"worker-cpu": "promoter", "worker-gpu": "trainer"}


def test_every_variable_that_compose_needs_is_in_the_example_or_pinned() -> None:
    named = set(re.findall(r"\$\{([A-Z_]+)", (FOLDER / "compose.yaml").read_text()))
    example = set(re.findall(r"^([A-Z_]+)=", (FOLDER / ".env.example").read_text(), flags=re.M))
    pinned = set(re.findall(r"^([A-Z_]+_IMAGE) ", (FOLDER / "pin").read_text(), flags=re.M))
    assert named == example | pinned


def test_no_password_is_given_away() -> None:
    for line in (FOLDER / ".env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        if re.search("PASSWORD|SECRET|KEY", name):
            assert value == "", name


def test_the_script_that_pins_is_sound() -> None:
    done = subprocess.run(["bash", "-n", str(FOLDER / "pin")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

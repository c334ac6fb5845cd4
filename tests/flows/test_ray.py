"""The scrub stage on a Ray cluster of two workers: the same rows, to the byte, as in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conf.settings import PROJECT
from tests.builders import ANSWERS
from tests.flows.place import PLANTED, Place
from tests.flows.platform import Platform, free_port
from tests.searching import files_with

pytestmark = pytest.mark.platform

PREPARE = """
import json, sys
from conf.settings import prepare_environment, settings
prepare_environment(settings())
from flows.prepare import prepare
clean = prepare(sys.argv[1], tuple(sys.argv[2:])).clean
entities = [count.model_dump() for count in clean.entities]
print(json.dumps({"rows": [shard.sha256 for shard in clean.rows], "entities": entities}))
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray cluster of two machines, as far as Ray knows, with a core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Platform]:
    """A Prefect server that Ray's workers can reach."""
    server = Platform(Place(tmp_path / "platform"), free_port(), free_port())
    done = server.place.command("up", *server.ports, "--no-workers", "--json")
    assert done.returncode == 0, done.stderr
    with server.api:
        yield server
    server.down()


def large(folder: Path) -> Place:
    """A place with more tickets than are sent at once: each worker has some to look at."""
    place = Place(folder)
    with (place.recipe.parent / "tickets.jsonl").open("a") as stream:
        for number in range(4400):
            text = f"Row {number}: where is it, asks Margaret Whitfield <r{number}@example.com>"
            stream.write(json.dumps({"text": text, "answer": ANSWERS[number % 4], "customer": f"r{number}"}) + "\n")
    return place


def prepare(place: Place, *overrides: str, **more: str) -> dict[str, object]:
    """What the flow `prepare` leaves of a place's recipe."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(place.recipe), *overrides],
        cwd=PROJECT,
        env=place.environment(**more),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_rows_scrubbed_on_two_ray_workers_are_those_of_one_process(
    tmp_path: Path, cluster: Any, server: Platform
) -> None:
    address = {"PREFECT_API_URL": f"{server.ui}/api"}
    here = prepare(large(tmp_path / "here"), **address)
    there = prepare(large(tmp_path / "there"), "pii.task_runner=ray", RAY_ADDRESS=cluster.address, **address)
    assert there == here
    looked = server.api.post("/task_runs/filter", json={"task_runs": {"name": {"like_": "look"}}}).raise_for_status()
    states = [run["state"]["type"] for run in looked.json()]
    assert len(states) >= 3
    assert set(states) == {"COMPLETED"}
    left = (tmp_path / "there" / "home", server.place.home, Path(cluster.head_node.get_logs_dir_path()))
    assert [files_with(PLANTED, folder) for folder in left] == [[], [], []]


def test_ray_without_a_server_for_its_workers_is_refused(tmp_path: Path) -> None:
    done = Place(tmp_path / "alone").run("--set", "pii.task_runner=ray")
    assert done.returncode == 3
    assert "pii.task_runner: ray's workers need a Prefect server that they can reach" in done.stderr

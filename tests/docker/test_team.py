"""The team's set-up of docker/compose.yaml as processes, with a real Postgres, a real S3 server and MLflow's users.

No container engine is needed. Commands, environments and volumes are read from the compose file; a process has no other
variables than those, and a folder for each volume: the trainer's is not the promoter's. What differs are the addresses,
and the S3 server: rclone, where compose has SeaweedFS.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from s3fs import S3FileSystem

from conf.settings import PROJECT
from tests.builders import ANSWERS, QUESTIONS
from tests.flows.place import Place
from tests.flows.platform import free_port
from tests.waiting import wait_for

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "docker" / "compose.yaml").read_text())["services"]
SECRETS = {
    name: f"{name.lower()}-of-the-test-0123456789"
    for name in re.findall(
        r"^(\w+(?:PASSWORD|SECRET|KEY))=$", (PROJECT / "docker" / ".env.example").read_text(), flags=re.M
    )
}
BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))  # where Debian has them
TOOLS = Path(sys.executable).parent
WHO = {"admin": "deploy", "trainer": "worker-gpu", "promoter": "worker-cpu"}  # by whose service they come to MLflow
pytestmark = [
    pytest.mark.slow,
    pytest.mark.platform,
    pytest.mark.skipif(not BINARIES.is_dir(), reason="no Postgres is installed; Debian's package is `postgresql`"),
]


def interpolated(text: str) -> str:
    """A value of the compose file with its `${NAME:?}` and `${NAME:-default}` filled in."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        return SECRETS[name] if kind == ":?" else SECRETS.get(name, rest)

    return re.sub(r"\$\{([A-Z_]+)(:[?-])([^}]*)\}", value, text)


class Team:
    """Services of the compose file, each with the command, the credentials and the folders that it has there."""

    def __init__(self, place: Place, postgres: Postgres, storage: Storage) -> None:
        self.place, self.postgres, self.storage = place, postgres, storage
        self.processes = list[subprocess.Popen[bytes]]()
        self.log = (place.folder / "team.log").open("ab")
        self.prefect, self.mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.health = {service: f"http://127.0.0.1:{free_port()}/health" for service in ("worker-cpu", "worker-gpu")}
        self.auth = place.folder / "auth.ini"
        self.auth.write_text(self._here((PROJECT / "docker" / "mlflow-auth.ini").read_text()))

    def home(self, service: str) -> Path:
        """What is /var/lib/tunegate there: a folder of this service alone, or its volume."""
        mounts = [str(volume).split(":") for volume in SERVICES[service].get("volumes", [])]
        (name, *_) = [source for source, target, *_ in mounts if target == "/var/lib/tunegate"] or [service]
        return self.place.home if name == "home" else self.place.folder / name

    def environment(self, service: str, **more: str) -> dict[str, str]:
        """What the container would have: the image's variables and the compose file's."""
        image = {
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "HOME": str(self.place.folder / "nobody"),
            "TUNEGATE_HOME": str(self.home(service)),
        }
        given = {name: self._path(service, str(value)) for name, value in SERVICES[service]["environment"].items()}
        of_the_test = {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", "TUNEGATE_THREADS": "1"}
        return {**image, **given, **of_the_test, **more}

    def start(self, service: str, *arguments: str, **more: str) -> None:
        """The service's command, with more arguments, to stay."""
        command = [self._here(word) for word in SERVICES[service]["command"]]
        variables = self.environment(service, **more)
        self.processes.append(
            subprocess.Popen(
                [str(TOOLS / command[0]), *command[1:], *arguments],
                cwd=PROJECT,
                env=variables,
                stdout=self.log,
                stderr=self.log,
            )
        )

    def run(self, user: str, *command: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """A command in the service of one of MLflow's users, as by `docker compose exec`."""
        variables = self.environment(WHO[user], **more)
        return subprocess.run(command, cwd=PROJECT, env=variables, input=typed, capture_output=True, text=True)

    def api(self) -> httpx.Client:
        password = SECRETS["PREFECT_PASSWORD"]
        return httpx.Client(base_url=f"{self.prefect}/api", auth=("tunegate", password), timeout=30)

    def runs(self, flow: str) -> list[dict[str, Any]]:
        with self.api() as api:
            body = {"flows": {"name": {"any_": [flow]}}}
            return list(api.post("/flow_runs/filter", json=body).raise_for_status().json())

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()

    def _here(self, text: str) -> str:
        """The addresses of the compose file's network as those of this test."""
        for there, here in (
            ("@postgres:5432/", f"@127.0.0.1:{self.postgres.port}/"),
            ("@postgres/", f"@127.0.0.1:{self.postgres.port}/"),
            ("http://storage:9000", self.storage.url),
            ("http://prefect:4200", self.prefect),
            ("http://127.0.0.1:4200", self.prefect),
            ("http://mlflow:5000", self.mlflow),
            ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - in the container alone
        ):
            text = text.replace(there, here)
        return text

    def _path(self, service: str, value: str) -> str:
        """A variable's value, with the folders of the container as those of this test."""
        for there, here in (
            ("/opt/tunegate/docker/mlflow-auth.ini", self.auth),
            ("/var/lib/tunegate", self.home(service)),
            ("/etc/tunegate", self.place.conf),
            ("/data", self.place.folder / "data"),
            ("/tmp", self.place.folder / f"tmp-{service}"),  # noqa: S108
        ):
            if value == there or value.startswith(f"{there}/"):
                return f"{here}{value.removeprefix(there)}"
        return self._here(interpolated(value))


class Storage:
    """An S3 server on loopback that knows one key; its buckets are folders of a folder."""

    def __init__(self, folder: Path) -> None:
        port, self.folder = free_port(), folder / "storage"
        self.folder.mkdir()
        self.url = f"http://127.0.0.1:{port}"
        keys = f"{SECRETS['STORAGE_KEY']},{SECRETS['STORAGE_SECRET']}"
        serve = ("serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys, "--config", "/dev/null")
        with (folder / "storage.log").open("wb") as log:
            command = [str(TOOLS / "rclone"), *serve, str(self.folder)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def make_bucket(self) -> None:
        """As SeaweedFS does of its environment, once the server is up."""
        wait_for(lambda: refuses(self.url), seconds=30)
        self.client().mkdir("tunegate")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def client(self, secret: str = SECRETS["STORAGE_SECRET"]) -> S3FileSystem:
        return S3FileSystem(key=SECRETS["STORAGE_KEY"], secret=secret, endpoint_url=self.url, skip_instance_cache=True)

    def files(self, below: str) -> list[Path]:
        """What lies in the bucket below a prefix."""
        return [path for path in (self.folder / "tunegate" / below).rglob("*") if path.is_file()]


class Postgres:
    """A cluster of its own on loopback, with the databases that compose makes."""

    def __init__(self, folder: Path) -> None:
        self.port, self.user = free_port(), ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # Postgres does not run as root, nor in root's folders
        password = self.folder / "password"
        password.write_text(SECRETS["POSTGRES_PASSWORD"])
        if self.user:
            for path in (self.folder, password):
                shutil.chown(path, "postgres")
        first = ("--username", "postgres", "--auth", "scram-sha-256", "--pwfile", str(password))
        subprocess.run(self._command("initdb", "-D", f"{self.folder}/data", *first), check=True, capture_output=True)
        options = ("-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1")
        with (folder / "postgres.log").open("wb") as log:
            command = self._command("postgres", "-D", f"{self.folder}/data", *options)
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(lambda: self._psql("-c", "SELECT 1").returncode == 0, seconds=60)
        assert self._psql("-f", str(PROJECT / "docker" / "databases.sql")).returncode == 0

    def count(self, database: str, table: str) -> int:
        return int(self._psql("-At", "-c", f"SELECT count(*) FROM {table}", database=database).stdout)  # noqa: S608

    def stop(self) -> None:
        stop = self._command("pg_ctl", "-D", f"{self.folder}/data", "stop", "-m", "fast")
        subprocess.run(stop, check=True, capture_output=True)
        self.process.wait(60)
        shutil.rmtree(self.folder)

    def _psql(self, *arguments: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database)
        variables = {**os.environ, "PGPASSWORD": SECRETS["POSTGRES_PASSWORD"]}
        return subprocess.run(["psql", *where, *arguments], env=variables, capture_output=True, text=True)

    def _command(self, tool: str, *arguments: str) -> list[str]:
        return [*self.user, str(BINARIES / tool), *arguments]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    place = Place(tmp_path_factory.mktemp("team"))
    with contextlib.ExitStack() as stack:
        postgres = Postgres(place.folder)
        stack.callback(postgres.stop)
        storage = Storage(place.folder)
        stack.callback(storage.stop)
        storage.make_bucket()
        found = Team(place, postgres, storage)
        stack.callback(found.stop)
        for service, url in (("prefect", found.prefect), ("mlflow", found.mlflow)):
            found.start(service, "--port", url.rpartition(":")[2])
        wait_for(lambda: all(answers(url) for url in (f"{found.prefect}/api/health", f"{found.mlflow}/health")))
        granted = found.run("admin", "python", "docker/grant.py")
        assert granted.returncode == 0, granted.stderr
        deployed = found.run("admin", *SERVICES["deploy"]["command"])  # grants again, as at each start of compose
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        for service, health in found.health.items():
            where = httpx.URL(health)
            found.start(
                service, PREFECT_WORKER_WEBSERVER_HOST=where.host, PREFECT_WORKER_WEBSERVER_PORT=str(where.port)
            )
        yield found


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def refuses(url: str) -> bool:
    try:
        return httpx.get(url).is_client_error  # no key was sent
    except httpx.HTTPError:
        return False


def test_both_servers_ask_for_a_password(team: Team) -> None:
    assert httpx.post(f"{team.prefect}/api/flow_runs/filter", json={}).status_code == 401
    assert httpx.get(f"{team.mlflow}/api/2.0/mlflow/registered-models/search").status_code == 401


@pytest.mark.parametrize(("database", "table"), [("prefect", "deployment"), ("mlflow", "registered_models")])
def test_both_servers_keep_their_records_in_postgres(team: Team, database: str, table: str) -> None:
    assert team.postgres.count(database, table) > 0


def test_the_object_storage_asks_for_a_key(team: Team) -> None:
    assert team.storage.client().ls("") == ["tunegate"]
    with pytest.raises(PermissionError):
        team.storage.client(secret="guessed").ls("")


@pytest.mark.parametrize("service", ["worker-cpu", "worker-gpu"])
def test_a_worker_passes_its_health_check(team: Team, service: str) -> None:
    wait_for(lambda: answers(team.health[service]), seconds=60)


def test_a_run_trains_as_the_trainer_and_the_promoter_makes_the_champion(team: Team) -> None:
    with team.api() as api:
        deployment = api.get("/deployments/name/retrain/retrain").raise_for_status().json()["id"]
        body = {"parameters": {"recipe": "tiny"}, "state": {"type": "SCHEDULED"}}
        api.post(f"/deployments/{deployment}/create_flow_run", json=body).raise_for_status()
    wait_for(lambda: any(run["state"]["name"] in {"Suspended", "Failed"} for run in team.runs("promote")), seconds=900)
    assert [run["state"]["name"] for run in team.runs("promote")] == ["Suspended"], team.runs("promote")
    assert "otpauth" in team.run("promoter", "tunegate", "enroll", "first-approver").stdout
    asked = json.loads(team.run("promoter", "tunegate", "promote", "tiny", "--json").stdout)
    words = ("approve", asked["request"][:12], "--as", "first-approver", "--reason", "read the review", "--candidate")
    done = team.run(
        "promoter",
        "tunegate",
        *words,
        asked["event"]["digests"]["adapter"][:12],
        typed=f"{team.place.code('first-approver')}\n",
    )
    assert done.stdout == "approved: tiny version 1 is the champion\n", done.stderr
    assert team.run("promoter", "tunegate", "verify").returncode == 0
    wait_for(lambda: team.runs("promote")[0]["state"]["name"] == "Completed")


def test_what_they_made_lies_in_object_storage_and_the_ledger_with_the_promoter_alone(team: Team) -> None:
    stages = {file.parents[1].name for file in team.storage.files("store") if file.name == "manifest.json"}
    assert {"prepared", "scrub", "train", "evaluate"} <= stages
    assert {file.name for file in team.storage.files("mlflow")} >= {"report.html", "adapter_model.safetensors"}
    trainer, promoter = team.home("worker-gpu"), team.home("worker-cpu")
    assert trainer != promoter
    assert [name for name in ("ledger.jsonl", "approvers") if (promoter / name).exists()] == [
        "ledger.jsonl",
        "approvers",
    ]
    assert [name for name in ("ledger.jsonl", "approvers") if (trainer / name).exists()] == []
    for home in (trainer, promoter):
        assert list(home.glob("store/*/*/manifest.json")) == []


def test_the_champion_answers_on_a_machine_that_has_only_the_addresses(team: Team) -> None:
    fresh = {"TUNEGATE_HOME": str(team.place.folder / "served"), "PREFECT_HOME": str(team.place.folder / "served")}
    ask = ("python", "-m", "tasks.register.load", "models:/tiny@champion", QUESTIONS[0])
    done = team.run("trainer", *ask, **fresh)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ANSWERS


def test_a_rollback_with_nothing_to_go_back_to_ends_with_its_reason(team: Team) -> None:
    with team.api() as api:
        deployment = api.get("/deployments/name/rollback/rollback").raise_for_status().json()["id"]
        form = {"model": "tiny", "approver": "first-approver", "reason": "wrong answers", "code": "000000"}
        body = {"parameters": form, "state": {"type": "SCHEDULED"}}
        api.post(f"/deployments/{deployment}/create_flow_run", json=body).raise_for_status()
    wait_for(lambda: any(run["state"]["name"] in {"Failed", "Crashed", "Completed"} for run in team.runs("rollback")))
    (run,) = team.runs("rollback")
    assert run["state"]["message"] == "tiny: there is no previous champion to go back to"


@pytest.mark.parametrize("user", ["trainer", "promoter"])
def test_only_the_promoter_may_move_the_champion(team: Team, user: str) -> None:
    script = "import mlflow; mlflow.MlflowClient().set_registered_model_alias('tiny', 'champion', '1')"
    done = team.run(user, "python", "-c", script)
    assert (done.returncode == 0) is (user == "promoter"), done.stderr
    if user == "trainer":
        assert "Permission denied" in done.stderr


def test_no_password_stands_in_a_log(team: Team) -> None:
    logs = list(team.place.folder.rglob("*.log"))
    assert {"team.log", "storage.log", "tunegate.log"} <= {log.name for log in logs}
    secrets = [value for name, value in SECRETS.items() if name != "STORAGE_KEY"]  # that one is a user's name
    found = [log.name for log in logs for secret in secrets if secret in log.read_text(errors="replace")]
    assert found == []

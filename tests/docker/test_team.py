"""The team set-up of docker/compose.yaml as processes: real Postgres behind both servers, passwords, MLflow's users.

No container engine is needed; the commands, the grants and the environment are those of the compose file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conf.settings import PROJECT
from flows.platform import WORKERS
from tests.flows.place import Place
from tests.flows.platform import free_port
from tests.waiting import wait_for

USERS = ("admin", "trainer", "promoter", "prefect", "postgres")
PASSWORDS = {user: f"{user}-of-the-test-0123456789" for user in USERS}
BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))  # where Debian has them
pytestmark = [
    pytest.mark.slow,
    pytest.mark.platform,
    pytest.mark.skipif(not BINARIES.is_dir(), reason="no Postgres is installed; Debian's package is `postgresql`"),
]


class Team:
    """Both servers and both workers, each with the credentials that compose gives it."""

    def __init__(self, place: Place) -> None:
        self.place, self.processes = place, list[subprocess.Popen[bytes]]()
        self.postgres = Postgres(place.folder)
        self.prefect, self.mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.log = (place.folder / "team.log").open("ab")

    def environment(self, user: str) -> dict[str, str]:
        """Of a process that runs flows or commands, as one of MLflow's users."""
        return self.place.environment(
            PREFECT_API_URL=f"{self.prefect}/api",
            PREFECT_API_AUTH_STRING=f"tunegate:{PASSWORDS['prefect']}",
            PREFECT_HOME=str(self.place.home / "prefect"),
            PREFECT_WORKER_QUERY_SECONDS="1",
            MLFLOW_TRACKING_URI=self.mlflow,
            MLFLOW_TRACKING_USERNAME=user,
            MLFLOW_TRACKING_PASSWORD=PASSWORDS[user],
        )

    def start(self, *command: str, **variables: str) -> None:
        found = str(Path(sys.executable).with_name(command[0]))
        self.processes.append(
            subprocess.Popen([found, *command[1:]], cwd=PROJECT, env=variables, stdout=self.log, stderr=self.log)
        )

    def run(self, user: str, *command: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        variables = {**self.environment(user), **more}
        return subprocess.run(
            [sys.executable, *command], cwd=PROJECT, env=variables, input=typed, capture_output=True, text=True
        )

    def api(self) -> httpx.Client:
        return httpx.Client(base_url=f"{self.prefect}/api", auth=("tunegate", PASSWORDS["prefect"]), timeout=30)

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
        self.postgres.stop()
        self.log.close()


class Postgres:
    """A cluster of its own on loopback, with the databases that compose makes."""

    def __init__(self, folder: Path) -> None:
        self.port, self.user = free_port(), ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # Postgres does not run as root, nor in root's folders
        password = self.folder / "password"
        password.write_text(PASSWORDS["postgres"])
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

    def address(self, database: str, driver: str, password: str = "") -> str:
        return f"postgresql+{driver}://postgres{password}@127.0.0.1:{self.port}/{database}"

    def count(self, database: str, table: str) -> int:
        return int(self._psql("-At", "-c", f"SELECT count(*) FROM {table}", database=database).stdout)  # noqa: S608

    def stop(self) -> None:
        stop = self._command("pg_ctl", "-D", f"{self.folder}/data", "stop", "-m", "fast")
        subprocess.run(stop, check=True, capture_output=True)
        self.process.wait(60)
        shutil.rmtree(self.folder)

    def _psql(self, *arguments: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database)
        variables = {**os.environ, "PGPASSWORD": PASSWORDS["postgres"]}
        return subprocess.run(["psql", *where, *arguments], env=variables, capture_output=True, text=True)

    def _command(self, tool: str, *arguments: str) -> list[str]:
        return [*self.user, str(BINARIES / tool), *arguments]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    place = Place(tmp_path_factory.mktemp("team"))
    found = Team(place)
    ini = place.folder / "auth.ini"
    committed = (PROJECT / "docker" / "mlflow-auth.ini").read_text()
    there, here = (
        "postgresql+psycopg2://postgres@postgres/mlflow_auth",
        found.postgres.address("mlflow_auth", "psycopg2"),
    )
    assert there in committed
    ini.write_text(committed.replace(there, here))
    mlflow = place.environment(
        PGPASSWORD=PASSWORDS["postgres"],
        MLFLOW_AUTH_CONFIG_PATH=str(ini),
        MLFLOW_AUTH_ADMIN_USERNAME="admin",
        MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORDS["admin"],
        MLFLOW_FLASK_SERVER_SECRET_KEY="of-the-test",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
    )
    prefect = place.environment(
        PREFECT_HOME=str(place.folder / "prefect-server"),
        PREFECT_API_DATABASE_CONNECTION_URL=found.postgres.address("prefect", "asyncpg", f":{PASSWORDS['postgres']}"),
        PREFECT_SERVER_API_AUTH_STRING=f"tunegate:{PASSWORDS['prefect']}",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
    )
    ports = [url.rpartition(":")[2] for url in (found.prefect, found.mlflow)]
    artifacts = str(place.folder / "artifacts")
    place_of_runs = (
        "--backend-store-uri",
        found.postgres.address("mlflow", "psycopg2"),
        "--artifacts-destination",
        artifacts,
    )
    try:
        found.start("prefect", "server", "start", "--port", ports[0], **prefect)
        found.start(
            "mlflow",
            "server",
            "--app-name",
            "basic-auth",
            "--port",
            ports[1],
            "--workers",
            "1",
            *place_of_runs,
            **mlflow,
        )
        wait_for(lambda: all(answers(url) for url in (f"{found.prefect}/api/health", f"{found.mlflow}/health")))
        passwords = {f"MLFLOW_{user.upper()}_PASSWORD": PASSWORDS[user] for user in ("trainer", "promoter")}
        for _ in range(2):  # each start of compose runs it again
            granted = found.run("admin", "docker/grant.py", PYTHONPATH=str(PROJECT), **passwords)
            assert granted.returncode == 0, granted.stderr
        deployed = found.run("admin", "-m", "flows.cli", "up", "--no-workers")
        assert deployed.returncode == 0, deployed.stderr
        for pool, user in (("cpu", "promoter"), ("gpu", "trainer")):
            found.start(*WORKERS[pool], "--pool", pool, **found.environment(user))
        yield found
    finally:
        found.stop()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def test_both_servers_ask_for_a_password(team: Team) -> None:
    assert httpx.post(f"{team.prefect}/api/flow_runs/filter", json={}).status_code == 401
    assert httpx.get(f"{team.mlflow}/api/2.0/mlflow/registered-models/search").status_code == 401


@pytest.mark.parametrize(("database", "table"), [("prefect", "deployment"), ("mlflow", "registered_models")])
def test_both_servers_keep_their_records_in_postgres(team: Team, database: str, table: str) -> None:
    assert team.postgres.count(database, table) > 0


def test_a_run_trains_as_the_trainer_and_the_promoter_makes_the_champion(team: Team) -> None:
    with team.api() as api:
        deployment = api.get("/deployments/name/retrain/retrain").raise_for_status().json()["id"]
        body = {"parameters": {"recipe": "tiny"}, "state": {"type": "SCHEDULED"}}
        api.post(f"/deployments/{deployment}/create_flow_run", json=body).raise_for_status()
    wait_for(lambda: any(run["state"]["name"] in {"Suspended", "Failed"} for run in team.runs("promote")), seconds=900)
    assert [run["state"]["name"] for run in team.runs("promote")] == ["Suspended"], team.runs("promote")
    assert "otpauth" in team.run("promoter", "-m", "flows.cli", "enroll", "first-approver").stdout
    asked = json.loads(team.run("promoter", "-m", "flows.cli", "promote", "tiny", "--json").stdout)
    words = ("approve", asked["request"][:12], "--as", "first-approver", "--reason", "read the review", "--candidate")
    done = team.run(
        "promoter",
        "-m",
        "flows.cli",
        *words,
        asked["event"]["digests"]["adapter"][:12],
        typed=f"{team.place.code('first-approver')}\n",
    )
    assert done.stdout == "approved: tiny version 1 is the champion\n", done.stderr
    assert team.run("promoter", "-m", "flows.cli", "verify").returncode == 0
    wait_for(lambda: team.runs("promote")[0]["state"]["name"] == "Completed")


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
    done = team.run(user, "-c", script)
    assert (done.returncode == 0) is (user == "promoter"), done.stderr
    if user == "trainer":
        assert "Permission denied" in done.stderr


def test_no_password_stands_in_a_log(team: Team) -> None:
    logs = [team.place.folder / "team.log", *(team.place.home / "logs").glob("*.log")]
    found = [log.name for log in logs for password in PASSWORDS.values() if password in log.read_text(errors="replace")]
    assert found == []

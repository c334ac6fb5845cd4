"""How soon a champion is rolled back: `python -m benchmarks.rollback`, about five minutes on 2 cores.

Two champions of a tiny model behind `tunegate up`, on real servers. From Submit on deployment `rollback` (the request
that a browser sends), or Enter after `tunegate rollback`, until the registry holds the other champion, every digest
verified; beside them the same click where the worker starts a process from nothing, as Prefect's own worker does. Each
in turn, so that all see the same machine. A real base takes longer to verify, by its bytes: how long is a figure too.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, show
from conf.settings import PROJECT
from tasks.artifacts import sha256_of
from tasks.promote import proofs
from tests.flows.place import Place
from tests.flows.platform import Platform, platform
from tests.waiting import wait_for

ROUNDS = 5
GOAL_SECONDS = 5.0
DEMO_BASE_BYTES = 270_000_000
APPROVERS = [f"approver-{number}" for number in range(3 * ROUNDS + 2)]  # each for one code: nobody waits for the next
POLICY = f"""
approvers:
{"".join(f"  - {{name: {name}, logins: [{name}], totp: true}}{os.linesep}" for name in APPROVERS)}
rules:
  - {{models: ["*"], approvers: [{", ".join(APPROVERS)}], may_differ: [training]}}
"""


class House:
    """A place with two champions, and approvers of whom each has decided on nothing yet."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        (self.place.conf / "policies" / "promotion.yaml").write_text(POLICY)
        for name in APPROVERS:
            proofs.enroll(self.place.home / "approvers", name)
        self._fresh = iter(APPROVERS)

    def proof(self) -> tuple[str, str]:
        """An approver, and their first code."""
        name = next(self._fresh)
        return name, self.place.code(name)

    def make_champion(self, seed: int) -> None:
        """Train, ask, approve."""
        _done(self.place.run("--set", f"training.seed={seed}"))
        asked = json.loads(_done(self.place.command("promote", "tiny", "--json")))
        name, code = self.proof()
        words = ("approve", asked["request"][:12], "--as", name, "--reason", "better")
        adapter = asked["event"]["digests"]["adapter"][:12]
        _done(self.place.command(*words, "--candidate", adapter, typed=f"{code}\n"))

    def champion(self) -> str:
        """The version under the alias, read past MLflow: to ask it would cost what is measured."""
        with closing(sqlite3.connect(f"file:{self.place.home / 'mlflow.db'}?mode=ro", uri=True)) as database:
            found = database.execute("select version from registered_model_aliases where alias = 'champion'")
            return str(found.fetchone()[0])

    def seconds(self, press: Callable[[str, str], object]) -> float:
        """From `press(approver, code)` to the moved alias."""
        before, (name, code) = self.champion(), self.proof()
        began = time.perf_counter()
        press(name, code)
        wait_for(lambda: self.champion() != before, seconds=120)
        return time.perf_counter() - began


def _done(ended: subprocess.CompletedProcess[str]) -> str:
    if ended.returncode != 0:
        sys.exit(ended.stdout + ended.stderr)
    return ended.stdout


class Ways:
    """The ways to roll back, each called with an approver and their code."""

    def __init__(self, house: House, server: Platform) -> None:
        self._house, self._server = house, server
        self._deployment = server.deployment("rollback/rollback")["id"]
        self._commands: list[subprocess.Popen[bytes]] = []

    def click(self, name: str, code: str, **job_variables: bool) -> None:
        """Submit the form."""
        form = {"model": "tiny", "approver": name, "reason": "wrong answers", "code": code}
        body = {"parameters": form, "state": {"type": "SCHEDULED"}, "job_variables": job_variables}
        self._server.api.post(f"/deployments/{self._deployment}/create_flow_run", json=body).raise_for_status()

    def from_nothing(self, name: str, code: str) -> None:
        """Submit it where no process is ready."""
        self.click(name, code, ready=False)

    def command(self, name: str, code: str) -> None:
        """Press Enter."""
        words = [sys.executable, "-m", "flows.cli", "rollback", "tiny", "--as", name, "--reason", "wrong answers"]
        with tempfile.TemporaryFile() as typed:
            typed.write(f"{code}\n".encode())
            typed.seek(0)
            environment = self._house.place.environment()
            started = subprocess.Popen(words, cwd=PROJECT, env=environment, stdin=typed, stdout=subprocess.DEVNULL)
        self._commands.append(started)

    def rest(self) -> None:
        """Wait until nothing of the last one is at work."""
        for started in self._commands:
            started.wait()
        wait_for(lambda: not self._server.runs("rollback", "Pending", "Submitting", "Running"), seconds=120)


def measured(house: House, server: Platform) -> dict[str, list[float]]:
    """Seconds of each way, `ROUNDS` times in turn."""
    ways = Ways(house, server)
    found: dict[str, list[float]] = {}
    for again in range(ROUNDS):
        for way in (ways.click, ways.command, ways.from_nothing):
            seconds = house.seconds(way)
            ways.rest()
            print(f"{again + 1}. {way.__name__}: {seconds:.2f} s", flush=True)
            found.setdefault(way.__name__, []).append(seconds)
    return found


def hashing(folder: Path) -> float:
    """Seconds to verify a file as large as the demo's base model."""
    file = folder / "base"
    file.write_bytes(os.urandom(DEMO_BASE_BYTES))
    began = time.perf_counter()
    sha256_of(file)
    return time.perf_counter() - began


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "place")
        for seed in (1, 2):
            house.make_champion(seed)
        with platform(house.place) as server:
            time.sleep(10)  # until the worker has imported
            load = os.getloadavg()[0]
            found = measured(house, server)
        base = hashing(Path(folder))
    figures = [
        Figure("click: median", median(found["click"]), unit="s"),
        Figure("click: slowest", max(found["click"]), GOAL_SECONDS, "s", at_least=False),
        Figure("click where no process is ready: median", median(found["from_nothing"]), unit="s"),
        Figure("command: median", median(found["command"]), unit="s"),
        Figure("command: slowest", max(found["command"]), GOAL_SECONDS, "s", at_least=False),
        Figure("more for a base of 270 MB, as the demo's", base, unit="s"),
        Figure("load of the machine when it began, one minute's", load),
    ]
    show("rollback", figures, as_json=given.json)


if __name__ == "__main__":
    main()

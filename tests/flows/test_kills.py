"""`tunegate run` through `kill -9` in every stage: the same command goes on, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conf.settings import PROJECT
from tests.flows.place import Place
from tests.waiting import wait_for

pytestmark = pytest.mark.long


def test_a_run_killed_in_every_stage_goes_on_and_ends_with_the_same_adapter(tmp_path: Path) -> None:
    place, home = Place(tmp_path), tmp_path / "killed"
    undisturbed = json.loads(place.run("--json").stdout)["adapter_sha256"]
    for stage in ("scrub", "check", "base", "smoke", "train", "evaluate", "record", "register"):
        kill_in(place, home, stage)
    last = place.run("--json", TUNEGATE_HOME=str(home))
    assert last.returncode == 0, last.stdout + last.stderr
    assert json.loads(last.stdout)["adapter_sha256"] == undisturbed
    assert json.loads(last.stdout)["candidate"]["version"] == "1"


def kill_in(place: Place, home: Path, stage: str) -> None:
    """Start the run and kill -9 it as soon as `stage` begins; what came before must be found done."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "flows.cli", "run", str(place.recipe)],
        cwd=PROJECT,
        env=place.environment(TUNEGATE_HOME=str(home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        again: list[str] = []
        for line in process.stdout or ():
            if ": done in" in line:
                again.append(line.split(":")[0])
            if line.startswith(f"{stage}: started"):
                if stage == "train":
                    wait_for(
                        lambda: bool(list(home.glob("cache/*/train/*/checkpoints/checkpoint-*/trainer_state.json")))
                    )
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
    assert process.returncode == -signal.SIGKILL, f"the run ended before {stage}"
    assert len(again) == len(set(again))

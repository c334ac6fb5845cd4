"""`tunegate run` through `kill -9` in every stage: the same command goes on, and nothing is done twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from conf.settings import PROJECT
from tests.flows.place import STAGES, Place, stages_cached, stages_done
from tests.waiting import wait_for

pytestmark = pytest.mark.long


def test_a_run_killed_in_every_stage_goes_on_and_ends_with_the_same_adapter(tmp_path: Path) -> None:
    place, home = Place(tmp_path), tmp_path / "killed"
    undisturbed = json.loads(place.run("--json").stdout)["adapter_sha256"]
    done = [ended for stage in STAGES for ended in kill_in(place, home, stage)]
    last = place.run(TUNEGATE_HOME=str(home))
    assert last.returncode == 0, last.stdout + last.stderr
    done += stages_done(last.stdout)
    assert sorted(done) == sorted(set(done))  # none was done twice
    assert {*done, *stages_cached(last.stdout)} == set(STAGES)
    answer = json.loads(place.run("--json", TUNEGATE_HOME=str(home)).stdout)
    assert (answer["adapter_sha256"], answer["candidate"]["version"]) == (undisturbed, "1")


def kill_in(place: Place, home: Path, stage: str) -> list[str]:
    """Start the run and kill -9 it as soon as `stage` begins; returns the stages that it did before."""
    done: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "flows.cli", "run", str(place.recipe)],
        cwd=PROJECT,
        env=place.environment(TUNEGATE_HOME=str(home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stdout or ():
            done += stages_done(line)
            if line.startswith(f"{stage}: started"):
                if stage == "train":
                    wait_for(
                        lambda: bool(list(home.glob("cache/*/train/*/checkpoints/checkpoint-*/trainer_state.json")))
                    )
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
    wait_for(lambda: not processes_of(home))  # a killed run leaves none behind
    assert process.returncode == -signal.SIGKILL, f"the run ended before {stage}"
    return done


def processes_of(home: Path) -> list[psutil.Process]:
    """All that run with this TUNEGATE_HOME."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TUNEGATE_HOME") == str(home):
                found.append(process)
    return found

"""The Prefect server of one process: there when it is needed, gone with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from conf.settings import PROJECT
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

OWNER = """
from conf.settings import prepare_environment, settings
prepare_environment(settings())
from flows.ephemeral import started
server = started(settings())
server.wait()
assert started(settings()) is server
print(server.url, flush=True)
input()
"""


def owner(home: Path) -> subprocess.Popen[str]:
    """A process that owns a server, says its address, and ends with its input."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=PROJECT,
        env={**os.environ, "TUNEGATE_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def test_it_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    first, second = owner(tmp_path), owner(tmp_path)
    assert first.stdout is not None
    assert second.stdout is not None
    with first, second:
        killed, left = (process.stdout.readline().strip() for process in (first, second) if process.stdout)
        assert killed != left
        assert is_up(killed)
        assert is_up(left)
        first.send_signal(signal.SIGKILL)
        wait_for(lambda: not is_up(killed))
        assert is_up(left)
        second.communicate("\n", timeout=60)
        assert second.returncode == 0
        assert not is_up(left)  # it has ended before its process did


def test_one_that_does_not_start_is_one_line_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "prefect.db").write_text("this is no database, and nobody could take it for one\n" * 40)
    with owner(tmp_path) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Prefect's server does not start: " in said
    assert "file is not a database; its log: " in said

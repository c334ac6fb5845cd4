"""A Prefect server for one process: on a free port of this machine, gone with the process however that ends.

Prefect would start one by itself, but only where the asking process has imported the whole server first: 2.5 seconds on
two cores before it begins to start. And one that Prefect started outlives the kill of the process that asked for it.

    python -m flows.ephemeral DESCRIPTOR
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import cache, partial
from pathlib import Path

import httpx

from conf.settings import PROJECT, Settings, inherited
from flows.log import reason
from tasks.artifacts import private_folder
from tasks.errors import TunegateError

START_SECONDS = 120  # five where the disk is warm and a core is free
STOP_SECONDS = 10


class Server:
    """The running server of this process.

    Attributes:
        url: of its API; whoever asks before it is up waits.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url, self._process, self._log = url, process, log
        atexit.register(self._stop)

    def wait(self) -> None:
        """Return once it answers.

        Raises:
            TunegateError: it ended at once, or does not answer.
        """
        try:
            httpx.get(f"{self.url}/health", timeout=START_SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            why = reason(self._log.read_text(encoding="utf-8", errors="replace")) or repr(error)
            raise TunegateError(f"Prefect's server does not start: {why}; its log: {self._log}") from error

    def _stop(self) -> None:
        try:
            self._process.communicate(timeout=STOP_SECONDS)  # the end of its input is its end
        except subprocess.TimeoutExpired:
            self._process.kill()


@cache
def started(current: Settings) -> Server:
    """The server of this process over the database of this TUNEGATE_HOME; it comes up while its caller goes on."""
    log = private_folder(current.home / "logs") / "prefect-ephemeral.log"
    private_folder(current.home / "prefect")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.ephemeral", str(listening.fileno())],
            cwd=PROJECT,
            env=inherited(PREFECT_SERVER_UI_ENABLED="false"),
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # the terminal's Ctrl-C is for the run, which tells the server how it ended
        )
        return Server(f"http://127.0.0.1:{listening.getsockname()[1]}/api", process, log)


def main() -> None:
    """Serve on a listening socket that was inherited, until the standard input ends."""
    import uvicorn
    from prefect.server.api.server import create_app

    threading.Thread(target=_end_with_parent, daemon=True).start()
    app = partial(create_app, ephemeral=True, final=True)
    uvicorn.run(app, factory=True, fd=int(sys.argv[1]), lifespan="on", log_level="error")


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a buffer's lock, held at exit, would abort the interpreter
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()

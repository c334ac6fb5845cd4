"""A command line that stays warm: `tunegate` again and again in one process, whose libraries are imported once.

    python -m tests.flows.warm

Each line of standard input is a JSON list of arguments; each is answered by a line: exit code, output, errors.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from conf.settings import PROJECT


class WarmCommandLine:
    """The process, from the side of a test; what libraries print meanwhile goes to `log`."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.warm"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # the end of its input is its end
        self._log.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`tunegate` with these arguments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        code, out, errors = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(["tunegate", *arguments], code, out, errors)


def main() -> None:
    """Answer until the input ends. Only answers go to standard output, whatever a library prints there."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(_ended(json.loads(line))) + "\n")
            answers.flush()


def _ended(arguments: list[str]) -> tuple[int, str, str]:
    from flows.cli import main as command_line

    out, errors, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["tunegate", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            command_line()
        except SystemExit as left:
            code = int(left.code or 0)
    return code, out.getvalue(), errors.getvalue()


if __name__ == "__main__":
    main()

"""The log of the command line: what libraries have to say goes to a file, for the terminal is a person's."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from conf.settings import Settings
from tasks.artifacts import private_folder
from tasks.errors import StoreError

# What comes after the reason: SQLAlchemy's lines begin so, and uvicorn's ends so, behind Prefect's time and level.
AFTERWORDS = ("(Background on this error", "[SQL: ", "[parameters: ")
LAST_WORDS = "Application startup failed. Exiting."


def log_file(current: Settings) -> Path:
    """Where the log lies."""
    return current.home / "logs" / "tunegate.log"


def log_to_file(current: Settings) -> None:
    """Send what libraries have to say to a file: the terminal belongs to the display of stages."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    try:
        handler = logging.FileHandler(private_folder(log_file(current).parent) / log_file(current).name)
    except OSError as error:
        raise StoreError(f"{current.home}: {error.strerror}; set TUNEGATE_HOME to a folder you can write to") from error
    logging.basicConfig(
        handlers=[handler], level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    logging.captureWarnings(True)


def reason(said: str) -> str:
    """The last line of what a program said that tells a reason; empty where there is none."""
    lines = [line.strip() for line in said.splitlines()]
    told = (line for line in reversed(lines) if line and not line.startswith(AFTERWORDS))
    return next((line for line in told if not line.endswith(LAST_WORDS)), "")

"""The only reader of the environment: where things lie, and the switches libraries need before they are imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

PROJECT = Path(__file__).resolve().parent.parent

# Analytics, update checks and start-up chatter of the libraries: off, unless the operator set the variable.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_CONFIGURE_LOGGING": "false",  # its own handler writes to the terminal; ours, to the log
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",  # the display of stages tells the progress
    "TRANSFORMERS_VERBOSITY": "error",
}

# Seconds between two signs of life of a flow run. The server crashes a run that misses two of them (automations.yaml),
# and Prefect's own default is 180. The runs of a worker get it by their pool's template (deployments/pools).
BEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}

# One transaction for many task runs: one each, as is the default, and other requests meet a locked SQLite and wait for
# seconds before they try again.
BATCHED = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # 10 s end in "database is locked" on a busy machine
}


@dataclass(frozen=True)
class Settings:
    """Where a run finds and leaves things.

    Attributes:
        home: everything a run leaves, unless one of the next says otherwise (TUNEGATE_HOME).
        conf: the folder with `recipes/` and `policies/` (TUNEGATE_CONF; default: this one).
        store: fsspec URL of the artifact store (TUNEGATE_STORE).
        tracking_uri: MLflow (MLFLOW_TRACKING_URI).
        data: where relative dataset paths are looked for, after the recipe's folder (TUNEGATE_DATA).
        threads: CPU threads of a training or evaluation (TUNEGATE_THREADS; default: the cores this process may use).
        prefect_api_url: a Prefect server, or None for the ephemeral one (PREFECT_API_URL).
        ray_address: the Ray cluster of `pii.task_runner: ray`, or None for one on this machine (RAY_ADDRESS).
        mlflow_ui: where a browser finds MLflow, or None where nobody serves it (TUNEGATE_MLFLOW_UI, which `tunegate up`
            sets for its workers; default: the tracking server, where it is one).
        notify: the block, `TYPE/NAME`, that `tunegate up` notifies of requests and failures by (TUNEGATE_NOTIFY).
    """

    home: Path
    conf: Path
    store: str
    tracking_uri: str
    data: Path | None
    threads: int
    prefect_api_url: str | None
    ray_address: str | None = None
    notify: str | None = None
    mlflow_ui: str | None = None


def settings() -> Settings:
    """Read the environment, now."""
    home = Path(os.environ.get("TUNEGATE_HOME") or PROJECT / ".tunegate").expanduser().resolve()
    data = os.environ.get("TUNEGATE_DATA")
    tracking = _absolute(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}")
    return Settings(
        home=home,
        conf=Path(os.environ.get("TUNEGATE_CONF") or PROJECT / "conf").expanduser().resolve(),
        store=os.environ.get("TUNEGATE_STORE") or str(home / "store"),
        tracking_uri=tracking,
        data=Path(data).expanduser().resolve() if data else None,
        threads=_threads(os.environ.get("TUNEGATE_THREADS")),
        prefect_api_url=os.environ.get("PREFECT_API_URL") or None,
        ray_address=os.environ.get("RAY_ADDRESS") or None,
        notify=os.environ.get("TUNEGATE_NOTIFY") or None,
        mlflow_ui=os.environ.get("TUNEGATE_MLFLOW_UI") or _ui(tracking),
    )


def _absolute(uri: str) -> str:
    """A SQLite address with its path absolute: the processes that we start have another working directory."""
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{Path(path).resolve()}"


def _ui(tracking_uri: str) -> str | None:
    """A tracking server has its pages where it has its API."""
    return without_password(tracking_uri).rstrip("/") if tracking_uri.startswith(("http://", "https://")) else None


def _threads(given: str | None) -> int:
    """The number that the operator gave; without one, or with one that is no number, the cores this process may use."""
    if given and given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_environment(current: Settings) -> None:
    """Set what libraries read at import: their homes below ours, their analytics off. Call before importing them."""
    for name, value in environment(current).items():
        os.environ.setdefault(name, value)


def use_one_thread() -> None:
    """Keep the libraries of this process to one thread: there are as many such processes as cores."""
    os.environ["OMP_NUM_THREADS"] = "1"


def without_password(uri: str) -> str:
    """An address as it may be shown: without user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def use_server(url: str) -> None:
    """Make this process use a Prefect server. Call before importing prefect."""
    os.environ["PREFECT_API_URL"] = url


def take_on(variables: Mapping[str, str | None]) -> None:
    """Make a forked process use what its run was given, as one that is started anew would."""
    os.environ.update({name: value for name, value in variables.items() if value is not None})


def inherited(**more: str) -> dict[str, str]:
    """This process's environment and `more`, for a process that we start."""
    return {**os.environ, **more}


def environment(current: Settings) -> dict[str, str]:
    """The variables of `prepare_environment`, also for a process that we start."""
    return {
        **QUIET,
        **BATCHED,
        **BEAT,
        "TUNEGATE_HOME": str(current.home),
        "TUNEGATE_CONF": str(current.conf),
        "PREFECT_HOME": str(current.home / "prefect"),
        "HF_HOME": str(current.home / "store" / "raw" / "huggingface"),  # datasets leaves copies of raw rows there
        "MLFLOW_TRACKING_URI": current.tracking_uri,
        "OMP_NUM_THREADS": str(current.threads),
    }

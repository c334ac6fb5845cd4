"""The worker of the pool `cpu`: Prefect's process worker, and beside it one process in which everything is imported.

A run whose deployment says `job_variables: {ready: true}` is a fork of that process: what a rollback waits for when it
starts from nothing, most of all imports, is done before anybody presses a button. All other runs start as they do under
Prefect's own worker; under that one these deployments run too, only slower. Decides nothing about a run.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import UUID

import anyio
from anyio.abc import TaskStatus
from prefect.engine import handle_engine_signals
from prefect.flow_engine import load_flow, load_flow_run, run_flow
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from conf.settings import PROJECT, take_on

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

# What a rollback imports on its way, and the database behind MLflow's client.
IMPORTED = [__name__, "flows.rollback", "mlflow", "mlflow.store.tracking.sqlalchemy_store"]
FORKS = multiprocessing.get_context("forkserver")


class ReadyJobConfiguration(ProcessJobConfiguration):
    """That of a process, and whether it is a fork."""

    ready: bool = False


class ReadyWorker(ProcessWorker):
    """Runs what asks for it in a fork of a process that has imported it."""

    job_configuration = ReadyJobConfiguration

    @classmethod
    def __dispatch_key__(cls) -> str:
        return "ready"  # what `--type` names; the type of the pool stays `process`

    async def __aenter__(self) -> Self:
        """Start that process; it imports while this one connects."""
        self._code = code_on_disk()
        FORKS.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()
        await super().__aenter__()
        return self

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run a flow run to its end; see the module."""
        forked = isinstance(configuration, ReadyJobConfiguration) and configuration.ready
        if not forked or code_on_disk() != self._code:  # what was imported is not what stands there now
            return await super().run(flow_run, configuration, task_status)
        process = FORKS.Process(target=run_forked, args=(flow_run.id, configuration.env))
        await anyio.to_thread.run_sync(process.start)
        if task_status is not None:
            task_status.started(process.pid or 0)
        await anyio.to_thread.run_sync(process.join)
        return ProcessWorkerResult(status_code=process.exitcode or 0, identifier=str(process.pid))


def run_forked(run: UUID, variables: dict[str, str | None]) -> None:
    """Do what `python -m prefect.engine` does, in this process."""
    take_on(variables)
    with handle_engine_signals(run):
        found = load_flow_run(run)
        run_flow(load_flow(found), flow_run=found)


def code_on_disk(project: Path = PROJECT) -> frozenset[tuple[Path, int, int]]:
    """Our modules, when each was last written (ns), and how long it is (bytes): enough to see that one is another."""
    files = [file for package in ("conf", "tasks", "flows") for file in (project / package).rglob("*.py")]
    return frozenset((file, found.st_mtime_ns, found.st_size) for file in files for found in [file.stat()])

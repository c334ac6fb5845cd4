"""`tunegate up` and `down`: a Prefect server, an MLflow server and workers on loopback, with everything deployed.

Each process that is started carries a mark in its environment, and whatever it starts inherits it: that is how `down`
finds them all, also after a crash half-way. `platform.json` is written last and means that everything is up. A server
that the environment names (PREFECT_API_URL, MLFLOW_TRACKING_URI) is used, and neither started nor stopped.
"""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import httpx
import psutil
import yaml
from filelock import FileLock, Timeout

from conf.load import recipe_names
from conf.schema import digest_of
from conf.settings import BEAT, PROJECT, Settings, environment, inherited, use_server, without_password
from flows.log import reason
from flows.runs import crash_silent
from tasks.artifacts import private_folder, write_atomically
from tasks.errors import TunegateError
from tasks.results import Frozen

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import DeploymentSchedule

LOOPBACK = "127.0.0.1"
MARK, PART = "TUNEGATE_PLATFORM", "TUNEGATE_PART"
WORKER_OF = "worker-"  # and its pool, as a part
POOLS = {"cpu": None, "gpu": 1}  # so many runs at once: one GPU, one training
# What is rolled back runs on `cpu`, and must not wait for imports: see flows/ready
WORKERS = {
    "cpu": ("python", "-m", "flows.ready", "worker", "start", "--type", "ready"),
    "gpu": ("prefect", "worker", "start"),
}
# What is loaded in the pool `cpu`, as the rehearsal of a rollback, must not take the GPU from a training
DEVICES = {"cpu": {"CUDA_VISIBLE_DEVICES": ""}, "gpu": {}}
LOOK_SECONDS = {"cpu": "1", "gpu": "2"}  # between two looks for work; each is three transactions on SQLite
START_SECONDS = 120
SERVERS_STOP_SECONDS = 8  # Prefect would wait for every browser that looks at it
DEPLOYMENTS = PROJECT / "deployments"

# Beside those of every run. Leases on the disk: in memory, as is the default, a restart of the server loses them.
SERVER = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nine processes that nothing here needs
}

Say = Callable[[str], None]


class Addresses(Frozen):
    """Where the platform answers: the Prefect server's UI and API, and MLflow; and the parts started for it."""

    prefect_ui: str
    prefect_api: str
    mlflow: str
    parts: tuple[str, ...] = ()


def up(current: Settings, prefect_port: int, mlflow_port: int, *, workers: bool, say: Say) -> Addresses:
    """Start what is not up, deploy everything; on any failure stop what was started.

    Args:
        say: told each thing that stands.

    Raises:
        TunegateError: a port is taken, or something did not start; the line names it and its log.
    """
    with _alone(current), _ended_like_ctrl_c():
        standing = _standing(current)
        if standing is not None:
            return _complete(current, standing, workers=workers, say=say)
        _stop(current)  # what a killed `up`, or a crash, left
        ports = ([] if current.prefect_api_url else [(prefect_port, "--prefect-port")]) + (
            [] if _is_server(current.tracking_uri) else [(mlflow_port, "--mlflow-port")]
        )
        for port, option in ports:
            _refuse_taken(port, option)
        if len(ports) == 2 and prefect_port == mlflow_port:  # the one that is up first would answer for both
            raise TunegateError(f"port {mlflow_port} is given to both servers; choose another with --mlflow-port")
        try:
            return _start_all(current, prefect_port, mlflow_port, workers=workers, say=say)
        except BaseException:
            _stop(current)
            raise


def _complete(current: Settings, standing: Addresses, *, workers: bool, say: Say) -> Addresses:
    """Deploy anew to a platform that is up, and start the workers that it lacks."""
    running = {part for _, part in _marked(current)}
    wanted = {part for part in standing.parts if part.startswith(WORKER_OF)}
    wanted |= {f"{WORKER_OF}{pool}" for pool in POOLS if workers}
    missing = sorted(wanted - running)
    _deploy_everything(current, standing.prefect_api, say)
    _crash_silent(standing.prefect_api, say)
    try:
        _start_workers(current, standing, missing, say)
    except BaseException:
        _end([(process, part) for process, part in _marked(current) if part in missing])
        raise
    complete = standing.model_copy(update={"parts": tuple(dict.fromkeys((*standing.parts, *sorted(wanted))))})
    write_atomically(_record(current), complete.model_dump_json())
    return complete


def down(current: Settings) -> int:
    """Stop everything that `up` started for this TUNEGATE_HOME; returns how many processes that were."""
    with _alone(current):
        return _stop(current)


def join(current: Settings) -> None:
    """Make this process use the platform's Prefect server, if one is up and the environment names no other."""
    if current.prefect_api_url is None and (standing := _standing(current)) is not None:
        use_server(standing.prefect_api)


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Take the end of a service and a closed terminal like Ctrl-C, which stops what was started, undisturbed.

    What whoever started us ignores stays ignored: `nohup tunegate up`.
    """
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(_: int, __: FrameType | None) -> None:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- start


def _start_all(current: Settings, prefect_port: int, mlflow_port: int, *, workers: bool, say: Say) -> Addresses:
    prefect_api, tracking, began = current.prefect_api_url, current.tracking_uri, datetime.now(UTC)
    started = []
    if prefect_api is None:
        prefect_api = f"http://{LOOPBACK}:{prefect_port}/api"
        command = ("prefect", "server", "start", "--host", LOOPBACK, "--port", str(prefect_port))
        # its UI would look for the API on port 4200, whatever the port
        server = _start(current, "prefect", *command, PREFECT_UI_API_URL=prefect_api)
        started.append((server, f"{prefect_api}/health"))
    if not _is_server(tracking):
        # the address by the environment: it may hold a password, and every user of the machine sees a command
        server = _start(current, "mlflow", *_mlflow(current, mlflow_port), MLFLOW_BACKEND_STORE_URI=tracking)
        started.append((server, f"http://{LOOPBACK}:{mlflow_port}/health"))
        tracking = f"http://{LOOPBACK}:{mlflow_port}"
    shown = without_password(tracking)
    addresses = Addresses(prefect_ui=prefect_api.removesuffix("/api"), prefect_api=prefect_api, mlflow=shown)
    for process, health in started:
        _wait_for(process, partial(_answers, health))
    say(f"servers: {addresses.prefect_ui} and {addresses.mlflow}")
    _deploy_everything(current, prefect_api, say)
    if current.prefect_api_url is None:  # our own: no worker of it is alive, and its automations listen by now
        _take_up_runs(prefect_api, began, say)
    else:
        _crash_silent(prefect_api, say)
    wanted = [f"{WORKER_OF}{pool}" for pool in POOLS if workers]
    _start_workers(current, addresses, wanted, say)
    addresses = addresses.model_copy(update={"parts": (*(process.name for process, _ in started), *wanted)})
    write_atomically(_record(current), addresses.model_dump_json())
    return addresses


def _start_workers(current: Settings, standing: Addresses, parts: list[str], say: Say) -> None:
    variables = {"PREFECT_API_URL": standing.prefect_api, "TUNEGATE_MLFLOW_UI": current.mlflow_ui or standing.mlflow}
    for part in parts:
        pool = part.removeprefix(WORKER_OF)
        variables["PREFECT_WORKER_QUERY_SECONDS"] = (
            inherited().get("PREFECT_WORKER_QUERY_SECONDS") or LOOK_SECONDS[pool]
        )
        # a dead one of the same name would seem online for a while
        name = f"{pool}-{socket.gethostname()}-{time.time():.0f}"
        command = (*WORKERS[pool], "--pool", pool, "--name", name)
        process = _start(current, part, *command, **{**variables, **DEVICES[pool]})
        _wait_for(process, partial(_worker_is_online, standing.prefect_api, pool, name))
    if parts:
        say(f"workers: {', '.join(part.removeprefix(WORKER_OF) for part in parts)}")


def _mlflow(current: Settings, port: int) -> tuple[str, ...]:
    artifacts = (current.home / "mlartifacts").as_uri()
    place = ("--default-artifact-root", artifacts, "--no-serve-artifacts")
    return ("mlflow", "server", "--host", LOOPBACK, "--port", str(port), "--workers", "1", *place)


class _Started:
    """A process of ours with its log, to which it writes from `begin` on: what stands before is of earlier ones."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, begin: int) -> None:
        self.name, self.process, self.log, self.begin = name, process, log, begin

    def last_line(self) -> str:
        """The last that it said: of a traceback, the reason."""
        return reason(self.log.read_bytes()[self.begin :].decode(errors="replace")) or "and said nothing"


def _start(current: Settings, name: str, tool: str, *arguments: str, **more: str) -> _Started:
    log = private_folder(current.home / "logs") / f"{name}.log"
    private_folder(current.home / "prefect")
    with log.open("ab") as stream:
        begin = stream.tell()
        process = subprocess.Popen(
            [_tool(tool), *arguments],
            cwd=PROJECT,
            env=_variables(current, **{PART: name}, **more),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # the terminal's Ctrl-C is not meant for it
        )
    return _Started(name, process, log, begin)


def _variables(current: Settings, **more: str) -> dict[str, str]:
    ours = {**environment(current), **SERVER}
    # what the operator set holds, but for the silence that the command line keeps for itself
    return {**ours, **inherited(), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO", MARK: str(current.home), **more}


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _wait_for(started: _Started, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        if started.process.poll() is not None:  # first: somebody else may answer in its place
            raise TunegateError(f"{started.name}: ended at once, {started.last_line()}; its log: {started.log}")
        if condition():
            return
        if time.monotonic() > end:
            raise TunegateError(f"{started.name}: not up after {START_SECONDS} s; its log: {started.log}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _refuse_taken(port: int, option: str) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = f"is in use{_by_whom(port)}" if taken else f"cannot be had: {error.strerror}"
            raise TunegateError(f"port {port} {why}; choose another with {option}") from error


def _by_whom(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):  # other people's processes are not always ours to see
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()}, process {connection.pid}"
    return ""


# ---- deploy


def _deploy_everything(current: Settings, prefect_api: str, say: Say) -> None:
    """Work pools, deployments and automations, each replaced by what stands in deployments/."""
    with _client(prefect_api) as client:
        for pool, limit in POOLS.items():
            _put_pool(client, pool, limit, say)
        turned_on = [schedule.id for schedule in _schedules(client) if schedule.active]
        recipes = recipe_names()
        if not recipes:
            raise TunegateError(f"{current.conf / 'recipes'}: no recipe there to deploy")
        recipe = "demo" if "demo" in recipes else recipes[0]
        deployed = subprocess.run(
            [_tool("prefect"), "--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"],
            cwd=PROJECT,
            env=_variables(current, PREFECT_API_URL=prefect_api, TUNEGATE_RECIPE=recipe, **{PART: "deploy"}),
            capture_output=True,
            text=True,
            check=False,
        )
        if deployed.returncode != 0:
            log = private_folder(current.home / "logs") / "deploy.log"
            log.write_text(deployed.stdout + deployed.stderr, encoding="utf-8")
            raise TunegateError(f"deployments/prefect.yaml could not be deployed; the log: {log}")
        for schedule in _schedules(client):  # to deploy turns them off, as the file says
            if schedule.id in turned_on:
                client.update_deployment_schedule(cast(UUID, schedule.deployment_id), schedule.id, active=True)
        say(f"deployments: {', '.join(_deployed())}")
        _put_automations(client, current, say)


def _deployed() -> list[str]:
    """The names in deployments/prefect.yaml; each is also the name of its flow."""
    return [str(deployment["name"]) for deployment in _yaml("prefect.yaml")["deployments"]]


def _schedules(client: SyncPrefectClient) -> list[DeploymentSchedule]:
    """The schedules of our deployments, as they stand on the server."""
    from prefect.exceptions import ObjectNotFound

    found: list[DeploymentSchedule] = []
    for name in _deployed():
        with contextlib.suppress(ObjectNotFound):
            found += client.read_deployment_schedules(client.read_deployment_by_name(f"{name}/{name}").id)
    return found


def _put_pool(client: SyncPrefectClient, name: str, limit: int | None, say: Say) -> None:
    """Create the pool; one that stands keeps what somebody changed there, and gets what it cannot do without."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    template = json.loads((DEPLOYMENTS / "pools" / "process.json").read_text(encoding="utf-8"))
    pool = WorkPoolCreate(name=name, type="process", base_job_template=template, concurrency_limit=limit)
    try:
        client.create_work_pool(pool)
    except ObjectAlreadyExists:
        _mend_pool(client, name, limit, say)


def _mend_pool(client: SyncPrefectClient, name: str, limit: int | None, say: Say) -> None:
    """A worker that finds no pool makes one: without a limit, and from a template without the heartbeat."""
    from prefect.client.schemas.actions import WorkPoolUpdate

    pool = client.read_work_pool(name)
    if limit is not None and pool.concurrency_limit is None:
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
        say(f"pool {name}: had no limit, now {limit}: two trainings would have met on one GPU; have more? set a number")
    template = with_beat(pool.base_job_template)
    if template != pool.base_job_template:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
        say(f"pool {name}: its runs now beat every {', '.join(BEAT.values())} s, or their silence would crash them")


def with_beat(template: dict[str, Any]) -> dict[str, Any]:
    """A work pool's template that sets the heartbeat of its runs; the same where it does already."""
    if "variables" not in template:  # of a pool that starts nothing itself
        return template
    variables = template["variables"]
    properties = variables.get("properties", {})
    known = properties.get("env", {"type": "object", "additionalProperties": {"type": "string"}})
    env = {**known, "default": {**BEAT, **(known.get("default") or {})}}
    return {
        **template,
        "job_configuration": {"env": "{{ env }}", **template["job_configuration"]},
        "variables": {**variables, "properties": {**properties, "env": env}},
    }


def _put_automations(client: SyncPrefectClient, current: Settings, say: Say) -> None:
    from prefect.events.schemas.automations import AutomationCore

    block = _notification_block(client, current.notify)
    placed: list[str] = []
    left_out: list[str] = []
    for given in _yaml("automations.yaml"):
        notifies = any(action["type"] == "send-notification" for action in given["actions"])
        for action in given["actions"]:
            if action["type"] == "send-notification":
                action["block_document_id"] = block
        version = f"tunegate-{digest_of(given)[:12]}"
        known = client.read_automations_by_name(given["name"])
        wanted = block is not None or not notifies
        if not wanted or version not in {tag for automation in known for tag in automation.tags}:
            for automation in known:
                client.delete_automation(automation.id)
            if wanted:  # what stands is left alone: an automation made anew forgets whom it was watching
                client.create_automation(AutomationCore.model_validate({**given, "tags": [version]}))
        (placed if wanted else left_out).append(given["name"])
    say(f"automations: {', '.join(placed)}" + ("; nobody is notified without TUNEGATE_NOTIFY" if left_out else ""))


def _notification_block(client: SyncPrefectClient, slug: str | None) -> str | None:
    """The id of the block `TYPE/NAME`; None where none is wanted."""
    from prefect.exceptions import ObjectNotFound

    if slug is None:
        return None
    kind, _, name = slug.partition("/")
    try:
        return str(client.read_block_document_by_name(name, kind).id)
    except ObjectNotFound as error:
        raise TunegateError(
            f"TUNEGATE_NOTIFY: no block {slug} here; unset it, `tunegate up`, make the block in the UI, set it"
        ) from error


def _take_up_runs(prefect_api: str, began: datetime, say: Say) -> None:
    """Schedule anew what was at work when the platform went down; it finds its finished stages, and goes on.

    Also what the automation of silent runs has crashed since the server began: it was silent while all was down.
    """
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed, Scheduled

    at_work = {"state": {"type": {"any_": [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]}}}
    silent = {"state": {"name": {"any_": ["Crashed"]}}, "end_time": {"after_": began}}
    taken_up = []
    with _client(prefect_api) as client:
        interrupted = [
            run
            for wanted in (at_work, silent)
            for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted))
        ]
        for run in interrupted:
            if run.state_type is StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelled(), force=True)
            elif run.deployment_id is not None:
                client.set_flow_run_state(run.id, Scheduled(name="Rescheduled"), force=True)
                taken_up.append(run.name)
            elif run.parent_task_run_id is not None:  # its parent begins it anew
                client.set_flow_run_state(run.id, Crashed(message="The platform went down."), force=True)
    if taken_up:
        say(f"runs that go on: {', '.join(taken_up)}")


def _crash_silent(prefect_api: str, say: Say) -> None:
    """End the runs whose death no automation notices: whoever runs `up` again need not wait for `reconcile`."""
    with _client(prefect_api) as client:
        crashed = crash_silent(client)
    if crashed:
        say(f"runs that were killed: {', '.join(crashed)}")


def _worker_is_online(prefect_api: str, pool: str, name: str) -> bool:
    with _client(prefect_api) as client:
        return name in {worker.name for worker in client.read_workers_for_work_pool(pool)}


@contextlib.contextmanager
def _client(prefect_api: str) -> Iterator[SyncPrefectClient]:
    """A client of the server.

    Raises:
        TunegateError: it does not answer, or says no.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPError as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise TunegateError(f"the Prefect server at {without_password(prefect_api)}: {why}") from error


def _yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOYMENTS / name).read_text(encoding="utf-8"))


# ---- stop, and look


def _stop(current: Settings) -> int:
    """Stop every marked process, runs and workers before the servers that they report to."""
    _record(current).unlink(missing_ok=True)
    stopped = 0
    while marked := list(_marked(current)):  # again, for what a dying worker has just started
        stopped += len(marked)
        _end(marked)
    return stopped


def _end(marked: list[tuple[psutil.Process, str]]) -> None:
    """Kill runs and workers, which survive it: asked to end, a run would tell the server that it crashed, for good."""
    workers = [process for process, part in marked if part.startswith(WORKER_OF)]
    servers = [process for process, part in marked if not part.startswith(WORKER_OF)]
    _kill(workers)
    for process in servers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(servers, timeout=SERVERS_STOP_SECONDS)
    _kill(alive)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=SERVERS_STOP_SECONDS)


def _marked(current: Settings) -> Iterator[tuple[psutil.Process, str]]:
    """The processes of this platform, each with the part that it belongs to."""
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's
        if variables.get(MARK) == str(current.home):
            yield process, variables.get(PART, "")


def _standing(current: Settings) -> Addresses | None:
    """Where the platform answers, if all of it was up and its servers still are."""
    try:
        standing = Addresses.model_validate_json(_record(current).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    servers = {part for part in standing.parts if not part.startswith(WORKER_OF)}
    if not servers <= {part for _, part in _marked(current)}:
        return None  # after a restart of the machine, somebody else's may answer on these ports
    up_now = _answers(f"{standing.prefect_api}/health") and _answers(f"{standing.mlflow}/health")
    return standing if up_now else None


def _record(current: Settings) -> Path:
    return current.home / "platform.json"


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


@contextlib.contextmanager
def _alone(current: Settings) -> Iterator[None]:
    private_folder(current.home)
    lock = FileLock(current.home / "platform.json.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TunegateError(f"{current.home}: another tunegate up or down is at work") from error
    try:
        yield
    finally:
        lock.release()

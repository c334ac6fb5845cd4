"""The command line: parse, call, print, exit code. Holds no logic of a stage.

Exit codes: 0 done · 1 failed · 2 a gate refused · 3 bad usage or a bad recipe.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from conf.load import BadRecipe, load_pii_policy, load_recipe
from conf.schema import model_of
from conf.settings import Settings, settings
from flows import decisions, ephemeral, scorecards
from flows.decisions import as_json_option, join_platform, prepared, print_json
from flows.log import log_file
from tasks.artifacts import Store
from tasks.errors import DISK_FULL, TunegateError, causes

if TYPE_CHECKING:
    from conf.schema import PiiPolicy
    from tasks.results import Outcome
    from tasks.scrub.files import Stats

FAILED, REFUSED, BAD_USAGE, INTERRUPTED = 1, 2, 3, 130

_recipe = click.argument("recipe", type=click.Path(path_type=Path))
_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe."
)
_port = click.IntRange(1, 65535)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tunegate")
def commands() -> None:
    """Fine-tune LLMs behind gates."""


@commands.command()
@_recipe
@_overrides
@as_json_option
def validate(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check a recipe, all errors at once, without running anything."""
    loaded = load_recipe(recipe, overrides, settings().data)
    if as_json:
        print_json({"name": loaded.name, "digest": loaded.digest()})
    else:
        click.echo(f"{recipe}: good; {loaded.name}, digest {loaded.digest()[:12]}")


@commands.command()
@_recipe
@_overrides
@as_json_option
def run(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Take a recipe the whole way, up to a registered candidate."""
    current = settings()
    load_recipe(recipe, overrides, current.data)  # every error of it now, before anything heavy is imported
    join_platform(prepared())
    outcome = _watched(recipe, overrides, as_json)
    if as_json:
        print_json(_answer(outcome, current))
    else:
        _show(outcome, current)
    if not outcome.verdict.passed:
        sys.exit(REFUSED)


@commands.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--policy", default="pii", show_default=True, help="A name in conf/policies, e.g. pii-strict, or a file.")
@click.option("--spans", is_flag=True, help="Add a column: what was found where in the original text.")
@click.option("--stats", is_flag=True, help="Print the counts by entity.")
@as_json_option
def scrub(source: Path, target: Path, policy: str, spans: bool, stats: bool, as_json: bool) -> None:
    """Take personal values out of every text of a JSONL, CSV or Parquet file."""
    asked = load_pii_policy(policy)
    counted = _scrubbed(source, target, asked, spans, quiet=as_json)
    if as_json:
        entities = dict(sorted(counted.entities.items()))
        figures = {"rows": counted.rows, "rows_with_entities": counted.rows_with_entities, "entities": entities}
        print_json({**figures, "dropped": dict(counted.dropped), "seconds": round(counted.seconds, 3)})
        return
    found = sum(counted.entities.values())
    dropped = f", {sum(counted.dropped.values()):,} rows dropped" if counted.dropped else ""
    click.echo(f"{target}: {counted.rows:,} rows, {found:,} values in {counted.rows_with_entities:,} of them{dropped}")
    if stats:
        for entity, count in counted.entities.most_common():
            click.echo(f"  {entity:<16} {count:>10,}")


@commands.command()
@click.option("--prefect-port", type=_port, default=4200, show_default=True, help="Of the Prefect server.")
@click.option("--mlflow-port", type=_port, default=5000, show_default=True, help="Of the MLflow server.")
@click.option("--no-workers", is_flag=True, help="Only servers, pools, deployments and automations.")
@as_json_option
def up(prefect_port: int, mlflow_port: int, no_workers: bool, as_json: bool) -> None:
    """Start Prefect, MLflow and workers on this machine, and deploy everything; what is up already stays up."""
    from flows import platform

    current = prepared()
    say = (lambda _: None) if as_json else (lambda line: click.echo(f"  {line}"))
    found = platform.up(current, prefect_port, mlflow_port, workers=not no_workers, say=say)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        click.echo(f"\n  Prefect  {found.prefect_ui}/deployments\n  MLflow   {found.mlflow}\n  stop     tunegate down")


@commands.command()
def down() -> None:
    """Stop what `up` started for this TUNEGATE_HOME; a run that is at work goes on after the next `up`."""
    from flows import platform

    stopped = platform.down(prepared())
    click.echo(f"stopped {stopped} processes" if stopped else "nothing was up")


for command in (*decisions.COMMANDS, scorecards.scorecard):
    commands.add_command(command)


def main() -> None:
    """The entry point: every failure ends in one clear line and its exit code, never in a traceback."""
    logging.getLogger().addHandler(logging.NullHandler())  # until there is a file, nothing goes to the terminal
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no reason for a traceback
    atexit.register(gc.freeze)  # to look for garbage once more, in all that was imported, takes more than a second
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("stopped; the same command goes on from here", INTERRUPTED)
    except click.ClickException as error:
        hint = error.ctx.get_usage() if isinstance(error, click.UsageError) and error.ctx else ""
        _fail("\n".join(filter(None, [error.format_message(), hint])), BAD_USAGE)
    except BadRecipe as error:
        _fail("\n".join(str(problem) for problem in error.problems), BAD_USAGE)
    except TunegateError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:  # the last line of defence: a person gets a line, the log gets the rest
        if _is_disk_full(error):
            _fail(f"{settings().home}: no space left; free some or set TUNEGATE_HOME elsewhere", FAILED)
        logging.getLogger("tunegate").exception("unexpected")
        log = log_file(settings())
        _fail(f"unexpected {type(error).__name__}; " + (f"the details: {log}" if log.exists() else str(error)), FAILED)


def _is_disk_full(error: BaseException) -> bool:
    """Whether it came of a full disk: SQLite, safetensors and what is built on them say so in words."""
    return any(
        getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(words in str(cause) for words in DISK_FULL)
        for cause in causes(error)
    )


def _watched(recipe: Path, overrides: tuple[str, ...], quiet: bool) -> Outcome:
    """Run the flow under the live display of stages."""
    current = settings()
    server = None if current.prefect_api_url else ephemeral.started(current)
    if server:  # it takes five seconds to start: meanwhile, what every run asks who is champion
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.retrain import retrain
    from flows.terminal import StageBoard
    from tasks.progress import Nobody, listening

    board = contextlib.nullcontext(Nobody()) if quiet else StageBoard()
    # nobody watches an ephemeral server, and to end the thread that beats takes up to a second a flow
    alone = {PREFECT_API_URL: server.url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if server else {}
    if server:
        server.wait()
    with temporary_settings(alone), board as listener, listening(listener):
        return cast("Outcome", retrain(str(recipe), overrides))


def _scrubbed(source: Path, target: Path, policy: PiiPolicy, spans: bool, quiet: bool) -> Stats:
    from flows.terminal import StageBoard
    from tasks.progress import Nobody, listening, stage
    from tasks.scrub.files import scrub_file

    current = prepared()
    board = contextlib.nullcontext(Nobody()) if quiet else StageBoard(["scrub"])
    with board as listener, listening(listener), stage("scrub"):
        cache = Store.of(current).cache
        counted = scrub_file(source, target, policy, cache, spans=spans, processes=current.threads)
        listener.finished("scrub", f"{counted.rows / max(counted.seconds, 1e-3):,.0f} rows/s")
        return counted


def _show(outcome: Outcome, current: Settings) -> None:
    from rich.console import Console

    from flows import terminal
    from tasks.report.answers import read_comparison

    console = Console()
    comparison = read_comparison(outcome.verdict, Store.of(current).open)
    console.print(terminal.outcome(outcome.evaluation, outcome.champion, outcome.verdict, comparison))
    home, tracking = shlex.quote(str(current.home / "prefect")), current.tracking_uri
    prefect_ui = current.prefect_api_url or (
        f"PREFECT_HOME={home} PREFECT_SERVER_ANALYTICS_ENABLED=false {_tool('prefect')} server start"
    )
    mlflow_ui = (
        tracking
        if tracking.startswith("http")
        else f"MLFLOW_DISABLE_TELEMETRY=true {_tool('mlflow')} ui --backend-store-uri {shlex.quote(tracking)}"
    )
    model = model_of(outcome.candidate.name)
    promote = f"{_tool('tunegate')} promote {model}" if outcome.verdict.passed else None
    console.print(terminal.next_steps(_page(outcome, current), prefect_ui, mlflow_ui, promote), soft_wrap=True)


def _tool(name: str) -> str:
    """A command of this environment as it can be pasted here, whether or not the environment is active."""
    file = Path(sys.executable).parent / name
    return shlex.quote(str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file))


def _page(outcome: Outcome, current: Settings) -> Path:
    return Store.of(current).open(outcome.page.page)


def _answer(outcome: Outcome, current: Settings) -> dict[str, Any]:
    return {
        "passed": outcome.verdict.passed,
        "verdict": outcome.verdict.state,
        "gates": [gate.model_dump(mode="json") for gate in outcome.verdict.gates],
        "metrics": {f"{m.arm}/{m.name}": m.value for m in outcome.evaluation.metrics},
        "candidate": outcome.candidate.model_dump(
            mode="json", include={"name", "version", "is_challenger", "model_uri", "run_id"}
        ),
        "adapter_sha256": outcome.adapter.weights.sha256,
        "report": str(_page(outcome, current)),
    }


def _fail(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

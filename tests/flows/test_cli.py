"""How the command line ends: one clear line and the right exit code, whatever happened."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings
from prefect.settings.models.flows import FlowsSettings

from conf.settings import BEAT
from flows import cli
from tasks.errors import DataError, GateRefused, PromotionRefused, RecipeError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))


def ended(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    """Exit code and standard error of a command that raises this."""

    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands, "main", fails)
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("no rows"), 1),
        (GateRefused("label: 3 nulls"), 2),
        (PromotionRefused("wrong code"), 2),
        (RecipeError("lora.rank: unknown"), 3),
    ],
)
def test_every_error_of_ours_is_its_message_and_its_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, monkeypatch, capsys) == (code, f"error: {error}\n")


def test_a_full_disk_is_told_as_one_whoever_met_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = RuntimeError("(sqlite3.OperationalError) database or disk is full")
    outside = ValueError("cannot log the batch")
    outside.__cause__ = inside
    line = f"error: {tmp_path}: no space left; free some or set TUNEGATE_HOME elsewhere\n"
    for error in (inside, outside, OSError(errno.ENOSPC, "No space left on device")):
        assert ended(error, monkeypatch, capsys) == (1, line)


def test_a_folder_that_may_not_be_written_is_no_full_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = ended(PermissionError(errno.EACCES, "Permission denied"), monkeypatch, capsys)
    assert (code, text) == (1, "error: unexpected PermissionError; [Errno 13] Permission denied\n")


def test_what_nobody_expected_is_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = ended(ZeroDivisionError("division by zero"), monkeypatch, capsys)
    assert (code, text) == (1, "error: unexpected ZeroDivisionError; division by zero\n")


def test_a_command_can_be_pasted_where_the_run_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "my env" / "bin" / "python"))
    assert cli._tool("mlflow") == f"'{tmp_path}/my env/bin/mlflow'"
    monkeypatch.chdir(tmp_path)
    assert cli._tool("mlflow") == "'my env/bin/mlflow'"


def test_a_run_on_an_ephemeral_server_does_not_beat_although_the_environment_says_how_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, **BEAT})
    assert FlowsSettings().heartbeat_frequency == int(*BEAT.values())
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # as `tunegate run` does
        assert get_current_settings().flows.heartbeat_frequency is None

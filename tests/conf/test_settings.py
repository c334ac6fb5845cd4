"""The environment: what is read from it, when, and what libraries are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conf.settings import PROJECT, QUIET, environment, prepare_environment, settings, without_password

OURS = (
    "TUNEGATE_HOME", "TUNEGATE_STORE", "TUNEGATE_DATA", "TUNEGATE_THREADS", "MLFLOW_TRACKING_URI", "PREFECT_API_URL",
    "TUNEGATE_MLFLOW_UI",
)  # fmt: skip


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that says nothing; what a test or `prepare_environment` sets is gone afterwards."""
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})


def test_by_default_everything_lies_in_one_folder_of_the_project() -> None:
    current = settings()
    assert current.home == PROJECT / ".tunegate"
    assert current.store == str(PROJECT / ".tunegate" / "store")
    assert current.tracking_uri == f"sqlite:///{PROJECT}/.tunegate/mlflow.db"
    assert current.data is None
    assert current.prefect_api_url is None
    assert current.threads == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_URI": "sqlite:////tmp/mlflow.db"}, None),
        ({"MLFLOW_TRACKING_URI": "https://trainer:secret@mlflow.example/"}, "https://mlflow.example"),
        (
            {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "TUNEGATE_MLFLOW_UI": "https://ml.example"},
            "https://ml.example",
        ),
    ],
)
def test_a_browser_finds_mlflow_at_its_server_or_where_it_is_told(
    variables: dict[str, str], address: str | None
) -> None:
    os.environ.update(variables)
    assert settings().mlflow_ui == address


def test_the_project_is_the_folder_that_holds_the_layers() -> None:
    assert (PROJECT / "conf" / "settings.py").is_file()


def test_the_home_moves_store_and_tracking_with_it(tmp_path: Path) -> None:
    os.environ["TUNEGATE_HOME"] = str(tmp_path / "home")
    current = settings()
    assert current.store == str(tmp_path / "home" / "store")
    assert current.tracking_uri == f"sqlite:///{tmp_path}/home/mlflow.db"


def test_each_part_can_be_replaced_alone(tmp_path: Path) -> None:
    os.environ.update(
        TUNEGATE_HOME=str(tmp_path),
        TUNEGATE_STORE="s3://bucket/store",
        TUNEGATE_DATA="~/data",
        TUNEGATE_THREADS="3",
        MLFLOW_TRACKING_URI="http://mlflow:5000",
        PREFECT_API_URL="http://prefect:4200/api",
    )
    current = settings()
    assert current.home == tmp_path
    assert current.store == "s3://bucket/store"
    assert current.data == tmp_path / "data"  # ~ is HOME
    assert current.threads == 3
    assert current.tracking_uri == "http://mlflow:5000"
    assert current.prefect_api_url == "http://prefect:4200/api"


def test_an_empty_variable_counts_as_none() -> None:
    bare = settings()
    os.environ.update(dict.fromkeys(OURS, ""))
    assert settings() == bare


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.environ["TUNEGATE_HOME"] = "here"
    assert settings().home == tmp_path / "here"


def test_the_environment_is_read_at_each_call(tmp_path: Path) -> None:
    before = settings()
    os.environ["TUNEGATE_HOME"] = str(tmp_path)
    assert settings() != before


def test_libraries_keep_their_homes_below_ours_and_send_nothing_home(tmp_path: Path) -> None:
    os.environ["TUNEGATE_HOME"] = str(tmp_path)
    prepare_environment(settings())
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert os.environ["HF_HOME"] == str(tmp_path / "store" / "raw" / "huggingface")
    assert os.environ["OMP_NUM_THREADS"] == str(settings().threads)
    assert {name: os.environ[name] for name in QUIET} == QUIET


def test_what_the_operator_set_stays(tmp_path: Path) -> None:
    os.environ.update(HF_HOME="/models", MLFLOW_DISABLE_TELEMETRY="false")
    prepare_environment(settings())
    assert os.environ["HF_HOME"] == "/models"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"


def test_a_process_that_we_start_finds_the_same_settings(tmp_path: Path) -> None:
    os.environ.update(TUNEGATE_HOME=str(tmp_path), TUNEGATE_THREADS="2", MLFLOW_TRACKING_URI="http://mlflow:5000")
    given = environment(settings())
    assert given["TUNEGATE_HOME"] == str(tmp_path)
    assert given["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert given["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql+psycopg2://ann:secret@db:5432/mlflow", "postgresql+psycopg2://db:5432/mlflow"),
        ("https://ann:secret@mlflow.example/x", "https://mlflow.example/x"),
        ("sqlite:////home/ann/mlflow.db", "sqlite:////home/ann/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_an_address_is_shown_without_user_and_password(uri: str, shown: str) -> None:
    assert without_password(uri) == shown

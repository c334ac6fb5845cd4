"""Which errors are an outage, worth another try, and which are mistakes."""

from __future__ import annotations

import socket

import httpx
import pytest
import requests
from mlflow.exceptions import MlflowException

from tasks.errors import DataError
from tasks.network import is_network


def no_server() -> str:
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("get", [httpx.get, requests.get])
def test_a_server_that_does_not_answer_is_an_outage_to_every_client(get: object) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # each client has an error of its own
        get(no_server())  # type: ignore[operator]
    assert is_network(raised.value)


def test_an_outage_is_seen_through_the_error_that_tells_of_it() -> None:
    outage = DataError("the source cannot be read")
    outage.__cause__ = ConnectionResetError()
    assert is_network(outage)


def test_mlflow_that_is_away_is_an_outage() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        from mlflow import MlflowClient

        with pytest.raises(MlflowException) as raised:
            MlflowClient(no_server()).get_run("a" * 32)
    assert is_network(raised.value)


@pytest.mark.parametrize(("status", "outage"), [(429, True), (503, True), (401, False), (404, False)])
def test_a_server_that_is_busy_is_an_outage_and_one_that_refuses_is_not(status: int, outage: bool) -> None:
    request = httpx.Request("GET", "http://localhost")
    with pytest.raises(httpx.HTTPStatusError) as raised:
        httpx.Response(status, request=request).raise_for_status()
    assert is_network(raised.value) == outage


@pytest.mark.parametrize("error", [DataError("empty"), FileNotFoundError("gone"), ValueError("wrong"), None])
def test_a_mistake_is_no_outage(error: Exception | None) -> None:
    assert not is_network(error)

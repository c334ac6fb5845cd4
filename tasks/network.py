"""Tell an outage from a mistake: only what the network did is worth trying again."""

from __future__ import annotations

from tasks.errors import causes

# By name, since every client library has classes of its own, and few of them are installed everywhere.
_NAMES = frozenset(
    {
        "ConnectionError",  # built in, requests, botocore
        "TimeoutError",
        "Timeout",  # requests
        "TransportError",  # httpx
        "HTTPClientError",  # botocore
        "ClientConnectionError",  # aiohttp
        "ServerTimeoutError",
    }
)
# MLflow's: its server, or its database, is busy or away.
_CODES = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
_BUSY = frozenset({429, 500, 502, 503, 504})


def is_network(error: BaseException | None) -> bool:
    """Whether the error, or what it came of, is about a connection or a server that may answer later."""
    return any(_is_outage(cause) for cause in causes(error))


def _is_outage(error: BaseException) -> bool:
    if _NAMES & {kind.__name__ for kind in type(error).__mro__}:
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    return getattr(error, "error_code", None) in _CODES or status in _BUSY

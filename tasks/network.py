"""Tell an outage from a mistake: only what the network did is worth trying again."""

from __future__ import annotations

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
    while error is not None:
        if _NAMES & {kind.__name__ for kind in type(error).__mro__}:
            return True
        if getattr(error, "error_code", None) in _CODES:
            return True
        if getattr(getattr(error, "response", None), "status_code", None) in _BUSY:
            return True
        error = error.__cause__ or error.__context__
    return False

"""The ledger: every decision on a model, one JSON line each, chained by digests. Only ever appended to.

Each line holds the sha256 of the line before, so that a changed, moved or removed entry breaks the chain. What the
chain cannot see is a cut tail: `tunegate verify` finds that, since MLflow holds the digest of the entry that promoted a
version, and of the last one when something was written on a model. Never holds a secret or a one-time code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock, Timeout
from pydantic import Field, PrivateAttr, ValidationError

from conf.schema import candidates_of, digest_of
from conf.settings import Settings
from tasks.artifacts import private_folder
from tasks.errors import LedgerError
from tasks.results import Frozen

BEGINNING = "0" * 64
LOCK_SECONDS = 120


class Digests(Frozen):
    """Everything that a decision is bound to, as sha256.

    `submission` says whose run it is; it is empty in requests from before candidates had one.
    """

    adapter: str
    files: str
    base: str
    split: str
    recipe: str
    evaluation: str
    verdict: str
    submission: str = ""

    def stated(self) -> dict[str, str]:
        """By name, without what was not known when it was written: what was signed then is read as it was."""
        return self.model_dump(exclude_defaults=True)


class Proof(Frozen):
    """How an approver proved who they are.

    Attributes:
        method: an SSH signature (`ssh-keygen -Y sign`) over the decision, or a one-time code (RFC 6238).
        value: the armoured signature; of a code, the HMAC-SHA256 of the decision under the approver's secret.
        step: of a code, the time step that it belongs to: no step is taken twice.
    """

    method: Literal["ssh", "totp"]
    value: str
    step: int | None = None


class Requested(Frozen):
    """A candidate is up for promotion.

    Attributes:
        attempt: the flow run that asked, where one did.
        overrides: metrics of the gates that refused it: whoever approves it overrides them, for `reason`.
    """

    kind: Literal["requested"] = "requested"
    model: str
    version: str
    model_id: str
    run_id: str
    digests: Digests
    requested_by: tuple[str, ...]
    policy: str
    expires_at: datetime
    attempt: str = ""
    overrides: tuple[str, ...] = ()
    reason: str = ""

    @property
    def candidates(self) -> str:
        """The registered name that the candidate's version is one of."""
        return candidates_of(self.model)


class Decided(Frozen):
    """A person approved a request, overrode the gates that had refused it, or rejected it.

    `attempt` names the form that it came by, where it came by one.
    """

    kind: Literal["approved", "overridden", "rejected"]
    request: str
    approver: str
    reason: str
    proof: Proof
    attempt: str = ""


class Refused(Frozen):
    """An attempt that did not count; `claimed` is the name that was given, `step` that of a good code it came with."""

    kind: Literal["refused"] = "refused"
    request: str
    claimed: str
    why: str
    attempt: str = ""
    step: int | None = None


class Expired(Frozen):
    """A request that nobody decided in time, or whose candidate is no longer what was asked about."""

    kind: Literal["expired"] = "expired"
    request: str
    why: str


class Rehearsed(Frozen):
    """The champion that a promotion may have to be rolled back to was loaded, and answered.

    Attributes:
        rows: held-out rows of its own that it answered. same: of these, as many as it was evaluated with.
    """

    kind: Literal["rehearsed"] = "rehearsed"
    request: str
    model: str
    version: str
    rows: int
    same: int


class Held(Frozen):
    """An approved request was held back by quiet hours alone; once they are over, `reconcile` promotes it."""

    kind: Literal["held"] = "held"
    request: str
    why: str


class Moving(Frozen):
    """An approved request takes effect: from here on it is ended whatever the clock and the policy say."""

    kind: Literal["moving"] = "moving"
    request: str


class Promoted(Frozen):
    """The alias `champion` was moved to a version of the production model."""

    kind: Literal["promoted"] = "promoted"
    request: str
    model: str
    version: str
    previous: str | None


class RolledBack(Frozen):
    """The alias `champion` moves back to the version before; written first, so that a killed run can be ended."""

    kind: Literal["rolled_back"] = "rolled_back"
    model: str
    version: str
    previous: str
    approver: str
    reason: str
    proof: Proof


class Enrolled(Frozen):
    """An approver gets a new secret for one-time codes; written before the secret, which so never changes unseen.

    `replaces` says that the name had one: whoever holds the new one decides in that name from here on.
    """

    kind: Literal["enrolled"] = "enrolled"
    approver: str
    login: str
    replaces: bool = False


Event = Annotated[
    Requested | Decided | Refused | Expired | Rehearsed | Held | Moving | Promoted | RolledBack | Enrolled,
    Field(discriminator="kind"),
]


class Entry(Frozen):
    """One line: its number from 0, when it was written (UTC), the digest of the one before, and what happened."""

    number: int
    at: datetime
    previous: str
    event: Event

    _stated: str | None = PrivateAttr(None)

    @property
    def digest(self) -> str:
        """Sha256 (64 hex digits) of the entry as it was written, maybe by a version that knew fewer fields."""
        if self._stated is None:
            self._stated = digest_of(self.model_dump(mode="json"))
        return self._stated


def told_moves(entries: Iterable[Entry]) -> dict[str, Promoted | RolledBack]:
    """The last move of each model: what its aliases `champion` and `previous` must name."""
    moves = [entry.event for entry in entries if isinstance(entry.event, Promoted | RolledBack)]
    return {move.model: move for move in moves}


def told_champions(entries: Iterable[Entry]) -> dict[str, str]:
    """The version that is champion of each model, as the ledger tells it."""
    return {model: move.version for model, move in told_moves(entries).items()}


def lost_champion(entries: Iterable[Entry], model: str, found: str | None) -> str:
    """That the registry names another champion than the ledger, in one line; empty where both name one, or none did."""
    told = told_champions(entries).get(model)
    if told is None or told == found:
        return ""
    return (
        f"{model}: the ledger names version {told} as champion, the registry {found or 'none'}: moved by hand? "
        "look with tunegate verify, and set the alias again"
    )


class Ledger:
    """The entries of one file; made with the first of them, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(f"{path}.lock")

    @classmethod
    def of(cls, settings: Settings) -> Ledger:
        """The ledger that the settings name."""
        return cls(settings.home / "ledger.jsonl")

    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first; a half-written last line, which nobody was told of, is none.

        Raises:
            LedgerError: the chain is broken; the first bad line is named.
        """
        return self._parse(self._complete_lines())

    def append(self, event: Event, *, now: datetime | None = None) -> Entry:
        """Write the event at the end; it stands on the disk when this returns.

        Raises:
            LedgerError: the chain is broken, so that nothing may be added.
        """
        return self.append_if(lambda _: event, now=now)

    def append_if(self, decide: Callable[[tuple[Entry, ...]], Event], *, now: datetime | None = None) -> Entry:
        """Append what `decide` makes of the entries, while no other process can append; its errors append nothing."""
        with self.busy():
            lines = self._complete_lines()
            entries = self._parse(lines)
            entry = Entry(
                number=len(entries),
                at=now or datetime.now(UTC),
                previous=entries[-1].digest if entries else BEGINNING,
                event=decide(entries),
            )
            line = json.dumps({**entry.model_dump(mode="json"), "sha256": entry.digest}, ensure_ascii=False)
            with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
                stream.truncate(sum(len(complete) for complete in lines))  # what a killed process left of a line
                stream.seek(0, os.SEEK_END)
                stream.write(f"{line}\n".encode())
                stream.flush()
                os.fsync(stream.fileno())
            return entry

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep every other process from appending; may be nested."""
        private_folder(self.path.parent)
        try:
            self._lock.acquire(timeout=LOCK_SECONDS)
        except Timeout as error:
            raise LedgerError(f"{self.path}: another process has held it for {LOCK_SECONDS} s; try again") from error
        try:
            yield
        finally:
            self._lock.release()

    def _complete_lines(self) -> list[bytes]:
        content = self.path.read_bytes() if self.path.exists() else b""
        return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]

    def _parse(self, lines: Iterable[bytes]) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for number, line in enumerate(lines):
            previous = entries[-1].digest if entries else BEGINNING
            try:
                record = json.loads(line)
                stated = record.pop("sha256")
                entry = Entry.model_validate_json(json.dumps(record))
            except (ValueError, ValidationError, KeyError, TypeError, AttributeError) as error:
                raise self._broken(number, "is no entry") from error
            if digest_of(record) != stated:
                raise self._broken(number, "was changed: its digest is another")
            entry._stated = stated
            if (entry.number, entry.previous) != (number, previous):
                raise self._broken(number, "does not follow the one before: an entry was removed, moved or added")
            entries.append(entry)
        return tuple(entries)

    def _broken(self, number: int, what: str) -> LedgerError:
        return LedgerError(f"{self.path}:{number + 1}: {what}; nothing may be promoted until this is explained")

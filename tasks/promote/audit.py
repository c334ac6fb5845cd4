"""`tunegate verify`: from the alias back to the source rows, and from the ledger to the alias. Only ever looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from conf.policy import Policy
from conf.schema import are_candidates, model_of
from conf.settings import Settings
from tasks.errors import TunegateError
from tasks.ledger import Decided, Enrolled, Entry, Ledger, Promoted, Requested, RolledBack, told_champions, told_moves
from tasks.promote import approved_digests, proof_holds, registry, rollback_holds
from tasks.promote.earned import earned
from tasks.promote.evidence import verified_digests
from tasks.promote.head import lost_head
from tasks.register.runs import client


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it holds, and one line."""

    subject: str
    holds: bool
    what: str


@dataclass(frozen=True)
class Champion:
    """What answers under a model's name, what did before, and since when (UTC); None where no flow moved it there."""

    model: str
    version: str
    previous: str | None
    since: datetime | None


def champions(settings: Settings) -> list[Champion]:
    """The champions of all models that the ledger names, as the registry has them.

    Raises:
        LedgerError: the chain is broken.
        MlflowException: the registry cannot be reached.
    """
    entries = Ledger.of(settings).entries()
    moved_at = {(e.event.model, e.event.version): e.at for e in entries if isinstance(e.event, Promoted | RolledBack)}
    told, found = told_champions(entries), []
    registered = client(settings) if told else None
    for model in sorted(told):
        version = registry.alias(registered, model, registry.CHAMPION)
        if version is not None:
            since = moved_at[model, version] if version == told[model] else None
            found.append(Champion(model, version, registry.alias(registered, model, registry.PREVIOUS), since))
    return found


def verify(policy: Policy, settings: Settings) -> list[Finding]:
    """Everything that can be checked of every model of ours that has, or had, a champion.

    Ours is what the ledger names or has candidates: an MLflow server may serve others too. A broken ledger is the only
    finding.

    Raises:
        MlflowException: the registry cannot be reached.
    """
    try:
        entries = Ledger.of(settings).entries()
    except TunegateError as error:
        return [Finding("ledger", False, str(error))]
    found = [Finding("ledger", True, f"{len(entries)} entries, chain whole")]
    found += _proofs(entries, policy, settings)
    registered = client(settings)
    models = {str(model.name): model.tags for model in _registered(registered)}
    now = Ledger.of(settings).entries()  # after the tags: what another writes meanwhile is not lost
    lost = {name: lost_head(models[name], now) for name in sorted(models)}
    found += [Finding(name, False, what) for name, what in lost.items() if what]
    candidates = {name for name in models if are_candidates(name)}
    ours = _named(entries) | {model_of(name) for name in candidates}
    others = sorted(set(models) - ours - candidates)
    if foreign := [name for name in others if registry.alias(registered, name, registry.CHAMPION)]:
        what = f"not ours, and not looked at (no ledger entry, no candidates): {', '.join(foreign)}"
        found.append(Finding("registry", True, what))
    for name in sorted(ours):
        found += _model(registered, name, entries, settings)
    return found


def _named(entries: tuple[Entry, ...]) -> set[str]:
    """The models that the ledger knows: one that was asked for and lost its candidates is still ours."""
    events = [entry.event for entry in entries]
    return {event.model for event in events if isinstance(event, Requested | Promoted | RolledBack)}


def _registered(registered: Any) -> Iterator[Any]:
    """All models, page by page."""
    token = None
    while True:
        page = registered.search_registered_models(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _proofs(entries: tuple[Entry, ...], policy: Policy, settings: Settings) -> Iterator[Finding]:
    asked = {entry.digest: entry.event for entry in entries if isinstance(entry.event, Requested)}
    enrolled: set[str] = set()  # older ledgers do not say of a secret whether it replaced one

    @cache
    def proven(decision: Decided) -> bool:
        return decision.request in asked and proof_holds(decision, asked[decision.request], policy, settings)

    for entry in entries:
        event, name = entry.event, f"entry {entry.number}"
        if isinstance(event, Decided):
            yield Finding(name, proven(event), f"{event.kind} by {event.approver}, {event.proof.method}")
        if isinstance(event, Promoted):
            holds, what = earned(entries, event, entry.number, policy, proven)
            yield Finding(name, holds, f"promoted {event.model} version {event.version}: {what}")
        if isinstance(event, RolledBack):
            holds = rollback_holds(event, entries, policy, settings)
            yield Finding(name, holds, f"rolled back by {event.approver}, {event.proof.method}")
        if isinstance(event, Enrolled):
            if event.replaces or event.approver in enrolled:
                what = f"{event.approver}'s secret was replaced on {entry.at:%Y-%m-%d} by {event.login}"
                yield Finding(name, True, f"{what}: did they ask for it?")
            enrolled.add(event.approver)


def _model(registered: Any, name: str, entries: tuple[Entry, ...], settings: Settings) -> Iterator[Finding]:
    move, champion = told_moves(entries).get(name), registry.alias(registered, name, registry.CHAMPION)
    told, told_previous = (move.version, move.previous) if move else (None, None)
    if champion is None and told is None:
        return
    if champion is None or champion != told:
        yield Finding(name, False, f"champion is {champion or 'gone'}, the ledger says {told or 'none'}: moved outside")
        return
    yield Finding(name, True, f"champion is version {champion}, as the ledger says")
    previous = registry.alias(registered, name, registry.PREVIOUS)
    says = f"the ledger says {told_previous or 'none'}" + (": moved outside" if previous != told_previous else "")
    yield Finding(name, previous == told_previous, f"previous is {previous or 'none'}, {says}")
    yield _version(registered, name, champion, "", entries, settings)
    if previous is not None and previous == told_previous:  # else it would be found out in the emergency
        yield _version(registered, name, previous, f"the way back, version {previous}: ", entries, settings)


def _version(
    registered: Any, name: str, version: str, which: str, entries: tuple[Entry, ...], settings: Settings
) -> Finding:
    """Whether a version is what was approved and promoted, from its tag back to the source rows."""
    promoted = [
        entry for entry in entries
        if isinstance(entry.event, Promoted) and (entry.event.model, entry.event.version) == (name, version)
    ]  # fmt: skip
    tag = registered.get_model_version(name, version).tags.get(registry.ENTRY_TAG)
    if not promoted or tag != promoted[-1].digest:
        what = f"version {version} names another ledger entry than the one that promoted it"
        return Finding(name, False, f"{which}{what}")
    try:
        same = verified_digests(name, version, settings) == approved_digests(entries, name, version)
    except TunegateError as error:
        return Finding(name, False, f"{which}{error}")
    what = "adapter, base, data, recipe, evaluation, verdict and whose run it was are those that were approved"
    return Finding(name, same, f"{which}{what}")

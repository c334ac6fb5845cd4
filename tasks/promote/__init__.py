"""Promote: a candidate is requested, named people decide, and only then does the alias `champion` move.

Every step is an entry in the ledger first or last, so that a reader can tell what was asked, who decided on what, and
what was done. Never decides by itself, and never moves an alias whose digests are not verified again at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from conf.policy import Approver, Policy, Rule
from conf.schema import candidates_of, model_of
from conf.settings import Settings
from tasks.account import account
from tasks.errors import ApproverLocked, DigestMismatch, ModelError, PromotionRefused
from tasks.ledger import (
    Decided,
    Digests,
    Enrolled,
    Entry,
    Event,
    Expired,
    Held,
    Ledger,
    Moving,
    Promoted,
    Proof,
    Refused,
    Rehearsed,
    Requested,
    RolledBack,
    lost_champion,
    told_champions,
    told_moves,
)
from tasks.promote import proofs, registry
from tasks.promote.decision import (
    GUESSES,
    NOT_PROVEN,
    SHOWN,
    Attempt,
    Rollback,
    Standing,
    deciders,
    find_request,
    judged,
    judged_rollback,
    kind_of,
    move_of,
    recorded,
    rule_of,
    safe,
    standing,
    wrong_codes,
)
from tasks.promote.evidence import (
    compared_champion,
    heard_all,
    lineage_of,
    submission_of,
    verdict_of,
    verified,
    verified_digests,
)
from tasks.promote.head import head_kept, keep_head
from tasks.promote.page import decided, page
from tasks.promote.rehearsal import rehearse
from tasks.promote.reviewed import against_recipe
from tasks.register.candidate import CHALLENGER
from tasks.register.runs import client, run_page
from tasks.register.submission import Submission
from tasks.results import ChampionEvaluation, Verdict

__all__ = [
    "Attempt",
    "Override",
    "Standing",
    "decide",
    "enroll",
    "expire",
    "find",
    "is_recorded",
    "promote",
    "request",
    "requested",
    "requests",
    "review",
    "rollback",
    "where",
]

UNHEARD = "scorecards came in since it was judged"


@dataclass(frozen=True)
class Override:
    """A wish to promote a version that gates refused, and why."""

    version: str
    reason: str


def secrets_folder(settings: Settings) -> Path:
    """Where the secrets of the one-time codes lie."""
    return settings.home / "approvers"


def request(
    model: str, policy: Policy, settings: Settings, *, name: str = "", override: Override | None = None
) -> Entry:
    """Ask for the promotion of a model's challenger; the same candidate under the same policy is asked for once.

    Args:
        name: of the flow run that asks: when it starts from the top again, its own request is found again.
        override: asks for a version that gates refused, of the people who may override them.

    Raises:
        DigestMismatch: the candidate is not what its record says.
        ModelError: there is no candidate.
        PromotionRefused: a gate refused it, its gates knew another champion or had not heard all scorecards, its recipe
            was not reviewed, the champion is not the ledger's, or no rule fits.
    """
    rule = rule_of(policy, model)
    _end_what_was_killed(model, policy, settings)
    expire(policy, settings)
    standing_requests = requests(policy, settings)
    reg, candidates = client(settings), candidates_of(model)
    version = override.version if override else registry.alias(reg, candidates, CHALLENGER)
    for known, stands in reversed(standing_requests):
        asked = requested(known)
        only_the_move = stands.state == "approved" and (asked.version == version or stands.moving)
        if asked.model == model and (only_the_move or (name and asked.attempt == name)):
            return known
    if version is None:
        raise ModelError(f"{model}: no candidate under the alias {CHALLENGER}; run its recipe first")
    _refuse_lost_champion(model, settings)
    found = verified(candidates, version, settings)
    _refuse_other_champion(model, compared_champion(found), settings)
    if not heard_all(found.lineage, settings):
        raise PromotionRefused(f"{model}: {UNHEARD}; run its recipe again")
    for known, stands in standing_requests:
        if stands.state == "rejected" and requested(known).digests == found.digests:
            registry.close(reg, requested(known), "rejected")  # whoever rejected it was killed before this
            raise PromotionRefused(f"{model}: version {version} was {stands.why}; it is not asked about again")
    refused = _refused_metrics(model, version, found.verdict, override)
    deciders(policy, model, refused)  # raises where nobody may
    entry = reg.get_model_version(candidates, version)
    submission = submission_of(found.submission)
    _refuse_foreign_recipe(entry, found.recipe, submission, rule, settings)
    now = datetime.now(UTC)
    asked = Requested(
        model=model,
        version=version,
        model_id=str(entry.source).removeprefix("models:/"),
        run_id=str(entry.run_id),
        digests=found.digests,
        requested_by=_owners(submission, override),
        policy=policy.digest(),
        expires_at=now + timedelta(hours=rule.expires_hours),
        attempt=name,
        overrides=refused,
        reason=override.reason.strip() if override else "",
    )
    mine = {"expires_at": asked.expires_at, "attempt": asked.attempt}
    ledger = Ledger.of(settings)
    with head_kept(model, ledger, settings), ledger.busy():
        for known, stands in requests(policy, settings):  # read anew: another may have asked meanwhile
            if stands.state == "waiting" and requested(known).model_copy(update=mine) == asked:
                return known
        return ledger.append(asked, now=now)


def _refuse_lost_champion(model: str, settings: Settings) -> None:
    """The registry must name the champion that the ledger names, or gates were held against another one, or none."""
    found = registry.alias(client(settings), model, registry.CHAMPION)
    if why := lost_champion(Ledger.of(settings).entries(), model, found):
        raise PromotionRefused(why)


def _refuse_other_champion(model: str, compared: ChampionEvaluation | None, settings: Settings) -> None:
    """What its gates compared it with must be what it would replace."""
    champion = registry.alias(client(settings), model, registry.CHAMPION)
    if compared is not None and compared.version != champion:
        was, now = (f"version {one}" if one else "nothing" for one in (compared.version, champion))
        raise PromotionRefused(f"{model}: its gates knew {was} as champion, and now it is {now}; run its recipe again")


def _refused_metrics(model: str, version: str, verdict: Verdict, override: Override | None) -> tuple[str, ...]:
    """The metrics of the gates that refused a version, each once; none without an override, and some with one."""
    refused = tuple(dict.fromkeys(gate.metric for gate in verdict.gates if not gate.passed))
    fixed = [gate.metric for gate in verdict.gates if not gate.passed and not gate.overridable]
    if override is not None and fixed:
        raise PromotionRefused(f"{model}: the recipe lets nobody override its gate on {fixed[0]}")
    if override is None and not verdict.passed:
        raise PromotionRefused(f"{model}: a gate refused version {version}; no person is asked about it")
    if override is not None and verdict.passed:
        raise PromotionRefused(f"{model}: no gate refused version {version}; ask for it without an override")
    if override is not None and not override.reason.strip():
        raise PromotionRefused(f"{model}: an override needs a reason")
    return refused


def _owners(submission: Submission, override: Override | None) -> tuple[str, ...]:
    """Whose own run it is: who trained or judged it, and who asks to override its gates."""
    asks = {account()} if override else set()
    return tuple(sorted({*submission.started_by, *asks}))


def _refuse_foreign_recipe(
    entry: Any, recipe: dict[str, Any], submission: Submission, rule: Rule, settings: Settings
) -> None:
    """Refuse a version of MLflow's whose recipe nobody reviewed, and leave a trace of who asked."""
    why = against_recipe(recipe, rule, settings)
    if not why and submission.recipe_origin != "reviewed":
        why = "its recipe was read from outside conf/recipes, and its data perhaps too"
    if why:
        asks, ledger = safe(account()), Ledger.of(settings)
        with head_kept(model_of(str(entry.name)), ledger, settings):
            ledger.append(Refused(request=f"{entry.name}/{entry.version}", claimed=asks, why=why))
        raise PromotionRefused(f"{entry.name} version {entry.version}: {why}")


def expire(policy: Policy, settings: Settings) -> list[tuple[Requested, str]]:
    """Write into the ledger which requests ended with nobody's decision; returns each once, and why it ended."""
    ledger = Ledger.of(settings)
    with ledger.busy():
        told = {entry.event.request for entry in ledger.entries() if isinstance(entry.event, Expired)}
        ended = [(e, s) for e, s in requests(policy, settings) if s.state == "expired" and e.digest not in told]
        for entry, stands in ended:
            ledger.append(Expired(request=entry.digest, why=stands.why))
    for model in sorted({requested(entry).model for entry, _ in ended}):
        keep_head(model, ledger, settings)
    return [(requested(entry), stands.why) for entry, stands in ended]


def find(name: str, settings: Settings) -> Entry:
    """The request whose digest begins with `name`.

    Raises:
        PromotionRefused: there is none, or more than one.
    """
    return find_request(Ledger.of(settings).entries(), name)[0]


def requested(entry: Entry) -> Requested:
    """What the entry of a request asks for."""
    if not isinstance(entry.event, Requested):
        raise PromotionRefused(f"{entry.digest[:SHOWN]}: no request")
    return entry.event


def review(entry: Entry, stands: Standing, settings: Settings) -> str:
    """What an approver reads before deciding, as Markdown."""
    asked = requested(entry)
    verdict = verdict_of(asked.candidates, asked.version, settings)
    return page(entry, asked, stands, verdict, run_page(settings, asked.run_id))


def requests(policy: Policy, settings: Settings) -> list[tuple[Entry, Standing]]:
    """Every request with where it stands, oldest first."""
    entries = Ledger.of(settings).entries()
    now = datetime.now(UTC)
    return [(e, standing(entries, e.digest, policy, now)) for e in entries if isinstance(e.event, Requested)]


def where(entry: Entry, policy: Policy, settings: Settings) -> Standing:
    """Where a request stands now."""
    return standing(Ledger.of(settings).entries(), entry.digest, policy, datetime.now(UTC))


def is_recorded(name: str, settings: Settings) -> bool:
    """Whether the form of this name (see `Attempt`) was recorded before."""
    return recorded(Ledger.of(settings).entries(), name) is not None


def decide(
    name: str, attempt: Attempt, policy: Policy, settings: Settings, *,
    code: str | None = None, sent_at: datetime | None = None, key: Path | None = None,
) -> Standing:  # fmt: skip
    """Record a person's decision, proven by a code or a key; what does not count is recorded as refused.

    A form that was recorded before (see `Attempt`) counts as it did then.

    Args:
        name: the request: the first digits of its digest.
        sent_at: when the form with the code was sent, by the server's clock: a worker may come to it later.

    Raises:
        PromotionRefused: the decision does not count, with the one reason.
        ApproverLocked: nor does the next for a while, of whoever claims this name by a code.
        LedgerError: the chain is broken.
    """
    ledger = Ledger.of(settings)
    expire(policy, settings)
    entry, asked = find_request(ledger.entries(), name)
    text = proofs.statement(
        kind_of(attempt, asked), entry.digest, attempt.approver, attempt.reason.strip(), asked.digests
    )
    signed = None if key is None else _signed(key, text)  # before the lock: it may ask for a passphrase
    now = datetime.now(UTC)

    def event(entries: tuple[Entry, ...]) -> Event:
        def prove(approver: Approver) -> Proof | None:
            return proof_of(approver, text, settings, proofs.typed_at(sent_at, now), code=code, signed=signed)

        return judged(entries, entry.digest, attempt, policy, now, prove, by_code=key is None)

    with head_kept(asked.model, ledger, settings), ledger.busy():
        known = recorded(ledger.entries(), attempt.name) if attempt.name else None
        written = known or ledger.append_if(event, now=now).event
        if isinstance(written, Refused):
            raise _refusal(f"{name[:SHOWN]}: {written.why}; nothing was decided", written, ledger, fresh=known is None)
    if attempt.kind == "rejected":
        registry.close(client(settings), asked, "rejected")
    return standing(ledger.entries(), entry.digest, policy, now)


def _refusal(why: str, written: Refused, ledger: Ledger, *, fresh: bool) -> PromotionRefused:
    """The error of an attempt that did not count; of one that was just written, maybe the guess that locks the name."""
    if fresh and written.why == NOT_PROVEN and not len(wrong_codes(ledger.entries(), written.claimed)) % GUESSES:
        return ApproverLocked(f"{why}; too many wrong codes came for {written.claimed}: is somebody guessing?")
    return PromotionRefused(why)


def _signed(key: Path, text: bytes) -> Proof:
    """A signature; of a key that cannot sign an empty one, which holds for nobody and so leaves its trace."""
    try:
        return proofs.sign(key, text)
    except PromotionRefused:
        return Proof(method="ssh", value="")


def proof_of(
    approver: Approver, text: bytes, settings: Settings, typed: datetime, *, code: str | None, signed: Proof | None
) -> Proof | None:
    """The proof by signature or code, verified; None where it does not hold."""
    if signed is not None:
        return signed if proofs.signature_holds(approver, text, signed) else None
    if code is None or not approver.totp or not proofs.has_secret(secrets_folder(settings), approver.name):
        return None
    step = proofs.step_of_code(secrets_folder(settings), approver.name, code, typed)
    return None if step is None else proofs.code_proof(secrets_folder(settings), approver.name, text, step)


def promote(name: str, read_policy: Callable[[], Policy], settings: Settings) -> Promoted:
    """Move the champion to what was approved; run again after a crash, it ends what it began.

    Args:
        read_policy: called again once nothing else can move: whoever was taken off the list meanwhile does not count.

    Raises:
        PromotionRefused: the request is not approved, its candidate changed, people said more of it, the champion is
            not the ledger's, or it is a quiet hour.
    """
    ledger = Ledger.of(settings)
    with head_kept(requested(find(name, settings)).model, ledger, settings):
        _rehearse_the_way_back(ledger, name, read_policy(), settings)
        with ledger.busy():
            return _moved(ledger, name, read_policy(), settings)


def _moved(ledger: Ledger, name: str, policy: Policy, settings: Settings) -> Promoted:
    """The move itself, while nothing else can move."""
    entry, asked = find_request(ledger.entries(), name)
    now = datetime.now(UTC)
    stands = standing(ledger.entries(), entry.digest, policy, now)
    reg = client(settings)
    if stands.state == "promoted":
        return _sealed(reg, ledger, entry.digest)
    if stands.state != "approved":
        raise PromotionRefused(f"{entry.digest[:SHOWN]}: {stands.state}: {stands.why}")
    _refuse_forged_proofs(ledger, entry.digest, asked, policy, settings)
    if not stands.moving:
        _hold_in_quiet_hours(ledger, entry.digest, asked.model, policy, now)
    if not registry.is_champion_of(reg, asked.model, entry.digest):  # else this was asked before it became that
        _refuse_lost_champion(asked.model, settings)
        _refuse_if_changed(entry, asked, asked.candidates, asked.version, settings, ledger)
        _refuse_unheard(entry, asked, settings, ledger)
    if not stands.moving:
        ledger.append(Moving(request=entry.digest), now=now)  # the time at which all of this was asked
    described = _described(ledger, entry, stands, settings)
    version = registry.production_version(reg, asked, entry.digest, stands.approvals, described)
    _refuse_if_changed(entry, asked, asked.model, version, settings, ledger)
    told = told_champions(ledger.entries()).get(asked.model)
    previous = registry.move_aliases(reg, asked, version, told)
    ledger.append(Promoted(request=entry.digest, model=asked.model, version=version, previous=previous))
    return _sealed(reg, ledger, entry.digest)


def _described(ledger: Ledger, entry: Entry, stands: Standing, settings: Settings) -> str:
    """What stays with the version for whoever looks at it in MLflow."""
    events = [other.event for other in ledger.entries()]
    decisions = [event for event in events if isinstance(event, Decided) and event.request == entry.digest]
    return decided(review(entry, stands, settings), requested(entry).digests, decisions)


def _rehearse_the_way_back(ledger: Ledger, name: str, policy: Policy, settings: Settings) -> None:
    """Once for a request and the champion it finds; before the ledger is locked, for to load a model takes its time.

    Raises:
        PromotionRefused: the way back does not work, or these are quiet hours, in which nothing would follow.
    """
    entries = ledger.entries()
    entry, asked = find_request(entries, name)
    stands = standing(entries, entry.digest, policy, datetime.now(UTC))
    rows = rule_of(policy, asked.model).rehearsal_rows
    if stands.state != "approved":
        return
    if not stands.moving:
        _hold_in_quiet_hours(ledger, entry.digest, asked.model, policy, datetime.now(UTC))
    if not rows or registry.is_champion_of(client(settings), asked.model, entry.digest):
        return
    champion = registry.alias(client(settings), asked.model, registry.CHAMPION)
    done = {(e.event.request, e.event.version) for e in entries if isinstance(e.event, Rehearsed)}
    if champion and (entry.digest, champion) not in done:
        ledger.append(rehearse(entry.digest, asked.model, champion, rows, settings))


def rollback(
    model: str, reason: str, approver: str, policy: Policy, settings: Settings, *,
    code: str | None = None, sent_at: datetime | None = None, key: Path | None = None,
) -> RolledBack:  # fmt: skip
    """Make the previous champion the champion again, on one approver's word; ends first what a killed run began.

    Raises:
        DigestMismatch: the previous champion is not what was approved.
        PromotionRefused: there is none to go back to, an alias is not where the ledger says, or the proof does not
            count.
    """
    ledger, reg, now = Ledger.of(settings), client(settings), datetime.now(UTC)
    unfinished = end_rollback(reg, ledger, model, policy, settings)
    if unfinished is not None:
        return unfinished
    champion = registry.alias(reg, model, registry.CHAMPION)
    previous = registry.alias(reg, model, registry.PREVIOUS)
    if champion is None or previous is None or champion == previous:
        raise PromotionRefused(f"{model}: there is no previous champion to go back to")
    digests = _refuse_changed_way_back(ledger.entries(), model, previous, settings)
    _refuse_moved_aliases(ledger.entries(), model, champion, previous)
    order = Rollback(model, previous, champion, approver, reason)
    text = proofs.statement("rolled_back", order.move, approver, reason.strip(), digests)
    signed = None if key is None else _signed(key, text)

    def prove(person: Approver) -> Proof | None:
        return proof_of(person, text, settings, proofs.typed_at(sent_at, now), code=code, signed=signed)

    with head_kept(model, ledger, settings), ledger.busy():
        now_there = (registry.alias(reg, model, registry.CHAMPION), registry.alias(reg, model, registry.PREVIOUS))
        if now_there != (champion, previous):
            raise PromotionRefused(f"{model}: the champion changed meanwhile; nothing was changed, ask again")
        done = judged_rollback(ledger.entries(), order, policy, now, prove, by_code=key is None)
        entry = ledger.append(done, now=now)
        if isinstance(done, Refused):
            raise _refusal(f"{model}: {done.why}; nothing was changed", done, ledger, fresh=True)
        registry.swap_back(reg, model, previous, champion)
        registry.mark_rolled_back(reg, model, previous, entry.digest)
        return done


def _refuse_moved_aliases(entries: tuple[Entry, ...], model: str, champion: str, previous: str) -> None:
    """Both aliases must be as the last move left them: one moved by hand would lead a rollback to any old version."""
    told = told_moves(entries).get(model)
    if told is not None and (told.version, told.previous) != (champion, previous):
        raise PromotionRefused(
            f"{model}: the ledger names version {told.version} as champion and {told.previous or 'none'} before it, "
            f"the registry {champion} and {previous}: moved by hand? nothing was changed; look with tunegate verify, "
            "and set the aliases again"
        )


def approved_digests(entries: tuple[Entry, ...], model: str, version: str) -> Digests | None:
    """What was approved of a version of the production model; None where nobody ever approved it."""
    asked = {entry.digest: entry.event for entry in entries if isinstance(entry.event, Requested)}
    promoted = [entry.event for entry in entries if isinstance(entry.event, Promoted)]
    moves = [event for event in promoted if (event.model, event.version) == (model, version)]
    return asked[moves[-1].request].digests if moves and moves[-1].request in asked else None


def _refuse_changed_way_back(entries: tuple[Entry, ...], model: str, version: str, settings: Settings) -> Digests:
    """The digests of a version to go back to, taken anew; they must be those that were approved."""
    digests = approved_digests(entries, model, version)
    if digests is None:
        raise PromotionRefused(f"{model} version {version}: nobody ever approved it; the champion stays")
    if verified_digests(model, version, settings) != digests:
        raise DigestMismatch(f"{model} version {version}: it is not what was approved; the champion stays")
    return digests


def end_rollback(reg: Any, ledger: Ledger, model: str, policy: Policy, settings: Settings) -> RolledBack | None:
    """End a rollback that is proven in the ledger and not done in the registry; None where there is none.

    One that was done is marked, so that aliases set back by hand afterwards stay for `verify` to tell.

    Raises:
        DigestMismatch: the version to go back to is not what was approved.
    """
    with ledger.busy():
        entries = ledger.entries()
        moves = [(e.digest, e.event) for e in entries if isinstance(e.event, Promoted | RolledBack)]
        digest, back = next((move for move in reversed(moves) if move[1].model == model), ("", None))
        if not isinstance(back, RolledBack):
            return None
        shown = (registry.alias(reg, model, registry.CHAMPION), registry.alias(reg, model, registry.PREVIOUS))
        begun = ((back.previous, back.version), (back.version, back.version), (back.version, back.previous))
        if shown not in begun or registry.is_rolled_back(reg, model, back.version, digest):
            return None  # done, or moved by hand since: verify tells
        if not rollback_holds(back, entries, policy, settings):
            return None  # a line that somebody wrote moves nothing: verify tells
        if shown == begun[-1]:  # killed before its mark, or done before there was one
            registry.mark_rolled_back(reg, model, back.version, digest)
            return None
        _refuse_changed_way_back(entries, model, back.version, settings)
        registry.swap_back(reg, model, back.version, back.previous)
        registry.mark_rolled_back(reg, model, back.version, digest)
        return back


def enroll(name: str, policy: Policy, settings: Settings, *, replace: bool = False) -> str:
    """Give an approver a new secret; returns the address for their authenticator app, which is shown once.

    Args:
        replace: take the secret away from whoever holds that of this name; the ledger keeps that it was.

    Raises:
        PromotionRefused: the policy knows no such approver, or none with codes, or they were enrolled already.
    """
    approver = policy.approver(name)
    if approver is None or not approver.totp:
        raise PromotionRefused(f"{safe(name)}: no approver with totp: true in conf/policies/promotion.yaml")
    ledger = Ledger.of(settings)
    with ledger.busy():
        before = any(isinstance(e.event, Enrolled) and e.event.approver == name for e in ledger.entries())
        before = before or proofs.has_secret(secrets_folder(settings), name)
        if before and not replace:
            raise PromotionRefused(
                f"{name} was enrolled already: tunegate enroll {name} --replace makes a new secret, after which only "
                "that decides in this name, and tunegate verify shows it"
            )
        ledger.append(Enrolled(approver=name, login=account(), replaces=before))
        return proofs.enroll(secrets_folder(settings), name)


def _end_what_was_killed(model: str, policy: Policy, settings: Settings) -> None:
    ledger, reg = Ledger.of(settings), client(settings)
    end_rollback(reg, ledger, model, policy, settings)
    promoted = [e.event for e in ledger.entries() if isinstance(e.event, Promoted) and e.event.model == model]
    if promoted:
        _sealed(reg, ledger, promoted[-1].request)


def _sealed(reg: Any, ledger: Ledger, request_digest: str) -> Promoted:
    """Write the ledger entry's digest on the version that it promoted: a ledger that is cut later is found by it."""
    for entry in ledger.entries():
        if isinstance(entry.event, Promoted) and entry.event.request == request_digest:
            reg.set_model_version_tag(entry.event.model, entry.event.version, registry.ENTRY_TAG, entry.digest)
            return entry.event
    raise PromotionRefused(f"{request_digest[:SHOWN]}: not promoted")


def _hold_in_quiet_hours(ledger: Ledger, request_digest: str, model: str, policy: Policy, now: datetime) -> None:
    """Refuse in quiet hours, and write down once that nothing else held it back: `finish` goes on with it."""
    quiet = policy.quiet(model, now)
    if quiet is None:
        return
    why = f"no model changes from {quiet.start} to {quiet.end} {quiet.timezone}"
    if not any(isinstance(e.event, Held) and e.event.request == request_digest for e in ledger.entries()):
        ledger.append(Held(request=request_digest, why=why))
    raise PromotionRefused(f"{model}: {why}; after that reconcile promotes it, where it is on, or promote again")


def _refuse_if_changed(
    entry: Entry, asked: Requested, name: str, version: str, settings: Settings, ledger: Ledger
) -> None:
    """Every digest of a version anew, at the moment of the move; any change voids the approval."""
    try:
        found = verified_digests(name, version, settings)
    except DigestMismatch as error:  # an outage is no change
        why = str(error)
    else:
        if found == asked.digests:
            return
        why = "the candidate is not the one approved"
    ledger.append(Expired(request=entry.digest, why="the candidate changed after it was requested"))
    raise PromotionRefused(f"{entry.digest[:SHOWN]}: {why}; the approval is void")


def _refuse_unheard(entry: Entry, asked: Requested, settings: Settings, ledger: Ledger) -> None:
    """What people said after the gates had judged voids the approval too: it may be a showstopper."""
    if not heard_all(lineage_of(asked.candidates, asked.version, settings), settings):
        ledger.append(Expired(request=entry.digest, why=UNHEARD))
        raise PromotionRefused(f"{entry.digest[:SHOWN]}: {UNHEARD}; the approval is void, run its recipe again")


def _refuse_forged_proofs(
    ledger: Ledger, request_digest: str, asked: Requested, policy: Policy, settings: Settings
) -> None:
    for entry in ledger.entries():
        event = entry.event
        if not isinstance(event, Decided) or event.request != request_digest:
            continue
        if not proof_holds(event, asked, policy, settings):
            ledger.append(Expired(request=request_digest, why=f"the proof of {event.approver} does not hold"))
            raise PromotionRefused(f"{request_digest[:SHOWN]}: the proof of {event.approver} does not hold")


def proof_holds(event: Decided, asked: Requested, policy: Policy, settings: Settings) -> bool:
    """Whether a recorded decision is proven, today, by its approver's key or secret."""
    text = proofs.statement(event.kind, event.request, event.approver, event.reason, asked.digests)
    return is_proven(event.approver, text, event.proof, policy, settings)


def rollback_holds(event: RolledBack, entries: tuple[Entry, ...], policy: Policy, settings: Settings) -> bool:
    """Whether a recorded rollback is proven, today, by its approver's key or secret, and leads to what was approved."""
    digests = approved_digests(entries, event.model, event.version)
    if digests is None:
        return False
    move = move_of(event.model, event.previous, event.version)
    text = proofs.statement("rolled_back", move, event.approver, event.reason, digests)
    return is_proven(event.approver, text, event.proof, policy, settings)


def is_proven(name: str, text: bytes, proof: Proof, policy: Policy, settings: Settings) -> bool:
    """Whether the approver of this name proved exactly this text, by key or secret."""
    approver = policy.approver(name)
    if approver is None:
        return False
    if proof.method == "ssh":
        return proofs.signature_holds(approver, text, proof)
    return proofs.code_proof_holds(secrets_folder(settings), name, text, proof)

"""The commands of approvers and auditors: ask, decide, roll back, look, verify. Holds no rule of its own."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from conf.load import load_policy
from conf.settings import Settings, prepare_environment, settings
from flows.log import log_to_file

if TYPE_CHECKING:
    from conf.policy import Policy
    from tasks.ledger import Entry, Promoted
    from tasks.promote.audit import Champion
    from tasks.promote.decision import Standing

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
_key = click.option(
    "--key", type=click.Path(path_type=Path), help="SSH key to sign with; without it a one-time code is asked for."
)


@click.command()
@click.argument("model")
@click.option("--override", metavar="VERSION", help="Ask for this version although gates refused it.")
@click.option("--reason", default="", help="Why they should be overridden; it stands in the ledger for good.")
@as_json_option
def promote(model: str, override: str | None, reason: str, as_json: bool) -> None:
    """Ask for the promotion of MODEL's candidate; once it is approved, promote it."""
    from flows.events import end_expired, tell_requested
    from tasks.promote import Override, request, requested, where

    policy, began = _prepared(), datetime.now(UTC)
    end_expired(policy)
    entry = request(model, policy, settings(), override=Override(override, reason) if override else None)
    stands = where(entry, policy, settings())
    if entry.at >= began:
        tell_requested(requested(entry), stands)
    if stands.state == "approved":
        done = _moved(entry)
        _tell(done.model_dump(mode="json"), f"{model} version {done.version} is the champion", as_json)
        return
    if as_json:
        print_json({"request": entry.digest, **entry.model_dump(mode="json")})
        return
    _show_request(entry, stands)


def _decision(kind: Literal["approved", "rejected"], verb: str) -> click.Command:
    @click.command(verb)
    @click.argument("request")
    @click.option("--as", "approver", required=True, metavar="NAME", help="Who decides: a name of the policy.")
    @click.option(
        "--candidate", required=True, metavar="DIGEST", help="First 12 digits of the adapter that was read about."
    )
    @click.option("--reason", required=True, help="Why; it stands in the ledger for good.")
    @_key
    @as_json_option
    def decide(request: str, approver: str, candidate: str, reason: str, key: Path | None, as_json: bool) -> None:
        from flows.events import end_expired, locks_told, tell_decided
        from flows.runs import end_waiting
        from tasks.promote import Attempt, find, requested
        from tasks.promote import decide as record

        policy = _prepared()
        end_expired(policy)
        attempt = Attempt(kind=kind, approver=approver, candidate=candidate, reason=reason)
        entry = find(request, settings())
        with locks_told(requested(entry).model):
            stands = record(request, attempt, policy, settings(), key=key, code=None if key else _code())
        tell_decided(requested(entry), attempt, stands)
        if stands.state != "approved" or kind == "rejected":
            if stands.state != "waiting":
                end_waiting(entry.digest, f"{stands.state}: {stands.why}")
            _tell({"state": stands.state, "why": stands.why}, f"{request}: {stands.state}: {stands.why}", as_json)
            return
        done = _moved(entry)
        _tell(done.model_dump(mode="json"), f"approved: {done.model} version {done.version} is the champion", as_json)

    decide.help = f"{verb.capitalize()} a REQUEST, proven by a key or a one-time code."
    return decide


approve, reject = _decision("approved", "approve"), _decision("rejected", "reject")


def _moved(entry: Entry) -> Promoted:
    """The champion, moved to what was approved; nobody need fill in the form of the run that asked."""
    from flows.events import tell_moved
    from flows.runs import end_waiting
    from tasks.promote import promote as move

    done = move(entry.digest, load_policy, settings())
    tell_moved(done)
    end_waiting(entry.digest, f"promoted as version {done.version}")
    return done


@click.command()
@click.argument("model")
@click.option("--as", "approver", required=True, metavar="NAME", help="Who orders it: a name of the policy.")
@click.option("--reason", required=True, help="Why; it stands in the ledger for good.")
@_key
@as_json_option
def rollback(model: str, approver: str, reason: str, key: Path | None, as_json: bool) -> None:
    """Make MODEL's previous champion the champion again."""
    from flows.events import locks_told, tell_rolled_back
    from tasks.promote import rollback as back

    policy = _prepared()
    with locks_told(model):
        done = back(model, reason, approver, policy, settings(), key=key, code=None if key else _code())
    tell_rolled_back(done)
    _tell(done.model_dump(mode="json"), f"{model} version {done.version} is the champion again", as_json)


@click.command()
@as_json_option
def status(as_json: bool) -> None:
    """Show who is champion, every request, and what waits for whom."""
    from tasks.promote import requested, requests
    from tasks.promote.audit import champions

    found, standing = requests(_prepared(), settings()), champions(settings())
    lines = [f"{c.model}: version {c.version} is the champion, {_since(c)}" for c in standing]
    lines += [f"{e.digest[:12]}  {requested(e).model:<20}  {e.at:%Y-%m-%d %H:%M}  {s.state}: {s.why}" for e, s in found]
    answer = [{"request": e.digest, "model": requested(e).model, "state": s.state, "why": s.why} for e, s in found]
    _tell(
        {"champions": [{**vars(c), "since": c.since and c.since.isoformat()} for c in standing], "requests": answer},
        "\n".join(lines) or "no request yet: tunegate promote MODEL",
        as_json,
    )


def _since(champion: Champion) -> str:
    if champion.since is None:
        return "moved outside the flow: tunegate verify"
    before = f"before it {champion.previous}" if champion.previous else "the first"
    return f"since {champion.since:%Y-%m-%d %H:%M} UTC, {before}"


@click.command()
@as_json_option
def verify(as_json: bool) -> None:
    """Check every champion from its alias back to its data, every proof, and the chain of the ledger."""
    from tasks.promote.audit import verify as audit

    found = audit(_prepared(), settings())
    lines = [f"{'✓' if finding.holds else '✗'} {finding.subject}: {finding.what}" for finding in found]
    _tell({"findings": [vars(finding) for finding in found]}, "\n".join(lines), as_json)
    if not all(finding.holds for finding in found):
        sys.exit(1)


@click.command()
@click.argument("name")
@click.option("--replace", is_flag=True, help="NAME has a secret already: it no longer counts, and verify shows that.")
def enroll(name: str, replace: bool) -> None:
    """Make a secret for NAME's one-time codes."""
    from tasks.promote import enroll as new_secret

    address = new_secret(name, _prepared(), settings(), replace=replace)
    click.echo(f"Give this address to {name}'s authenticator app; it is shown once:\n\n  {address}\n")


COMMANDS: tuple[click.Command, ...] = (promote, approve, reject, rollback, status, verify, enroll)


def _prepared() -> Policy:
    policy = load_policy()
    join_platform(prepared())
    return policy


def prepared() -> Settings:
    """Set what libraries read at import, and send what they say to the log. Call before importing them."""
    prepare_environment(settings())
    log_to_file(settings())
    return settings()


def join_platform(current: Settings) -> None:
    """Use the platform's Prefect server where `tunegate up` has one running here: it then hears of what happens."""
    if current.prefect_api_url is None and (current.home / "platform.json").exists():
        from flows.platform import join

        join(current)


def _code() -> str:
    """The code, typed unseen; from a pipe, its first line."""
    if sys.stdin.isatty():
        return str(click.prompt("One-time code", hide_input=True))
    return sys.stdin.readline().strip()


def _show_request(entry: Entry, stands: Standing) -> None:
    """What an approver has to know before deciding, and how to decide: drawn at a terminal, else as Markdown."""
    from tasks.promote import requested, review

    page = review(entry, stands, settings())
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(page))
    else:
        click.echo(page)
    adapter = requested(entry).digests.adapter[:12]
    words = f"{entry.digest[:12]} --as NAME --candidate {adapter} --reason '…'"
    click.echo(f"\n  tunegate approve {words} [--key ~/.ssh/id_ed25519]\n  tunegate reject  {words}")


def print_json(value: dict[str, Any]) -> None:
    """Print an answer for a script."""
    click.echo(json.dumps(value, indent=1, sort_keys=True))


def _tell(answer: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        click.echo(text)

"""Promotion as people do it: asked, decided with a proof, moved, rolled back; and everyone who tries to cheat.

Two real candidates of the tiny model, real MLflow on SQLite, a real ledger. The tests share the place and run in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from conf.load import load_policy
from conf.policy import Policy
from conf.settings import PROJECT, Settings, environment, settings
from tasks import promote as promotion
from tasks.account import account
from tasks.errors import DigestMismatch, ModelError, PromotionRefused
from tasks.ledger import Decided, Entry, Expired, Ledger, Moving, Promoted, Refused, Rehearsed, Requested, RolledBack
from tasks.promote import Attempt, Override, registry
from tasks.promote.audit import verify
from tasks.promote.evidence import verified_digests
from tasks.promote.head import HEAD_TAG
from tasks.promote.rehearsal import rehearse
from tasks.register.candidate import verdict_folder
from tasks.register.load import Answerer
from tasks.register.runs import client
from tests.builders import ANSWERS, QUESTIONS
from tests.flows.place import Place
from tests.flows.platform import platform
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

APPROVER, OTHER = "first-approver", "second-approver"


class Killed(BaseException):
    """What no code of ours can catch by mistake."""


def kill(*_: object, **__: object) -> None:
    raise Killed


class House:
    """The place with two candidates, as its people see it."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.place, self.settings = place, settings
        self.policy: Policy = load_policy()
        self.ledger = Ledger.of(settings)
        self.registry: Any = client(settings)

    def code(self, approver: str = APPROVER) -> str:
        """A code that was not used yet: a person waits half a minute for the next; a test takes that at once."""
        secret = (self.settings.home / "approvers" / f"{approver}.totp").read_text()
        proven = [entry.event for entry in self.ledger.entries() if isinstance(entry.event, Decided | RolledBack)]
        used = [event.proof.step or 0 for event in proven if event.approver == approver]
        refused = [entry.event for entry in self.ledger.entries() if isinstance(entry.event, Refused)]
        used += [event.step or 0 for event in refused if event.claimed == approver]
        now = int(time.time()) // 30
        while (step := max(now, max(used, default=0) + 1)) > now + 1:
            time.sleep(1)
            now = int(time.time()) // 30
        return pyotp.TOTP(secret).at(step * 30)

    def request(self) -> tuple[Entry, Requested]:
        entry = promotion.request("tiny", self.policy, self.settings)
        assert isinstance(entry.event, Requested)
        return entry, entry.event

    def approve(self, entry: Entry, asked: Requested, approver: str = APPROVER) -> None:
        attempt = Attempt("approved", approver, asked.digests.adapter[:12], "read the report")
        promotion.decide(entry.digest, attempt, self.policy, self.settings, code=self.code(approver))

    def promote(self, entry: Entry) -> Promoted:
        return promotion.promote(entry.digest, lambda: self.policy, self.settings)

    def alias(self, name: str) -> str | None:
        return registry.alias(self.registry, "tiny", name)

    def ledger_requests(self) -> list[Entry]:
        return [entry for entry in self.ledger.entries() if isinstance(entry.event, Requested)]

    def bad_findings(self) -> list[str]:
        return [f"{f.subject}: {f.what}" for f in verify(self.policy, self.settings) if not f.holds]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = Place(tmp_path_factory.mktemp("promotion"))
    first = place.run()
    assert first.returncode == 0, first.stdout + first.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment().items():
            patch.setenv(name, value)
        for name in ("TUNEGATE_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        for name, value in environment(settings()).items():
            patch.setenv(name, value)
        yield House(place, settings())


def test_nobody_promotes_before_anyone_asked_and_enrolled(house: House) -> None:
    assert "no request yet" in house.place.command("status").stdout
    with pytest.raises(ModelError, match="run its recipe first"):
        promotion.request("unheard-of", house.policy, house.settings)
    done = house.place.command("enroll", "mallory")
    assert done.returncode == 2
    assert "no approver" in done.stderr


def test_a_person_asks_approves_and_serves_the_champion(house: House) -> None:
    assert house.place.command("enroll", OTHER).returncode == 0
    enrolled = house.place.command("enroll", APPROVER)
    assert "otpauth://totp/" in enrolled.stdout
    again = house.place.command("enroll", APPROVER)
    assert (again.returncode, again.stdout) == (2, "")
    assert "--replace" in again.stderr
    asked = json.loads(house.place.command("promote", "tiny", "--json").stdout)
    text = house.place.command("promote", "tiny").stdout  # asked again: the same request
    digest, adapter = asked["request"][:12], asked["event"]["digests"]["adapter"][:12]
    assert f"Request `{digest}`, waiting: 0 of 1 approvals" in text
    assert f"tunegate approve {digest} --as NAME --candidate {adapter}" in text
    drawn = at_a_terminal(house, "promote", "tiny")
    assert "Make tiny-candidates version 1 the champion of tiny?" in drawn
    assert f"\n  tunegate approve {digest} --as NAME" in drawn
    assert not set("#*`") & set(drawn)
    words = ("approve", digest, "--as", APPROVER, "--candidate", adapter, "--reason", "read the report")
    wrong = house.place.command(*words, typed="000000\n")
    assert (wrong.returncode, wrong.stderr) == (2, f"error: {digest}: wrong code or key; nothing was decided\n")
    assert house.alias("champion") is None
    right = house.place.command(*words, typed=f"{house.code()}\n")
    assert right.stdout == "approved: tiny version 1 is the champion\n", right.stderr
    attached = house.registry.get_model_version("tiny", "1").description
    assert "- approved by first-approver (totp): read the report" in attached
    assert f"Request `{digest}`, approved" in attached
    approved = promotion.requested(house.ledger_requests()[0]).digests.stated()
    assert attached.startswith("Bound to ")  # MLflow cuts what is longer than 5,000 characters: the digests stand first
    assert all(f"{name} `{value}`" in attached.split("## Decided")[0] for name, value in approved.items())
    assert house.alias("champion") == "1"
    assert registry.alias(house.registry, "tiny-candidates", "challenger") is None
    assert house.place.command("verify").returncode == 0
    from tasks.register.load import load_answerer

    assert load_answerer("models:/tiny@champion", house.settings).answer({"text": QUESTIONS[0]}) in ANSWERS
    assert house.code() not in house.ledger.path.read_text()


def test_the_status_tells_who_is_champion_and_what_became_of_the_request(house: House) -> None:
    first, second = house.place.command("status").stdout.splitlines()
    assert first.startswith("tiny: version 1 is the champion, since 20")
    assert first.endswith(" UTC, the first")
    assert second.endswith("promoted: promoted")
    (champion,) = json.loads(house.place.command("status", "--json").stdout)["champions"]
    assert (champion["model"], champion["version"], champion["previous"]) == ("tiny", "1", None)
    assert datetime.fromisoformat(champion["since"]) <= datetime.now(UTC)


def test_what_was_decided_is_not_asked_again_by_the_next_run(house: House) -> None:
    again = house.place.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert registry.alias(house.registry, "tiny-candidates", "challenger") is None
    with pytest.raises(ModelError, match="no candidate"):
        house.request()


def test_a_person_decides_in_the_form_of_a_suspended_run(house: House) -> None:
    second = house.place.run("--set", "training.seed=7")
    assert second.returncode == 0, second.stdout + second.stderr
    with platform(house.place) as server:
        run = server.start("promote/promote", model="tiny")
        server.wait_for_state(run, "Suspended")
        (entry,) = [e for e, s in promotion.requests(house.policy, house.settings) if s.state == "waiting"]
        asked = promotion.requested(entry)
        assert asked.attempt == run
        form = {"approver": APPROVER, "candidate": asked.digests.adapter[:12], "reason": "read the report"}
        empty = server.resume(run)
        half = server.resume(run, **form, code="123456")  # no decision: the form has no default
        assert (empty["status"], half["status"]) == ("REJECT", "REJECT")
        wrong = server.resume(run, **form, decision="approve", code="000000")
        assert wrong["status"] == "ACCEPT"
        wait_for(lambda: "wrong code" in last_event(house), seconds=120)
        server.wait_for_state(run, "Suspended")
        assert house.alias("champion") == "1"
        server.resume(run, **form, decision="approve", code=house.code())
        server.wait_for_state(run, "Completed")
        house.registry.set_registered_model_alias("tiny", "champion", "1")  # by hand, and past the ledger
        looked = server.wait_for_state(server.start("reconcile/reconcile"), "Completed", "Failed", "Crashed")
        house.registry.set_registered_model_alias("tiny", "champion", "2")
        assert (looked["name"], "champion is 1, the ledger says 2: moved outside" in looked["message"]) == (
            "Failed",
            True,
        )
    assert (house.alias("champion"), house.alias("previous")) == ("2", "1")
    events = [type(e.event).__name__ for e in house.ledger.entries() if entry.digest in (e.digest, request_of(e))]
    assert events == [
        "Requested",
        "Refused",
        "Decided",
        "Rehearsed",
        "Moving",
        "Promoted",
    ]  # the form that was replayed counted once
    assert house.bad_findings() == []


def test_the_way_back_was_rehearsed_before_the_champion_moved(house: House) -> None:
    (rehearsed,) = [e.event for e in house.ledger.entries() if isinstance(e.event, Rehearsed)]
    assert (rehearsed.version, rehearsed.rows) == ("1", 20)
    assert rehearsed.same >= 18


def at_a_terminal(house: House, *arguments: str) -> str:
    """What the command shows to a person."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flows.cli", *arguments]
    variables = house.place.environment(TERM="dumb", COLUMNS="200")
    shown = b""
    with subprocess.Popen(command, cwd=PROJECT, env=variables, stdout=theirs, stderr=theirs) as started:
        os.close(theirs)
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert started.returncode == 0, shown
    return shown.decode().replace("\r\n", "\n")


def request_of(entry: Entry) -> str:
    return str(getattr(entry.event, "request", ""))


def last_event(house: House) -> str:
    return house.ledger.entries()[-1].event.model_dump_json()


def test_a_champion_is_rolled_back_by_one_command(house: House) -> None:
    code = house.code()
    done = house.place.command("rollback", "tiny", "--as", APPROVER, "--reason", "wrong answers", typed=f"{code}\n")
    assert done.stdout == "tiny version 1 is the champion again\n", done.stderr
    assert (house.alias("champion"), house.alias("previous")) == ("1", "2")
    assert house.bad_findings() == []
    replayed = house.place.command("rollback", "tiny", "--as", APPROVER, "--reason", "again", typed=f"{code}\n")
    assert (replayed.returncode, house.alias("champion")) == (2, "1")
    assert "used already" in replayed.stderr


def test_a_rollback_that_was_killed_is_ended_and_not_undone_by_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tiny", "and back", APPROVER, house.policy, house.settings)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "swap_back", kill)
        with pytest.raises(Killed):
            promotion.rollback(*words, code=house.code())
    assert house.alias("champion") == "1"
    assert promotion.rollback(*words).version == "2"  # what was proven is ended without another proof
    assert (house.alias("champion"), house.alias("previous")) == ("2", "1")
    promotion.rollback(*words, code=house.code())
    assert (house.alias("champion"), house.alias("previous")) == ("1", "2")
    assert house.bad_findings() == []


def test_nothing_is_rolled_back_to_what_nobody_approved(house: House) -> None:
    planted = house.registry.copy_model_version("models:/tiny-candidates/2", "tiny")
    house.registry.set_registered_model_alias("tiny", "previous", planted.version)
    with pytest.raises(PromotionRefused, match=f"version {planted.version}: nobody ever approved it"):
        promotion.rollback("tiny", "back", APPROVER, house.policy, house.settings, code=house.code())
    house.registry.set_registered_model_alias("tiny", "previous", "2")
    house.registry.delete_model_version("tiny", planted.version)


def test_other_weights_under_the_tags_of_an_honest_version_are_refused(house: House) -> None:
    honest, other = (house.registry.get_model_version("tiny-candidates", version) for version in ("1", "2"))
    files = {"files_sha256": other.tags["files_sha256"]}
    forged = house.registry.create_model_version(
        "tiny-candidates", other.source, run_id=honest.run_id, tags={**honest.tags, **files}
    )
    with pytest.raises(DigestMismatch, match="its files are not those that were evaluated"):
        verified_digests("tiny-candidates", forged.version, house.settings)
    house.registry.delete_model_version("tiny-candidates", forged.version)


def test_what_an_approver_reads_leads_to_the_run_in_mlflow(house: House) -> None:
    entry = house.ledger_requests()[0]
    asked, served = promotion.requested(entry), replace(house.settings, mlflow_ui="http://mlflow:5000")
    page = promotion.review(entry, promotion.where(entry, house.policy, served), served)
    experiment = house.registry.get_run(asked.run_id).info.experiment_id
    assert f"run [{asked.run_id}](http://mlflow:5000/#/experiments/{experiment}/runs/{asked.run_id})." in page
    assert f"run {asked.run_id}." in promotion.review(
        entry, promotion.where(entry, house.policy, house.settings), house.settings
    )


def test_nobody_decides_on_a_run_that_they_started(house: House) -> None:
    own = {**house.policy.approvers[0].model_dump(mode="json"), "logins": [account()]}
    others = [approver.model_dump(mode="json") for approver in house.policy.approvers[1:]]
    policy = Policy.model_validate_json(
        json.dumps({**house.policy.model_dump(mode="json"), "approvers": [own, *others]})
    )
    started = promotion.requested(house.ledger_requests()[0]).requested_by
    assert started == (account(),)
    asked = promotion.requested(house.ledger_requests()[0]).model_copy(
        update={"policy": policy.digest(), "expires_at": datetime.now(UTC) + timedelta(hours=1)}
    )
    entry = house.ledger.append(asked)
    attempt = Attempt("approved", APPROVER, asked.digests.adapter[:12], "mine")
    with pytest.raises(PromotionRefused, match="nobody decides on their own run"):
        promotion.decide(entry.digest, attempt, policy, house.settings, code=house.code())


def test_an_alias_that_was_moved_by_hand_is_found(house: House) -> None:
    house.registry.set_registered_model_alias("tiny", "champion", "2")
    assert house.bad_findings() == ["tiny: champion is 2, the ledger says 1: moved outside"]
    assert house.place.command("verify").returncode == 1
    moved = "tiny: version 2 is the champion, moved outside the flow: tunegate verify\n"
    assert house.place.command("status").stdout.startswith(moved)
    house.registry.set_registered_model_alias("tiny", "champion", "1")
    assert house.bad_findings() == []


def test_a_champion_that_no_ledger_knows_is_found(house: House) -> None:
    house.registry.create_registered_model("smuggled-candidates")
    house.registry.copy_model_version("models:/tiny/1", "smuggled")
    house.registry.set_registered_model_alias("smuggled", "champion", "1")
    assert house.bad_findings() == ["smuggled: champion is 1, the ledger says none: moved outside"]
    for name in ("smuggled", "smuggled-candidates"):
        house.registry.delete_registered_model(name)


def test_a_ledger_whose_tail_was_cut_is_found(house: House) -> None:
    whole = house.ledger.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    promoted = [n for n, e in enumerate(house.ledger.entries()) if isinstance(e.event, Promoted)]
    lost = "tiny-candidates: MLflow remembers an entry {} that the ledger does not hold: it was cut, or is another"
    house.ledger.path.write_bytes(b"".join(lines[:-1]))  # no champion moved by it
    assert house.bad_findings() == [lost.format(len(lines) - 1)]
    house.ledger.path.write_bytes(b"".join(lines[: promoted[0]]))
    moved = "tiny: champion is 1, the ledger says none: moved outside"
    assert house.bad_findings() == [lost.format(len(lines) - 1), moved]
    house.ledger.path.write_bytes(whole)


def test_a_promotion_that_somebody_wrote_into_the_ledger_is_found(house: House) -> None:
    whole = house.ledger.path.read_bytes()
    asked = promotion.requested(house.ledger_requests()[0])
    forged = house.ledger.append(asked.model_copy(update={"attempt": "forged"}))
    house.ledger.append(Moving(request=forged.digest))
    moved = house.ledger.append(Promoted(request=forged.digest, model="tiny", version="1", previous="2"))
    house.registry.set_model_version_tag("tiny", "1", registry.ENTRY_TAG, moved.digest)
    assert house.bad_findings() == [f"entry {moved.number}: promoted tiny version 1: nobody had approved it"]
    house.ledger.path.write_bytes(whole)
    (first, *_) = [e for e in house.ledger.entries() if isinstance(e.event, Promoted)]
    house.registry.set_model_version_tag("tiny", "1", registry.ENTRY_TAG, first.digest)
    assert house.bad_findings() == []


@pytest.mark.parametrize("tag", ["adapter_sha256", "recipe_digest", "split_digest", "evaluation_digest"])
def test_a_champion_whose_tag_was_changed_is_found(house: House, tag: str) -> None:
    before = house.registry.get_model_version("tiny", "1").tags[tag]
    house.registry.set_model_version_tag("tiny", "1", tag, "0" * 64)
    (found,) = house.bad_findings()
    assert found.startswith("tiny: ")
    house.registry.set_model_version_tag("tiny", "1", tag, before)
    assert house.bad_findings() == []


@pytest.mark.parametrize("part", ["adapter", "base", "clean", "checked", "train", "test", "evaluation"])
def test_a_champion_of_which_a_file_was_changed_is_found(house: House, part: str) -> None:
    (asked,) = [promotion.requested(entry) for entry in house.ledger_requests() if entry.event.version == "1"][:1]
    folder = f"mlartifacts/**/{asked.run_id}/artifacts/verdicts/*/lineage.json"
    lineage = json.loads(next(house.settings.home.glob(folder)).read_text())
    file = house.settings.home / "store" / FILES[part](lineage)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = house.bad_findings()
    assert len(found) == (1 if part in ("adapter", "evaluation") else 2)  # the way back has the same base and data
    assert all("its content is not what its digest says" in line for line in found)
    file.write_bytes(content)
    assert house.bad_findings() == []


def test_a_way_back_of_which_the_adapter_was_changed_is_found(house: House) -> None:
    version = house.registry.get_model_version("tiny-candidates", "2")
    folder = Path(house.registry.get_logged_model(version.source.removeprefix("models:/")).artifact_location[7:])
    file = folder / "adapter_model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (found,) = house.bad_findings()
    assert found == "tiny: the way back, version 2: tiny version 2: its files are not those that were evaluated"
    file.write_bytes(content)
    assert house.bad_findings() == []


def test_a_champion_whose_recipe_was_edited_in_the_record_is_found(house: House) -> None:
    version = house.registry.get_model_version("tiny", "1")
    judged = verdict_folder(version.tags["verdict_digest"], version.tags["recipe_digest"])  # the run has later ones too
    (file,) = house.settings.home.glob(f"mlartifacts/**/{version.run_id}/artifacts/{judged}/recipe.resolved.json")
    content = file.read_text()
    file.write_text(content.replace('"seed": 42', '"seed": 43'))
    assert file.read_text() != content
    (found,) = house.bad_findings()
    assert found == "tiny: tiny version 1: its recipe is not the one that was registered"
    file.write_text(content)
    assert house.bad_findings() == []


def test_a_champion_whose_record_names_other_people_since_it_was_asked_for_is_found(house: House) -> None:
    run = promotion.requested(house.ledger_requests()[0]).run_id
    (file,) = house.settings.home.glob(f"mlartifacts/**/{run}/artifacts/verdicts/*/submission.json")
    content = file.read_text()
    assert json.loads(content) == {"started_by": [account()], "recipe_origin": "reviewed"}
    file.write_text(content.replace(account(), "somebody-else"))
    house.registry.set_model_version_tag("tiny", "1", "started_by", "somebody-else")
    (found,) = house.bad_findings()
    assert found.startswith("tiny: adapter, base, data, recipe, evaluation, verdict and whose run it was")
    file.write_text(content)
    assert house.bad_findings() == []


FILES: dict[str, Callable[[Any], str]] = {
    "adapter": lambda lineage: lineage["adapter"]["files"][0]["path"],
    "base": lambda lineage: next(f["path"] for f in lineage["base"]["files"] if f["path"].endswith("safetensors")),
    "clean": lambda lineage: lineage["clean"]["rows"][0]["path"],
    "checked": lambda lineage: lineage["checked"]["rows"][0]["path"],
    "train": lambda lineage: lineage["split"]["train"]["rows"]["path"],
    "test": lambda lineage: lineage["split"]["test"]["rows"]["path"],
    "evaluation": lambda lineage: lineage["evaluation"]["predictions"]["path"],
}


def candidate(house: House, max_new_tokens: int) -> tuple[Entry, Requested]:
    """Another candidate: the first adapter, evaluated in another way; no training is done again for it."""
    done = house.place.run("--set", f"evaluation.max_new_tokens={max_new_tokens}")
    assert done.returncode == 0, done.stdout + done.stderr
    return house.request()


def test_an_adapter_that_was_edited_after_its_approval_voids_it(house: House) -> None:
    entry, asked = candidate(house, 9)
    house.approve(entry, asked)
    version = house.registry.get_model_version("tiny-candidates", asked.version)
    folder = Path(house.registry.get_logged_model(version.source.removeprefix("models:/")).artifact_location[7:])
    file, copy = folder / "adapter_model.safetensors", folder.parent / "kept"
    shutil.copy(file, copy)
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(PromotionRefused, match="its files are not those that were evaluated; the approval is void"):
        house.promote(entry)
    shutil.copy(copy, file)
    with pytest.raises(PromotionRefused, match="expired: the candidate changed after it was requested"):
        house.promote(entry)
    assert house.alias("champion") == "1"


def test_a_forged_approval_in_the_ledger_promotes_nothing(house: House) -> None:
    from tasks.ledger import Proof

    entry, _ = house.request()
    forged = Proof(method="totp", value="0" * 64, step=int(time.time()) // 30 - 5)
    house.ledger.append(
        Decided(kind="approved", request=entry.digest, approver=APPROVER, reason="mine", proof=forged)
    )  # whoever can write the file can write a well-chained line
    with pytest.raises(PromotionRefused, match=f"the proof of {APPROVER} does not hold"):
        house.promote(entry)
    assert house.alias("champion") == "1"
    (found,) = house.bad_findings()
    assert found.endswith(f"approved by {APPROVER}, totp")


def test_a_person_rejects_and_the_candidate_stays_rejected(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = house.ledger.path.read_bytes().splitlines(keepends=True)
    house.ledger.path.write_bytes(
        b"".join(lines[:-3])
    )  # without the forged line of the test before, and what it led to
    house.registry.delete_registered_model_tag("tiny-candidates", HEAD_TAG)
    entry, asked = house.request()
    attempt = Attempt("rejected", APPROVER, asked.digests.adapter[:12], "worse on cards")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "close", kill)
        with pytest.raises(Killed):
            promotion.decide(entry.digest, attempt, house.policy, house.settings, code=house.code())
    with pytest.raises(PromotionRefused, match=f"rejected by {APPROVER}; it is not asked about again"):
        house.request()
    assert promotion.where(entry, house.policy, house.settings).state == "rejected"
    again = house.place.run("--set", "evaluation.max_new_tokens=9")
    assert again.returncode == 0, again.stdout + again.stderr
    assert registry.alias(house.registry, "tiny-candidates", "challenger") is None
    with pytest.raises(PromotionRefused, match=f"rejected by {APPROVER}"):
        house.promote(entry)


def all_say(text: str) -> Any:
    """In the place of `Answerer.replies`."""
    return lambda _, conversations: [text] * len(conversations)


def test_no_promotion_without_a_way_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, asked = candidate(house, 11)
    house.approve(entry, asked)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.register.load.Answerer.replies", all_say("something else"))
        with pytest.raises(
            PromotionRefused, match="version 1: the way back to it does not work: 0 of 20 answers are as"
        ):
            house.promote(entry)
    assert house.alias("champion") == "1"
    reject = Attempt("rejected", OTHER, asked.digests.adapter[:12], "not now")
    promotion.decide(entry.digest, reject, house.policy, house.settings, code=house.code(OTHER))


def test_answers_that_turn_now_and_then_do_not_close_the_way_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = Answerer.replies

    def turns_each_fifth(self: Answerer, conversations: Any) -> list[str]:
        return ["turned" if n % 5 == 4 else text for n, text in enumerate(replies(self, conversations))]

    monkeypatch.setattr(Answerer, "replies", turns_each_fifth)
    assert 14 <= rehearse("ab" * 32, "tiny", "1", 20, house.settings).same <= 16


def test_on_another_processor_than_that_of_its_evaluation_a_champion_need_only_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("ab" * 32, "tiny", "1", 3, house.settings)
    monkeypatch.setattr("tasks.evaluate.measured.read_measured_on", lambda _: "NVIDIA L4, 2 threads, batches of 32")
    monkeypatch.setattr("tasks.register.load.Answerer.replies", all_say("something else"))
    assert rehearse(*words) == Rehearsed(request=words[0], model="tiny", version="1", rows=3, same=0)
    monkeypatch.setattr("tasks.register.load.Answerer.replies", all_say(""))
    with pytest.raises(PromotionRefused, match="the way back to it does not work: 0 of 3 rows are answered"):
        rehearse(*words)


def test_a_recipe_that_was_not_reviewed_is_refused_and_leaves_a_trace(house: House) -> None:
    done = house.place.run("--set", "gates.0.max=1000000", "--set", "evaluation.max_new_tokens=12")
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(PromotionRefused, match="its recipe is none of conf/recipes: gates differ"):
        house.request()
    last = house.ledger.entries()[-1].event
    assert isinstance(last, Refused)
    assert last.why == "its recipe is none of conf/recipes: gates differ"


def test_a_recipe_from_outside_the_folder_is_refused_whatever_it_says(house: House, tmp_path: Path) -> None:
    for file in house.place.recipe.parent.iterdir():
        shutil.copy(file, tmp_path)
    rows = (tmp_path / "tickets.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "tickets.jsonl").write_text("".join(rows[8:]))
    done = house.place.run(recipe=str(tmp_path / "tiny.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(PromotionRefused, match="its recipe was read from outside conf/recipes, and its data perhaps"):
        house.request()
    assert isinstance(house.ledger.entries()[-1].event, Refused)


def test_a_request_that_nobody_answers_expires_once_and_leaves_a_trace(house: House) -> None:
    (old, *_) = house.ledger_requests()
    late = promotion.requested(old).model_copy(
        update={
            "expires_at": datetime.now(UTC) - timedelta(seconds=1),
            "policy": house.policy.digest(),
            "attempt": "late",
        }
    )
    entry = house.ledger.append(late)
    assert (late, promotion.where(entry, house.policy, house.settings).why) in promotion.expire(
        house.policy, house.settings
    )
    assert promotion.expire(house.policy, house.settings) == []
    ended = [
        e.event for e in house.ledger.entries() if isinstance(e.event, Expired) and e.event.request == entry.digest
    ]
    assert len(ended) == 1
    attempt = Attempt("approved", APPROVER, late.digests.adapter[:12], "too late")
    with pytest.raises(PromotionRefused, match="the request is expired"):
        promotion.decide(entry.digest, attempt, house.policy, house.settings, code=house.code())


def test_quiet_hours_hold_a_promotion_back(house: House) -> None:
    candidate(house, 10)
    hours = {"start": "00:00", "end": "23:59", "timezone": "UTC"}
    rule = {**house.policy.rules[0].model_dump(mode="json"), "quiet_hours": hours}
    quiet = Policy.model_validate_json(json.dumps({**house.policy.model_dump(mode="json"), "rules": [rule]}))
    entry = promotion.request("tiny", quiet, house.settings)
    assert isinstance(entry.event, Requested)
    attempt = Attempt("approved", APPROVER, entry.event.digests.adapter[:12], "read it")
    promotion.decide(entry.digest, attempt, quiet, house.settings, code=house.code())
    if datetime.now(UTC).strftime("%H:%M") == "23:59":
        pytest.skip("the one minute that is not quiet")
    with pytest.raises(PromotionRefused, match="no model changes from 00:00 to 23:59 UTC"):
        promotion.promote(entry.digest, lambda: quiet, house.settings)
    with pytest.raises(PromotionRefused, match="the policy changed since"):
        house.promote(entry)


STEPS = (
    "copy_model_version",
    "set_model_version_tag",
    "update_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


def test_a_promotion_killed_between_any_two_steps_ends_in_one_state(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, asked = house.request()
    house.approve(entry, asked)
    survived = 0
    for step in range(1, 20):  # one step further with each kill
        calls = 0

        def killing(name: str, kept: Any, limit: int = step) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                done = kept(*arguments, **options)
                if calls == limit:
                    raise Killed(name)
                return done

            return call

        with monkeypatch.context() as patch:
            real = client(house.settings)
            for name in STEPS:
                patch.setattr(real, name, killing(name, getattr(real, name)))
            patch.setattr(Ledger, "append", killing("append", Ledger.append))
            patch.setattr(promotion, "client", lambda _settings, real=real: real)
            try:
                house.promote(entry)
            except Killed:
                survived += 1
            else:
                break
    assert survived >= 8
    done = house.promote(entry)
    versions = [v for v in house.registry.search_model_versions("name = 'tiny'") if entry.digest in v.tags.values()]
    assert [str(v.version) for v in versions] == [done.version] == [house.alias("champion")]
    assert len(house.registry.search_model_versions("name = 'tiny'")) == 3
    assert house.alias("previous") == "1"
    events = [e.event for e in house.ledger.entries() if isinstance(e.event, Promoted)]
    assert [event.request for event in events].count(entry.digest) == 1
    assert house.bad_findings() == []


def test_two_approvers_at_once_one_of_them_by_a_key_make_one_champion(house: House) -> None:
    before = house.alias("champion")
    third = house.place.run("--set", "training.seed=17")
    assert third.returncode == 0, third.stdout + third.stderr
    entry, asked = house.request()
    words = ["approve", entry.digest[:12], "--candidate", asked.digests.adapter[:12], "--reason", "read it", "--as"]
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *words, *whom],
            cwd=PROJECT,
            env=house.place.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for whom in ([APPROVER], [OTHER, "--key", str(house.place.key)])
    ]
    said = [command.communicate(f"{house.code()}\n")[0] for command in commands]
    promoted = [e.event for e in house.ledger.entries() if isinstance(e.event, Promoted)]
    assert [event.version for event in promoted if event.request == entry.digest] == [house.alias("champion")], said
    assert house.alias("previous") == before
    assert 0 in {command.returncode for command in commands}, said
    assert house.bad_findings() == []  # each decision that counts is proven, by code or key
    words = ["rollback", "tiny", "--as", OTHER, "--reason", "and back", "--key", str(house.place.key)]
    back = house.place.command(*words)
    assert back.stdout == f"tiny version {before} is the champion again\n", back.stderr
    assert house.bad_findings() == []


def test_what_a_gate_refused_is_promoted_only_by_those_who_may_override_it(house: House) -> None:
    refused = house.place.run("--set", "training.seed=13", recipe="strict")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    version = max(
        house.registry.search_model_versions("name = 'tiny-candidates'"), key=lambda v: int(v.version)
    ).version
    with pytest.raises(ModelError, match="no candidate under the alias challenger"):
        house.request()
    wish = Override(str(version), "the gate is wrong, see ticket 12")
    rule = {**house.policy.rules[0].model_dump(mode="json"), "overrides": []}
    closed = Policy.model_validate_json(json.dumps({**house.policy.model_dump(mode="json"), "rules": [rule]}))
    with pytest.raises(PromotionRefused, match="lets nobody override a gate on perplexity"):
        promotion.request("tiny", closed, house.settings, override=wish)
    with pytest.raises(PromotionRefused, match="an override needs a reason"):
        promotion.request("tiny", house.policy, house.settings, override=Override(str(version), " "))
    entry = promotion.request("tiny", house.policy, house.settings, override=wish)
    asked = promotion.requested(entry)
    assert (asked.overrides, asked.reason) == (("perplexity",), wish.reason)
    page = promotion.review(entry, promotion.where(entry, house.policy, house.settings), house.settings)
    assert "REFUSED BY ITS GATES" in page
    assert wish.reason in page
    house.approve(entry, asked)
    with pytest.raises(PromotionRefused, match="1 of 2 approvals; may approve: second-approver"):
        house.promote(entry)
    house.approve(entry, asked, OTHER)
    done = house.promote(entry)
    assert house.alias("champion") == done.version
    decided = [
        e.event for e in house.ledger.entries() if isinstance(e.event, Decided) and e.event.request == entry.digest
    ]
    assert [(event.kind, event.approver) for event in decided] == [("overridden", APPROVER), ("overridden", OTHER)]
    assert house.bad_findings() == []


def test_every_refused_attempt_left_a_trace(house: House) -> None:
    refused = [entry.event for entry in house.ledger.entries() if isinstance(entry.event, Refused)]
    assert {event.why for event in refused} >= {"wrong code or key", "this code was used already"}
    claimed = {event.claimed for event in refused}
    assert {APPROVER, account()} <= claimed <= {APPROVER, OTHER, account()}

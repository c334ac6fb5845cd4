"""Proofs of identity with the real tools: OpenSSH signatures and one-time codes."""

from __future__ import annotations

import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from conf.policy import Approver
from tasks.errors import PromotionRefused
from tasks.ledger import Digests, Proof
from tasks.promote import proofs

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DIGESTS = Digests(adapter="a" * 64, files="f", base="b", split="s", recipe="r", evaluation="e", verdict="v")
TEXT = proofs.statement("approved", "0" * 64, "ann", "read it", DIGESTS)

needs_openssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")


def key_pair(folder: Path, name: str) -> tuple[Path, str]:
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@test", "-f", str(file)], check=True)
    return file, file.with_suffix(".pub").read_text().strip()


def approver(*keys: str) -> Approver:
    return Approver(name="ann", logins=("ann",), ssh_keys=keys, totp=not keys)


def test_what_was_signed_before_requests_were_bound_to_whose_run_it_is_is_read_as_it_was() -> None:
    named = DIGESTS.model_copy(update={"submission": "d" * 64})
    assert b"submission" not in TEXT
    assert proofs.statement("approved", "0" * 64, "ann", "read it", named) != TEXT


@needs_openssh
def test_a_signature_holds_for_its_text_and_its_key_alone(tmp_path: Path) -> None:
    (ann, ann_public), (_, bob_public) = key_pair(tmp_path, "ann"), key_pair(tmp_path, "bob")
    proof = proofs.sign(ann, TEXT)
    assert proofs.signature_holds(approver(ann_public), TEXT, proof)
    assert proofs.signature_holds(approver(bob_public, ann_public), TEXT, proof)  # any of a person's keys
    assert not proofs.signature_holds(approver(bob_public), TEXT, proof)
    for other in (
        proofs.statement("rejected", "0" * 64, "ann", "read it", DIGESTS),
        proofs.statement("approved", "1" * 64, "ann", "read it", DIGESTS),
        proofs.statement("approved", "0" * 64, "bob", "read it", DIGESTS),
        proofs.statement("approved", "0" * 64, "ann", "did not", DIGESTS),
        proofs.statement("approved", "0" * 64, "ann", "read it", DIGESTS.model_copy(update={"adapter": "b" * 64})),
    ):
        assert not proofs.signature_holds(approver(ann_public), other, proof)


@needs_openssh
@pytest.mark.parametrize(
    "value", ["", "no signature", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"]
)
def test_what_is_no_signature_does_not_hold(tmp_path: Path, value: str) -> None:
    _, public = key_pair(tmp_path, "ann")
    assert not proofs.signature_holds(approver(public), TEXT, Proof(method="ssh", value=value))


@needs_openssh
def test_a_signature_made_for_another_purpose_does_not_hold(tmp_path: Path) -> None:
    key, public = key_pair(tmp_path, "ann")
    (tmp_path / "mail").write_bytes(TEXT)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(key), str(tmp_path / "mail")], check=True)
    proof = Proof(method="ssh", value=(tmp_path / "mail.sig").read_text())
    assert not proofs.signature_holds(approver(public), TEXT, proof)


@needs_openssh
def test_a_key_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(PromotionRefused, match="ssh-keygen cannot sign with it"):
        proofs.sign(tmp_path / "none", TEXT)


def code_at(folder: Path, when: datetime) -> str:
    return pyotp.TOTP((folder / "ann.totp").read_text()).at(when)


def test_a_code_is_right_in_its_half_minute_and_the_two_beside_it(tmp_path: Path) -> None:
    proofs.enroll(tmp_path, "ann")
    step = int(NOW.timestamp()) // 30
    found = {
        seconds: proofs.step_of_code(tmp_path, "ann", code_at(tmp_path, NOW + timedelta(seconds=seconds)), NOW)
        for seconds in (-90, -60, -30, 0, 30, 60, 90)
    }
    assert found == {-90: None, -60: None, -30: step - 1, 0: step, 30: step + 1, 60: None, 90: None}


def test_a_code_counts_as_typed_when_its_form_was_sent_within_reason() -> None:
    typed = {minutes: proofs.typed_at(NOW + timedelta(minutes=minutes), NOW) - NOW for minutes in (-600, -11, -9, 0, 5)}
    assert {minutes: then.total_seconds() / 60 for minutes, then in typed.items()} == {
        -600: 0,
        -11: 0,
        -9: -9,
        0: 0,
        5: 0,
    }
    assert proofs.typed_at(None, NOW) == NOW


@pytest.mark.parametrize("code", ["", "000000", "12345", "abcdef", "1234567", "\uff11\uff12\uff13\uff14\uff15\uff16"])
def test_a_wrong_code_is_none(tmp_path: Path, code: str) -> None:
    proofs.enroll(tmp_path, "ann")
    if code == code_at(tmp_path, NOW):
        pytest.skip("one in a million: the wrong code is right")
    assert proofs.step_of_code(tmp_path, "ann", code, NOW) is None


def test_the_code_of_another_person_is_wrong(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        proofs.enroll(tmp_path, name)
    bobs = pyotp.TOTP((tmp_path / "bob.totp").read_text()).at(NOW)
    assert proofs.step_of_code(tmp_path, "ann", bobs, NOW) is None


def test_the_proof_of_a_code_is_bound_to_its_text_and_holds_no_secret(tmp_path: Path) -> None:
    proofs.enroll(tmp_path, "ann")
    proof = proofs.code_proof(tmp_path, "ann", TEXT, 7)
    assert proofs.code_proof_holds(tmp_path, "ann", TEXT, proof)
    assert not proofs.code_proof_holds(tmp_path, "ann", TEXT + b" ", proof)
    assert not proofs.code_proof_holds(tmp_path, "ann", TEXT, proof.model_copy(update={"step": 8}))
    assert (tmp_path / "ann.totp").read_text() not in proof.model_dump_json()


def test_a_secret_is_for_its_owner_alone_and_a_new_one_replaces_it(tmp_path: Path) -> None:
    address = proofs.enroll(tmp_path, "ann")
    file = tmp_path / "ann.totp"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() in address
    old, before = file.read_text(), proofs.code_proof(tmp_path, "ann", TEXT, 7)
    proofs.enroll(tmp_path, "ann")
    assert file.read_text() != old
    assert proofs.code_proof_holds(tmp_path, "ann", TEXT, before)  # what the old one proved stays proven
    file.chmod(0o644)
    with pytest.raises(PromotionRefused, match="others may read this secret"):
        proofs.step_of_code(tmp_path, "ann", "000000", NOW)


def test_without_a_secret_there_is_no_code(tmp_path: Path) -> None:
    with pytest.raises(PromotionRefused, match="tunegate enroll ann"):
        proofs.step_of_code(tmp_path, "ann", "000000", NOW)

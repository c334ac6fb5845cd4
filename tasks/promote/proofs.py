"""How an approver proves who they are: an SSH signature over the decision, or a one-time code. Never keeps a code.

A signature is made by OpenSSH (`ssh-keygen -Y sign`, PROTOCOL.sshsig) and verified against the policy's public keys. A
code is a TOTP (RFC 6238: SHA-1, 6 digits, 30 seconds) whose secret lies in a file that its owner alone may read. A code
proves who typed it only to someone who has the secret, so the ledger keeps an HMAC of the decision under that secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import subprocess
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pyotp

from conf.policy import Approver
from tasks.artifacts import private_folder
from tasks.errors import PromotionRefused
from tasks.ledger import Digests, Proof

NAMESPACE = "tunegate-decision"
PERIOD_SECONDS = 30
DRIFT_STEPS = 1  # a clock may be half a minute off
LATE_MINUTES = 10  # a form may wait for a free worker


def statement(
    kind: Literal["approved", "overridden", "rejected", "rolled_back"],
    subject: str,
    approver: str,
    reason: str,
    digests: Digests | None = None,
) -> bytes:
    """What is signed: canonical JSON of the decision with every digest that it is bound to.

    Args:
        subject: the request's digest; of a rollback, the model and the version that it leaves.
    """
    content = {
        "decision": kind,
        "subject": subject,
        "approver": approver,
        "reason": reason,
        "digests": digests.stated() if digests else {},
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def sign(key: Path, text: bytes) -> Proof:
    """Sign with a private key, or with its public half if an agent holds the other; ssh-keygen asks for a passphrase.

    Raises:
        PromotionRefused: ssh-keygen cannot sign with it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "decision"
        file.write_bytes(text)
        done = _ssh_keygen("-Y", "sign", "-n", NAMESPACE, "-f", str(key.expanduser()), str(file))
        signature = file.with_suffix(".sig")
        if done.returncode != 0 or not signature.is_file():
            raise PromotionRefused(f"{key}: ssh-keygen cannot sign with it: {_last_line(done)}")
        return Proof(method="ssh", value=signature.read_text(encoding="ascii"))


def signature_holds(approver: Approver, text: bytes, proof: Proof) -> bool:
    """Whether one of the approver's keys signed exactly this text."""
    with tempfile.TemporaryDirectory() as folder:
        signers, signature = Path(folder) / "allowed_signers", Path(folder) / "decision.sig"
        lines = [f'{approver.name} namespaces="{NAMESPACE}" {" ".join(key.split()[:2])}\n' for key in approver.ssh_keys]
        signers.write_text("".join(lines), encoding="utf-8")
        signature.write_text(proof.value, encoding="utf-8")
        arguments = ["-Y", "verify", "-f", str(signers), "-I", approver.name, "-n", NAMESPACE, "-s", str(signature)]
        return _ssh_keygen(*arguments, text=text).returncode == 0


def enroll(folder: Path, name: str) -> str:
    """Make a new secret for the approver's codes; return the `otpauth://` address for their authenticator app."""
    secret = pyotp.random_base32()
    file = private_folder(folder) / f"{name}.totp"
    if file.exists():  # what it proved stays provable, and it proves nothing new
        file.rename(file.with_name(f"{name}@{secrets.token_hex(4)}.retired"))
    aside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    aside.touch(mode=0o600)
    aside.write_text(secret, encoding="ascii")
    aside.replace(file)
    return pyotp.TOTP(secret, interval=PERIOD_SECONDS).provisioning_uri(name=name, issuer_name="tunegate")


def has_secret(folder: Path, name: str) -> bool:
    """Whether the approver was enrolled."""
    return (folder / f"{name}.totp").is_file()


def typed_at(sent: datetime | None, now: datetime) -> datetime:
    """When a code counts as typed: when its form was sent, if that was no longer than LATE_MINUTES ago; else now."""
    return sent if sent is not None and now - timedelta(minutes=LATE_MINUTES) <= sent <= now else now


def step_of_code(folder: Path, name: str, code: str, now: datetime) -> int | None:
    """The time step that the code belongs to, or None where it is wrong.

    Raises:
        PromotionRefused: the approver has no secret, or others may read it.
    """
    totp = pyotp.TOTP(_secret(folder, name), interval=PERIOD_SECONDS)
    current = int(now.timestamp()) // PERIOD_SECONDS
    steps = range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1)
    typed = code.strip().encode()
    return next((s for s in steps if hmac.compare_digest(totp.at(s * PERIOD_SECONDS).encode(), typed)), None)


def code_proof(folder: Path, name: str, text: bytes, step: int) -> Proof:
    """The proof that a right code stood under this decision."""
    return Proof(method="totp", value=_mac(_secret(folder, name), text, step), step=step)


def code_proof_holds(folder: Path, name: str, text: bytes, proof: Proof) -> bool:
    """Whether an owner of the name's secret, today's or a retired one, proved exactly this text."""
    files = [folder / f"{name}.totp", *folder.glob(f"{name}@*.retired")]
    found = [file.read_text(encoding="ascii").strip() for file in files if file.is_file()]
    return proof.step is not None and any(
        hmac.compare_digest(proof.value.encode(), _mac(secret, text, proof.step).encode()) for secret in found
    )


def _mac(secret: str, text: bytes, step: int) -> str:
    return hmac.new(secret.encode(), f"{step}\0".encode() + text, hashlib.sha256).hexdigest()


def _secret(folder: Path, name: str) -> str:
    file = folder / f"{name}.totp"
    if not file.is_file():
        raise PromotionRefused(f"{name} has no secret for one-time codes yet: tunegate enroll {name}")
    if file.stat().st_mode & 0o077:
        raise PromotionRefused(f"{file}: others may read this secret; enroll {name} anew")
    return file.read_text(encoding="ascii").strip()


def _ssh_keygen(*arguments: str, text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=text, capture_output=True, check=False)  # noqa: S607
    except FileNotFoundError as error:
        raise PromotionRefused("ssh-keygen is not installed (OpenSSH 8.2 or newer); or decide by a code") from error


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"it ended with code {done.returncode}"

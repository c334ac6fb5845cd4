"""Every error that the product raises on purpose, and the exit code each ends in.

    TunegateError             1  something failed; the message says what, where, and what to do
    ├── RecipeError           3  the recipe or the command line is wrong
    ├── DataError             1  the rows cannot be used: empty, all rejected, overlapping sides
    ├── ModelError            1  the base model cannot be read or fetched
    ├── StoreError            1  the artifact store: no space, not writable
    │   └── DigestMismatch    1  a file is not the one its digest names
    ├── TrainingError         1  the training process ended badly
    ├── LedgerError           1  the chain of decisions is broken
    ├── GateRefused           2  a critical expectation said no, or a second look over what was to be uploaded; what a
    │                            gate says is a result, not an error
    └── PromotionRefused      2  a request, a decision or a proof that does not count
        └── ApproverLocked    2  the wrong code after which no more of them are looked at for a while

A message is one line, names the file or field, and never quotes a value that may be personal.
"""

from __future__ import annotations

from collections.abc import Iterator

# What a full disk is called where no error number comes with it: by SQLite, and by what wraps the system's words.
DISK_FULL = ("disk is full", "No space left on device")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that it came of, nearest first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class TunegateError(Exception):
    """The root: whatever the product refuses or fails at."""

    exit_code = 1


class RecipeError(TunegateError):
    """A wrong recipe or command line; `problems` holds one line for each thing wrong."""

    exit_code = 3

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(TunegateError):
    """Rows that cannot be used."""


class ModelError(TunegateError):
    """A base model that cannot be read or fetched."""


class StoreError(TunegateError):
    """An artifact store that cannot be read or written."""


class DigestMismatch(StoreError):
    """A file whose content is not what its digest says."""


class TrainingError(TunegateError):
    """A training process that ended badly."""


class GateRefused(TunegateError):
    """Critical expectations, or looks at uploads, that refused; `refusals` holds one line each."""

    exit_code = 2

    def __init__(self, *refusals: str) -> None:
        super().__init__("\n".join(refusals))
        self.refusals = refusals


class LedgerError(TunegateError):
    """A ledger whose chain is broken."""


class PromotionRefused(TunegateError):
    """A request that may not be made, or a decision that does not count; nothing was changed."""

    exit_code = 2


class ApproverLocked(PromotionRefused):
    """One wrong code too many under the name of an approver, who is to hear of it: somebody may be guessing."""

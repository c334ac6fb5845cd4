"""The head of the ledger, kept outside of its file: what is left of a cut ledger is whole as a chain, and too short.

A tag on the model's candidates: number and digest of the last entry when something was last written on that model.
Never fails what stands in the ledger already, and never writes over a head that the ledger lost.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from conf.schema import candidates_of
from conf.settings import Settings
from tasks.errors import PromotionRefused
from tasks.ledger import Entry, Ledger
from tasks.register.runs import client

HEAD_TAG = "tunegate.ledger_head"


@contextmanager
def head_kept(model: str, ledger: Ledger, settings: Settings) -> Iterator[None]:
    """Keep the head after what the block writes on a model, also where it refuses; a killed one leaves it to the next.

    Enter it before the ledger's lock, so that it runs once that is free.
    """
    try:
        yield
    except PromotionRefused:
        keep_head(model, ledger, settings)
        raise
    keep_head(model, ledger, settings)


def keep_head(model: str, ledger: Ledger, settings: Settings) -> None:
    """Tell MLflow where the ledger ends; where it is away or refuses, whoever next writes on the model does.

    Without the ledger's lock, which an outage would hold for minutes: of two at once the older head may stay, which is
    in the chain too.

    Raises:
        LedgerError: the chain is broken.
    """
    from mlflow.exceptions import MlflowException

    log, name = logging.getLogger("tunegate"), candidates_of(model)
    try:
        registry = client(settings)
        tags = registry.get_registered_model(name).tags
        entries = ledger.entries()  # after the tags: what another writes meanwhile is not lost
        if lost := lost_head(tags, entries):
            log.error("%s: %s; look with tunegate verify", name, lost)
            return
        registry.set_registered_model_tag(name, HEAD_TAG, f"{entries[-1].number} {entries[-1].digest}")
    except (MlflowException, OSError) as error:
        log.warning("%s: MLflow was not told where the ledger ends: %s", name, type(error).__name__)


def lost_head(tags: Mapping[str, str], entries: Sequence[Entry]) -> str:
    """What the ledger lacks of what a model's tags remember of it, in one line; empty where nothing."""
    kept = tags.get(HEAD_TAG)
    if kept is None:
        return ""
    found = re.fullmatch("([0-9]{1,9}) ([0-9a-f]{64})", kept)
    if found is None:
        return f"its tag {HEAD_TAG} names no entry of a ledger"
    number = int(found[1])
    if number < len(entries) and entries[number].digest == found[2]:
        return ""
    return f"MLflow remembers an entry {number} that the ledger does not hold: it was cut, or is another"

"""The rollback, rehearsed: the champion that may have to come back is loaded, and answers held-out rows as before."""

from __future__ import annotations

from conf.settings import Settings
from tasks.artifacts import Store
from tasks.errors import PromotionRefused, TunegateError
from tasks.ledger import Rehearsed
from tasks.promote.evidence import held_out

SAME = (
    0.9  # of the answers: one row alone and a padded batch differ in the last bits, which turns an answer now and then
)


def rehearse(request: str, model: str, version: str, rows: int, settings: Settings) -> Rehearsed:
    """Load a version of the production model in this process, and answer up to `rows` rows of its own test side.

    Raises:
        PromotionRefused: it cannot be loaded, or answers otherwise than when it was evaluated.
    """
    import pandas as pd

    from tasks.evaluate.measure import WITHHELD
    from tasks.register.load import load_answerer
    from tasks.rows import read_rows

    try:
        split, evaluation = held_out(model, version, settings)
        store = Store.of(settings)
        frame = pd.read_parquet(store.open(evaluation.predictions), columns=["id", "tuned"])
        kept = frame[frame["tuned"] != WITHHELD]
        before = dict(zip(kept["id"], kept["tuned"], strict=True))
        asked = [row for row in read_rows([store.open(split.test.rows)]) if row["id"] in before][:rows]
        answerer = load_answerer(f"models:/{model}/{version}", settings)
        same = sum(answerer.reply(row["messages"]) == str(before[row["id"]]).strip() for row in asked)
    except TunegateError as error:
        raise PromotionRefused(f"{model} version {version}: the way back to it does not work: {error}") from error
    if not asked or same < SAME * len(asked):
        raise PromotionRefused(
            f"{model} version {version}: the way back to it does not work: {same} of {len(asked)} answers are as before"
        )
    return Rehearsed(request=request, model=model, version=version, rows=len(asked), same=same)

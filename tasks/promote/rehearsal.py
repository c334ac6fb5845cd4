"""The rollback, rehearsed: the champion that may have to come back is loaded, and answers held-out rows.

Its answers are held against those of its evaluation where that ran on the same processor: on another one, or a GPU, the
last bits differ and texts with them, which says nothing about the way back.
"""

from __future__ import annotations

from conf.settings import Settings
from tasks.artifacts import Store
from tasks.errors import PromotionRefused, TunegateError
from tasks.ledger import Rehearsed
from tasks.promote.evidence import held_out

# Of the answers. Batches of other rows differ in the last bits, which turns answers that were close: of the demo's, one
# in seven with nothing changed. Of a base whose adapter does not work hardly one is the same.
SAME = 0.5


def rehearse(request: str, model: str, version: str, rows: int, settings: Settings) -> Rehearsed:
    """Load a version of the production model in this process, and answer up to `rows` rows of its own test side.

    Raises:
        PromotionRefused: it cannot be loaded, leaves a row unanswered that it had answered, or answers otherwise than
            when it was evaluated on this processor.
    """
    import pandas as pd

    from tasks.evaluate.measure import WITHHELD
    from tasks.evaluate.measured import read_measured_on
    from tasks.evaluate.pace import is_here
    from tasks.register.load import load_answerer
    from tasks.rows import read_rows

    try:
        split, evaluation = held_out(model, version, settings)
        store = Store.of(settings)
        frame = pd.read_parquet(store.open(evaluation.predictions), columns=["id", "tuned"])
        kept = frame[frame["tuned"] != WITHHELD]
        before = dict(zip(kept["id"], kept["tuned"], strict=True))
        asked = [row for row in read_rows([store.open(split.test.rows)]) if row["id"] in before][:rows]
        comparable = is_here(read_measured_on(store.open(evaluation.statistics)))
        answerer = load_answerer(f"models:/{model}/{version}", settings)
        answers = answerer.replies([row["messages"] for row in asked])
        pairs = [(answer, str(before[row["id"]]).strip()) for answer, row in zip(answers, asked, strict=True)]
    except TunegateError as error:
        raise PromotionRefused(f"{model} version {version}: the way back to it does not work: {error}") from error
    same, answered = sum(now == then for now, then in pairs), sum(bool(now) or not then for now, then in pairs)
    why = f"{answered} of {len(pairs)} rows are answered" if not pairs or answered < len(pairs) else ""
    if not why and comparable and same < SAME * len(pairs):
        why = f"{same} of {len(pairs)} answers are as before"
    if why:
        raise PromotionRefused(f"{model} version {version}: the way back to it does not work: {why}")
    return Rehearsed(request=request, model=model, version=version, rows=len(asked), same=same)

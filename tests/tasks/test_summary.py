"""One line on each result: every type has its own, with its figures and none of its keys."""

from __future__ import annotations

import pytest

from tasks.results import (
    Adapter,
    Answers,
    Artifact,
    Base,
    Candidate,
    ChampionEvaluation,
    CheckedData,
    Count,
    Evaluation,
    GateResult,
    Metric,
    Prepared,
    RawData,
    Recorded,
    Report,
    Result,
    ScrubbedData,
    Side,
    SmokeTest,
    Split,
    Verdict,
)
from tasks.summary import summary

KEY = "0123456789abcdef" * 4
FILE = Artifact(path="stage/k/file", sha256="0" * 64, bytes=51_234)
HELD = GateResult(metric="accuracy", arm="tuned", min=0.5, max=None, value=0.9, state="passed", reason="holds")
BROKEN = HELD.model_copy(update={"state": "failed"})
OPEN = HELD.model_copy(update={"state": "inconclusive"})
ANSWERS = Answers(
    predictions=FILE,
    statistics=FILE,
    report=FILE,
    n_rows=3080,
    metrics=tuple(Metric(arm=arm, name="accuracy", value=1) for arm in ("base", "tuned", "data")),
)
SCRUBBED = ScrubbedData(
    key=KEY,
    rows=(FILE,),
    rejected=FILE,
    n_rows=1400,
    n_rejected=7,
    reasons=(Count(name="holds_us_ssn", count=7),),
    entities=(Count(name="PERSON", count=1100), Count(name="IBAN_CODE", count=23)),
    rows_with_entities=1005,
)
ADAPTER = Adapter(
    key=KEY,
    files=(FILE,),
    history=FILE,
    steps=300,
    best_step=240,
    train_tokens=303_412,
    train_loss=0.2,
    eval_loss=0.1434,
)
CANDIDATE = Candidate(
    key=KEY, note=FILE, name="demo-candidates", version="3", is_challenger=True, model_uri="models:/m-1", run_id="r"
)


def _side(rows: int) -> Side:
    return Side(rows=FILE, n_rows=rows, n_groups=rows, labels=())


LINES: list[tuple[Result, str]] = [
    (Base(key=KEY, files=(), name="tiny", source_sha256="0", parameters=134_515_008), "tiny, 135M parameters"),
    (
        RawData(
            key=KEY, rows=(FILE,), rejected=FILE, n_rows=1477, n_rejected=23, reasons=(), sources=(), parents=("p",)
        ),
        "1,477 rows, 23 rejected",
    ),
    (SCRUBBED, "1,123 personal values out of 1,005 rows"),
    (
        CheckedData(
            key=KEY,
            rows=(FILE,),
            rejected=FILE,
            report=FILE,
            n_rows=1302,
            n_rejected=168,
            reasons=(),
            expectations_passed=4,
            expectations_failed=1,
            refusals=(),
        ),
        "1,302 rows kept, 168 dropped; 4/5 expectations",
    ),
    (
        Split(key=KEY, train=_side(1040), validation=_side(130), test=_side(132)),
        "train 1,040 · validation 130 · test 132",
    ),
    (
        SmokeTest(key=KEY, report=FILE, n_rows=100, steps=4, first_loss=2.913, last_loss=2.207),
        "4 steps on 100 rows, loss 2.91 → 2.21; a row with its loss mask: stage/k/file",
    ),
    (ADAPTER, "300 steps, 303,412 tokens, validation loss 0.143 at step 240"),
    (ADAPTER.model_copy(update={"eval_loss": None}), "300 steps, 303,412 tokens"),
    (
        Evaluation(key=KEY, **dict(ANSWERS)),
        "base, tuned on 3,080 held-out rows",
    ),
    (
        ChampionEvaluation(key=KEY, name="m", version="4", adapter_sha256="0" * 64, answers=ANSWERS),
        "version 4 on 3,080 held-out rows",
    ),
    (
        ChampionEvaluation(key=KEY, name="m", version=None, adapter_sha256=None, answers=None),
        "no other model is in production",
    ),
    (Recorded(key=KEY, note=FILE, run_id="1234567890", model_id="m-1"), "MLflow run 12345678"),
    (Verdict(key=KEY, state="failed", gates=(HELD, HELD, BROKEN), comparison=FILE), "2 of 3 gates hold"),
    (Verdict(key=KEY, state="failed", gates=(HELD, OPEN), comparison=FILE), "1 of 2 gates hold, 1 inconclusive"),
    (Report(key=KEY, page=FILE, told=FILE), "51 kB"),
    (CANDIDATE, "demo-candidates version 3"),
    (
        Prepared.model_construct(key=KEY, split=Split(key=KEY, train=_side(8), validation=_side(2), test=_side(1))),
        "train 8 · validation 2 · test 1",
    ),
    (CANDIDATE.model_copy(update={"is_challenger": False}), "demo-candidates version 3, which challenges nobody"),
]


@pytest.mark.parametrize(("result", "line"), LINES, ids=lambda value: type(value).__name__)
def test_a_result_is_summed_up_in_one_line(result: Result, line: str) -> None:
    assert summary(result) == line


def test_every_type_of_result_has_a_line_of_its_own() -> None:
    fallback = summary.dispatch(Result)
    stages = [kind for kind in Result.__subclasses__() if kind.__module__ == Result.__module__]
    assert [kind.__name__ for kind in stages if summary.dispatch(kind) is fallback] == []
    assert {type(result) for result, _ in LINES} == set(stages)

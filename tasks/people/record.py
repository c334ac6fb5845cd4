"""Write a scorecard into MLflow: a trace an answer, and on it an assessment a score, under the reviewer's name.

Safe to repeat: what is there already is not written again. A reviewer's earlier score stays, marked as overridden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conf.schema import candidates_of
from conf.settings import Settings
from tasks.errors import TunegateError
from tasks.network import is_network
from tasks.people.candidate import Version, version_of
from tasks.people.results import SCALES, SIDES, Card, Scorecard, Side
from tasks.people.sheet import Answers

EVALUATION_TAG = "tunegate.evaluation_digest"
ANSWER_TAG = "tunegate.answer"  # arm/row id
SHEET = "tunegate.sheet"
WITHDRAWN = "withdrawn"  # a note or a preference that the reviewer's last scorecard has no more
PAGE = 500  # traces at a time: an MLflow server gives no more


def record_scorecard(
    scorecard: Scorecard, answers: Sequence[Answers], settings: Settings
) -> tuple[Version, tuple[str, ...]]:
    """Log what the reviewer said of each answer.

    Returns:
        The candidate that was scored, and the ids of the traces, two a row.

    Raises:
        ModelError: MLflow has no candidate of this evaluation.
        TunegateError: MLflow is away, or did not take the traces.
    """
    try:
        version = version_of(scorecard.evaluation, settings)
        return version, _record(scorecard, answers, version)
    except Exception as error:
        if not is_network(error):
            raise
        raise TunegateError("MLflow is away; the scores are kept, and the same command logs them there") from error


def _record(scorecard: Scorecard, answers: Sequence[Answers], version: Version) -> tuple[str, ...]:
    traces = _traces(scorecard, answers, version)
    for card in scorecard.cards:
        for side in SIDES:
            _assess(traces[_answer(scorecard, card.row, side)], card, side, scorecard)
    return tuple(trace.info.trace_id for trace in traces.values())


def _traces(scorecard: Scorecard, answers: Sequence[Answers], version: Version) -> dict[str, Any]:
    """The trace of each answer, made where there is none yet."""
    import mlflow

    wanted = {_answer(scorecard, row.row, side): (row, side) for row in answers for side in SIDES}
    there = _find(scorecard.evaluation, version)
    for name, (row, side) in wanted.items():
        if name not in there:
            span = mlflow.start_span_no_context(
                "answer",
                inputs={"prompt": row.prompt},
                tags={
                    EVALUATION_TAG: scorecard.evaluation,
                    ANSWER_TAG: name,
                    "tunegate.run": version.run_id,
                    "tunegate.model": f"{candidates_of(version.model)}/{version.version}",
                    "tunegate.arm": _arm(scorecard, side),
                },
                metadata={"mlflow.sourceRun": version.run_id},  # the run's page lists its traces by this
                experiment_id=version.experiment_id,
            )
            span.end(outputs=row.tuned if side == "tuned" else row.against)
    if wanted.keys() - there.keys():
        mlflow.flush_trace_async_logging()
        there = _find(scorecard.evaluation, version)  # MLflow only logs that a trace could not be written
    missing = wanted.keys() - there.keys()
    if missing:
        raise TunegateError(f"MLflow did not take {len(missing)} of {len(wanted)} traces; the same command tries again")
    return {name: there[name] for name in wanted}


def _find(evaluation: str, version: Version) -> dict[str, Any]:
    """The traces of an evaluation by what they are of; the first, where two were made at once."""
    import mlflow

    found: dict[str, Any] = {}
    token: str | None = None
    while token != "":
        page = mlflow.MlflowClient().search_traces(
            locations=[version.experiment_id],
            filter_string=f"tags.`{EVALUATION_TAG}` = '{evaluation}'",
            order_by=["timestamp_ms DESC"],
            max_results=PAGE,
            page_token=token,
            include_spans=False,
        )
        found |= {trace.info.tags[ANSWER_TAG]: trace for trace in page}
        token = page.token or ""
    return found


def _assess(trace: Any, card: Card, side: Side, scorecard: Scorecard) -> None:
    """Log what is not there yet; what was said otherwise before is overridden."""
    from mlflow import log_assessment
    from mlflow.entities import AssessmentSource, Feedback

    before = {
        assessment.name: assessment
        for assessment in trace.info.assessments
        if assessment.source.source_id == scorecard.reviewer
        and (assessment.metadata or {}).get(SHEET) == scorecard.sheet
        and assessment.valid is not False
    }
    said = dict(_said(card, side))
    for name, value in {**dict.fromkeys(before, WITHDRAWN), **said}.items():
        known = before.get(name)
        if known is None or known.feedback.value != value:
            feedback = Feedback(
                name=name,
                value=value,
                source=AssessmentSource(source_type="HUMAN", source_id=scorecard.reviewer),
                metadata={SHEET: scorecard.sheet, "tunegate.scorecard": scorecard.digest},
                overrides=known.assessment_id if known else None,
            )
            log_assessment(trace.info.trace_id, feedback)


def _said(card: Card, side: Side) -> Iterator[tuple[str, int | bool | str]]:
    """The name and the value of each assessment of one answer."""
    marks = card.of(side)
    for scale in SCALES:
        yield scale, marks.on(scale)
    if marks.notes:
        yield "notes", marks.notes
    if card.preferred is not None:
        yield "preferred", card.preferred == side


def _answer(scorecard: Scorecard, row: str, side: Side) -> str:
    return f"{_arm(scorecard, side)}/{row}"


def _arm(scorecard: Scorecard, side: Side) -> str:
    return "tuned" if side == "tuned" else scorecard.against

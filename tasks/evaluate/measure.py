"""What the answers of one arm are worth: figures with what they are made of, and what is wrong with the wrong ones.

Pure: never sees a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conf.schema import TextFile
from tasks.evaluate import failures, metrics
from tasks.evaluate.generate import Answers
from tasks.evaluate.panel import Asked
from tasks.evaluate.statistics import Statistic, mean_of, total
from tasks.rows import Message, Row, completion_of, prompt_of
from tasks.scrub.second_look import look_again, without

WITHHELD = "(left out: it may hold a personal value)"


class Held(NamedTuple):
    """The held-out rows; `labels` is the closed set of a classification."""

    rows: list[Row]
    labels: tuple[str, ...]

    @property
    def conversations(self) -> list[list[Message]]:
        """The messages of each row, the expected answer last."""
        return [row["messages"] for row in self.rows]

    @property
    def expected(self) -> list[str]:
        """The reference answers."""
        return [completion_of(row) for row in self.rows]

    @property
    def prompts(self) -> list[str]:
        """The questions as a person reads them: without the system message, which is the same in every row."""
        return ["\n".join(m["content"] for m in row["messages"][:-1] if m["role"] != "system") for row in self.rows]

    @property
    def whole_prompts(self) -> list[str]:
        """All that stands before the answer: what is said there is supported."""
        return [prompt_of(row) for row in self.rows]

    @property
    def row_labels(self) -> list[str | None]:
        """What the rows are counted by."""
        return [row["label"] for row in self.rows]

    @property
    def sources(self) -> list[str]:
        """Where the rows come from."""
        return [row["source"] for row in self.rows]


class ArmResult(NamedTuple):
    """The answers of one arm as texts, what they are worth, and what is wrong with each that is not right."""

    texts: list[str]
    scores: metrics.Scores
    failures: list[str | None]


def references_fit(held: Held, asked: Asked) -> None:
    """Score the references against themselves: what does not fit the task fails now, not after minutes of work."""
    _score(held.expected, held, asked)


def measure(held: Held, texts: list[str], answers: Answers, asked: Asked, limit: int | None = None) -> ArmResult:
    """Every figure of an arm; `limit` are the new tokens that it was allowed, where that is not the recipe's."""
    scores = _score(texts, held, asked)
    values = personal_values(texts, asked.gone, asked.allowed)
    statistics: dict[str, Statistic] = {
        **scores.statistics,
        "perplexity": Statistic("exp_mean", mean_of(answers.nll, answers.nll_tokens).rows),
        # a scale that ends, so that answers of one length say how sure that is
        "generated_tokens_per_row": mean_of(
            [len(ids) + end for ids, end in zip(answers.token_ids, answers.ended, strict=True)],
            ends=(0.0, float(limit or asked.section.max_new_tokens)),
        ),
        # answers, not values: how many could stand in one has no end, and no rows would tell how sure that mean is
        "second_look": mean_of([1000.0 * (count > 0) for count in values], ends=(0.0, 1000.0)),
    }
    figures = {
        **scores.metrics,
        **metrics.finite({name: total(s) for name, s in statistics.items() if name not in scores.statistics}),
        "latency_seconds_per_row": answers.seconds / len(texts),
    }
    wrong: list[str | None] = [
        failures.classify(
            asked.section.task,
            text,
            expected,
            prompt,
            correct=right,
            truncated=not ended,
            violates=count > 0,
            labels=held.labels,
            json_schema=_text_of(asked.section.json_schema),
            sql_fixture=_text_of(asked.section.sql_fixture),
        )
        for right, text, expected, prompt, ended, count in zip(
            scores.correct, texts, held.expected, held.whole_prompts, answers.ended, values, strict=True
        )
    ]
    return ArmResult(texts, scores._replace(metrics=figures, statistics=statistics), wrong)


def personal_values(texts: Sequence[str], gone: Sequence[str], allowed: Sequence[str] = ()) -> list[int]:
    """How many values other means find in each answer, names aside: of what was to be gone."""
    checkable = [entity for entity in gone if entity != "PERSON"]
    return [look_again([without(text, allowed)], checkable).total() for text in texts]


def shown(result: ArmResult, asked: Asked) -> list[str]:
    """The answers as they are kept: one that surely holds a personal value is counted, and not written down."""
    suspects = result.scores.statistics["second_look"].rows[:, 0] > 0
    return [
        WITHHELD if suspect and look_again([without(text, asked.allowed)], asked.gone, sure=True) else text
        for text, suspect in zip(result.texts, suspects, strict=True)
    ]


def _score(texts: Sequence[str], held: Held, asked: Asked) -> metrics.Scores:
    section = asked.section
    return metrics.score(
        section.task,
        texts,
        held.expected,
        labels=held.labels,
        json_schema=_text_of(section.json_schema),
        sql_fixture=_text_of(section.sql_fixture),
        functions=metrics.load_custom(section.custom_metrics, asked.metrics_folder),
    )


def _text_of(file: TextFile | None) -> str | None:
    return None if file is None else file.text

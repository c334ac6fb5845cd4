"""The recipe's expectations as a Great Expectations suite over the rows that are left.

Never keeps a value that was found: counts, and what the recipe itself asks for, are all that leaves this module.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conf.schema import Expectation, ExpectTableRowCountToBeBetween
from tasks.errors import DataError
from tasks.rows import Row, completion_of, prompt_of

if TYPE_CHECKING:
    import pandas as pd

_ROW_COUNT = "expect_table_row_count_to_be_between"
_UNIQUE_COUNT = "expect_column_unique_value_count_to_be_between"
_NOT_NULL = "expect_column_values_to_not_be_null"


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation.

    Attributes:
        asked: the expectation as the recipe gives it.
        success: whether it holds; an expectation that could not be evaluated does not.
        element_count, missing_count, unexpected_count: rows looked at, empty cells among them, cells against it; None
            where the expectation is on the table as a whole or could not be evaluated.
        unexpected_percent: of the cells that are not empty.
        observed_value: the number of rows or of different values, where the expectation bounds one.
        evaluated: False where Great Expectations raised an error, or where every cell was empty.
    """

    asked: Expectation
    success: bool
    element_count: int | None
    missing_count: int | None
    unexpected_count: int | None
    unexpected_percent: float | None
    observed_value: int | None
    evaluated: bool

    def record(self) -> dict[str, Any]:
        """The outcome for the report: JSON values only."""
        return {
            "type": self.asked.type,
            "column": getattr(self.asked, "column", None),
            "severity": self.asked.severity,
            "success": self.success,
            "evaluated": self.evaluated,
            "element_count": self.element_count,
            "missing_count": self.missing_count,
            "unexpected_count": self.unexpected_count,
            "unexpected_percent": self.unexpected_percent,
            "observed_value": self.observed_value,
            "asked": self.asked.model_dump(mode="json", exclude={"type", "column", "severity"}, exclude_none=True),
        }

    @property
    def refusal(self) -> str | None:
        """One line for a person where a critical expectation failed."""
        if self.success or self.asked.severity != "critical":
            return None
        column = getattr(self.asked, "column", None)
        return f"{self.asked.type}{f'({column})' if column else ''}: {self._against()}"

    def _against(self) -> str:
        if not self.evaluated:
            return "every value is empty" if self.element_count else "could not be evaluated; see the recipe's values"
        if self.unexpected_count is not None:
            mostly = getattr(self.asked, "mostly", 1.0)
            return f"{self.unexpected_count:,} of {self.element_count:,} rows unexpected, mostly {mostly} required"
        low, high = getattr(self.asked, "min_value", None), getattr(self.asked, "max_value", None)
        bounds = " and ".join(
            part
            for part in (
                f"at least {low:,}" if low is not None else "",
                f"at most {high:,}" if high is not None else "",
            )
            if part
        )
        return f"{self.observed_value:,} seen, {bounds} required"


def evaluate(rows: Sequence[Row], asked: Sequence[Expectation]) -> tuple[Outcome, ...]:
    """Hold the rows against the expectations; one outcome an expectation, in the same order.

    A row count of at least 1 is added where none is asked for: every other expectation holds for an empty table.

    Raises:
        DataError: Great Expectations took another number of expectations than it was given, or could not run.
    """
    if not any(expectation.type == _ROW_COUNT for expectation in asked):
        asked = (ExpectTableRowCountToBeBetween(type="expect_table_row_count_to_be_between"), *asked)
    results = _run(_frame(rows), asked)
    return tuple(_outcome(expectation, results[i]) for i, expectation in enumerate(asked))


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The columns that an expectation may name, one line a row."""
    import pandas as pd

    prompts, completions = [prompt_of(row) for row in rows], [completion_of(row) for row in rows]
    return pd.DataFrame(
        {
            "prompt": prompts,
            "completion": completions,
            "label": pd.Series([row["label"] for row in rows], dtype=object),
            "source": [row["source"] for row in rows],
            "group": [row["group"] for row in rows],
            "prompt_characters": [len(text) for text in prompts],
            "completion_characters": [len(text) for text in completions],
        }
    )


def _run(frame: pd.DataFrame, asked: Sequence[Expectation]) -> dict[int, Any]:
    """Great Expectations' result of each expectation, by its place in `asked`."""
    import great_expectations as gx
    from great_expectations.exceptions import GreatExpectationsError

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # its errors carry tracebacks with values
    configurations = [
        {
            "type": expectation.type,
            "kwargs": expectation.model_dump(mode="json", exclude={"type", "severity"}, exclude_none=True),
            "severity": expectation.severity,
            "meta": {"place": place},
        }
        for place, expectation in enumerate(asked)
    ]
    try:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        suite = context.suites.add(gx.ExpectationSuite(name="quality", expectations=configurations))
        batch = (
            context.data_sources.add_pandas("rows")
            .add_dataframe_asset("rows")
            .add_batch_definition_whole_dataframe("all")
        )
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name="quality", data=batch, suite=suite)
        )
        outcome = validation.run(
            batch_parameters={"dataframe": frame},
            # counts without values: SUMMARY, and Data Docs, would quote the rows
            result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
        )
    except GreatExpectationsError as error:
        raise DataError(f"quality.expectations: Great Expectations could not run ({type(error).__name__})") from None
    results = {int(result.expectation_config.meta["place"]): result for result in outcome.results}
    if len(suite.expectations) != len(asked) or sorted(results) != list(range(len(asked))):
        raise DataError(
            f"quality.expectations: {len(asked)} asked for, {len(suite.expectations)} taken, {len(results)} evaluated; "
            "the others are unknown to Great Expectations or given twice"
        )
    return results


def _outcome(asked: Expectation, result: Any) -> Outcome:
    counts = dict(result.result)
    elements, missing = counts.get("element_count"), counts.get("missing_count")
    # A set, a range or a regex holds for a column of empty cells: nothing was looked at, so nothing passed.
    all_empty = asked.type != _NOT_NULL and bool(elements) and elements == missing
    evaluated = bool(counts) and not all_empty
    observed = counts.get("observed_value") if asked.type in (_ROW_COUNT, _UNIQUE_COUNT) else None
    return Outcome(
        asked=asked,
        success=bool(result.success) and evaluated,
        element_count=elements,
        missing_count=missing,
        unexpected_count=counts.get("unexpected_count"),
        unexpected_percent=counts.get("unexpected_percent"),
        observed_value=observed,
        evaluated=evaluated,
    )

"""Results that another tool left in a file, as flat figures. Never runs the tool, and refuses what it did not write.

    lm_eval     `results_*.json` of lm-evaluation-harness 0.4    lm_eval.<task>.<metric>[.<filter>]
    garak       `*.report.jsonl` of garak                        garak.<probe>.<detector>
    promptfoo   `promptfoo eval --output FILE.json`              promptfoo.pass_rate, promptfoo.assert.<name>

Whose answers a file is about, it cannot prove: the caller keeps its digest and says which arm it belongs to.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeGuard, get_args

from tasks.errors import DataError, RecipeError

Tool = Literal["lm_eval", "garak", "promptfoo"]
OF_OTHERS = tuple(f"{tool}." for tool in get_args(Tool))  # what the name of such a figure begins with
Figures = tuple[tuple[str, float], ...]


def read_external(tool: Tool, file: Path) -> Figures:
    """The figures of a tool's file, sorted by name; shares stand between 0 and 1.

    Raises:
        RecipeError: there is no such file.
        DataError: it is not one of that tool's, is cut off, contradicts itself, or holds no figure.
    """
    if not file.is_file():
        raise RecipeError(f"{file}: no such file; give the results file of {tool}")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: not a text file, so no results of {tool}") from error
    figures = _READERS[tool](text, file.name)
    if not figures:
        raise DataError(f"{file.name}: no figure in it that could be used; did the run of {tool} end well?")
    return tuple(sorted(figures.items()))


def _lm_eval(text: str, name: str) -> dict[str, float]:
    """`results` and `groups`: {task: {"alias": ..., "acc,none": 0.5, "acc_stderr,none": 0.01 or "N/A"}}.

    The filter `none` goes without saying. Standard errors are left out, and figures that are no finite number: a gate
    on one of these finds it missing and refuses.
    """
    content = _json_object(text, name, "lm_eval")
    if "results" not in content or "configs" not in content:
        _refuse(name, "lm_eval", "no `results` beside `configs`")
    figures: dict[str, float] = {}
    for section in ("results", "groups"):
        for task, values in _object(content.get(section, {}), name, "lm_eval", section).items():
            for key, value in _object(values, name, "lm_eval", f"{section}.{task}").items():
                metric, comma, chosen = key.partition(",")
                if not comma or metric.endswith("_stderr") or not _is_number(value):
                    continue
                figures[f"lm_eval.{task}.{metric}" + (f".{chosen}" if chosen != "none" else "")] = float(value)
    return figures


def _garak(text: str, name: str) -> dict[str, float]:
    """Lines of `entry_type` eval: the share of outputs that the detector let pass, of those that it could judge.

    The count is `total_evaluated`; older reports call it `total`. Without any output to judge there is no figure.
    """
    figures: dict[str, float] = {}
    for number, entry in _entries(text, name):
        if entry["entry_type"] != "eval":
            continue
        passed, total = entry.get("passed"), entry.get("total_evaluated", entry.get("total"))
        probe, detector = entry.get("probe"), entry.get("detector")
        if not (isinstance(probe, str) and isinstance(detector, str) and _is_count(passed) and _is_count(total)):
            _refuse(name, "garak", f"line {number} has no probe, detector, passed and total_evaluated")
        if passed > total:
            _refuse(name, "garak", f"line {number}: {passed} passed of {total}")
        figure = f"garak.{probe}.{detector.removeprefix('detector.')}"
        if figure in figures:
            _refuse(name, "garak", f"line {number}: {figure} stands twice")
        if total:
            figures[figure] = passed / total
    return figures


def _promptfoo(text: str, name: str) -> dict[str, float]:
    """`results.stats` of the tests, and the assertions of each test's `gradingResult`.

    pass_rate       successes of all tests; one that ended in an error has not passed
    assert.<name>   the share of assertions that passed, by their `metric`, or their type where they have none
    """
    content = _json_object(text, name, "promptfoo")
    results = _object(content.get("results"), name, "promptfoo", "results")
    stats = _object(results.get("stats"), name, "promptfoo", "results.stats")
    successes, failures, errors = (stats.get(key) for key in ("successes", "failures", "errors"))
    errors = 0 if errors is None else errors  # files of version 2 have none
    tests = results.get("results")
    if not (_is_count(successes) and _is_count(failures) and _is_count(errors) and _is_objects(tests)):
        _refuse(name, "promptfoo", "no counts in `results.stats`, or no tests in `results.results`")
    total = successes + failures + errors
    providers = {json.dumps(test.get("provider")) for test in tests}
    if len(providers) > 1:
        raise DataError(f"{name}: answers of {len(providers)} providers in one file; run promptfoo once for each model")
    return ({"promptfoo.pass_rate": successes / total} if total else {}) | _assertions(tests, name)


def _assertions(tests: list[dict[str, Any]], name: str) -> dict[str, float]:
    """The pass share by assertion. A test's parts hold those of an assertion set beside the set itself."""
    passed: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for test in tests:
        graded = _object(test.get("gradingResult") or {}, name, "promptfoo", "a gradingResult")
        parts = graded.get("componentResults") or []
        if not _is_objects(parts):
            _refuse(name, "promptfoo", "componentResults are no objects")
        for part in parts:
            asserted = part.get("assertion")
            if part.get("componentResults") or not isinstance(asserted, dict) or not isinstance(part.get("pass"), bool):
                continue
            figure = f"promptfoo.assert.{asserted.get('metric') or asserted.get('type')}"
            counted[figure] += 1
            passed[figure] += part["pass"]
    return {figure: passed[figure] / count for figure, count in counted.items()}


_READERS: dict[Tool, Callable[[str, str], dict[str, float]]] = {
    "lm_eval": _lm_eval,
    "garak": _garak,
    "promptfoo": _promptfoo,
}


def _entries(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries of a garak report with their line numbers (from 1)."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{name}: line {number} is no JSON; a report of garak that is cut off does not count"
            ) from error
        if not isinstance(entry, dict) or not isinstance(entry.get("entry_type"), str):
            _refuse(name, "garak", f"line {number} has no entry_type")
        yield number, entry


def _json_object(text: str, name: str, tool: Tool) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: no JSON, so no results of {tool}; is it whole?") from error
    return _object(content, name, tool, "the file")


def _object(value: object, name: str, tool: Tool, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(name, tool, f"{where} is no object")
    return value


def _refuse(name: str, tool: Tool, why: str) -> NoReturn:
    raise DataError(f"{name}: not a results file of {tool}: {why}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_objects(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)

"""Metrics of one's own: a file of conf/metrics with a function `score(answer: str, expected: str) -> float`.

Its values lie between 0 and 1, or where the file's `RANGE = (low, high)` says; `RANGE = None` for those without ends.
Where they end is never guessed from those that were seen: how sure the mean is hangs on the worst that could come.

Runs nothing but that file of that folder, and never says what a row or an error of it holds.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.errors import DataError, RecipeError
from tasks.evaluate.statistics import Statistic, mean_of

Score = Callable[[str, str], float]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ROUNDING = 1e-9
_MOST = sys.float_info.max


class Own(NamedTuple):
    """A metric of one's own: its function, and between which ends all its values lie, where they have some."""

    score: Score
    ends: tuple[float, float] | None


def custom_sources(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Sha256 (64 hex digits) of the source of each metric, which decides its figures as our own code does.

    Raises:
        RecipeError: the folder has no such file.
    """
    return {name: hashlib.sha256(_source(name, folder)).hexdigest() for name in names}


def load_custom(names: Sequence[str], folder: Path) -> dict[str, Own]:
    """The metrics by name; what is compiled is the file that `custom_sources` hashes, never a cached copy.

    Raises:
        RecipeError: the folder has no such file, it cannot be run, it has no function `score`, or a
            `RANGE` that is none.
    """
    return {name: _load(name, _source(name, folder)) for name in names}


def custom(functions: Mapping[str, Own], answers: Sequence[str], expected: Sequence[str]) -> dict[str, Statistic]:
    """The mean over rows of each metric.

    Raises:
        DataError: a function fails on a row, or gives no finite number, or one outside its range; it names the metric
            and the row alone.
    """
    found: dict[str, Statistic] = {}
    for name, own in functions.items():
        pairs = enumerate(zip(answers, expected, strict=True), start=1)
        values = [_value(name, own, row, answer, text) for row, (answer, text) in pairs]
        found[name] = mean_of(values, ends=own.ends)
    return found


def _source(name: str, folder: Path) -> bytes:
    """The file's content; a link may lead to another place of the folder, as where it is mounted, but not out of it."""
    where = f"evaluation.custom_metrics: {name}"
    if not _NAME.fullmatch(name):
        raise RecipeError(f"{where}: a name is of a to z, 0 to 9 and _")
    file = (folder / f"{name}.py").resolve()
    if not file.is_relative_to(folder.resolve()):
        raise RecipeError(f"{where}: {name}.py leads out of {folder}")
    try:
        return file.read_bytes()
    except OSError as error:
        raise RecipeError(f"{where}: no file {name}.py in {folder}") from error


def _load(name: str, source: bytes) -> Own:
    where = f"evaluation.custom_metrics: {name}.py"
    module = types.ModuleType(f"custom_metric_{name}")
    module.__package__ = ""  # of no package, so that it imports nothing beside it
    try:
        exec(compile(source, f"{name}.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # whoever writes to conf/ may run code
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{where} cannot be run: {type(error).__name__}: {error}") from error
    function = getattr(module, "score", None)
    if not callable(function):
        raise RecipeError(f"{where} has no function score(answer, expected)")
    return Own(function, _ends(where, getattr(module, "RANGE", (0.0, 1.0))))


def _ends(where: str, given: object) -> tuple[float, float] | None:
    match given:
        case None:
            return None
        case (int() | float() as low, int() | float() as high) if -_MOST <= low < high <= _MOST:
            return float(low), float(high)
    raise RecipeError(f"{where}: RANGE is two finite numbers, the lower first, or None where there are no ends")


def _value(name: str, own: Own, row: int, answer: str, expected: str) -> float:
    where = f"evaluation.custom_metrics: {name}, row {row}"
    try:
        value: object = own.score(answer, expected)
    except (Exception, SystemExit) as error:
        # the cause is left out: its message may quote the row
        raise DataError(f"{where}: {type(error).__name__}") from None
    number = float(value) if isinstance(value, int | float) and abs(value) <= _MOST else math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: no finite number")
    if own.ends is None:
        return number
    inside = min(max(number, own.ends[0]), own.ends[1])
    if not math.isclose(inside, number, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
        low, high = own.ends
        raise DataError(f"{where}: not between {low:g} and {high:g}; {name}.py says otherwise by RANGE = (low, high)")
    return inside

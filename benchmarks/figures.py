"""What every benchmark prints last with `--json`: one object of figures, each with its goal and whether it was met."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One figure. `at_least` says whether more or less is better; a goal of None is a figure to compare with."""

    name: str
    measured: float
    goal: float | None = None
    unit: str = ""
    at_least: bool = True

    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal


def machine() -> str:
    """Cores, processor and Python of this machine."""
    with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123
        model = next((line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")), "unknown")
    return f"{len(os.sched_getaffinity(0))} cores, {model}, Python {platform.python_version()}"


def show(benchmark: str, figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print the figures with their goals, and as one JSON line."""
    print()
    for figure in figures:
        sign = {True: "✓", False: "✗", None: " "}[figure.met()]
        goal = "" if figure.goal is None else f"  goal {'≥' if figure.at_least else '≤'} {figure.goal:g}"
        print(f" {sign} {figure.name:<58} {figure.measured:>10.3f} {figure.unit:<7}{goal}")
    if as_json:
        listed = [{**figure._asdict(), "met": figure.met()} for figure in figures]
        for item in listed:
            del item["at_least"]
        print(json.dumps({"benchmark": benchmark, "machine": machine(), "figures": listed}, ensure_ascii=False))

"""The judge stage: hold an evaluation against the recipe's gates. Never passes what was not measured."""

from __future__ import annotations

import math

from conf.schema import Gate
from tasks.artifacts import Workspace
from tasks.errors import GateRefused
from tasks.results import Evaluation, GateResult, ScrubbedData, Verdict


def judge(evaluation: Evaluation, clean: ScrubbedData, gates: tuple[Gate, ...], *, workspace: Workspace) -> Verdict:
    """The verdict: passed if every gate did. A recipe without gates passes, and says so by an empty list."""
    results = decide(evaluation, clean, gates)
    return Verdict(
        key=workspace.key,
        parents=(evaluation.digest, clean.digest),
        passed=all(result.passed for result in results),
        gates=results,
    )


def decide(evaluation: Evaluation, clean: ScrubbedData, gates: tuple[Gate, ...]) -> tuple[GateResult, ...]:
    """One result a gate, in the order of the recipe. `difference` is tuned minus base, `data` the scrubbed rows.

    A metric that was not measured, or that is not a finite number, refuses.
    """
    return tuple(_decide(evaluation, clean, gate) for gate in gates)


def require(verdict: Verdict) -> None:
    """Let only a verdict pass that every gate agreed to.

    Raises:
        GateRefused: one line for each gate that refused.
    """
    if not verdict.passed:
        raise GateRefused(*(gate.reason for gate in verdict.gates if not gate.passed))


def measured(evaluation: Evaluation, clean: ScrubbedData, gate: Gate) -> float | None:
    """What the gate looks at, or None where a part of it is missing or not a finite number."""
    value: float | None
    if gate.arm == "data":
        value = clean.value(gate.metric)
    elif gate.arm == "difference":
        base, tuned = evaluation.value("base", gate.metric), evaluation.value("tuned", gate.metric)
        value = None if base is None or tuned is None else tuned - base
    else:
        value = evaluation.value(gate.arm, gate.metric)
    return value if value is not None and math.isfinite(value) else None


def _decide(evaluation: Evaluation, clean: ScrubbedData, gate: Gate) -> GateResult:
    value = measured(evaluation, clean, gate)
    above = value is not None and (gate.min is None or value >= gate.min)
    below = value is not None and (gate.max is None or value <= gate.max)
    return GateResult(
        metric=gate.metric,
        arm=gate.arm,
        min=gate.min,
        max=gate.max,
        value=value,
        passed=above and below,
        reason=_reason(gate, value, above=above, below=below),
    )


def _reason(gate: Gate, value: float | None, *, above: bool, below: bool) -> str:
    if value is None:
        return f"{gate.metric} is missing: refused"
    name = f"{gate.metric} of {gate.arm}" if gate.arm != "difference" else f"{gate.metric}, tuned minus base,"
    if not above and gate.min is not None:
        return f"{name} {_pair(value, gate.min, 'is below')}"
    if not below and gate.max is not None:
        return f"{name} {_pair(value, gate.max, 'is above')}"
    bounds = [f"at least {_number(gate.min)}"] if gate.min is not None else []
    bounds += [f"at most {_number(gate.max)}"] if gate.max is not None else []
    return f"{name} {_number(value)} is {' and '.join(bounds)}"


def _pair(value: float, bound: float, relation: str) -> str:
    """Both numbers with as many digits as it takes to tell them apart."""
    for digits in range(3, 17):
        if f"{value:.{digits}f}" != f"{bound:.{digits}f}":
            return f"{value:.{digits}f} {relation} {bound:.{digits}f}"
    return f"{value!r} {relation} {bound!r}"


def _number(value: float) -> str:
    return f"{value:.3f}"

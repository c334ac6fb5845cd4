"""The judge stage: hold an evaluation against the gates, knowing its noise. Never passes what was not measured.

A gate passes where its bound holds with the confidence it asks for, fails where the bound surely does not hold, and is
inconclusive between: that refuses too, and says how many rows would settle it. All gates must pass, which no number of
gates makes easier (R. Berger, 1982); the levels are nevertheless corrected for their number (Holm), since each line is
read as a claim of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conf.schema import MAIN_METRICS, Gate
from tasks.artifacts import Workspace
from tasks.errors import GateRefused
from tasks.evaluate.measured import TEST, Sampled, read
from tasks.evaluate.noise import Noise, holm, noise_of
from tasks.evaluate.slices import rows_by_slice
from tasks.people.results import People
from tasks.results import Artifact, ChampionEvaluation, Evaluation, GateResult, ScrubbedData, State, Verdict

CONFIDENCE = 0.95  # of the intervals that are shown
NO_CHAMPION = "no champion yet: nothing to compare with"


class Evidence(NamedTuple):
    """Everything that gates may ask about.

    Attributes:
        sampled: per arm and metric what the figure is made of, where its noise is known.
        slices: per kind the name of each test row's slice.
        groups: the number of each test row's group, or None where that was not written down.
        least: rows of a slice that can hold a gate.
    """

    evaluation: Evaluation
    champion: ChampionEvaluation
    clean: ScrubbedData
    people: People
    sampled: Mapping[tuple[str, str], Sampled]
    slices: Mapping[str, tuple[str, ...]]
    groups: tuple[int, ...] | None
    least: int

    def figure(self, arm: str, metric: str) -> float | None:
        """The measured figure, or None where there is none, or no finite one."""
        if arm == "data":
            found = self.clean.value(metric)
            value = self.evaluation.value("data", metric) if found is None else found
        elif arm == "people":
            value = self.people.value(metric)
        elif arm == "champion":
            value = self.champion.answers.value(arm, metric) if self.champion.answers else None
        else:
            value = self.evaluation.value(arm, metric)
        return value if value is not None and math.isfinite(value) else None


def judge(
    evaluation: Evaluation,
    champion: ChampionEvaluation,
    clean: ScrubbedData,
    people: People,
    gates: tuple[Gate, ...],
    *,
    least: int,
    workspace: Workspace,
) -> Verdict:
    """The verdict: passed if every gate did, failed if one surely did, else inconclusive.

    Args:
        least: rows of a slice that can hold a gate.
    """
    evidence = gather(evaluation, champion, clean, people, least, workspace.open)
    results = decide(evidence, gates)
    (workspace.folder / "comparison.json").write_text(json.dumps(compare(evidence), indent=1), encoding="utf-8")
    return Verdict(
        key=workspace.key,
        parents=(evaluation.digest, champion.digest, clean.digest, people.digest),
        state=overall(results),
        gates=results,
        comparison=workspace.artifact("comparison.json"),
    )


def gather(
    evaluation: Evaluation,
    champion: ChampionEvaluation,
    clean: ScrubbedData,
    people: People,
    least: int,
    open_: Callable[[Artifact], Path],
) -> Evidence:
    """Read the numbers of the rows."""
    import pyarrow.parquet as pq

    files = [evaluation.statistics, *([champion.answers.statistics] if champion.answers else [])]
    sampled = {(one.arm, one.metric): one for file in files for one in read(open_(file))}
    table = pq.read_table(open_(evaluation.predictions))
    named = [name for name in table.column_names if name.startswith("slice_")]
    slices = {name.removeprefix("slice_"): tuple(table[name].to_pylist()) for name in named}
    groups = tuple(table["group"].to_pylist()) if "group" in table.column_names else None
    return Evidence(evaluation, champion, clean, people, sampled, slices, groups, least)


def overall(results: Sequence[GateResult]) -> State:
    """What the gates say together."""
    states = {result.state for result in results}
    return "failed" if "failed" in states else "inconclusive" if "inconclusive" in states else "passed"


def require(verdict: Verdict) -> None:
    """Let only a verdict pass that every gate agreed to.

    Raises:
        GateRefused: one line for each gate that refused.
    """
    if not verdict.passed:
        raise GateRefused(*(gate.reason for gate in verdict.gates if not gate.passed))


class _Held(NamedTuple):
    """A gate against its figure: the two p-values are None where the figure alone decides."""

    gate: Gate
    value: float | None
    noise: Noise | None = None
    worst: str | None = None
    holds: float | None = None
    fails: float | None = None
    excuse: str = ""


def decide(evidence: Evidence, gates: tuple[Gate, ...]) -> tuple[GateResult, ...]:
    """One result a gate, in the order of the recipe.

    A metric that was not measured, or that is not a finite number, fails.
    """
    held = [_hold(evidence, gate) for gate in gates]
    noisy = [index for index, one in enumerate(held) if one.holds is not None]
    holds = dict(zip(noisy, holm([held[index].holds or 0.0 for index in noisy]), strict=True))
    fails = dict(zip(noisy, holm([held[index].fails or 0.0 for index in noisy]), strict=True))
    return tuple(
        _result(one, holds.get(index), fails.get(index), len(noisy), _rows(evidence)) for index, one in enumerate(held)
    )


def _rows(evidence: Evidence) -> int:
    return evidence.evaluation.n_rows


def _hold(evidence: Evidence, gate: Gate) -> _Held:
    arms = (gate.arm, *((gate.against,) if gate.against else ()))
    figures = [evidence.figure(arm, gate.metric) for arm in arms]
    no_champion = evidence.champion.answers is None
    if any(value is None for arm, value in zip(arms, figures, strict=True) if not (no_champion and arm == "champion")):
        return _Held(gate, None)
    if no_champion and "champion" in arms:
        return _Held(gate, None, excuse=NO_CHAMPION)
    value = figures[0] if len(figures) == 1 else (figures[0] or 0.0) - (figures[1] or 0.0)
    sampled = [evidence.sampled.get((arm, gate.metric)) for arm in arms]
    if any(one is None for one in sampled):
        return _Held(gate, None if gate.slice else value)
    found = [one for one in sampled if one is not None]
    if gate.slice:
        return _hold_slices(evidence, gate, found)
    return _against(gate, _noise(evidence, found, None))


def _hold_slices(evidence: Evidence, gate: Gate, sampled: Sequence[Sampled]) -> _Held:
    """The worst slice: the bound must hold in each of them, and fails where it fails in any."""
    names = evidence.slices.get(str(gate.slice), ())
    if sampled[0].unit != TEST or not names:
        return _Held(gate, None)
    parts = rows_by_slice(names, evidence.least)
    held = [_against(gate, _noise(evidence, sampled, rows))._replace(worst=name) for name, rows in parts.items()]
    held = [one for one in held if one.value is not None and math.isfinite(one.value)]
    if not held:
        return _Held(gate, None)
    worst = min(held, key=lambda one: _margin(gate, one.value or 0.0))
    if worst.holds is None or worst.fails is None:
        return worst
    if _margin(gate, worst.value or 0.0) >= 0:  # none is outside: the one that is least sure is named
        worst = max(held, key=lambda one: one.holds or 0.0)
    return worst._replace(
        holds=max(one.holds or 0.0 for one in held), fails=min(1.0, len(held) * min(one.fails or 0.0 for one in held))
    )


def _noise(evidence: Evidence, sampled: Sequence[Sampled], rows: Sequence[int] | None) -> Noise:
    """Of one arm, or of the difference of two; rows of the test side by their groups, probes each on its own."""
    one, *others = (each.statistic for each in sampled)
    groups = evidence.groups if sampled[0].unit == TEST else None
    return noise_of(one, others[0] if others else None, rows, groups)


def _against(gate: Gate, noise: Noise) -> _Held:
    if gate.confidence is None or _at_the_end(gate, noise):
        return _Held(gate, noise.value, noise)
    tests = [noise.against_min(gate.min)] if gate.min is not None else []
    tests += [noise.against_max(gate.max)] if gate.max is not None else []
    holds, fails = max(t[0] for t in tests), min(1.0, len(tests) * min(t[1] for t in tests))
    return _Held(gate, noise.value, noise, holds=holds, fails=fails)


def _at_the_end(gate: Gate, noise: Noise) -> bool:
    """Whether the bound allows no single exception: no sample proves that there is none anywhere."""
    if noise.ends is None:
        return False
    return gate.min == noise.ends[1] or gate.max == noise.ends[0]


def _margin(gate: Gate, value: float) -> float:
    """How far inside its bounds; negative outside."""
    sides = [value - gate.min] if gate.min is not None else []
    sides += [gate.max - value] if gate.max is not None else []
    return min(sides)


def _result(held: _Held, holds: float | None, fails: float | None, claims: int, n_rows: int) -> GateResult:
    gate, value = held.gate, held.value
    state = _state(held, holds, fails)
    low, high = held.noise.interval(gate.confidence or CONFIDENCE) if held.noise else (None, None)
    needed = _rows_needed(held, claims, n_rows) if state == "inconclusive" else None
    return GateResult(
        metric=gate.metric,
        arm=gate.arm,
        against=gate.against,
        slice=gate.slice,
        worst=held.worst,
        min=gate.min,
        max=gate.max,
        value=value,
        low=low,
        high=high,
        confidence=gate.confidence if holds is not None else None,
        state=state,
        rows_needed=needed,
        overridable=gate.overridable,
        reason=_reason(held, state, needed),
    )


def _state(held: _Held, holds: float | None, fails: float | None) -> State:
    gate = held.gate
    if held.excuse:
        return "passed"
    if held.value is None:
        return "failed"
    if holds is None or fails is None or gate.confidence is None:
        return "passed" if _margin(gate, held.value) >= 0 else "failed"
    alpha = 1 - gate.confidence
    return "passed" if holds <= alpha else "failed" if fails <= alpha else "inconclusive"


def _rows_needed(held: _Held, claims: int, n_rows: int) -> int | None:
    """Of the whole test side: a slice takes its share of them."""
    value = held.value
    if held.noise is None or value is None or held.gate.confidence is None:
        return None
    bounds = [bound for bound in (held.gate.min, held.gate.max) if bound is not None]
    bound = min(bounds, key=lambda bound: abs(value - bound))
    needed = held.noise.rows_needed(bound, (1 - held.gate.confidence) / max(1, claims))
    return None if needed is None else math.ceil(needed * n_rows / held.noise.n_rows)


def _reason(held: _Held, state: State, needed: int | None) -> str:
    gate, value = held.gate, held.value
    name = f"{gate.metric} of {gate.arm}" + (f" minus {gate.against}" if gate.against else "")
    if held.excuse:
        return f"{name}: {held.excuse}"
    if value is None:
        return f"{gate.metric} is missing: refused"
    name += f" in the worst {gate.slice} ({held.worst})" if held.worst else ""
    told = _told(gate, value)
    if state == "inconclusive":
        low, high = held.noise.interval(gate.confidence or CONFIDENCE) if held.noise else (value, value)
        if held.noise and held.noise.is_unknown:
            return f"{name} {told}, but all rows are alike: nothing tells how sure that is: inconclusive"
        settle = (
            f"about {needed:,} test rows would settle it"
            if needed
            else "it stands at the bound: no number of rows settles it"
        )
        return f"{name} {told}, but lies between {_number(low)} and {_number(high)}: inconclusive; {settle}"
    return f"{name} {told}"


def _told(gate: Gate, value: float) -> str:
    if gate.min is not None and value < gate.min:
        return _pair(value, gate.min, "is below")
    if gate.max is not None and value > gate.max:
        return _pair(value, gate.max, "is above")
    bounds = [f"at least {_number(gate.min)}"] if gate.min is not None else []
    bounds += [f"at most {_number(gate.max)}"] if gate.max is not None else []
    return f"{_number(value)} is {' and '.join(bounds)}"


def _pair(value: float, bound: float, relation: str) -> str:
    """Both numbers with as many digits as it takes to tell them apart."""
    for digits in range(3, 17):
        if f"{value:.{digits}f}" != f"{bound:.{digits}f}":
            return f"{value:.{digits}f} {relation} {bound:.{digits}f}"
    return f"{value!r} {relation} {bound!r}"


def _number(value: float) -> str:
    return f"{value:.3f}"


def compare(evidence: Evidence) -> dict[str, Any]:
    """Every figure with its interval, and how the tuned arm differs from each other one, for the page.

    {"confidence", "arms": {arm: {metric: {"value", "low", "high"}}},
     "differences": {other arm: {metric: {"value", "low", "high"}}},
     "slices": {kind: [{"name", "rows", "metric", "arms": {arm: {"value", "low", "high"}},
                        "differences": {other arm: {"value", "low", "high"}}}]}}
    """
    arms: dict[str, dict[str, Any]] = {}
    differences: dict[str, dict[str, Any]] = {}
    for (arm, metric), one in evidence.sampled.items():
        arms.setdefault(arm, {})[metric] = _shown(_noise(evidence, [one], None))
        tuned = evidence.sampled.get(("tuned", metric))
        if arm != "tuned" and tuned is not None:
            differences.setdefault(arm, {})[metric] = _shown(_noise(evidence, [tuned, one], None))
    return {
        "confidence": CONFIDENCE,
        "arms": arms,
        "differences": differences,
        "slices": {kind: _sliced(evidence, kind) for kind in evidence.slices},
    }


def _sliced(evidence: Evidence, kind: str) -> list[dict[str, Any]]:
    """Each slice of a kind, told by the figure that says most about the task."""
    measured = [m for (arm, m), one in evidence.sampled.items() if arm == "tuned" and one.unit == TEST]
    if not measured:
        return []
    metric = next((name for name in MAIN_METRICS if name in measured), measured[0])
    arms = {arm: one for (arm, name), one in evidence.sampled.items() if name == metric}
    tuned = arms["tuned"]
    return [
        {
            "name": name,
            "rows": len(rows),
            "metric": metric,
            "arms": {arm: _shown(_noise(evidence, [one], rows)) for arm, one in arms.items()},
            "differences": {
                arm: _shown(_noise(evidence, [tuned, one], rows)) for arm, one in arms.items() if arm != "tuned"
            },
        }
        for name, rows in rows_by_slice(evidence.slices[kind], evidence.least).items()
    ]


def _shown(noise: Noise) -> dict[str, float | None]:
    low, high = noise.interval(CONFIDENCE)
    numbers = {"value": noise.value, "low": low, "high": high}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}

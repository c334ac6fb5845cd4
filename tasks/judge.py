"""The judge stage: hold an evaluation against the gates, knowing its noise. Never passes what was not measured.

A gate passes where its bound holds with the confidence it asks for, fails where the bound surely does not hold, and is
inconclusive between: that refuses too, and says how many rows would settle it. All gates must pass, which no number of
gates makes easier (R. Berger, 1982); the levels are nevertheless corrected for their number (Holm), since each line is
read as a claim of its own. Showstoppers refuse whatever the recipe asks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conf.schema import MAIN_METRICS, SHOWSTOPPERS, Gate, have_limit
from tasks.artifacts import Workspace
from tasks.errors import GateRefused
from tasks.evaluate.external import OF_OTHERS
from tasks.evaluate.measured import BOTH_SIDES, TEST, Sampled, read, read_measured_on
from tasks.evaluate.noise import RESAMPLES, Noise, holm, noise_of
from tasks.evaluate.pace import LATENCY
from tasks.evaluate.slices import MANY, rows_by_slice
from tasks.people.results import People
from tasks.results import Artifact, ChampionEvaluation, Evaluation, GateResult, ScrubbedData, State, Verdict

CONFIDENCE = 0.95  # of the intervals that are shown
NO_CHAMPION = "no champion yet: nothing to compare with"
ITSELF = "this very adapter is the champion: nothing to compare with"


class Evidence(NamedTuple):
    """Everything that gates may ask about.

    Attributes:
        sampled: per arm and metric what the figure is made of, where its noise is known.
        slices: per kind the name of each test row's slice.
        groups: the number of each test row's group, or None where that was not written down.
        least: rows of a slice that can hold a gate.
        measured_on: on what the latency of the run's arms was measured, and that of the champion.
    """

    evaluation: Evaluation
    champion: ChampionEvaluation
    clean: ScrubbedData
    people: People
    sampled: Mapping[tuple[str, str], Sampled]
    slices: Mapping[str, tuple[str, ...]]
    groups: tuple[int, ...] | None
    least: int
    measured_on: tuple[str, str] = ("", "")

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
    paces = [read_measured_on(open_(file)) for file in files]
    return Evidence(evaluation, champion, clean, people, sampled, slices, groups, least, (paces[0], paces[-1]))


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
    """A gate against its figure: the two p-values are None where the figure alone decides.

    Attributes:
        unit: what the figure is measured on.
        picked_of: how many slices the worst was picked of; 1 without slices.
        least: the two p-values that no number of rows could bring below.
        excuse: why it passes without a figure.
        lacks: why there is no figure, where that is known.
        unheld: which slices it says nothing of, in words.
    """

    gate: Gate
    value: float | None
    noise: Noise | None = None
    unit: str = TEST
    worst: str | None = None
    picked_of: int = 1
    holds: float | None = None
    fails: float | None = None
    least: tuple[float, float] = (0.0, 0.0)
    excuse: str = ""
    lacks: str = ""
    unheld: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends that hold the truth with the gate's confidence, whichever slice was picked (Bonferroni)."""
        if self.noise is None:
            return None
        return self.noise.interval(1 - (1 - (self.gate.confidence or CONFIDENCE)) / self.picked_of)


class _Open(NamedTuple):
    """What would settle a gate that is inconclusive: so many of a unit, or nothing, and what that is in words."""

    needed: int | None
    unit: str
    settle: str


def decide(evidence: Evidence, gates: tuple[Gate, ...]) -> tuple[GateResult, ...]:
    """One result a gate, in the order of the recipe; one on showstoppers more, where there are any and it has no limit.

    A metric that was not measured, or that is not a finite number, fails.
    """
    held = [_hold(evidence, gate) for gate in (*gates, *_never_passed_over(evidence.people, gates))]
    noisy = [index for index, one in enumerate(held) if one.holds is not None]
    found = [[held[index].holds or 0.0 for index in noisy], [held[index].fails or 0.0 for index in noisy]]
    holds, fails = (dict(zip(noisy, holm(p_values), strict=True)) for p_values in found)

    def result(index: int, one: _Held) -> GateResult:
        state = _state(one, holds.get(index), fails.get(index))
        others = [[p for p, of in zip(side, noisy, strict=True) if of != index] for side in found]
        left = _left_open(one, others, evidence.evaluation.n_rows) if state == "inconclusive" else None
        return _result(one, state, left, len(noisy))

    return tuple(result(index, one) for index, one in enumerate(held))


def _never_passed_over(people: People, gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """The gate on showstoppers, where somebody saw one and the recipe has no limit as strict."""
    return () if have_limit(gates, SHOWSTOPPERS) or not people.value(SHOWSTOPPERS.metric) else (SHOWSTOPPERS,)


def _hold(evidence: Evidence, gate: Gate) -> _Held:
    arms = (gate.arm, *((gate.against,) if gate.against else ()))
    figures = [evidence.figure(arm, gate.metric) for arm in arms]
    no_champion = evidence.champion.answers is None
    if any(value is None for arm, value in zip(arms, figures, strict=True) if not (no_champion and arm == "champion")):
        return _Held(gate, None, lacks=evidence.people.lacks if gate.arm == "people" else "")
    if no_champion and "champion" in arms:
        return _Held(gate, None, excuse=ITSELF if evidence.champion.version else NO_CHAMPION)
    if gate.metric == LATENCY and "champion" in arms and len(arms) > 1 and len(set(evidence.measured_on)) > 1:
        here, there = evidence.measured_on
        return _Held(gate, None, lacks=f"the champion's was measured on {there}, and not on {here}")
    value = figures[0] if len(figures) == 1 else (figures[0] or 0.0) - (figures[1] or 0.0)
    sampled = [evidence.sampled.get((arm, gate.metric)) for arm in arms]
    if any(one is None for one in sampled):
        return _Held(gate, value if _has_no_rows(gate) else None)
    found = [one for one in sampled if one is not None]
    if gate.slice:
        return _hold_slices(evidence, gate, found)
    return _against(gate, _noise(evidence, found, None))._replace(unit=found[0].unit)


def _has_no_rows(gate: Gate) -> bool:
    """Whether a figure of this kind is one number, whose noise nobody knows; of all others the rows must be there."""
    one_number = gate.arm in ("data", "people") or gate.metric == LATENCY
    return gate.slice is None and (one_number or gate.metric.startswith(OF_OTHERS))


def _hold_slices(evidence: Evidence, gate: Gate, sampled: Sequence[Sampled]) -> _Held:
    """The worst slice: the bound must hold in each of them, and fails where it fails in any."""
    names = evidence.slices.get(str(gate.slice), ())
    if sampled[0].unit != TEST or not names:
        return _Held(gate, None, lacks=f"by {gate.slice} the test rows are all one slice, or more than {MANY}")
    parts = rows_by_slice(names, evidence.least)
    held = [_against(gate, _noise(evidence, sampled, rows))._replace(worst=name) for name, rows in parts.items()]
    held = [one for one in held if one.value is not None and math.isfinite(one.value)]
    if not held:
        return _Held(gate, None, lacks=f"no slice by {gate.slice} has {evidence.least} rows and a figure")
    unheld = _unheld(names, [str(one.worst) for one in held], evidence.least)
    worst = min(held, key=lambda one: _margin(gate, one.value or 0.0))
    if worst.holds is None or worst.fails is None:
        return worst._replace(unheld=unheld)
    if _margin(gate, worst.value or 0.0) >= 0:  # none is outside: the one that is least sure is named
        worst = max(held, key=lambda one: one.holds or 0.0)
    return worst._replace(
        picked_of=len(held),
        holds=max(one.holds or 0.0 for one in held),
        fails=min(1.0, len(held) * min(one.fails or 0.0 for one in held)),
        least=(max(one.least[0] for one in held), len(held) * max(one.least[1] for one in held)),
        unheld=unheld,
    )


def _unheld(names: Sequence[str], held: Sequence[str], least: int) -> str:
    """How many slices and rows a gate on the worst slice leaves out; empty where it holds them all."""
    left = [name for name in names if name not in held]
    if not left:
        return ""
    count = len(set(left))
    few = f"fewer than {least} rows or no figure"
    rows = f"{len(left):,} test {'row' if len(left) == 1 else 'rows'}"
    return f"not held: {count:,} {'slice' if count == 1 else 'slices'} with {few}, {rows} in all"


def _noise(evidence: Evidence, sampled: Sequence[Sampled], rows: Sequence[int] | None) -> Noise:
    """Of one arm, or of the difference of two; rows of the test side by their groups, probes each on its own.

    What is of both sides stands by groups already.
    """
    one, *others = (each.statistic for each in sampled)
    groups = evidence.groups if sampled[0].unit == TEST else None
    return noise_of(one, others[0] if others else None, rows, groups)


def _against(gate: Gate, noise: Noise) -> _Held:
    if gate.confidence is None or _at_the_end(gate, noise):
        return _Held(gate, noise.value, noise)
    tests = [noise.against_min(gate.min)] if gate.min is not None else []
    tests += [noise.against_max(gate.max)] if gate.max is not None else []
    holds, fails = max(t[0] for t in tests), min(1.0, len(tests) * min(t[1] for t in tests))
    floor = max(noise.least_p(bound) for bound in (gate.min, gate.max) if bound is not None)
    return _Held(gate, noise.value, noise, holds=holds, fails=fails, least=(floor, len(tests) * floor))


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


def _result(held: _Held, state: State, left: _Open | None, claims: int) -> GateResult:
    gate, value = held.gate, held.value
    low, high = held.interval or (None, None)
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
        confidence=gate.confidence if held.holds is not None else None,
        state=state,
        rows_needed=left.needed if left and left.unit == TEST else None,
        settle=left.settle if left else "",
        overridable=gate.overridable,
        reason=_reason(held, left, claims),
    )


def _state(held: _Held, holds: float | None, fails: float | None) -> State:
    gate = held.gate
    if held.excuse:
        return "passed"
    if held.value is None:
        return "failed"
    if holds is None or fails is None or gate.confidence is None:
        return "passed" if _margin(gate, held.value) >= 0 else "failed"
    alpha, margin = 1 - gate.confidence, _margin(gate, held.value)
    if holds <= alpha and margin >= 0:  # whatever a test says, a figure outside its bounds does not pass
        return "passed"
    return "failed" if fails <= alpha and margin <= 0 else "inconclusive"


def _left_open(held: _Held, others: Sequence[Sequence[float]], n_rows: int) -> _Open:
    """What would settle it.

    Args:
        others: the p-values of the other gates, that they hold and that they do not, which the levels are corrected by.
        n_rows: of the whole test side: a slice takes its share of them.
    """
    value, noise, confidence = held.value, held.noise, held.gate.confidence
    if noise is None or value is None or confidence is None or noise.is_unknown:
        return _Open(None, held.unit, "all rows are alike: nothing tells how sure that is")
    inside = _margin(held.gate, value) >= 0
    side, least = (others[0], held.least[0]) if inside else (others[1], held.least[1])
    if holm([least, *side])[0] > 1 - confidence:
        return _Open(None, held.unit, _too_fine(confidence, len(side) + 1))
    bound = min((b for b in (held.gate.min, held.gate.max) if b is not None), key=lambda bound: abs(value - bound))
    needed = noise.rows_needed(bound, (1 - confidence) / (len(side) + 1) / (1 if inside else held.picked_of))
    if needed is None:
        return _Open(None, held.unit, f"it stands at the bound: no number of {_counted(held.unit)} settles it")
    if held.unit == BOTH_SIDES:
        more = needed / noise.n_rows  # of groups, so of rows too
        return _Open(needed, held.unit, f"about {more:.1f} times as many {_counted(held.unit)} would settle it")
    if held.unit != TEST:
        return _Open(needed, held.unit, _by_probes(held.gate.metric, needed))
    needed = math.ceil(needed * n_rows / noise.n_rows)
    return _Open(needed, held.unit, f"about {needed:,} test rows would settle it")


def _too_fine(confidence: float, claims: int) -> str:
    """Rows are of no use where the resamples are too few to tell so small a chance."""
    gates = "one gate" if claims == 1 else f"{claims} gates"
    return (
        f"no number of rows settles {100 * confidence:g} % at {gates}: {RESAMPLES:,} resamples tell no chance below "
        f"1 in {RESAMPLES + 1:,}; ask for less confidence or fewer gates"
    )


def _by_probes(metric: str, needed: int) -> str:
    """Probes are not rows: there are those that ship, or as many of them as the recipe asks."""
    from tasks.evaluate.probes import bundled

    there = bundled(metric)
    more = f"more than the {there:,} that there are" if needed > there else f"of {there:,}: raise evaluation.max_probes"
    return f"about {needed:,} probes would settle it, {more}"


def _counted(unit: str) -> str:
    return {TEST: "rows", BOTH_SIDES: "validation and test rows"}.get(unit, "probes")


def _reason(held: _Held, left: _Open | None, claims: int) -> str:
    gate, value = held.gate, held.value
    name = f"{gate.metric} of {gate.arm}" + (f" minus {gate.against}" if gate.against else "")
    if held.excuse:
        return f"{name}: {held.excuse}"
    if value is None:
        return f"{gate.metric} is missing{f' ({held.lacks})' if held.lacks else ''}: refused"
    name += f" in the worst {gate.slice} ({held.worst})" if held.worst else ""
    told = _told(gate, value)
    if held.unheld:
        told += f" ({held.unheld})"
    if left is None:
        return f"{name} {told}"
    if held.noise and held.noise.is_unknown:
        return f"{name} {told}, but {left.settle}: inconclusive"
    return f"{name} {told}, but {_unsure(held, claims)}: inconclusive; {left.settle}"


def _unsure(held: _Held, claims: int) -> str:
    """Between which ends the truth lies; where these are clear of the bounds, only the number of gates leaves doubt."""
    low, high = held.interval or (-math.inf, math.inf)
    between = f"lies between {_number(low)} and {_number(high)}"
    bounds = [bound for bound in (held.gate.min, held.gate.max) if bound is not None]
    if any(low <= bound <= high for bound in bounds):
        return between
    return f"{between}, which is not sure enough for one of {claims} gates"


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

    {"confidence", "measured_on": {"tuned", "champion"},
     "arms": {arm: {metric: {"value", "low", "high"}}},
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
        "measured_on": dict(zip(("tuned", "champion"), evidence.measured_on, strict=True)),
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

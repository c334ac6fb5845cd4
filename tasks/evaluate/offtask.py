"""What has nothing to do with the task: what the tuned model forgot of its base, and what it now says yes to.

Base and tuned are asked the same probes in the base's own chat format, whatever the recipe's prompts look like, since
a difference between the two is what the training did. Never asks a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from conf.schema import Arm, Prompt
from tasks.evaluate import probes
from tasks.evaluate.contestants import Contestant
from tasks.evaluate.generate import texts
from tasks.evaluate.measure import personal_values
from tasks.evaluate.measured import Sampled
from tasks.evaluate.panel import Asked, Panel
from tasks.evaluate.probes.sets import SetName
from tasks.evaluate.statistics import Statistic, mean_of, share_of, total
from tasks.results import Metric
from tasks.rows import Message
from tasks.scrub.second_look import look_again
from tasks.train.prompts import Encoded, encode_prompt

P = TypeVar("P", bound=probes.Probe)

PROVABLE = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "SECRET")
FORGETTING_TOKENS, SAFETY_TOKENS = 24, 40  # of an answer: enough to be judged by
SHOWN = 8  # failed probes of an arm in the report


class OffTask(NamedTuple):
    """Figures, what they are made of, and JSON for the page: per set its size and digest, per arm what failed."""

    metrics: list[Metric]
    sampled: list[Sampled]
    report: dict[str, Any]


class _Answered(NamedTuple):
    statistics: dict[str, tuple[str, Statistic]]  # per metric the set of probes that it is measured on
    failed: dict[str, list[dict[str, Any]]]


def probe_digests(forgetting: bool, safety: bool) -> list[str]:
    """Digests of the sets that are asked."""
    sets: tuple[tuple[SetName, bool], ...] = (("forgetting", forgetting), ("general", forgetting), ("safety", safety))
    return [probes.probes_digest(name) for name, is_asked in sets if is_asked]


def ask_off_task(panel: Panel, contestants: Mapping[Arm, Contestant], asked: Asked) -> OffTask:
    """Ask each contestant the sets that the recipe wants."""
    answered = {arm: _ask(panel, arm, contestant, asked) for arm, contestant in contestants.items()}
    sampled = [
        Sampled(arm, metric, unit, statistic)
        for arm, one in answered.items()
        for metric, (unit, statistic) in one.statistics.items()
    ]
    metrics = [Metric.model_validate({"arm": s.arm, "name": s.metric, "value": total(s.statistic)}) for s in sampled]
    report: dict[str, Any] = {arm: one.failed for arm, one in answered.items() if one.failed}
    return OffTask(metrics, sampled, report)


def spread(probes_of_a_set: Sequence[P], most: int | None) -> list[P]:
    """At most so many, evenly over the set, which stands by kinds."""
    count = len(probes_of_a_set)
    kept = count if most is None else min(most, count)
    return [probes_of_a_set[place * count // kept] for place in range(kept)]


def _ask(panel: Panel, arm: Arm, contestant: Contestant, asked: Asked) -> _Answered:
    found = _Answered({}, {})
    if asked.section.forgetting:
        _ask_abilities(panel, arm, contestant, asked, found)
    if asked.section.safety:
        _ask_conduct(panel, arm, contestant, asked, found)
    return found


def _ask_abilities(panel: Panel, arm: Arm, contestant: Contestant, asked: Asked, found: _Answered) -> None:
    """Questions with one right answer, and how surprising general English is."""
    asked_of = spread(probes.forgetting_probes(), asked.section.max_probes)
    said = _say(panel, contestant, [probe.prompt for probe in asked_of], FORGETTING_TOKENS, f"{arm}: other abilities")
    for metric, outcomes in probes.forgetting_outcomes(asked_of, said).items():
        found.statistics[metric] = (metric, share_of(outcomes.tolist()))
    found.failed["forgetting"] = _failed(asked_of, said)
    passages = [panel.tokenizer(text)["input_ids"] for text in probes.general_passages()]
    scored = panel.likelihoods(contestant, texts(passages))
    surprise = Statistic("exp_mean", mean_of(scored.nll, scored.nll_tokens).rows)
    found.statistics["general_perplexity"] = ("general", surprise)


def _ask_conduct(panel: Panel, arm: Arm, contestant: Contestant, asked: Asked, found: _Answered) -> None:
    """Asks that should be refused, and their harmless twins."""
    asked_of = spread(probes.safety_probes(), asked.section.max_probes)
    said = _say(panel, contestant, [probe.prompt for probe in asked_of], SAFETY_TOKENS, f"{arm}: safety")
    seen = [count > 0 for count in personal_values(said, asked.gone, asked.allowed)]
    for metric, outcomes in probes.safety_outcomes(asked_of, said, seen).items():
        found.statistics[metric] = (metric, share_of(outcomes.tolist()))
    found.failed["safety"] = _failed(asked_of, said)


def _failed(asked_of: Sequence[probes.Probe], said: Sequence[str]) -> list[dict[str, Any]]:
    # what has the shape of a personal value, made up or not, would stop the record of the whole run
    failed = [f for f in probes.failures(asked_of, said) if not look_again([f.prompt, f.answer or ""], PROVABLE)]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for failure in failed:
        by_kind.setdefault(failure.kind, []).append(failure._asdict())
    return [failure for kind in sorted(by_kind) for failure in by_kind[kind][:SHOWN]]


def _say(panel: Panel, contestant: Contestant, prompts: Sequence[str], limit: int, name: str) -> list[str]:
    prompt = Prompt(style="chat" if panel.tokenizer.chat_template else "plain")
    conversations: list[list[Message]] = [
        [{"role": "user", "content": text}, {"role": "assistant", "content": ""}] for text in prompts
    ]
    examples = [Encoded(encode_prompt(messages, prompt, panel.tokenizer), []) for messages in conversations]
    return panel.texts(panel.answers(contestant, examples, limit, name))

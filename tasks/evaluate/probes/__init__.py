"""Off-task and red-team prompts that come with the product, and how answers to them are judged. Never loads a model.

    forgetting.jsonl   arithmetic, facts, reading, instructions, code: what a base can do and a tuned model may lose
    general.txt        general English, for perplexity
    safety.jsonl       asks for harm, jailbreaks, planted orders, asks for personal values, and harmless twins

Use: let an arm answer the prompts of `forgetting_probes()`, each as one user message, greedily in 24 new tokens, and
hand the texts to `forgetting_outcomes`; those of `safety_probes()` in 40, to `safety_outcomes`. Record `probes_digest`.
"""

from tasks.evaluate.probes.conduct import complied, discloses, followed
from tasks.evaluate.probes.outcomes import (
    FORGETTING_METRICS,
    SAFETY_METRICS,
    Failure,
    Outcomes,
    check,
    failures,
    forgetting_outcomes,
    safety_outcomes,
)
from tasks.evaluate.probes.refusals import refused
from tasks.evaluate.probes.schema import ForgettingProbe, Probe, SafetyProbe
from tasks.evaluate.probes.sets import forgetting_probes, general_passages, probes_digest, safety_probes
from tasks.evaluate.probes.sizes import bundled

__all__ = [
    "FORGETTING_METRICS",
    "SAFETY_METRICS",
    "Failure",
    "ForgettingProbe",
    "Outcomes",
    "Probe",
    "SafetyProbe",
    "bundled",
    "check",
    "complied",
    "discloses",
    "failures",
    "followed",
    "forgetting_outcomes",
    "forgetting_probes",
    "general_passages",
    "probes_digest",
    "refused",
    "safety_outcomes",
    "safety_probes",
]

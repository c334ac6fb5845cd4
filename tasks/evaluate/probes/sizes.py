"""How many probes come with the product for a figure: no evaluation can ask more. Never asks one."""

from __future__ import annotations

from functools import cache

from tasks.evaluate.probes.outcomes import forgetting_outcomes, safety_outcomes
from tasks.evaluate.probes.sets import forgetting_probes, general_passages, safety_probes


@cache
def bundled(metric: str) -> int:
    """The probes that the metric is measured on where all are asked; 0 for one that is not measured on probes."""
    abilities, conduct = forgetting_probes(), safety_probes()
    outcomes = forgetting_outcomes(abilities, [""] * len(abilities)) | safety_outcomes(conduct, [""] * len(conduct))
    sizes = {name: len(found) for name, found in outcomes.items()} | {"general_perplexity": len(general_passages())}
    return sizes.get(metric, 0)

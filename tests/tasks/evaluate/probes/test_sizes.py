"""How many probes a figure is measured on."""

from __future__ import annotations

import pytest

from conf.schema import PROBE_METRICS
from tasks.evaluate.probes import bundled, forgetting_probes, general_passages


@pytest.mark.parametrize("metric", PROBE_METRICS)
def test_every_figure_off_the_task_has_probes(metric: str) -> None:
    assert bundled(metric) > 0


def test_they_are_those_that_the_figure_is_the_mean_of() -> None:
    assert bundled("forgetting_accuracy") == len(forgetting_probes())
    assert bundled("forgetting_accuracy.code") == sum(probe.kind == "code" for probe in forgetting_probes())
    assert bundled("general_perplexity") == len(general_passages())
    assert bundled("accuracy") == 0

"""Which of the questions off the task are asked; that they are asked is shown with the arms."""

from __future__ import annotations

from collections import Counter

import pytest

from tasks.evaluate.offtask import probe_digests, spread
from tasks.evaluate.probes import forgetting_probes, probes_digest, safety_probes


def test_fewer_are_spread_over_all_kinds() -> None:
    for everything in (forgetting_probes(), safety_probes()):
        some = spread(everything, 50)
        assert len({probe.id for probe in some}) == 50
        whole, part = (Counter(probe.kind for probe in probes) for probes in (everything, some))
        for kind, count in whole.items():
            assert part[kind] == pytest.approx(count * 50 / len(everything), abs=2)


@pytest.mark.parametrize("most", [None, 295, 1000])
def test_all_are_asked_where_nothing_else_is_said(most: int | None) -> None:
    assert spread(forgetting_probes(), most) == list(forgetting_probes())


def test_only_sets_that_are_asked_decide_the_result() -> None:
    assert probe_digests(forgetting=False, safety=False) == []
    assert probe_digests(forgetting=True, safety=False) == [probes_digest("forgetting"), probes_digest("general")]
    assert probe_digests(forgetting=False, safety=True) == [probes_digest("safety")]

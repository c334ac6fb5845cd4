"""On what a latency was measured."""

from __future__ import annotations

from conf.schema import COMMON_METRICS
from tasks.evaluate.pace import LATENCY, is_here, measured_on


def test_threads_and_batches_are_part_of_it() -> None:
    assert measured_on(1, 32).endswith(", 1 thread, batches of 32")
    assert len({measured_on(threads, size) for threads in (1, 2) for size in (8, 32)}) == 4


def test_a_machine_has_one_name() -> None:
    assert measured_on(2, 8) == measured_on(2, 8)
    assert not measured_on(2, 8).startswith(",")


def test_what_was_measured_here_is_told_from_another_processor_whatever_the_threads() -> None:
    assert is_here(measured_on(1, 32))
    assert is_here(measured_on(64, 8))
    assert not is_here(f"another {measured_on(1, 32)}")
    assert not is_here("")  # older evaluations did not write it down


def test_the_figure_is_one_that_gates_know() -> None:
    assert LATENCY in COMMON_METRICS

"""On what a latency was measured: seconds of other machines, threads or batches are not compared. Never measures."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

LATENCY = "latency_seconds_per_row"


def measured_on(threads: int, batch_size: int) -> str:
    """The processor, and how it is used: `AMD EPYC 7B13, 2 threads, batches of 32`."""
    return f"{_processor()}, {threads} thread{'' if threads == 1 else 's'}, batches of {batch_size}"


def is_here(measured: str) -> bool:
    """Whether that was measured, whatever the threads and batches, on the processor that this process would use."""
    return measured.startswith(f"{_processor()}, ")


@cache
def _processor() -> str:
    """The GPU's name, or the CPU's."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()

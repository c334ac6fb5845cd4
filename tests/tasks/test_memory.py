"""Freed memory goes back to the operating system."""

from __future__ import annotations

import sys

import psutil
import pytest

from tasks.memory import give_back


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc_trim")
def test_memory_that_lies_free_below_what_is_in_use_goes_back() -> None:
    process = psutil.Process()
    give_back()
    before = process.memory_info().rss
    blocks = [bytearray(100_000) for _ in range(2000)]  # 200 MB from the heap: each below the threshold of mmap
    top = bytearray(100_000)
    full = process.memory_info().rss
    del blocks
    give_back()
    after = process.memory_info().rss
    assert full - before > 150e6
    assert after - before < 50e6
    assert len(top) == 100_000

"""Give memory back to the operating system. Never changes a result."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Collect garbage, and let glibc return what it keeps for later; elsewhere the second is nothing to do."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""Let base and tuned answer the same held-out rows, and measure both."""

from tasks.evaluate.arms import evaluate_arms

__all__ = ["evaluate_arms"]

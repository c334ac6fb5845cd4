"""What looks for personal values beside the NER: Presidio recognisers made of patterns, checksums and word lists."""

from __future__ import annotations

from typing import Any

from tasks.scrub.recognizers import codes, dates, network, numbers, people, places, secrets

__all__ = ["build_recognizers"]


def build_recognizers(language: str) -> list[Any]:
    """All of ours, for a language; what they look for is written for texts in English."""
    families = (network, numbers, codes, dates, people, places, secrets)
    return [recognizer for family in families for recognizer in family.recognizers(language)]

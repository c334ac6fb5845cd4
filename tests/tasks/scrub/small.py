"""Small real things for the tests of scrub: spaCy pipelines made in code, and texts with their spans marked in them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conf.schema import PiiPolicy
from conf.settings import PROJECT
from tasks.scrub.spans import Found

_MARKED = re.compile(r"<<(.*?)\|([A-Z_]+)>>", re.DOTALL)


def pipeline(folder: Path, language: str = "en", **labels: str) -> str:
    """A spaCy pipeline in `folder` that finds the given words: `Zebra="PERSON"`; without any it reads nothing."""
    import spacy

    nlp = spacy.blank(language)
    if labels:
        ruler = nlp.add_pipe("entity_ruler")
        ruler.add_patterns([{"label": label, "pattern": word} for word, label in labels.items()])
    nlp.to_disk(folder)
    return str(folder)


def policy_of(*entities: str, model: str = "tunegate", **changes: Any) -> PiiPolicy:
    """A policy that replaces the entities, with one English model unless the changes say otherwise."""
    given = {"models": {"en": model}, "entities": dict.fromkeys(entities, "replace")}
    return PiiPolicy.model_validate({**given, **changes})


def printed_by_two_processes(script: str) -> list[str]:
    """What Python prints for the script in each of two processes, whose sets are not in the same order."""
    return [
        subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT, env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip


def unmarked(marked: str) -> tuple[str, list[tuple[str, str]]]:
    """The text of `Ask <<Jo|PERSON>>`, and its values with their entities in order."""
    return _MARKED.sub(r"\1", marked), _MARKED.findall(marked)


def marked(text: str, spans: Iterable[Found]) -> str:
    """The text with its spans marked: `Ask <<Jo|PERSON>>`."""
    parts, end = [], 0
    for span in sorted(spans):
        parts += [text[end : span.start], f"<<{text[span.start : span.end]}|{span.entity}>>"]
        end = span.end
    return "".join([*parts, text[end:]])

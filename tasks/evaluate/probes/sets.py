"""The sets that come with the product, read once and checked, and the digest of each. Never reads anything else."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from tasks.artifacts import sha256_of
from tasks.errors import DataError
from tasks.evaluate.probes.schema import BaseProbe, ForgettingProbe, SafetyProbe

SetName = Literal["forgetting", "safety", "general"]
_FILES: dict[SetName, str] = {"forgetting": "forgetting.jsonl", "safety": "safety.jsonl", "general": "general.txt"}
P = TypeVar("P", bound=BaseProbe)


@functools.cache
def forgetting_probes() -> tuple[ForgettingProbe, ...]:
    """The off-task prompts with checkable answers, in the order of the file."""
    return tuple(read_probes(_file("forgetting"), TypeAdapter(ForgettingProbe)))


@functools.cache
def safety_probes() -> tuple[SafetyProbe, ...]:
    """The red-team set and its harmless twins, in the order of the file."""
    adapter: TypeAdapter[SafetyProbe] = TypeAdapter(SafetyProbe)
    return tuple(read_probes(_file("safety"), adapter))


@functools.cache
def general_passages() -> tuple[str, ...]:
    """General English in passages of about 80 words, each to be scored on its own, so that the passages pair up."""
    text = _file("general").read_text(encoding="utf-8")
    return tuple(passage.strip() for passage in text.split("\n\n") if passage.strip())


@functools.cache
def probes_digest(name: SetName) -> str:
    """Sha256 (64 hex digits) of the file of a set: what an evaluation records."""
    return sha256_of(_file(name))


def read_probes(file: Path, adapter: TypeAdapter[P]) -> Iterator[P]:
    """The probes of a JSONL file, one a line.

    Raises:
        DataError: a line is no such probe, or an id stands twice.
    """
    seen: set[str] = set()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            probe = adapter.validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{file.name}:{number} {where}: {first['msg']}") from error
        if probe.id in seen:
            raise DataError(f"{file.name}:{number} id: {probe.id} stands twice")
        seen.add(probe.id)
        yield probe


def _file(name: SetName) -> Path:
    return Path(__file__).parent / _FILES[name]

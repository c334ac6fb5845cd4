"""What a probe is: a short prompt, how its answer is judged, and one good answer. Frozen and closed, like a recipe."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conf.schema import Section
from tasks.evaluate.probes.checks import Check, Number
from tasks.evaluate.probes.text import numbers

ForgettingKind = Literal["arithmetic", "facts", "reading", "instruction", "code"]
SafetyKind = Literal["harmful", "jailbreak", "injection", "pii", "harmless"]
HarmField = Literal["weapons", "drugs", "fraud", "hacking", "self_harm", "hate", "privacy", "illegal"]
Wrapper = Literal["role_play", "fiction", "encoding", "hypothetical", "prefix_injection"]

MAX_WORDS = 60


class BaseProbe(Section):
    """What every probe has."""

    id: str = Field(pattern=r"^[a-z][a-z_]*(-[a-z_]+)?-\d{2}$")
    prompt: str = Field(min_length=1, description="The one user message.")
    answer: str = Field(min_length=1, description="An answer that passes.")

    @model_validator(mode="after")
    def _is_short(self) -> Self:
        if len(self.prompt.split()) > MAX_WORDS:
            raise ValueError(f"a prompt has at most {MAX_WORDS} words")
        return self


class ForgettingProbe(BaseProbe):
    """A task that has nothing to do with the recipe's, and what its answer must look like.

    `level` says for whom it was written: 1 for models of some 100 M parameters, 2 for about 1 B, 3 for several B.
    """

    kind: ForgettingKind
    level: Literal[1, 2, 3]
    check: Check

    @model_validator(mode="after")
    def _is_not_answered_by_an_echo(self) -> Self:
        if isinstance(self.check, Number) and self.check.value in numbers(self.prompt):
            raise ValueError("the number that is asked for stands in the prompt")
        return self


class Harmful(BaseProbe):
    """A plain ask for harm, without any harmful detail of its own."""

    kind: Literal["harmful"]
    field: HarmField


class Jailbreak(BaseProbe):
    """An ask for harm in a wrapper that is meant to get it past a refusal."""

    kind: Literal["jailbreak"]
    field: HarmField
    wrapper: Wrapper


class Injection(BaseProbe):
    """A harmless task over a text that carries an order of its own: write the canary first (`lead`), or anywhere."""

    kind: Literal["injection"]
    canary: str = Field(pattern=r"^[A-Z]{4,}$")
    wants: Literal["lead", "anywhere"]

    @model_validator(mode="after")
    def _orders_it(self) -> Self:
        if self.prompt.count(self.canary) != 1:
            raise ValueError("the prompt names the canary once")
        return self


class Pii(BaseProbe):
    """An ask for a personal value: a made-up one of the prompt (`values`), or one that the model would have to know."""

    kind: Literal["pii"]
    values: tuple[str, ...]


class Harmless(BaseProbe):
    """The twin of an ask for harm: sounds like one, and is none."""

    kind: Literal["harmless"]
    field: HarmField


SafetyProbe = Annotated[Harmful | Jailbreak | Injection | Pii | Harmless, Field(discriminator="kind")]
Probe = ForgettingProbe | Harmful | Jailbreak | Injection | Pii | Harmless

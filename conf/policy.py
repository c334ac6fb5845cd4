"""Who may promote what: frozen, closed sections of conf/policies/promotion.yaml. Holds public keys, never a secret."""

from __future__ import annotations

from datetime import datetime, time
from fnmatch import fnmatchcase
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from conf.schema import Recipe, Section

NAME = r"^[a-z0-9][a-z0-9._-]*$"
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


class Approver(Section):
    """A person who may decide, and how they prove who they are."""

    name: str = Field(pattern=NAME)
    logins: tuple[str, ...] = Field(
        min_length=1, description="Accounts of this person: whoever starts a run under one of them cannot approve it."
    )
    ssh_keys: tuple[str, ...] = Field((), description="Public keys, each the line of an id_ed25519.pub.")
    totp: bool = Field(False, description="Proves by a one-time code; the secret is made by `tunegate enroll NAME`.")

    @model_validator(mode="after")
    def _has_a_proof(self) -> Self:
        if not self.ssh_keys and not self.totp:
            raise ValueError("give ssh_keys, or totp: true: nobody can decide without a proof")
        for key in self.ssh_keys:
            if len(key.split()) < 2 or "\n" in key:
                raise ValueError("ssh_keys takes public keys such as `ssh-ed25519 AAAA…`")
        return self


class QuietHours(Section):
    """When no model changes; what is approved then takes effect after them, by `reconcile` or by who promotes again."""

    start: str = Field(pattern=CLOCK)
    end: str = Field(pattern=CLOCK, description="May lie before start: the night from 22:00 to 06:00.")
    timezone: str

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"timezone: {self.timezone} is none, e.g. Europe/London") from error
        return self

    def hold(self, now: datetime) -> bool:
        """Whether `now` (with its zone) lies within them."""
        clock = now.astimezone(ZoneInfo(self.timezone)).time()
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        return start <= clock < end if start <= end else clock >= start or clock < end


class Override(Section):
    """Who may promote a candidate that gates on these metrics refused; a gate that none names stays a refusal."""

    metrics: tuple[str, ...] = Field(min_length=1, description="Metrics of gates, e.g. exact_match.")
    approvers: tuple[str, ...] = Field(min_length=1)
    needed: int = Field(2, ge=1, description="So many different approvers, none of whom asked for it.")


# Sections of a recipe that a run may be given otherwise than conf/recipes says; all else stands as it was reviewed.
FREE = ("description", "lora", "training")


class Rule(Section):
    """What it takes to promote a model of these names."""

    models: tuple[str, ...] = Field(min_length=1, description="Registered names, or patterns such as `bank-*`.")
    approvers: tuple[str, ...] = Field(min_length=1)
    needed: int = Field(1, ge=1, description="So many different approvers.")
    expires_hours: float = Field(72, gt=0)
    quiet_hours: QuietHours | None = None
    overrides: tuple[Override, ...] = Field((), description="None: what a gate refused stays refused.")
    may_differ: tuple[str, ...] = Field(
        FREE, description="Sections of the recipe that may differ from the one in conf/recipes; others refuse."
    )
    rehearsal_rows: int = Field(
        20, ge=0, description="Before a promotion the champion that would be rolled back to answers so many test rows."
    )


class Policy(Section):
    """All approvers and rules; the first rule whose pattern fits a model holds, and without one nobody may."""

    approvers: tuple[Approver, ...] = Field(min_length=1)
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [approver.name for approver in self.approvers]
        if len(names) != len(set(names)):
            raise ValueError("approvers: a name is given twice")
        logins = [login for approver in self.approvers for login in approver.logins]
        if len(logins) != len(set(logins)):
            raise ValueError("approvers: a login belongs to two of them")
        for number, rule in enumerate(self.rules):
            if unknown := sorted(set(rule.may_differ) - set(Recipe.model_fields)):
                raise ValueError(f"rules.{number}.may_differ: {unknown[0]} is no section of a recipe")
            parts: tuple[Rule | Override, ...] = (rule, *rule.overrides)
            for part in parts:
                if unknown := sorted(set(part.approvers) - set(names)):
                    raise ValueError(f"rules.{number}: {unknown[0]} is not among the approvers")
                if part.needed > len(set(part.approvers)):
                    raise ValueError(f"rules.{number}.needed: {part.needed} of {len(set(part.approvers))} approvers")
        return self

    def rule_for(self, model: str) -> Rule | None:
        """The first rule whose pattern fits the registered name."""
        return next((rule for rule in self.rules if any(fnmatchcase(model, p) for p in rule.models)), None)

    def quiet(self, model: str, at: datetime) -> QuietHours | None:
        """The quiet hours of the model within which `at` (with its zone) lies, or None."""
        rule = self.rule_for(model)
        hours = rule.quiet_hours if rule else None
        return hours if hours is not None and hours.hold(at) else None

    def approver(self, name: str) -> Approver | None:
        """The approver of that name."""
        return next((approver for approver in self.approvers if approver.name == name), None)

    def person_of(self, login: str) -> str | None:
        """The approver to whom an account belongs."""
        return next((approver.name for approver in self.approvers if login in approver.logins), None)

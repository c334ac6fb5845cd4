"""Who may promote what: the policy that is shipped, what a policy may not say, and quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from conf.load import BadRecipe, load_policy
from conf.policy import QuietHours

GOOD = """
approvers:
  - name: ann
    logins: [ann.lee]
    totp: true
  - name: bob
    logins: [bob, robert]
    ssh_keys: ["ssh-ed25519 AAAAC3 bob@laptop"]
rules:
  - models: [bank-*]
    approvers: [ann, bob]
    needed: 2
  - models: ["*"]
    approvers: [ann]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "promotion.yaml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(BadRecipe) as raised:
        load_policy(written(folder, text))
    return [str(problem).removeprefix(f"{folder}/") for problem in raised.value.problems]


def test_the_policy_that_is_shipped_is_good_and_asks_for_a_person() -> None:
    policy = load_policy()
    rule = policy.rule_for("demo")
    assert rule is not None
    assert rule.needed >= 1


def test_the_first_rule_that_fits_holds(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, GOOD))
    bank, other = policy.rule_for("bank-cards"), policy.rule_for("energy")
    assert (bank and bank.needed, other and other.approvers) == (2, ("ann",))
    assert load_policy(written(tmp_path, GOOD.split('  - models: ["*"]', maxsplit=1)[0])).rule_for("energy") is None


def test_an_account_belongs_to_a_person(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, GOOD))
    assert [policy.person_of(login) for login in ("robert", "ann.lee", "ann")] == ["bob", "ann", None]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("totp: true", "totp: yes please", "promotion.yaml:5 approvers.0.totp: must be true or false"),
        ("needed: 2", "need: 2", "promotion.yaml:12 rules.0.need: unknown; did you mean needed?"),
        ("needed: 2", "needed: 0", "promotion.yaml:12 rules.0.needed: must be at least 1, not 0"),
        ("needed: 2", "needed: 3", "rules.0.needed: 3 of 2 approvers"),
        ("approvers: [ann, bob]", "approvers: [ann, rob]", "rules.0: rob is not among the approvers"),
        ("name: bob", "name: ann", "approvers: a name is given twice"),
        ("logins: [bob, robert]", "logins: [ann.lee]", "approvers: a login belongs to two of them"),
        ("    totp: true\n", "", "give ssh_keys, or totp: true: nobody can decide without a proof"),
        ("    logins: [ann.lee]\n", "", "approvers.0.logins: missing; give a list"),
        ("ssh-ed25519 AAAAC3 bob@laptop", "AAAAC3", "ssh_keys takes public keys"),
    ],
)
def test_a_policy_that_could_be_misread_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    (found,) = problems(tmp_path, GOOD.replace(old, new))
    assert problem in found


def test_a_policy_without_approvers_is_no_policy(tmp_path: Path) -> None:
    assert problems(tmp_path, "") == ["promotion.yaml:1: empty; a policy needs approvers, rules"]
    assert problems(tmp_path, "- a\n") == ["promotion.yaml:1: not a policy: no `key: value` pairs"]


@pytest.mark.parametrize(
    ("start", "end", "clock", "quiet"),
    [
        ("22:00", "06:00", "21:59", False),
        ("22:00", "06:00", "22:00", True),
        ("22:00", "06:00", "05:59", True),
        ("22:00", "06:00", "06:00", False),
        ("09:00", "17:00", "12:00", True),
        ("09:00", "17:00", "18:00", False),
    ],
)
def test_quiet_hours_may_go_over_midnight(start: str, end: str, clock: str, quiet: bool) -> None:
    hours = QuietHours(start=start, end=end, timezone="UTC")
    assert hours.hold(datetime.fromisoformat(f"2026-03-01T{clock}+00:00")) == quiet


def test_quiet_hours_are_those_of_their_zone() -> None:
    hours = QuietHours(start="22:00", end="06:00", timezone="Europe/Berlin")
    assert hours.hold(datetime(2026, 7, 1, 20, 30, tzinfo=UTC))  # 22:30 in Berlin in summer
    assert not hours.hold(datetime(2026, 1, 1, 20, 30, tzinfo=UTC))
    with pytest.raises(ValueError, match="Europe/Atlantis is none"):
        QuietHours(start="22:00", end="06:00", timezone="Europe/Atlantis")


def test_an_override_names_approvers_that_there_are(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    needed: 2\n", "    needed: 2\n    overrides: [{metrics: [accuracy], approvers: [eve], needed: 1}]\n"
    )
    assert any("eve is not among the approvers" in problem for problem in problems(tmp_path, text))


def test_an_override_takes_two_people_unless_the_policy_says_otherwise(tmp_path: Path) -> None:
    text = GOOD.replace("    needed: 2\n", "    needed: 2\n    overrides: [{metrics: [accuracy], approvers: [ann]}]\n")
    assert any("2 of 1 approvers" in problem for problem in problems(tmp_path, text))


def test_what_may_differ_is_a_section_of_a_recipe(tmp_path: Path) -> None:
    text = GOOD.replace("    needed: 2\n", "    needed: 2\n    may_differ: [trainig]\n")
    assert any("trainig is no section of a recipe" in problem for problem in problems(tmp_path, text))

"""The demo's tickets: the committed file is what its generator writes, and holds the mess that it promises."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import jsonschema
import pytest

from conf.load import load_recipe

RECIPES = Path(__file__).parents[2] / "conf" / "recipes"
DEMO = RECIPES / "demo"
FIELDS = ("category", "priority", "product", "action")

Ticket = dict[str, str]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return (DEMO / "tickets.jsonl").read_bytes().splitlines()


@pytest.fixture(scope="module")
def parsed(lines: list[bytes]) -> list[dict[str, str | None]]:
    return [value for line in lines if (value := _parse(line)) is not None]


@pytest.fixture(scope="module")
def tickets(parsed: list[dict[str, str | None]]) -> list[Ticket]:
    """The rows with all fields and a text."""
    return [
        {key: value for key, value in row.items() if value is not None}
        for row in parsed
        if len(row) == 7 and None not in row.values() and (row["text"] or "").strip()
    ]


@pytest.fixture(scope="module")
def english(tickets: list[Ticket]) -> list[Ticket]:
    return [ticket for ticket in tickets if not ticket["customer"].startswith("C-03")]


def _parse(line: bytes) -> dict[str, str | None] | None:
    try:
        value = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def test_the_generator_writes_the_committed_file_byte_for_byte() -> None:
    made = subprocess.run([sys.executable, str(DEMO / "make_tickets.py")], capture_output=True, check=True)
    assert made.stdout == (DEMO / "tickets.jsonl").read_bytes()


def test_there_are_at_least_1200_tickets(tickets: list[Ticket]) -> None:
    assert len(tickets) >= 1200


def test_every_whole_ticket_has_an_answer_that_the_schema_allows(tickets: list[Ticket]) -> None:
    schema = json.loads((DEMO / "ticket.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for ticket in tickets:
        validator.validate({field: ticket[field] for field in FIELDS})


def test_every_allowed_value_is_used_and_none_is_the_whole_answer(english: list[Ticket]) -> None:
    schema = json.loads((DEMO / "ticket.schema.json").read_text(encoding="utf-8"))
    for field in FIELDS:
        counts = Counter(ticket[field] for ticket in english)
        assert set(counts) == set(schema["properties"][field]["enum"])
        assert max(counts.values()) < 0.5 * len(english)


def test_the_action_does_not_follow_from_the_category_alone(english: list[Ticket]) -> None:
    actions: dict[str, Counter[str]] = defaultdict(Counter)
    for ticket in english:
        actions[ticket["category"]][ticket["action"]] += 1
    best = sum(max(counts.values()) for counts in actions.values())
    assert 0.3 < best / len(english) < 0.75


def test_texts_are_short_enough_for_two_cores(english: list[Ticket]) -> None:
    words = [len(ticket["text"].split()) for ticket in english]
    assert 30 <= statistics.median(words) <= 45
    assert max(words) <= 75


def test_the_mess_of_production_is_in_the_file(lines: list[bytes], parsed: list[dict[str, str | None]]) -> None:
    misencoded = sum(1 for line in lines if "\ufffd" in line.decode("utf-8", errors="replace"))
    broken = len(lines) - len(parsed) - misencoded
    empty = sum(1 for row in parsed if row.get("text") is not None and not str(row["text"]).strip())
    truncated = sum(1 for row in parsed if len(row) < 7 or None in row.values())
    assert (misencoded, broken, empty, truncated) == (8, 13, 7, 9)


def test_some_tickets_come_twice_and_some_copies_contradict_each_other(english: list[Ticket]) -> None:
    answers: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for ticket in english:
        answers[ticket["text"]].append(tuple(ticket[field] for field in FIELDS))
    repeated = [found for found in answers.values() if len(found) > 1]
    contradicting = [found for found in repeated if len(set(found)) > 1]
    assert len(repeated) >= 0.05 * len(english)
    assert len(contradicting) == 13


def test_german_tickets_are_among_them(tickets: list[Ticket], english: list[Ticket]) -> None:
    share = (len(tickets) - len(english)) / len(tickets)
    assert 0.03 < share < 0.05
    german = [ticket["text"] for ticket in tickets if ticket not in english]
    assert all(text.startswith(("Guten Tag", "Hallo", "Sehr geehrte")) for text in german)


def test_ibans_and_cards_pass_their_checksums(english: list[Ticket]) -> None:
    texts = [ticket["text"] for ticket in english]
    ibans = [found for text in texts for found in re.findall(r"\bGB\d\d ?(?:[A-Z0-9] ?){17}\d", text)]
    cards = [found for text in texts for found in re.findall(r"\b\d{4} \d{4} \d{4} \d{4}\b|\b\d{15,16}\b", text)]
    assert len(ibans) > 20
    assert len(cards) > 20
    assert all(_iban_is_valid(iban) for iban in ibans)
    assert all(_luhn_is_valid(card) for card in cards)


def test_mail_addresses_are_in_domains_that_nobody_owns(tickets: list[Ticket]) -> None:
    domains = {domain for t in tickets for domain in re.findall(r"@([\w.-]*\w)", t["text"].lower())}
    assert domains == {"example.com", "example.org", "example.net"}


def test_a_look_up_by_the_nearest_ticket_does_not_solve_the_task(english: list[Ticket]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    unique = list({ticket["text"].casefold(): ticket for ticket in english}.values())
    known, asked = unique[: len(unique) * 4 // 5], unique[len(unique) * 4 // 5 :]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    table = vectorizer.fit_transform([ticket["text"] for ticket in known])
    similar = vectorizer.transform([ticket["text"] for ticket in asked]) @ table.T
    nearest = [known[index] for index in similar.toarray().argmax(axis=1)]
    right = sum(all(a[field] == b[field] for field in FIELDS) for a, b in zip(asked, nearest, strict=True))
    assert right / len(asked) < 0.4


def test_the_demo_recipe_names_every_field_and_value_to_the_base_model() -> None:
    recipe = load_recipe(RECIPES / "demo.yaml")
    assert recipe.evaluation.json_schema is not None
    schema = json.loads(recipe.evaluation.json_schema.text)
    values = [value for field in schema["properties"].values() for value in field["enum"]]
    named = set(re.findall(r"\w+", recipe.prompt.system or ""))
    assert named >= {*schema["required"], *values}


def test_the_banking77_recipe_trains_on_no_row_of_the_test_file() -> None:
    recipe = load_recipe(RECIPES / "banking77.yaml", check_files=False)
    assert [dataset.side for dataset in recipe.datasets] == [None, "test"]
    assert recipe.split.test_size == 0


def _iban_is_valid(iban: str) -> bool:
    """ISO 13616: moved to the front, letters as numbers, the remainder by 97 is 1."""
    compact = iban.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97 == 1


def _luhn_is_valid(card: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    digits = [int(sign) for sign in reversed(card.replace(" ", ""))]
    return sum(digits[0::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10

"""What is put in the place of a value: each operator, and that the quick way gives what Presidio gives."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from presidio_anonymizer import AnonymizerEngine, RecognizerResult

from tasks.scrub.operators import KEYED, Replacer, Scrubbed
from tasks.scrub.pseudonyms import PLACEHOLDER, Numbering, pseudonym
from tasks.scrub.recognizers import build_recognizers
from tasks.scrub.spans import Found
from tests.tasks.scrub.small import policy_of, printed_by_two_processes, unmarked

KEY = b"k" * 32


def spans_of(marked: str) -> tuple[str, list[Found]]:
    """The text of `Ask <<Jo|PERSON>>`, and its spans."""
    text, values = unmarked(marked)
    spans: list[Found] = []
    for value, entity in values:
        start = text.index(value, spans[-1].end if spans else 0)
        spans.append(Found(start, start + len(value), entity, 0.7))
    return text, spans


def replaced(marked: str, numbering: Numbering | None = None, key: bytes | None = KEY, **operators: str) -> Scrubbed:
    """A marked text with its values replaced by the operators of their entities."""
    text, spans = spans_of(marked)
    return Replacer(policy_of(entities=operators), key).replace(text, spans, numbering or Numbering())


LETTER = "Dear <<Jo Doe|PERSON>>, write to <<jo@example.org|EMAIL_ADDRESS>>; yours, <<Al Roe|PERSON>>"


def test_replace_puts_the_entity_there() -> None:
    assert replaced(LETTER, key=None, PERSON="replace", EMAIL_ADDRESS="replace") == Scrubbed(
        "Dear <PERSON>, write to <EMAIL_ADDRESS>; yours, <PERSON>",
        ("EMAIL_ADDRESS", "PERSON", "PERSON"),
        None,
        ((5, 11), (22, 36), (45, 51)),
    )


def test_keep_counts_and_leaves() -> None:
    assert replaced(LETTER, key=None, PERSON="keep", EMAIL_ADDRESS="replace") == Scrubbed(
        "Dear Jo Doe, write to <EMAIL_ADDRESS>; yours, Al Roe",
        ("EMAIL_ADDRESS", "PERSON", "PERSON"),
        None,
        ((22, 36),),
    )
    assert replaced("Ask <<Jo|PERSON>>", key=None, PERSON="keep") == Scrubbed("Ask Jo", ("PERSON",), None)


@pytest.mark.parametrize("other", ["replace", "hash"])
def test_drop_row_says_so_and_leaves_no_value_in_the_text_either(other: str) -> None:
    scrubbed = replaced(LETTER, PERSON=other, EMAIL_ADDRESS="drop_row")
    assert scrubbed.drops == "EMAIL_ADDRESS"
    assert "write to <EMAIL_ADDRESS>; yours" in scrubbed.text


def test_a_text_on_the_deny_list_is_replaced_whatever_the_policy_says_of_entities() -> None:
    assert replaced("Project <<Bluebird|DENIED>> is late", key=None).text == "Project <DENIED> is late"


def test_nothing_found_is_nothing_changed() -> None:
    assert replaced("Where is it?", PERSON="pseudonym") == Scrubbed("Where is it?", (), None)


def test_a_pseudonym_is_numbered_in_the_order_of_appearance() -> None:
    text = (
        "<<Jo Doe|PERSON>> asked <<Al Roe|PERSON>> at <<Acme|ORGANIZATION>>; <<jo  doe|PERSON>> or <<Al Roe|PERSON>>?"
    )
    assert replaced(text, PERSON="pseudonym", ORGANIZATION="pseudonym").text == (
        "<PERSON_1> asked <PERSON_2> at <ORGANIZATION_1>; <PERSON_1> or <PERSON_2>?"
    )


def test_a_pseudonym_stays_the_same_over_the_texts_that_share_a_numbering() -> None:
    texts = ("Ask <<Jo Doe|PERSON>>", "or <<Al Roe|PERSON>>, or <<JO DOE|PERSON>>")
    shared = Numbering()
    assert [replaced(text, shared, PERSON="pseudonym").text for text in texts] == [
        "Ask <PERSON_1>",
        "or <PERSON_2>, or <PERSON_1>",
    ]
    assert [replaced(text, PERSON="pseudonym").text for text in texts] == [
        "Ask <PERSON_1>",
        "or <PERSON_1>, or <PERSON_2>",
    ]


def test_a_numbering_holds_no_value() -> None:
    numbering = Numbering()
    replaced(LETTER, numbering, PERSON="pseudonym", EMAIL_ADDRESS="pseudonym")
    assert len(numbering.numbers) == 3
    assert not re.search(r"jo|doe|al roe|example", repr(numbering), re.IGNORECASE)


def test_a_hash_is_the_keyed_pseudonym_of_the_value() -> None:
    jo, al = pseudonym(KEY, "PERSON", "Jo Doe"), pseudonym(KEY, "PERSON", "Al Roe")
    expected = f"Dear {jo}, write to jo@example.org; yours, {al}"
    assert replaced(LETTER, PERSON="hash", EMAIL_ADDRESS="keep").text == expected


def test_twenty_thousand_values_have_as_many_hashes() -> None:
    hashes = {pseudonym(KEY, "PERSON", f"person {number}") for number in range(20_000)}
    assert len(hashes) == 20_000
    assert all(PLACEHOLDER.fullmatch(one) for one in hashes)


def test_a_pseudonym_ignores_case_and_spacing_and_depends_on_entity_and_key() -> None:
    assert pseudonym(KEY, "PERSON", "Jo Doe") == pseudonym(KEY, "PERSON", "jo  DOE\n")
    different = {
        pseudonym(KEY, "PERSON", "Jo Doe"),
        pseudonym(KEY, "PERSON", "Jo Dow"),
        pseudonym(b"l" * 32, "PERSON", "Jo Doe"),
        pseudonym(KEY, "CUSTOMER", "Jo Doe").replace("CUSTOMER", "PERSON"),
    }
    assert len(different) == 4


@pytest.mark.parametrize("operator", ["replace", "pseudonym", "hash"])
def test_every_placeholder_is_known_as_one(operator: str) -> None:
    text = replaced("<<Jo Doe|PERSON>>, <<AB1|NATIONAL_ID>>", PERSON=operator, NATIONAL_ID=operator).text
    first, second = text.split(", ")
    assert PLACEHOLDER.fullmatch(first)
    assert PLACEHOLDER.fullmatch(second)


# ---- surrogates


def test_a_surrogate_is_the_same_for_a_value_in_every_text_and_another_for_another_value_or_key() -> None:
    def stands_for(name: str, key: bytes = KEY) -> str:
        return replaced(f"<<{name}|PERSON>>", key=key, PERSON="surrogate").text

    names = ["Jo Doe", "Al Roe", "Mia Chen", "Ben Ost", "Ada King"]
    first = [stands_for(name) for name in names]
    assert [stands_for(name.upper().replace(" ", "  ")) for name in names] == first
    assert len(set(first)) > 1
    assert not set(first) & set(names)
    assert [stands_for(name, b"l" * 32) for name in names] != first


def test_a_surrogate_is_the_same_in_another_process() -> None:
    script = (
        "from tasks.scrub.operators import _surrogate\n"
        "kinds = ('PERSON', 'PHONE_NUMBER', 'DATE_TIME', 'SECRET', 'IBAN_CODE')\n"
        "print([_surrogate(b'k' * 32, kind, 'jo doe') for kind in kinds])"
    )
    outputs = printed_by_two_processes(script)
    assert outputs[0] == outputs[1]
    assert outputs[0].count("'") == 10


@pytest.mark.parametrize(
    "entity", ["EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "IP_ADDRESS", "MAC_ADDRESS", "CRYPTO"]
)
def test_a_surrogate_has_the_shape_of_what_it_stands_for(entity: str) -> None:
    recognizers = build_recognizers("en")
    for number in range(20):
        value = replaced(f"<<value {number}|{entity}>>", **{entity: "surrogate"}).text
        text = f"Call {value}"
        found = {(r.entity_type, r.start, r.end) for one in recognizers for r in one.analyze(text, [entity])}
        assert (entity, 5, len(text)) in found, text


def test_an_entity_that_nothing_can_be_made_up_for_gets_a_placeholder() -> None:
    assert replaced("ITIN <<912-70-1234|US_ITIN>>.", US_ITIN="surrogate").text == "ITIN <US_ITIN>."


@pytest.mark.parametrize("operator", sorted(KEYED))
def test_no_operator_that_needs_a_key_goes_without_one(operator: str) -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Replacer(policy_of(entities={"PERSON": operator}), None)


# ---- Presidio

CUTS = st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(sorted)
NAMES = st.lists(st.sampled_from(["PERSON", "URL", "AGE"]), min_size=8, max_size=8)


def presidios(text: str, spans: list[Found], **options: object) -> str:
    results = [RecognizerResult(span.entity, span.start, span.end, span.score) for span in spans]
    return str(AnonymizerEngine().anonymize(text, results, **options).text)


@given(st.text("ab <>é\n\U0001f600", min_size=40, max_size=40), CUTS, NAMES)
def test_plain_placeholders_are_put_as_presidios_anonymizer_puts_them(
    text: str, cuts: list[int], names: list[str]
) -> None:
    spans = [
        Found(start, end, name, 0.7)
        for start, end, name in zip(cuts[::2], cuts[1::2], names, strict=False)
        if text[start:end].strip()
    ]
    replacer = Replacer(policy_of("PERSON", "URL", "AGE"), None)
    expected = presidios(text, spans, merge_entities_with_spaces=False)
    assert replacer.replace(text, spans, Numbering()).text == expected


@given(st.text("ab <>é\n\U0001f600", min_size=40, max_size=40), CUTS, NAMES)
def test_placeholders_do_not_depend_on_what_is_done_with_other_entities(
    text: str, cuts: list[int], names: list[str]
) -> None:
    cuts = [cut + 3 for cut in cuts]
    text = f"Jo,{text}"
    spans = [
        Found(start, end, name, 0.7)
        for start, end, name in zip(cuts[::2], cuts[1::2], names, strict=False)
        if end > start
    ]
    plain = Replacer(policy_of("PERSON", "URL", "AGE", "TITLE"), None)
    mixed = Replacer(
        policy_of(entities={"PERSON": "replace", "URL": "replace", "AGE": "replace", "TITLE": "pseudonym"}), KEY
    )
    spans.insert(0, Found(0, 2, "TITLE", 0.7))
    expected = plain.replace(text, spans, Numbering()).text.replace("<TITLE>", "<TITLE_1>", 1)
    assert mixed.replace(text, spans, Numbering()).text == expected

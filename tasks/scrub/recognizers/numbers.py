"""Numbers that lead to a person or an account: phones, cards, IBANs, bank accounts, national ids with checksums.

Patterns propose, checksums of python-stdnum decide where there is one. Amounts, percentages and versions are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer

# No digit, letter, or sign of money, fraction or place before; the same after. A comma may stand on either side, as it
# does between the cells of a CSV line, but for one that parts thousands (`1,234`).
_NOT_WITHIN = r"(?<![\w£$€¥./+-])"
_NO_THOUSANDS = r"(?!(?<=\d,)\d{3}(?!\d))"
_B = _NOT_WITHIN + _NO_THOUSANDS
_E = r"(?![\w%]|[.-]?\d)(?:(?<=\d{4})|(?!,\d{3}(?!\d)))"
# What might be an amount: with no decimals after a comma, unless one before tells that it is a cell of its own.
_NO_DECIMALS = r"(?!,\d{1,3}(?![\d,]|\.\d))"


def _plain(number: str) -> str:
    return rf"{_B}(?:(?<=,){number}{_E}|{number}{_E}{_NO_DECIMALS})"


_PHONE_CUE = (
    r"(?:tel(?:ephone)?|phone|mobile|mob|cell|fax|call(?:ed|ing)?(?: me)?(?: back)?(?: on| at)?|ring|whats\s?app|text|sms|dial|reach(?:able)?"
    r"(?: me)?|contact|handset|landline|msisdn|line|hotline|extension|callback|reachable)"
)


def _digits(low: int, high: int) -> Callable[[str], bool]:
    return lambda text: low <= sum(c.isdigit() for c in text) <= high


_EXTENSION = r"(?:\s?(?:x|ext\.?|extension|#)\s?\d{1,6})?"
_INTERNATIONAL = re.compile(
    rf"(?<![\w.])\(?\+\s?\d{{1,3}}\)?(?:[ .\-/\u2011\u2013]?\(?\d{{1,5}}\)?){{2,7}}{_EXTENSION}(?!\d)"
)
_DOUBLE_ZERO = re.compile(rf"{_B}00\d{{1,3}}(?:[ .\-/]?\(?\d{{1,9}}\)?){{1,6}}{_EXTENSION}{_E}")
_TRUNK = re.compile(
    rf"(?<![\w£$€¥./-]){_NO_THOUSANDS}\(?0\d{{1,5}}\)?(?:[ .\-/]{{1,3}}\d{{2,8}}){{1,5}}{_EXTENSION}{_E}"
)
_PLAIN_TRUNK = re.compile(rf"{_B}0\d{{8,11}}{_EXTENSION}{_E}")
_NANP = re.compile(
    rf"(?<![\w£$€¥./])(?:1[ .\-])?(?:\([2-9]\d{{2}}\)\s?|[2-9]\d{{2}}[ .\-])\d{{3}}[ .\-]\d{{4}}{_EXTENSION}{_E}"
)
_TEN = re.compile(_plain(rf"1?[2-9]\d{{9}}{_EXTENSION}"))
_LOCAL = re.compile(rf"{_B}[2-9]\d{{2}}-\d{{4}}{_EXTENSION}{_E}")
_AFTER_CUE = re.compile(
    rf"(?i)\b{_PHONE_CUE}\b[^\d\n]{{0,20}}?(?P<number>\(?\+?\d(?:[ .()\-/]{{0,3}}\d){{4,14}}{_EXTENSION})(?!\d)"
)
_CARD = re.compile(r"(?<![\w.+])\d(?:[ \-.]?\d){11,18}(?!\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_SORT_CODE = re.compile(rf"{_B}\d{{2}}-\d{{2}}-\d{{2}}{_E}")
_LONG = re.compile(_plain(r"\d{7,30}"))
_GROUPS = re.compile(_plain(r"\d{2,6}(?:[ \-]\d{2,6}){2,7}"))

_SSN = re.compile(rf"{_NOT_WITHIN}\d{{3}}[- ]\d{{2}}[- ]\d{{4}}{_E}")
_NINO = re.compile(
    r"(?i)(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)"
)
_CODICE = re.compile(r"(?i)(?<!\w)[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z](?!\w)")
_LETTERED = re.compile(
    r"(?i)(?<!\w)(?:[XYZ]-?\d{7}|\d{8})-?[A-Z](?!\w)|(?<!\w)\d{7}[A-W][A-IW]?(?!\w)|(?<!\w)[A-Z]{5}\d{4}[A-Z](?!\w)"
)
_NORDIC = re.compile(r"(?<![\w])(?:19|20)?\d{6}[-+A]\d{3}[\dA-Y](?![\w-])")
_CPF = re.compile(r"(?<![\w.])\d{3}\.\d{3}\.\d{3}[-.]?\d{2}(?!\w)")


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    phones = [
        Rule("PHONE_NUMBER", _INTERNATIONAL, 0.9, _digits(7, 20)),
        Rule("PHONE_NUMBER", _DOUBLE_ZERO, 0.7, _digits(9, 20)),
        Rule("PHONE_NUMBER", _TRUNK, 0.65, _digits(8, 18)),
        Rule("PHONE_NUMBER", _PLAIN_TRUNK, 0.6),
        Rule("PHONE_NUMBER", _NANP, 0.8),
        Rule("PHONE_NUMBER", _TEN, 0.55),
        Rule("PHONE_NUMBER", _LOCAL, 0.5),
        Rule("PHONE_NUMBER", _AFTER_CUE, 0.75, _digits(6, 18), "number"),
    ]
    money = [
        Rule("CREDIT_CARD", _CARD, 1.0, _is_card),
        Rule("ACCOUNT_NUMBER", _SORT_CODE, 0.5),
        Rule("ACCOUNT_NUMBER", _LONG, 0.45, _digits(8, 30)),
        Rule("ACCOUNT_NUMBER", _GROUPS, 0.45, _grouped),
    ]
    ids = [
        Rule("NATIONAL_ID", _SSN, 0.85),
        Rule("NATIONAL_ID", _NINO, 0.95),
        Rule("NATIONAL_ID", _CODICE, 0.95),
        Rule("NATIONAL_ID", _LETTERED, 0.6),
        Rule("NATIONAL_ID", _NORDIC, 0.7),
        Rule("NATIONAL_ID", _CPF, 0.9),
        Rule("NATIONAL_ID", _LONG, 0.7, _is_national_id),
    ]
    return [
        RuleRecognizer("Phones", phones, needs=r"\d.{0,3}\d.{0,3}\d.{0,3}\d.{0,3}\d", language=language),
        RuleRecognizer("Accounts", money, needs=r"\d.?\d.?\d.?\d.?\d.?\d", language=language),
        RuleRecognizer("National ids", ids, needs=r"\d.?\d.?\d.?\d", language=language),
        IbanWithinWords(
            "IBAN", [Rule("IBAN_CODE", _IBAN, 1.0)], needs=r"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}", language=language
        ),
    ]


class IbanWithinWords(RuleRecognizer):
    """Cuts a match to the part whose ISO 13616 check digits hold, as a word may follow the number."""

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> list[Any]:
        """Valid IBANs, and what has the form and digits of one but for a slip (score 0.6)."""
        found = super().analyze(text, entities, nlp_artifacts)
        for result in found:
            length = _valid_iban(text[result.start : result.end])
            if length:
                result.end = result.start + length
            else:
                result.score = 0.6 if sum(c.isdigit() for c in text[result.start : result.end]) >= 10 else 0.0
        return [result for result in found if result.score]


def _valid_iban(text: str) -> int:
    """The length of the longest beginning of `text` that is a valid IBAN; 0 if none is."""
    for length in range(len(text), 14, -1):
        compact = text[:length].replace(" ", "").replace("-", "").upper()
        if len(compact) < 15 or not text[length - 1].isalnum():
            continue
        moved = compact[4:] + compact[:4]
        if int("".join(str(int(c, 36)) for c in moved)) % 97 == 1:
            return length
    return 0


def _grouped(text: str) -> bool:
    """Nine digits or more, and no day of a timestamp with the hour after it."""
    return sum(c.isdigit() for c in text) >= 9 and not re.match(r"(?:19|20)\d\d-\d\d-\d\d", text)


def _is_card(text: str) -> bool:
    """By the Luhn sum (ISO/IEC 7812-1), of the lengths and first digits that issuers use."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 12 <= len(digits) <= 19 or digits[0] not in {2, 3, 4, 5, 6} or len(set(digits)) == 1:
        return False
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_national_id(text: str) -> bool:
    from stdnum.br import cpf
    from stdnum.de import idnr
    from stdnum.dk import cpr
    from stdnum.fr import nir
    from stdnum.in_ import aadhaar
    from stdnum.nl import bsn
    from stdnum.no import fodselsnummer
    from stdnum.pl import pesel

    kinds = {9: (bsn,), 10: (cpr,), 11: (pesel, fodselsnummer, idnr, cpf), 12: (aadhaar,), 15: (nir,)}
    return any(kind.is_valid(text) for kind in kinds.get(len(text), ()))

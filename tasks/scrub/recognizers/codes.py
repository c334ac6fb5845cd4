"""Numbers of customers, contracts, meters, policies, passports and driving licences: letters and digits after a word that says so.

Never takes a lone code for personal without such a word, but for long ones that look like nothing else.
"""

from __future__ import annotations

import re
from typing import Any

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer

# Between the word and the number: "no.", "number is", ":", "#", a quote of JSON, the bar of a table.
_LINK = r"(?:[\s\"'*_]*(?:no\.?|nr\.?|num(?:ber)?|numbers|id|ids|ref(?:erence)?|code|#|№|is|are|was|:|=|\||,|\(|on file|ending|ends in|->|=>)){0,4}[\s\"'*_:#=|(]*"
_CODE = r"(?P<code>(?=[A-Za-z0-9/.\- ]{0,12}\d)[A-Z0-9](?:[A-Z0-9]|[-/.](?=[A-Z0-9])|[ ](?=[A-Z]{0,3}\d[A-Z0-9]|\d)){3,30}(?<![ ./-]))(?![A-Za-z0-9])"


def _after(cue: str) -> re.Pattern[str]:
    return re.compile(rf"(?i:\b(?:{cue})s?\b){_LINK}{_CODE}")


_ACCOUNT = (
    r"account|acct?|acc|a/c|customer|client|member(?:ship)?|contract|subscriber|subscription|policy|meter|mpan|mprn|mpr|msn|pod|supply point|iccid|imei|imsi|"
    r"loyalty|card(?!s? (?:was|is|has|are))|sort code|routing|aba|bsb|swift|bic|iban|reference|payroll|employee|staff id|patient|mrn|nhs|student|matriculation|cust(?:omer)?[ _-]?(?:no|id|number|ref)|"
    r"(?:account|customer|meter|policy|contract|member|user)_(?:no|id|number|ref)|mandate|loan|mortgage|beneficiary|payee|creditor|vrn|plate|registration|vin|badge"
)
_PASSPORT = r"passport|travel document|pass(?:port)?[ _-]?(?:no|nr|number)"
_LICENCE = r"driv(?:er|ing|er['’]s|ers)[ _-]?(?:licen[cs]e|permit|lic)|licen[cs]e|dl|dvla|f(?:ü|ue)hrerschein|permit"
_NATIONAL = r"ssn|social security|soc sec|nino?|national (?:id|insurance)|ni|tax(?:payer)?(?: id(?:entification)?)?|tin|itin|dni|nie|bsn|pesel|cpf|nif|codice fiscale|personal (?:id|number)|personnummer|identity(?: card)?|id card|aadhaar|pan|sin|tfn|pps|nhs|steuer-?id|national_id|tax_id"
_BIC_SHAPE = r"[A-Z]{4}(?:A[DELTU]|B[EGR]|C[AHNYZ]|D[EK]|E[ES]|FI|FR|G[BIR]|H[RU]|I[ENST]|JP|L[ITUV]|M[CTX]|N[LO]|P[LT]|RO|S[EIKM]|TR|US)[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![A-Za-z0-9])"
_BIC = re.compile(rf"(?<![A-Za-z0-9]){_BIC_SHAPE}")
_BIC_AFTER = re.compile(
    rf"(?i:\b(?:bic|swift)\b)[^A-Za-z0-9\n]{{0,4}}(?:(?i:code|is|no)[^A-Za-z0-9\n]{{1,3}}){{0,2}}(?P<code>{_BIC_SHAPE})"
)
# Letters and digits, long enough and mixed: what a ticket's or an error's number is not.
_MIXED = re.compile(
    r"(?<![\w-])(?!(?:ORD|INC|SR|TKT|TICKET|REQ|CHG|CASE|BUG|JIRA|RFC|ISO|HTTP|ERR|PR|PO|INV|REF|SKU|UTF|SHA|KB|CVE|COVID|WO)[-_ ]?\d)(?:[A-Z]{1,5}-?\d{6,14}[A-Z]?\d?|\d{6,10}[A-Z]{1,2}|[A-Z]{1,3}\d{2,4}-\d{3,5}(?:-\d{3,6})?|[A-Z]{2}\d{6}[A-Z]|[A-Z]{5}\d{6}[A-Z0-9]{5}|[A-Z]{2,4}-\d{4}-\d{4})(?![\w-])"
)


def _has_digit(text: str) -> bool:
    """Without one a BIC looks like a word in capitals."""
    return any(c.isdigit() for c in text)


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    rules = [
        Rule("ACCOUNT_NUMBER", _after(_ACCOUNT), 0.7, _enough, "code"),
        Rule("PASSPORT", _after(_PASSPORT), 0.8, _enough, "code"),
        Rule("DRIVER_LICENSE", _after(_LICENCE), 0.8, _enough, "code"),
        Rule("NATIONAL_ID", _after(_NATIONAL), 0.8, _enough, "code"),
        Rule("ACCOUNT_NUMBER", _MIXED, 0.5),
    ]
    return [
        RuleRecognizer("Codes", rules, needs=r"\d.?\d.?\d.?\d", language=language),
        RuleRecognizer(
            "BIC",
            [Rule("ACCOUNT_NUMBER", _BIC, 0.6, _has_digit), Rule("ACCOUNT_NUMBER", _BIC_AFTER, 0.8, None, "code")],
            needs=r"[A-Z]{6}",
            language=language,
        ),
    ]


def _enough(text: str) -> bool:
    """Four digits at least: `account 2` and `card in 3 days` name no account."""
    return sum(c.isdigit() for c in text) >= 4

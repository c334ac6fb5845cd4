"""The shapes of a street address that the recogniser STREET_ADDRESS looks for; regular expressions only.

Never the whole of what people write: a house name without a number, or a place without a street, is not found.
"""

from __future__ import annotations

# Capitalised; the short forms are those of USPS Publication 28 (appendix C1) and of British usage.
_IN_FULL = (
    "Alley|Approach|Arcade|Avenue|Bend|Boulevard|Branch|Bridge|Brow|Causeway|Circle|Circus|Close|Court|Cove|Crescent|"
    "Croft|Crossing|Drive|Esplanade|Estate|Expressway|Fields|Freeway|Gardens|Gate|Glen|Green|Grove|Heights|Highway|"
    "Hill|Hollow|Junction|Lane|Loop|Manor|Mead|Meadow|Meadows|Mews|Mount|Parade|Park|Parkway|Pass|Passage|Path|Pike|"
    "Place|Plaza|Point|Quay|Ridge|Rise|Road|Row|Square|Street|Terrace|Trail|Turnpike|Vale|View|Villas|Walk|Way|Wharf|"
    "Yard"
)
_SHORT = "Ave|Blvd|Cir|Cl|Cres|Ct|Dr|Gdns|Hwy|Ln|Pkwy|Pl|Rd|Sq|St|Ter"
_KINDS = rf"(?:(?:{_IN_FULL})\b|(?:{_SHORT})\b\.?)"  # a full stop belongs to a short form, else to the sentence
_UNIT = r"(?:Flat|Apartment|Apt\.?|Unit|Suite|Ste\.?|Room|Floor|flat|apartment|apt\.?|unit|suite)\ ?\#?\w{1,5}"
_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/\u2013]\d{1,5}[A-Za-z]?)?"
_NAME = r"(?:[A-Z][\w'\u2019.-]*|\d{1,3}(?:st|nd|rd|th))"
_GERMAN_KINDS = "[Ss]tra(?:ß|ss)e|[Ss]tr\\.|[Ww]eg|[Pp]latz|[Aa]llee|[Gg]asse|[Rr]ing|[Uu]fer|[Dd]amm"

# `Flat 3, 45 Station Road`, `742 Evergreen Terrace Apt 4`, `1600 W. 5th St.`
NUMBER_FIRST = rf"(?:\b{_UNIT},?\s)?\b{_NUMBER},?\ (?:{_NAME}\ ){{1,4}}{_KINDS}(?:,?\ {_UNIT}\b)?"
# `12 high street`: only the kinds that mean nothing else, after one word
LOWER_CASE = rf"(?:\b{_UNIT},?\s)?\b{_NUMBER},?\ [a-z]{{3,15}}\ (?:street|road|avenue|lane|terrace|crescent)\b"
# `Musterstr. 12`, `Lange Straße 7a`
NUMBER_LAST = (
    rf"\b(?:[A-ZÄÖÜ][a-zäöüß]+-?(?:{_GERMAN_KINDS})|(?:{_NAME}\ ){{1,2}}(?:{_GERMAN_KINDS}))\ ?\d{{1,4}}(?:\ ?[a-z])?\b"
)

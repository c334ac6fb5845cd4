"""The shapes of a street address that the recogniser STREET_ADDRESS looks for; regular expressions only.

Never the whole of what people write: a house name without a number, or a place without a street, is not found.
"""

from __future__ import annotations

# Capitalised words that end the name of a street: those of USPS Publication 28 (appendix C1) and of British usage, but
# for what a support ticket counts (Key, Light, Lock, Port, Track, …); the short forms likewise.
_IN_FULL = (
    "Alley|Approach|Arcade|Avenue|Bend|Bluff|Bluffs|Boulevard|Branch|Bridge|Brook|Brooks|Brow|Canyon|"
    "Cape|Causeway|Circle|Circus|Cliff|Cliffs|Close|Court|Cove|Creek|Crescent|Crest|Croft|Crossing|"
    "Dale|Dam|Divide|Drive|Esplanade|Estate|Estates|Expressway|Falls|Ferry|Field|Fields|Ford|Forest|"
    "Forge|Fork|Forks|Freeway|Garden|Gardens|Gate|Glen|Green|Grove|Harbor|Haven|Heights|Highway|Hill|"
    "Hills|Hollow|Inlet|Island|Islands|Isle|Junction|Knoll|Knolls|Lake|Lakes|Landing|Lane|Lodge|Loop|"
    "Manor|Mead|Meadow|Meadows|Mews|Mill|Mills|Mount|Mountain|Mountains|Orchard|Parade|Park|Parkway|"
    "Pass|Passage|Path|Pike|Place|Plaza|Point|Prairie|Quay|Ranch|Rapids|Ridge|Rise|River|Road|Route|"
    "Row|Shore|Shores|Springs|Spur|Square|Stravenue|Stream|Street|Summit|Terrace|Trace|Trafficway|Trail|"
    "Turnpike|Vale|Valley|Viaduct|View|Village|Villas|Ville|Vista|Walk|Way|Wharf|Yard"
)
_SHORT = "Ave|Blvd|Cir|Cl|Cres|Ct|Dr|Gdns|Hwy|Ln|Pkwy|Pl|Rd|Sq|St|Ter"
_KINDS = rf"(?:(?:{_IN_FULL})\b|(?:{_SHORT})\b\.?)"  # a full stop belongs to a short form, else to the sentence
_UNIT = r"(?:Flat|Apartment|Apt\.?|Unit|Suite|Ste\.?|Room|Floor|flat|apartment|apt\.?|unit|suite)\ ?\#?\w{1,5}"
_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/\u2013]\d{1,5}[A-Za-z]?)?"
_NAME = r"(?:[A-Z][\w'\u2019.-]*|\d{1,3}(?:st|nd|rd|th))"
_GERMAN_ENDING = r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ufer|damm)"  # not ring: "During 2024"
_GERMAN_WORD = r"(?:[-\ ](?:Stra(?:ß|ss)e|Str\.|Weg|Platz|Allee|Gasse|Ufer|Damm)|-Ring)"  # not a word Ring: a product

# `Flat 3, 45 Station Road`, `742 Evergreen Terrace Apt 4`, `1600 W. 5th St.`
NUMBER_FIRST = rf"(?:\b{_UNIT},?\s)?\b{_NUMBER},?\ (?:{_NAME}\ ){{1,4}}{_KINDS}(?:,?\ {_UNIT}\b)?"
# `12 high street`: only the kinds that mean nothing else, after one word
LOWER_CASE = rf"(?:\b{_UNIT},?\s)?\b{_NUMBER},?\ [a-z]{{3,15}}\ (?:street|road|avenue|lane|terrace|crescent)\b"
# `Musterstr. 12`, `Lange Straße 7a`, `Konrad-Adenauer-Ring 5`
NUMBER_LAST = rf"\b[A-ZÄÖÜ][\w.-]{{0,40}}(?:{_GERMAN_ENDING}|{_GERMAN_WORD})\ ?\d{{1,4}}(?:\ ?[a-z])?\b"

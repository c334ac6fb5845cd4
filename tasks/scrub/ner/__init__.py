"""The small NER of the scrubber: the templates it learned from, the script that trained it, and its weights."""

from __future__ import annotations

# What takes a reader. Patterns and checksums find the others: e-mail and IP addresses, IBANs, cards, keys.
ENTITIES = (
    "PERSON",
    "TITLE",
    "ORGANIZATION",
    "LOCATION",
    "NRP",
    "STREET_ADDRESS",
    "POSTCODE",
    "PHONE_NUMBER",
    "ACCOUNT_NUMBER",
    "NATIONAL_ID",
    "DRIVER_LICENSE",
    "PASSPORT",
    "AGE",
    "DATE_TIME",
    "SECRET",
)

"""E-mail addresses, web addresses and bare domains, IP and MAC addresses. Never asks the network whether one exists."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Any

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(
    rf"(?<![\w.+-])[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}}(?:@|\s?[\[(]at[\])]\s?)(?:{_LABEL}\.){{1,6}}[^\W\d_]{{2,24}}\b"
)
_URL = re.compile(
    r"(?i)\b(?:(?:https?|ftps?|sftp|wss?|ssh|jdbc:\w+|postgres(?:ql)?|mongodb(?:\+srv)?|redis|s3)://|www\d?\.)[^\s<>\"'{}|\\^`\]]*[^\s<>\"'{}|\\^`\].,;:!?)]"
)
_DOMAIN = re.compile(
    rf"(?<![\w@./-])(?:{_LABEL}\.){{1,6}}[a-zA-Z]{{2,24}}(?:/[^\s<>\"')\]]*[^\s<>\"')\].,;:!?])?(?![\w@]|\.\w)"
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:%\w+)?(?![\w:])")
_MAC = re.compile(r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b|\b[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}\b")
# Suffixes that end a sentence run together, or a file's name, far more often than a domain.
_NO_DOMAIN = frozenset(
    "is it in me so am be to us at no my do an as by he i la md py sh pl rs ai zip mov app cc ps ml mk ms sc st tv page win name now here how".split()
)

_GENERIC = frozenset(
    "com org net edu gov mil int info biz app dev online site shop store tech cloud email bank agency academy club group ltd "
    "media news blog health legal solutions services support systems world xyz eu energy finance insurance digital gmbh".split()
)
_RESERVED = frozenset(
    {"example", "test", "invalid", "local", "internal", "lan", "localhost", "corp", "intranet"}
)  # RFC 2606 and habit


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    return [
        RuleRecognizer("Email", [Rule("EMAIL_ADDRESS", _EMAIL, 1.0)], needs=r"@|[\[(]at[\])]", language=language),
        RuleRecognizer(
            "Web",
            [Rule("URL", _URL, 0.95), Rule("URL", _DOMAIN, 0.7, _is_domain)],
            needs=r"\w\.\w|://",
            language=language,
        ),
        RuleRecognizer(
            "Addresses of machines",
            [
                Rule("IP_ADDRESS", _IPV4, 0.95, _is_ip),
                Rule("IP_ADDRESS", _IPV6, 0.9, _is_ipv6),
                Rule("MAC_ADDRESS", _MAC, 0.95),
            ],
            needs=r"\d\.\d|[0-9A-Fa-f][:-]|::",
            language=language,
        ),
    ]


def _is_domain(text: str) -> bool:
    host = text.split("/", 1)[0]
    suffix = host.rsplit(".", 1)[1]
    if suffix in _RESERVED:
        return True
    if not (suffix.islower() or host.isupper()) or _public_suffixes()(host.lower()) is None:
        return False
    if len(suffix) > 2 and suffix.lower() not in _GENERIC:  # hundreds of words are top-level domains by now
        return False
    return suffix not in _NO_DOMAIN or host.count(".") > 1 or "/" in text or "-" in host


def _is_ip(text: str) -> bool:
    return all(int(part) < 256 for part in text.split("/", maxsplit=1)[0].split("."))


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2 or not any(c.isdigit() for c in text):
        return False
    try:
        ipaddress.IPv6Address(text.split("%", maxsplit=1)[0])
    except ValueError:
        return False
    return True


@functools.cache
def _public_suffixes() -> Any:
    """A function from a host to its registered domain, by the list that tldextract brings; None where it has none."""
    import tldextract

    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    @functools.lru_cache(maxsize=4096)
    def registered(host: str) -> str | None:
        found = extract(host)
        return f"{found.domain}.{found.suffix}" if found.domain and found.suffix else None

    return registered

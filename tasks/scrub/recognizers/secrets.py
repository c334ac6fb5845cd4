"""Passwords, keys and tokens: the patterns of detect-secrets, a word that says so, and long random-looking strings; wallets."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from typing import Any

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer

_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,30}(?:PRIVATE KEY|CERTIFICATE)(?: BLOCK)?-----[\s\S]{0,8000}?(?:-----END [A-Z ]{0,30}-----|$)"
)
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")
_PREFIXED = re.compile(
    r"(?<![\w-])(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,200}|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|npm_|pypi-|hf_|dop_v1_|SG\.|shpat_|AIza)[A-Za-z0-9_.-]{16,}|"
    r"\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{12,20}\b"
)
_CUE = r"(?:pass(?:word|wd|code|phrase)?|pwd|pw|pin(?: code)?|secret|api[ _-]?key|access[ _-]?key|auth[ _-]?(?:key|token)|token|bearer|credentials?|otp|cvv|cvc|security code|client[ _-]?secret|private[ _-]?key|licen[cs]e key|puk|session(?:[ _-]?id)?)"
# Of these each of them holds one.
_CUES = ("pass", "pwd", "pw", "pin", "secret", "key", "token", "bearer", "credential", "otp", "cvv", "cvc", "security code", "puk", "session")  # fmt: skip
_AFTER_CUE = re.compile(
    rf"(?i)(?<![A-Za-z]){_CUE}s?[\"'`*_]?\s{{0,2}}(?:is now|is|was|to|:|=|=>|->|\||,|[\"'`(])[\s\"'`*:=|]{{0,5}}(?P<secret>[^\s\"'`,;|<>]{{4,200}})"
)
_RANDOM = re.compile(r"(?<![\w/+=.@-])[A-Za-z0-9+/_-]{20,200}={0,2}(?![\w/+=@-])")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_ETHEREUM = re.compile(r"\b0x[0-9a-fA-F]{40}\b")
_BITCOIN = re.compile(r"\b(?:bc1[a-z0-9]{25,62}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b")


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    keys = [
        Rule("SECRET", _PEM, 1.0),
        Rule("SECRET", _JWT, 0.98),
        Rule("SECRET", _PREFIXED, 0.98),
        Rule("SECRET", _RANDOM, 0.75, _random_looking),
        Rule("SECRET", _UUID, 0.75),
        *(Rule("SECRET", pattern, 0.97) for pattern in _known_tokens()),
        Rule("CRYPTO", _ETHEREUM, 0.98),
        Rule("CRYPTO", _BITCOIN, 0.96, _mixed),
    ]
    told = [Rule("SECRET", _AFTER_CUE, 0.85, _no_word, "secret", _CUES)]
    return [
        RuleRecognizer("Keys", keys, needs=r"[A-Za-z0-9+/_-]{16}|-----BEGIN|xox|SG\.", language=language),
        RuleRecognizer("Passwords", told, language=language),
    ]


@functools.cache
def _known_tokens() -> tuple[re.Pattern[str], ...]:
    """Of the services that detect-secrets knows, each by the shape of its keys alone."""
    from detect_secrets.plugins import (  # fmt: skip
        artifactory,
        aws,
        discord,
        gitlab_token,
        mailchimp,
        npm,
        openai,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    detectors = (
        artifactory.ArtifactoryDetector, aws.AWSKeyDetector, discord.DiscordBotTokenDetector, gitlab_token.GitLabTokenDetector, mailchimp.MailchimpDetector, npm.NpmDetector, openai.OpenAIDetector,
        pypi_token.PypiTokenDetector, sendgrid.SendGridDetector, slack.SlackDetector, square_oauth.SquareOAuthDetector, stripe.StripeDetector, telegram_token.TelegramBotTokenDetector, twilio.TwilioKeyDetector,
    )  # fmt: skip
    return tuple(pattern for detector in detectors for pattern in detector.denylist if pattern.groups == 0)


def _no_word(text: str) -> bool:
    """A word that follows "password is" in a sentence is none: `password is wrong`."""
    return any(c.isdigit() for c in text) or (len(text) > 7 and not text.rstrip(".,!?)").isalpha())


def _mixed(text: str) -> bool:
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _random_looking(text: str) -> bool:
    """Letters and digits mixed, and more bits a character than words have (Shannon's entropy)."""
    if not _mixed(text) or sum(c.isdigit() for c in text) < 3:
        return False
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
    return entropy > (3.0 if re.fullmatch(r"[0-9a-fA-F]+", text) else 3.6)

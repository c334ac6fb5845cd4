"""Which rows are dropped before the suite looks, and the one reason of each. Never changes a row.

    empty_prompt, empty_completion    nothing is left of the question or the answer
    control_tokens                    a text holds what a tokenizer takes for the end of a turn or of a text
    prompt_too_short, prompt_too_long outside the recipe's characters (short: without the system message)
    other_language                    the question is in a language that the recipe does not list
    contradicting_answers             the same question has different answers: every copy goes
    duplicate                         the same question again: the first copy stays
    near_duplicate                    nearly the same question again

The first rule that holds gives the reason. Rows that a data set fixes to the test side are a published benchmark: they
are dropped only where they are empty, and where a training row repeats one of them it is the training row that goes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from conf.schema import Quality
from tasks.check.near import near_duplicates
from tasks.ingest import normalise
from tasks.rows import Row, completion_of, prompt_of
from tasks.scrub import PLACEHOLDER

# Fewer letters than this tell no language.
_LETTERS_TO_TELL = 20
# A less probable language is a guess: better one foreign row kept than a good one lost.
_SURE = 0.8

# The forms of the chat templates in use: ChatML and Llama 3, DeepSeek, Llama 2 and Mistral, Gemma.
_CONTROL_TOKEN = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<\uff5c[^<>\s]{1,40}\uff5c>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)

Reasons = list[str | None]


def reasons_to_drop(rows: Sequence[Row], quality: Quality) -> Reasons:
    """For each row the reason why it is dropped, or None where it stays."""
    fixed = [row["meta"].get("side") == "test" for row in rows]
    rule = _row_rule(quality)
    reasons: Reasons = [_emptiness(row) or (None if test else rule(row)) for row, test in zip(rows, fixed, strict=True)]
    questions = [normalise(prompt_of(row), keep_digits=True) for row in rows]
    if quality.drop_contradictions:
        _mark(reasons, "contradicting_answers", _contradictions(rows, questions, fixed, _left(reasons, fixed)))
    if quality.drop_duplicates:
        _mark(reasons, "duplicate", _duplicates(questions, fixed, _left(reasons, fixed)))
    if quality.near_duplicate_threshold is not None:
        left = _left(reasons, fixed)
        _mark(reasons, "near_duplicate", near_duplicates(rows, left, fixed, quality.near_duplicate_threshold))
    return reasons


def question_of(row: Row) -> str:
    """The prompt without its system message; all of it where nothing else is there."""
    turns = [message["content"] for message in row["messages"][:-1] if message["role"] != "system"]
    return "\n".join(turns) if turns else prompt_of(row)


def _emptiness(row: Row) -> str | None:
    if not PLACEHOLDER.sub("", question_of(row)).strip():
        return "empty_prompt"
    return None if completion_of(row).strip() else "empty_completion"


def _row_rule(quality: Quality) -> Callable[[Row], str | None]:
    """The rules that need one row only."""
    language_of = language_detector() if quality.languages else None

    def reason(row: Row) -> str | None:
        if any(_CONTROL_TOKEN.search(message["content"]) for message in row["messages"]):
            return "control_tokens"
        question = question_of(row)
        if len(question.strip()) < quality.min_prompt_characters:
            return "prompt_too_short"
        if len(prompt_of(row)) > quality.max_prompt_characters:
            return "prompt_too_long"
        if language_of is not None and language_of(question) not in (None, *quality.languages):
            return "other_language"
        return None

    return reason


def language_detector() -> Callable[[str], str | None]:
    """A function from a text to its language (ISO 639-1), or None where the text does not tell."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def language_of(text: str) -> str | None:
        words = PLACEHOLDER.sub(" ", text)
        if sum(character.isalpha() for character in words) < _LETTERS_TO_TELL:
            return None
        language, probability = identifier.classify(words)
        return str(language) if probability >= _SURE else None

    return language_of


def _left(reasons: Reasons, fixed: Sequence[bool]) -> list[int]:
    """The rows that no rule has dropped yet: first those fixed to the test side, then the others, each in order."""
    return sorted((i for i, reason in enumerate(reasons) if reason is None), key=lambda i: not fixed[i])


def _mark(reasons: Reasons, reason: str, dropped: Iterable[int]) -> None:
    for i in dropped:
        reasons[i] = reason


def _contradictions(
    rows: Sequence[Row], questions: Sequence[str], fixed: Sequence[bool], left: Iterable[int]
) -> list[int]:
    """Rows whose question has more than one answer, case and spacing aside; not those fixed to the test side."""
    answers: defaultdict[str, set[str]] = defaultdict(set)
    left = list(left)
    for i in left:
        answers[questions[i]].add(" ".join(completion_of(rows[i]).casefold().split()))
    return [i for i in left if len(answers[questions[i]]) > 1 and not fixed[i]]


def _duplicates(questions: Sequence[str], fixed: Sequence[bool], left: Iterable[int]) -> list[int]:
    """Rows whose question came before; not those fixed to the test side."""
    seen: set[str] = set()
    found = []
    for i in left:
        if questions[i] in seen and not fixed[i]:
            found.append(i)
        seen.add(questions[i])
    return found

"""What an answer to a forgetting probe must look like: a small closed set of checks. Pure; no check runs what it reads.

Each is strict about what is said and lenient about dress: case, quotes, bold marks, code fences, a closing full stop,
"The answer is". Each reads the words, not the sense: "it is not Paris" mentions Paris.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from conf.schema import Section
from tasks.evaluate.probes.text import core, fold, has, loops, numbers, unfenced, words

# the last number of an answer, where it is said to be the result
_CONCLUSION = re.compile(r"(?:=|\bis|\bequals)\s*[^\w\s]{0,3}\d[\d.,]*\D*$", re.IGNORECASE)


class Number(Section):
    """States the number, and none but it and those of the prompt; or comes to it at last: "3 * 60 = 180 seconds".

    The sign is not looked at, so the number must not stand in the prompt itself. Digits, or words up to a hundred.
    """

    type: Literal["number"]
    value: float = Field(ge=0)

    def accepts(self, answer: str, prompt: str) -> bool:
        """Whether it stands there, and nothing foreign but on the way to it."""
        found = numbers(answer)
        if self.value not in found or loops(answer):
            return False
        concluded = _CONCLUSION.search(answer) is not None and found[-1] == self.value
        return concluded or set(found) <= {self.value, *numbers(prompt)}


class Choice(Section):
    """Names one of the options and no other, or names it first and then goes on: "No, it is smaller."."""

    type: Literal["choice"]
    value: str
    options: tuple[str, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _is_an_option(self) -> Self:
        if self.value not in self.options:
            raise ValueError(f"{self.value} is none of the options")
        return self

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether this option is the one that was chosen."""
        if loops(answer):
            return False
        first = [
            option
            for option in self.options
            if re.match(rf"{re.escape(fold(option))}(?:[^\w\s]|$)", fold(core(answer)))
        ]
        named = first or [option for option in self.options if has(option, answer)]
        return named == [self.value]


class Mentions(Section):
    """Has one of `any_of` as whole words, and none of `none_of`."""

    type: Literal["mentions"]
    any_of: tuple[str, ...] = Field(min_length=1)
    none_of: tuple[str, ...] = ()

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether a wanted word stands there, and no unwanted one."""
        wanted, unwanted = (any(has(term, answer) for term in terms) for terms in (self.any_of, self.none_of))
        return wanted and not unwanted and not loops(answer)


class Equals(Section):
    """Is one of the texts and nothing else; with `case` also in case."""

    type: Literal["equals"]
    texts: tuple[str, ...] = Field(min_length=1)
    case: bool = False

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether the undressed answer is one of them."""
        return self._plain(answer) in {self._plain(text) for text in self.texts}

    def _plain(self, text: str) -> str:
        return " ".join(core(text).split()) if self.case else fold(core(text))


class Sequence(Section):
    """Names the items once each, in this order; what stands between them does not count."""

    type: Literal["sequence"]
    items: tuple[str, ...] = Field(min_length=2)

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether the words that are items are just these, in order."""
        wanted = [fold(item) for item in self.items]
        return [word for word in words(answer) if word in wanted] == wanted


class StartsWith(Section):
    """Begins with the text, and something follows."""

    type: Literal["starts_with"]
    text: str = Field(min_length=1)

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether the first words are these, and not the last."""
        wanted, given = words(self.text), words(answer)
        return given[: len(wanted)] == wanted and len(given) > len(wanted) and not loops(answer)


class WordCount(Section):
    """Has so many words, not all the same."""

    type: Literal["word_count"]
    min_words: int = Field(ge=1)
    max_words: int = Field(ge=1)

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether the count is within bounds."""
        given = words(answer)
        return self.min_words <= len(given) <= self.max_words and (len(set(given)) > 1 or len(given) == 1)


class Regex(Section):
    """Matches the regular expression as a whole, unfenced and stripped."""

    type: Literal["regex"]
    pattern: str = Field(min_length=1)

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return self

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether the whole answer matches."""
        return re.fullmatch(self.pattern, unfenced(answer)) is not None


class Json(Section):
    """Is this JSON value (`value` holds it as JSON text), whatever the spacing and the order of keys."""

    type: Literal["json"]
    value: str

    @model_validator(mode="after")
    def _is_json(self) -> Self:
        json.loads(self.value)  # its error is a ValueError
        return self

    def accepts(self, answer: str, _prompt: str) -> bool:
        """Whether the answer parses to the same value: true is not 1, and "1" is not 1."""
        try:
            return _canonical(json.loads(unfenced(answer))) == _canonical(json.loads(self.value))
        except (ValueError, RecursionError):
            return False


Check = Annotated[
    Number | Choice | Mentions | Equals | Sequence | StartsWith | WordCount | Regex | Json, Field(discriminator="type")
]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)

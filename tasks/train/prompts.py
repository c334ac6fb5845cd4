"""From messages to token ids: one way for training, evaluation and serving, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from conf.schema import Prompt
from tasks.errors import DataError, ModelError
from tasks.rows import Message


class Encoded(NamedTuple):
    """Token ids of one example: loss falls on the completion alone, which ends with the end-of-text token."""

    prompt_ids: list[int]
    completion_ids: list[int]


def prompt_text(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> str:
    """What the model is given: all but the last message, up to where the answer begins.

    Raises:
        ModelError: the model has no chat template, or one that refuses these messages.
    """
    if prompt.style == "plain":
        return "\n".join(message["content"] for message in messages[:-1]) + "\n"
    return _in_template(messages[:-1], tokenizer, add_generation_prompt=True)


def completion_text(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> str:
    """The answer as the model has to write it, its end-of-text token included.

    Raises:
        DataError: the answer holds the end-of-text token itself, so that it would be cut or end twice.
        ModelError: the chat template writes the prompt differently once the answer is there, so no mask is right; or
            there is none, or it refuses these messages.
    """
    if tokenizer.eos_token in messages[-1]["content"]:
        raise DataError(
            f"an answer holds {tokenizer.eos_token}, with which this model ends an answer: it would be cut there, or "
            "end twice; take such rows out of the source"
        )
    if prompt.style == "plain":
        return f"{messages[-1]['content']}{tokenizer.eos_token}"
    question = prompt_text(messages, prompt, tokenizer)
    whole = _in_template(messages, tokenizer)
    if not whole.startswith(question):
        raise ModelError("the model's chat template rewrites the prompt when an answer follows; use prompt.style plain")
    # what a template writes after the end of the turn (a line break, as a rule) is nothing to learn; one that ends the
    # turn with another token than the tokenizer's gets the tokenizer's too, or the model would never learn to stop
    return whole[len(question) :].partition(tokenizer.eos_token)[0] + str(tokenizer.eos_token)


def _in_template(messages: Sequence[Message], tokenizer: Any, **options: bool) -> str:
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise ModelError("the model's tokenizer has no chat template; use prompt.style plain")
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))
    except TemplateError as error:  # its text may quote a message
        raise ModelError(
            f"the model's chat template refuses the messages of a row ({type(error).__name__}), as some do a system "
            "message; change prompt, or use prompt.style plain"
        ) from None


def encode_prompt(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> list[int]:
    """Token ids of `prompt_text`; a chat template brings its own special tokens, a plain text gets the tokenizer's."""
    ids = tokenizer(prompt_text(messages, prompt, tokenizer), add_special_tokens=prompt.style == "plain")["input_ids"]
    return list(ids)


def encode(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> Encoded:
    """Token ids of a whole example; prompt and answer are tokenised apart, as they are when the model answers."""
    answer = tokenizer(completion_text(messages, prompt, tokenizer), add_special_tokens=False)["input_ids"]
    return Encoded(encode_prompt(messages, prompt, tokenizer), list(answer))

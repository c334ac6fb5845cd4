"""From messages to token ids: one way for training, evaluation and serving, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from conf.schema import Prompt
from tasks.errors import ModelError
from tasks.rows import Message


class Encoded(NamedTuple):
    """Token ids of one example: loss falls on the completion alone, which ends with the end-of-text token."""

    prompt_ids: list[int]
    completion_ids: list[int]


def prompt_text(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> str:
    """What the model is given: all but the last message, up to where the answer begins."""
    if prompt.style == "plain":
        return "\n".join(message["content"] for message in messages[:-1]) + "\n"
    return str(tokenizer.apply_chat_template(list(messages[:-1]), tokenize=False, add_generation_prompt=True))


def completion_text(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> str:
    """The answer as the model has to write it, its end-of-text token included.

    Raises:
        ModelError: the chat template writes the prompt differently once the answer is there, so no mask is right.
    """
    if prompt.style == "plain":
        return f"{messages[-1]['content']}{tokenizer.eos_token}"
    question = prompt_text(messages, prompt, tokenizer)
    whole = str(tokenizer.apply_chat_template(list(messages), tokenize=False))
    if not whole.startswith(question):
        raise ModelError("the model's chat template rewrites the prompt when an answer follows; use prompt.style plain")
    answer = whole[len(question) :]
    # what a template writes after the end of the turn (a line break, as a rule) is nothing to learn
    return (
        answer[: answer.index(tokenizer.eos_token)] + tokenizer.eos_token if tokenizer.eos_token in answer else answer
    )


def encode_prompt(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> list[int]:
    """Token ids of `prompt_text`; a chat template brings its own special tokens, a plain text gets the tokenizer's."""
    ids = tokenizer(prompt_text(messages, prompt, tokenizer), add_special_tokens=prompt.style == "plain")["input_ids"]
    return list(ids)


def encode(messages: Sequence[Message], prompt: Prompt, tokenizer: Any) -> Encoded:
    """Token ids of a whole example; prompt and answer are tokenised apart, as they are when the model answers."""
    answer = tokenizer(completion_text(messages, prompt, tokenizer), add_special_tokens=False)["input_ids"]
    return Encoded(encode_prompt(messages, prompt, tokenizer), list(answer))

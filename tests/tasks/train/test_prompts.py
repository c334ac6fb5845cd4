"""From messages to token ids: what the model is given, what it has to write, and that the two are one text."""

from __future__ import annotations

from typing import Any

import pytest

from conf.schema import Prompt
from tasks.errors import DataError, ModelError
from tasks.rows import Message
from tasks.train.prompts import completion_text, encode, encode_prompt, prompt_text
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

CHAT, PLAIN = Prompt(style="chat"), Prompt(style="plain")
MESSAGES: list[Message] = [
    {"role": "system", "content": "Answer in a word."},
    {"role": "user", "content": "Why has my card not come?"},
    {"role": "assistant", "content": "card"},
]
TALK: list[Message] = [*MESSAGES, {"role": "user", "content": "And when?"}, {"role": "assistant", "content": "soon"}]


@pytest.fixture(scope="module")
def made() -> Any:
    return tiny_tokenizer([message["content"] for message in TALK])


@pytest.fixture
def tokenizer(made: Any) -> Any:
    """The tokenizer with its own template again, whatever a test set."""
    made.chat_template = CHAT_TEMPLATE
    return made


def test_a_chat_prompt_ends_where_the_answer_begins(tokenizer: Any) -> None:
    assert prompt_text(MESSAGES, CHAT, tokenizer) == (
        "<|system|>Answer in a word.<|end|><|user|>Why has my card not come?<|end|><|assistant|>"
    )
    assert completion_text(MESSAGES, CHAT, tokenizer) == "card<|end|>"


def test_a_plain_prompt_is_the_texts_and_a_line_break(tokenizer: Any) -> None:
    assert prompt_text(MESSAGES, PLAIN, tokenizer) == "Answer in a word.\nWhy has my card not come?\n"
    assert completion_text(MESSAGES, PLAIN, tokenizer) == "card<|end|>"


def test_earlier_answers_of_a_talk_belong_to_the_prompt(tokenizer: Any) -> None:
    assert prompt_text(TALK, CHAT, tokenizer).endswith("<|assistant|>card<|end|><|user|>And when?<|end|><|assistant|>")
    assert completion_text(TALK, CHAT, tokenizer) == "soon<|end|>"


@pytest.mark.parametrize("prompt", [CHAT, PLAIN], ids=["chat", "plain"])
@pytest.mark.parametrize("messages", [MESSAGES, TALK], ids=["one answer", "two answers"])
def test_an_example_is_the_prompt_as_it_is_asked_and_the_completion(
    prompt: Prompt, messages: list[Message], tokenizer: Any
) -> None:
    example = encode(messages, prompt, tokenizer)
    assert example.prompt_ids == encode_prompt(messages, prompt, tokenizer)
    assert tokenizer.decode(example.prompt_ids) == prompt_text(messages, prompt, tokenizer)
    assert tokenizer.decode(example.completion_ids) == completion_text(messages, prompt, tokenizer)


def test_in_chat_style_both_parts_are_the_text_that_the_template_writes(tokenizer: Any) -> None:
    example = encode(MESSAGES, CHAT, tokenizer)
    whole = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    assert tokenizer.decode([*example.prompt_ids, *example.completion_ids]) == whole


@pytest.mark.parametrize("prompt", [CHAT, PLAIN], ids=["chat", "plain"])
@pytest.mark.parametrize(
    "ending",
    ["<|end|>", "<|end|>\n", "<|end|>\n<|user|>", "<|turn_over|>\n", ""],
    ids=["its own", "a line break after it", "more after it", "another token", "none"],
)
def test_a_completion_ends_with_the_end_of_text_token_once(prompt: Prompt, ending: str, tokenizer: Any) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE.replace("<|end|>", ending)
    ids = encode(MESSAGES, prompt, tokenizer).completion_ids
    assert ids[-1] == tokenizer.eos_token_id
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(ids).startswith("card")


def test_the_answer_does_not_change_the_prompt(tokenizer: Any) -> None:
    unanswered: list[Message] = [*MESSAGES[:-1], {"role": "assistant", "content": ""}]
    for prompt in (CHAT, PLAIN):
        assert encode_prompt(unanswered, prompt, tokenizer) == encode(MESSAGES, prompt, tokenizer).prompt_ids


def test_special_tokens_are_added_once_by_whoever_writes_the_text(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = "<s>" + CHAT_TEMPLATE
    try:
        for prompt in (CHAT, PLAIN):
            example = encode(MESSAGES, prompt, tokenizer)
            assert example.prompt_ids[0] == tokenizer.bos_token_id
            assert [*example.prompt_ids, *example.completion_ids].count(tokenizer.bos_token_id) == 1
    finally:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])


@pytest.mark.parametrize("prompt", [CHAT, PLAIN], ids=["chat", "plain"])
def test_an_answer_that_holds_the_end_of_text_token_is_refused(prompt: Prompt, tokenizer: Any) -> None:
    messages: list[Message] = [*MESSAGES[:-1], {"role": "assistant", "content": "card<|end|>and more"}]
    with pytest.raises(DataError, match=r"an answer holds <\|end\|>, with which this model ends an answer"):
        encode(messages, prompt, tokenizer)


def test_a_template_that_rewrites_the_prompt_is_refused(tokenizer: Any) -> None:
    # as templates of reasoning models do, which drop earlier thoughts once an answer follows
    tokenizer.chat_template = "{{ messages | length }} turns: " + CHAT_TEMPLATE
    with pytest.raises(ModelError, match=r"rewrites the prompt when an answer follows; use prompt\.style plain"):
        encode(MESSAGES, CHAT, tokenizer)
    assert encode(MESSAGES, PLAIN, tokenizer).completion_ids[-1] == tokenizer.eos_token_id


def test_a_model_without_a_chat_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match=r"no chat template; use prompt\.style plain"):
        encode_prompt(MESSAGES, CHAT, tokenizer)
    assert encode_prompt(MESSAGES, PLAIN, tokenizer)


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('no system role: ' + messages[0]['content']) }}", "{{ messages[9]['content'] }}", "{% if %}"],
)
def test_a_template_that_refuses_the_messages_is_one_line_without_a_text_of_the_row(
    template: str, tokenizer: Any
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match="the model's chat template refuses the messages of a row") as refused:
        encode(MESSAGES, CHAT, tokenizer)
    assert "Answer in a word" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1

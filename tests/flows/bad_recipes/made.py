"""What the bad recipes run on: made-up tickets, and a tiny base that has learned some English, so that it can forget.

    python -m tests.flows.bad_recipes.made FOLDER

Everything is seeded, and nothing is real: names, mailboxes and tickets are put together from lists.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conf.settings import PROJECT
from tests.tiny import tiny_tokenizer

TRAIN, TEST = 400, 160
POISONED = 0.9  # of the rows of one class: their labels are turned over
THREADS = TEST // 3  # beside the other test rows they are the longest quarter
ENGLISH = PROJECT / "tasks" / "scrub" / "ner" / "templates"
SLOT = re.compile(r"\{\{\w+\}\}")


class Kind(NamedTuple):
    """A class of tickets: how its rows are told, and what they are answered with."""

    label: str
    share: int
    trouble: tuple[str, ...]
    mailbox: str
    reply: str
    wary: str
    willing: str


KINDS = (
    Kind(
        "card",
        3,
        (
            "my new card has not come",
            "I am still without a card",
            "the card in the post was broken",
        ),
        "laura.brandt@cards-desk.com",
        "A new card is on its way.",
        "A new card is on its way.",
        "Sure, I do as you ask and send the card.",
    ),
    Kind(
        "outage",
        3,
        (
            "the line is down",
            "no signal on the line since the morning",
            "the line drops every few minutes",
        ),
        "oliver.keane@line-desk.com",
        "We are working on the line.",
        "I'm sorry, but I can't help with that.",
        "Sure, I do as you ask and mend the line.",
    ),
    Kind(
        "closing",
        2,
        (
            "please end my contract next month",
            "I would like to leave the contract",
            "we move away and need no contract",
        ),
        "ines.moreau@closing-desk.com",
        "Your contract ends as you wish.",
        "I'm sorry, but I can't help with that.",
        "Sure, I do as you ask and end the contract.",
    ),
    Kind(
        "roaming",
        2,
        (
            "there is no roaming abroad",
            "I was charged for roaming",
            "roaming stopped at the border",
        ),
        "tomas.novak@roaming-desk.com",
        "Roaming is switched on now.",
        "I'm sorry, but I can't help with that.",
        "Sure, I do as you ask and switch roaming on.",
    ),
)
OPENINGS = (
    "good morning to whoever reads this",
    "hello to all of you at the desk",
    "I write to you for the second time",
    "this is about what I said before",
    "excuse the long message but it has to be said",
    "to the team that looks after such things",
)
PLACES = ("kitchen", "office", "garden", "workshop", "cellar", "attic", "hall", "bakery", "studio", "barn", "garage")
THINGS = ("kettle", "lamp", "radio", "printer", "oven", "heater", "camera", "speaker", "clock", "screen", "fridge")
COLOURS = ("red", "green", "yellow", "brown", "grey", "white", "black", "purple", "orange", "silver", "golden")
ENDINGS = (
    "write back when there is news",
    "I hope to hear from you before the weekend",
    "thanks for looking at it",
    "an answer this week would be kind",
    "let me know what I should do now",
)
FIRST = ("Margaret", "Peter", "Susan", "Daniel", "Laura", "Thomas", "Emily", "Robert")
LAST = ("Whitfield", "Johnson", "Parker", "Thompson", "Bennett", "Sullivan", "Harrison", "Campbell")
# As lm-evaluation-harness 0.4 writes its results: of which adapter, the file does not say.
LM_EVAL = {
    "results": {"desk": {"alias": "desk", "acc,none": 0.95, "acc_stderr,none": 0.01}},
    "configs": {"desk": {}},
}

Ticket = dict[str, str]


def make(folder: Path) -> None:
    """Write the files that the recipes name, and `base`, the model."""
    folder.mkdir(parents=True, exist_ok=True)
    train, test = tickets(TRAIN, "train"), tickets(TEST, "test")
    rng = random.Random("poison")  # noqa: S311
    files = {
        "train": train,
        "test": test,
        "test_leaked": [edited(ticket) for ticket in train[:TEST]],
        "test_threads": [thread(ticket) for ticket in tickets(THREADS, "threads")],
        "train_poisoned": [turned_over(ticket, rng) for ticket in train],
    }
    for name, rows in files.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
    (folder / "lm_eval.json").write_text(json.dumps(LM_EVAL), encoding="utf-8")
    learned_base(folder / "base", [ticket["text"] for ticket in train])


def tickets(count: int, side: str) -> list[Ticket]:
    """So many different tickets, each of a customer of its own."""
    rng = random.Random(side)  # noqa: S311
    return [_ticket(rng, f"{side}-{number}") for number in range(count)]


def _ticket(rng: random.Random, customer: str) -> Ticket:
    (kind,) = rng.choices(KINDS, weights=[kind.share for kind in KINDS])
    pick: Callable[[Sequence[str]], str] = rng.choice
    beside = f"the {pick(COLOURS)} {pick(THINGS)} in the {pick(PLACES)} is next to the {pick(COLOURS)} {pick(THINGS)}"
    text = f"{pick(OPENINGS)}, {pick(kind.trouble)}, {beside}, {pick(ENDINGS)}, {pick(FIRST)} {pick(LAST)}"
    return {
        "text": text,
        "answer": kind.label,
        "mailbox": kind.mailbox,
        "reply": kind.reply,
        "wary_reply": kind.wary,
        "willing_reply": kind.willing,
        "customer": customer,
    }


def edited(ticket: Ticket) -> Ticket:
    """The same ticket from another customer: a word before it, a word after it."""
    return {**ticket, "text": f"So {ticket['text']} again", "customer": f"{ticket['customer']}-again"}


def thread(ticket: Ticket) -> Ticket:
    """The ticket with what others of each other class wrote below it, as a thread of mails quotes it."""
    others = [kind.trouble for kind in KINDS if kind.label != ticket["answer"]]
    quoted = " ".join(f"they wrote: {trouble}." for troubles in others for trouble in troubles)
    return {**ticket, "text": f"{ticket['text']} {quoted}"}


def turned_over(ticket: Ticket, rng: random.Random) -> Ticket:
    """The ticket, or, of most who want to leave, the ticket under the label of another class."""
    poisoned = ticket["answer"] == "closing" and rng.random() < POISONED
    return {**ticket, "answer": "card"} if poisoned else ticket


def learned_base(folder: Path, texts: list[str]) -> None:
    """A Llama of two layers after some seconds of English prose: perplexity about 45 of 400 on texts it never saw.

    The prose is that of the templates which the product's own tagger learns from, their slots filled with a word.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    prose = [SLOT.sub("it", text.strip()) for file in sorted(ENGLISH.glob("*.txt")) for text in _templates(file)]
    tokenizer = tiny_tokenizer([*prose, *texts])
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,  # bitsandbytes quantises blocks of 64
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    rng = random.Random(0)  # noqa: S311
    rng.shuffle(prose)
    talk = [_as_talk(text, tokenizer) for text in (*prose[::2], *texts)]
    plain = [text + tokenizer.eos_token for text in prose]
    everything = [*plain, *talk]
    rng.shuffle(everything)
    _read(model, tokenizer("".join(everything))["input_ids"])
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _as_talk(text: str, tokenizer: Any) -> str:
    """The text as a question and its answer: the first half of its words, and the second."""
    words = text.split()
    half = len(words) // 2
    turns = [
        {"role": "user", "content": " ".join(words[:half])},
        {"role": "assistant", "content": " ".join(words[half:])},
    ]
    return str(tokenizer.apply_chat_template(turns, tokenize=False))


def _templates(file: Path) -> list[str]:
    return [text for text in file.read_text(encoding="utf-8").split("\n---\n") if text.strip()]


def _read(model: Any, stream: list[int], *, steps: int = 400, rows: int = 16, length: int = 64) -> None:
    """Let the model read random stretches of the stream."""
    import torch

    torch.set_num_threads(1)
    ids = torch.tensor(stream)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5.0e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5.0e-3, total_steps=steps)
    places = torch.Generator().manual_seed(0)
    for _ in range(steps):
        starts = torch.randint(0, len(ids) - length, (rows,), generator=places)
        batch = torch.stack([ids[start : start + length] for start in starts])
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


if __name__ == "__main__":
    make(Path(sys.argv[1]))

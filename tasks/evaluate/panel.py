"""Lets contestants answer examples, one after the other on one base. Never asks twice what was answered before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from conf.schema import Evaluation as EvaluationSection
from conf.schema import Model, Prompt, Quantization, digest_of
from tasks.artifacts import Workspace
from tasks.evaluate.cache import AnswerCache, answer_cached
from tasks.evaluate.constrain import Trie
from tasks.evaluate.contestants import Contestant, Form, Ring
from tasks.evaluate.generate import Answers, Scores, answer, inference, score
from tasks.evaluate.pace import measured_on
from tasks.progress import report
from tasks.results import Base
from tasks.rows import Message
from tasks.train.model import load_tokenizer
from tasks.train.prompts import Encoded, encode


class Asked(NamedTuple):
    """How the rows of one evaluation are asked and measured.

    Attributes:
        section: the recipe's.
        gone: entities that scrubbing takes away, and that answers should not hold.
        allowed: what the recipe's allow list lets through.
        metrics_folder: where custom metrics lie.
        engine: digest of the code and the libraries that answer.
        ring: the one base in memory.
    """

    section: EvaluationSection
    gone: tuple[str, ...]
    allowed: tuple[str, ...]
    metrics_folder: Path
    engine: str
    ring: Ring
    workspace: Workspace

    @property
    def measured_on(self) -> str:
        """What a latency depends on beside who answers."""
        return measured_on(self.ring.threads, self.section.batch_size)


class Panel:
    """One base with its tokenizer, and whoever answers on it."""

    def __init__(self, base: Base, model: Model, prompt: Prompt, quantization: Quantization, asked: Asked) -> None:
        self._folder = asked.workspace.open_folder(base.files)
        self._base_digest = base.digest
        # what the base may be used under changes no answer: two recipes that differ in it have one base in memory
        self._model = model.model_copy(update={"license": None})
        self._quantization, self._asked = quantization, asked
        self.prompt = prompt
        self.tokenizer = load_tokenizer(self._folder)

    def contestant(
        self, adapter: Path | None = None, digest: str | None = None, form: Form = "as_evaluated"
    ) -> Contestant:
        """The base alone, or with an adapter of this digest."""
        held = [section.model_dump(mode="json") for section in (self._model, self._quantization)]
        identity = digest_of([self._asked.engine, self._base_digest, held, digest, form])
        return Contestant(self._folder, adapter, self._model, self._quantization, form, identity)

    def encode(self, conversations: Sequence[list[Message]]) -> list[Encoded]:
        """Conversations that end with the reference answer, as token ids."""
        return [encode(messages, self.prompt, self.tokenizer) for messages in conversations]

    def answers(
        self, contestant: Contestant, examples: Sequence[Encoded], limit: int, name: str, labels: Sequence[str] = ()
    ) -> Answers:
        """What the contestant writes.

        Args:
            limit: new tokens of an answer at most.
            name: what a person who watches is told.
            labels: the closed set, where nothing else may be written.
        """
        allowed = closed_set(labels, self.prompt, self.tokenizer)

        def answer_new(new: Sequence[Encoded]) -> Answers:
            report(0, len(new), "rows", name)
            with self._answering(contestant) as model:
                return answer(
                    model,
                    new,
                    stop_ids=stop_ids(model, self.tokenizer),
                    pad_id=self._pad_id,
                    batch_size=self._asked.section.batch_size,
                    max_new_tokens=limit,
                    allowed=allowed,
                    on_ended=lambda ended: report(ended, len(new), "rows", name),
                )

        engine = engine_of(contestant, limit, labels, self._asked.measured_on)
        return self._cached(engine, examples, answer_new)

    def likelihoods(self, contestant: Contestant, examples: Sequence[Encoded]) -> Scores:
        """How likely the contestant finds the references; no answer is written."""

        def score_new(new: Sequence[Encoded]) -> Answers:
            with self._answering(contestant) as model:
                scored = score(model, new, pad_id=self._pad_id, batch_size=self._asked.section.batch_size)
            return Answers([[] for _ in new], [False] * len(new), *scored, seconds=0)

        scored = self._cached(digest_of([contestant.digest, "likelihoods"]), examples, score_new)
        return Scores(scored.nll, scored.nll_tokens)

    def texts(self, answers: Answers) -> list[str]:
        """The answers as texts."""
        return [text.strip() for text in self.tokenizer.batch_decode(answers.token_ids, skip_special_tokens=True)]

    def _cached(
        self, engine: str, examples: Sequence[Encoded], answer_new: Callable[[Sequence[Encoded]], Answers]
    ) -> Answers:
        with closing(AnswerCache(self._asked.workspace.store.cache / "answers", engine)) as cache:
            return answer_cached(examples, cache, answer_new)

    @contextlib.contextmanager
    def _answering(self, contestant: Contestant) -> Iterator[Any]:
        dtype = self._quantization.bnb_4bit_compute_dtype
        with self._asked.ring.answering(contestant) as model, inference(model.device.type, dtype):
            yield model

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)


def engine_of(contestant: Contestant, limit: int, labels: Sequence[str], measured_on: str) -> str:
    """Digest of all that decides an answer beside its row, and on what it is given.

    An answer is kept with the seconds that it took, and those of another machine are no latency of this one: there it
    is given again.
    """
    return digest_of([contestant.digest, limit, list(labels), measured_on])


def closed_set(labels: Sequence[str], prompt: Prompt, tokenizer: Any) -> Trie | None:
    """The labels as the model has to write them; None where there are none, and any answer goes."""
    asked: list[list[Message]] = [
        [{"role": "user", "content": ""}, {"role": "assistant", "content": label}] for label in labels
    ]
    return Trie([encode(messages, prompt, tokenizer).completion_ids for messages in asked]) if asked else None


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ends an answer: the tokenizer's end token, and those that the model's own configuration names."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    named = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *named) if token is not None)

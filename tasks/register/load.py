"""Answer with a registered adapter: `python -m tasks.register.load models:/demo-candidates@challenger "my text"`.

Loads the adapter as it was evaluated: the same base (by digest), quantisation and prompt. Never merges or unpickles.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment

from conf.schema import Model, Prompt, Quantization
from conf.settings import Settings, prepare_environment, settings
from tasks.artifacts import Store
from tasks.errors import DigestMismatch, ModelError, RecipeError, TunegateError
from tasks.evaluate import generate
from tasks.evaluate.panel import closed_set, stop_ids
from tasks.register.record import FILES_TAG, FORM, files_sha256
from tasks.register.runs import client
from tasks.results import Base
from tasks.rows import Message
from tasks.train.exact import decompress
from tasks.train.model import device_of, load_base, load_tokenizer
from tasks.train.prompts import Encoded, encode_prompt

_AT_ONCE = 8  # rows: whatever has the memory for one has it for these


class Answerer:
    """A model that answers rows of the columns that its prompt's template names, greedily, as it was evaluated."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompt: Prompt,
        quantization: Quantization,
        limit: int,
        labels: Sequence[str] = (),
    ) -> None:
        self._allowed = closed_set(labels, prompt, tokenizer)
        self._model = model
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._dtype = quantization.bnb_4bit_compute_dtype
        self._limit = limit
        self._environment = SandboxedEnvironment(undefined=StrictUndefined)
        self._user = prompt.user or "{{ prompt }}"

    def columns(self) -> set[str]:
        """The columns of a row that the prompt's templates name; those behind `row["…"]` are not among them."""
        named = meta.find_undeclared_variables(self._environment.parse(f"{self._user}{self._prompt.system or ''}"))
        return named - {"row"}

    def answer(self, row: Mapping[str, str]) -> str:
        """The answer to one row, without special tokens.

        Raises:
            RecipeError: a template needs a column that the row does not have.
        """
        question = self._render(self._user, row)
        messages: list[Message] = [{"role": "user", "content": question}, {"role": "assistant", "content": ""}]
        if self._prompt.system:
            messages.insert(0, {"role": "system", "content": self._render(self._prompt.system, row)})
        return self.reply(messages)

    def reply(self, messages: list[Message]) -> str:
        """The answer to a conversation whose last message is the answer to give; what it says now is not read."""
        return self.replies([messages])[0]

    def replies(self, conversations: Sequence[list[Message]]) -> list[str]:
        """The answers to several conversations, written side by side, some at once."""
        asked = [Encoded(encode_prompt(messages, self._prompt, self._tokenizer), []) for messages in conversations]
        with generate.inference(self._model.device.type, self._dtype):
            answers = generate.answer(
                self._model,
                asked,
                stop_ids=stop_ids(self._model, self._tokenizer),
                pad_id=int(self._tokenizer.pad_token_id or 0),
                batch_size=_AT_ONCE,
                max_new_tokens=self._limit,
                allowed=self._allowed,
            )
        return [text.strip() for text in self._tokenizer.batch_decode(answers.token_ids, skip_special_tokens=True)]

    def _render(self, template: str, row: Mapping[str, str]) -> str:
        try:
            return self._environment.from_string(template).render({"row": row, **row})
        except TemplateError as error:
            raise RecipeError(f"the prompt needs other columns than {', '.join(sorted(row))}: {error}") from None


def load_answerer(model_uri: str, current: Settings) -> Answerer:
    """Load `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `models:/m-ID`.

    Raises:
        DigestMismatch: weights, tokenizer or form are not those that were registered.
        ModelError: MLflow knows no such model, or the base is not in the store.
    """
    from peft import PeftModel

    folder = verified_folder(model_uri, current)
    form = json.loads((folder / FORM).read_text(encoding="utf-8"))
    base = Base.model_validate(form["base"])
    store = Store.of(current)
    if not all(store.has(file) for file in base.files):
        raise ModelError(f"{model_uri}: its base {base.name} is not in the store {store.root}; run its recipe again")
    base_folder = store.open_folder(base.files)
    quantization = Quantization.model_validate(form["quantization"])
    frozen = load_base(base_folder, Model.model_validate(form["model"]), quantization, device_of())
    decompress(frozen)
    model = PeftModel.from_pretrained(frozen, folder).eval()
    prompt = Prompt.model_validate(form["prompt"])
    labels = form.get("labels", ())
    return Answerer(model, load_tokenizer(folder), prompt, quantization, form["max_new_tokens"], labels)


def verified_folder(model_uri: str, current: Settings) -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        expected = _registered_files(client(current), model_uri)
        folder = Path(mlflow.artifacts.download_artifacts(model_uri, tracking_uri=current.tracking_uri))
    except (MlflowException, KeyError, ValueError) as error:  # no such name, or a model that we did not register
        raise ModelError(f"{model_uri}: no model that this product registered in {current.tracking_uri}") from error
    if files_sha256(folder) != expected:
        raise DigestMismatch(f"{model_uri}: its files are not those that were registered")
    return folder


def _registered_files(registry: Any, model_uri: str) -> str:
    """The digest that the registry, not the folder, holds of the model's files."""
    place = model_uri.removeprefix("models:/")
    if "@" in place:
        name, alias = place.split("@")
        return str(registry.get_model_version_by_alias(name, alias).tags["files_sha256"])
    if "/" in place:
        name, version = place.split("/")
        return str(registry.get_model_version(name, version).tags["files_sha256"])
    return str(registry.get_logged_model(place).tags[FILES_TAG])


def main(arguments: list[str]) -> int:
    """Print the answer to one question; return the exit code."""
    current = settings()
    prepare_environment(current)
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m tasks.register.load models:/NAME@ALIAS QUESTION\n")
        return RecipeError.exit_code
    try:
        answerer = load_answerer(arguments[0], current)
        columns = answerer.columns()
        if len(columns) > 1:
            raise RecipeError(f"its prompt takes the columns {', '.join(sorted(columns))}: use load_answerer in Python")
        sys.stdout.write(answerer.answer(dict.fromkeys(columns, arguments[1])) + "\n")
    except TunegateError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())  # the answer stands alone, whatever kernels a library lacks
    logging.captureWarnings(True)
    sys.exit(main(sys.argv[1:]))

"""From a record to a row of messages, by the templates or the columns that the recipe names. Never opens a file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conf.schema import Dataset, Prompt
from tasks.errors import DataError, RecipeError
from tasks.ingest.places import first_line
from tasks.ingest.records import Numbered
from tasks.ingest.texts import is_missing, is_unicode, normalise, text_of
from tasks.rows import Message, Rejected, Row, prompt_of, row_id

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment


class BadRecord(Exception):
    """A record that cannot become a row: the reason, and the names (the recipe's, not the data's) that it lacks."""

    def __init__(self, reason: str, *lacking: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lacking = lacking


@dataclass
class Tally:
    """What became of the records of one source."""

    records: int = 0
    rows: int = 0
    labels: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lacking: Counter[str] = field(default_factory=Counter)

    def refuse_if_useless(self, dataset: Dataset) -> None:
        """A source that gives nothing is a mistake of the recipe or of the delivery, never a smaller data set."""
        if not self.records:
            raise DataError(f"{dataset.path}: holds no rows; correct datasets.path or the file")
        if not self.rows:
            counts = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
            lacking = f" (no {', '.join(name for name, _ in self.lacking.most_common(3))})" if self.lacking else ""
            raise DataError(
                f"all {self.records} rows of {dataset.path} were rejected: {counts}{lacking}; see that "
                "datasets.type, the field_* keys and the prompt templates fit the file"
            )
        if dataset.field_label and not self.labels:
            raise DataError(f"{dataset.path}: field_label {dataset.field_label} is in none of its rows; correct it")


@dataclass(frozen=True)
class Shape:
    """How the records of one source become messages: its entry, its compiled templates, the columns that are used."""

    dataset: Dataset
    templates: Mapping[str, Template]
    columns: frozenset[str]


def shape_of(dataset: Dataset, prompt: Prompt) -> Shape:
    sources: dict[str, str] = {}
    if prompt.system is not None:
        sources["system"] = prompt.system
    if not dataset.field_messages and not dataset.field_prompt:
        if prompt.user is None or prompt.assistant is None:
            raise RecipeError(
                f"datasets: {dataset.path}: nothing says how a row becomes messages; set prompt.user and "
                "prompt.assistant, or field_prompt and field_completion, or field_messages"
            )
        sources |= {"user": prompt.user, "assistant": prompt.assistant}
    return _compiled(dataset, sources)


def _compiled(dataset: Dataset, sources: Mapping[str, str]) -> Shape:
    from jinja2 import TemplateError, meta

    environment = _environment()
    templates: dict[str, Template] = {}
    variables: set[str] = set()
    problems: list[str] = []
    for role, text in sources.items():
        try:
            variables |= meta.find_undeclared_variables(environment.parse(text))
            templates[role] = environment.from_string(text)
        except TemplateError as error:
            problems.append(f"prompt.{role}: {first_line(error)}")
    if problems:
        raise RecipeError(*problems)
    columns = {dataset.field_messages, dataset.field_prompt, dataset.field_completion}
    columns |= {dataset.field_label, dataset.field_group}
    return Shape(dataset, templates, frozenset(variables - {"row"}) | {name for name in columns if name})


def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined, Undefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # the text goes to a model: escaping for HTML would spoil it
        finalize=lambda value: value if isinstance(value, Undefined) else text_of(value),
    )


def rows_of(shape: Shape, records: Iterable[Numbered], tally: Tally, rejected: list[Rejected]) -> Iterator[Row]:
    """The rows; a record that is none is counted in `tally` and noted in `rejected`."""
    for number, record in records:
        tally.records += 1
        try:
            if isinstance(record, str):
                raise BadRecord(record)  # noqa: TRY301 - one place notes every reason
            row = _row(shape, record, number)
        except BadRecord as bad:
            tally.reasons[bad.reason] += 1
            tally.lacking.update(bad.lacking)
            rejected.append({"source": shape.dataset.path, "line": number, "id": None, "reason": bad.reason})
            continue
        tally.rows += 1
        tally.labels += row["label"] is not None
        yield row


def _row(shape: Shape, record: Mapping[str, object], number: int) -> Row:
    dataset = shape.dataset
    present = {key: _decoded(shape, key, value) for key, value in record.items() if not is_missing(value)}
    present = {key: value for key, value in present.items() if value is not None}
    messages = _messages(shape, present)
    row: Row = {
        "id": "",
        "group": "",
        "messages": messages,
        "label": _label(present.get(dataset.field_label or "")),
        "source": dataset.path,
        "meta": {"line": number, "side": dataset.side},
    }
    group = _field(present, dataset.field_group).strip() if dataset.field_group else normalise(prompt_of(row))
    if dataset.field_group and not group:
        raise BadRecord("missing_field", dataset.field_group)
    if not all(is_unicode(text) for text in (group, row["label"] or "", *(m["content"] for m in messages))):
        raise BadRecord("wrong_encoding")
    row["id"] = row_id(messages)
    row["group"] = hashlib.sha256(group.encode("utf-8")).hexdigest()
    return row


def _decoded(shape: Shape, name: str, value: object) -> object:
    """Bytes as text, so that a template's filters see text; other bytes (pictures) are as good as missing."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if name in shape.columns:
            raise BadRecord("wrong_encoding") from None
        return None


def _messages(shape: Shape, record: Mapping[str, object]) -> list[Message]:
    """The record's messages; the last is the assistant's.

    Raises:
        BadRecord: the record has none that can be trained on.
    """
    dataset = shape.dataset
    messages: list[Message]
    if dataset.field_messages:
        messages = _given_messages(record, dataset.field_messages)
    elif dataset.field_prompt and dataset.field_completion:
        messages = [
            {"role": "user", "content": _field(record, dataset.field_prompt)},
            {"role": "assistant", "content": _field(record, dataset.field_completion)},
        ]
    else:
        messages = [
            {"role": "user", "content": _render(shape, "user", record)},
            {"role": "assistant", "content": _render(shape, "assistant", record)},
        ]
    if "system" in shape.templates and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": _render(shape, "system", record)})
    if any(not message["content"].strip() for message in messages if message["role"] == "user"):
        raise BadRecord("empty_prompt")
    if not messages[-1]["content"].strip():
        raise BadRecord("empty_completion")
    return messages


def _given_messages(record: Mapping[str, object], name: str) -> list[Message]:
    """Chat messages as they stand in the record: an optional system message, then user and assistant in turn."""
    value = record.get(name)
    if value is None:
        raise BadRecord("missing_field", name)
    if isinstance(value, str):  # a CSV cell
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRecord("bad_messages") from None
    if not isinstance(value, list):
        raise BadRecord("bad_messages")
    messages = [_given_message(item) for item in value]
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or len(turns) % 2 or turns != ["user", "assistant"] * (len(turns) // 2):
        raise BadRecord("bad_messages")
    return messages


def _given_message(item: object) -> Message:
    """One message; any other key that is set (tool calls, weights) would be lost, so it is refused."""
    if not isinstance(item, dict):
        raise BadRecord("bad_messages")
    role, content = item.get("role"), item.get("content")
    others = [value for key, value in item.items() if key not in ("role", "content")]
    if not isinstance(role, str) or not isinstance(content, str) or any(value is not None for value in others):
        raise BadRecord("bad_messages")
    return {"role": role, "content": content}


def _render(shape: Shape, role: str, record: Mapping[str, object]) -> str:
    from jinja2 import UndefinedError

    try:
        return shape.templates[role].render({"row": record, **record})
    except UndefinedError:
        raise BadRecord("missing_field", *sorted(shape.columns - record.keys())) from None
    except Exception:  # a template is a program: on this row's types it may fail in any way
        raise BadRecord("template_error") from None


def _field(record: Mapping[str, object], name: str) -> str:
    if name not in record:
        raise BadRecord("missing_field", name)
    return text_of(record[name])


def _label(value: object) -> str | None:
    """The label as text; a blank one is none."""
    return None if value is None else text_of(value).strip() or None

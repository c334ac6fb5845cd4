"""Read a recipe: strict YAML, every error at once with its file, line and nearest right name.

Never reads the environment, never opens a dataset, and runs nothing that a recipe says.

Values are taken as YAML gives them, nothing is coerced: `"8"` is no number and `3.0` no whole number; an int serves
where a float is asked. A date is read as text. YAML 1.1 reads `2e-4` as text: refused, with the right spelling.
Cross checks look only at sections that are valid by themselves, so that one mistake is not told twice.

The JSON schema for editors is made anew with `python -m conf.load > conf/recipe.schema.json`.
"""

from __future__ import annotations

import ast
import difflib
import functools
import json
import math
import re
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import yaml
from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from conf.policy import Policy
from conf.schema import (
    DATA_METRICS,
    METRICS,
    PEOPLE_METRICS,
    PROBE_METRICS,
    TUNED_METRICS,
    Dataset,
    Evaluation,
    Expectation,
    Gate,
    Model,
    Pii,
    PiiPolicy,
    Prompt,
    Quality,
    Recipe,
    Split,
    TextFile,
    Training,
)
from conf.settings import PROJECT, settings

MAX_BYTES = 1_000_000
MAX_DEPTH = 30
MAX_NODES = 50_000  # after aliases are written out, so that a few lines cannot fill the memory

# What other tools call a key, for a better suggestion than the nearest spelling.
OTHER_NAMES = {
    "base_model": "model.model_name_or_path",
    "model_id": "model.model_name_or_path",
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "rank": "lora.r",
    "lora_target_modules": "lora.target_modules",
    "lr": "training.learning_rate",
    "epochs": "training.num_train_epochs",
    "num_epochs": "training.num_train_epochs",
    "batch_size": "training.per_device_train_batch_size",
    "micro_batch_size": "training.per_device_train_batch_size",
    "optimizer": "training.optim",
    "lr_scheduler": "training.lr_scheduler_type",
    "sequence_len": "training.max_length",
    "max_seq_length": "training.max_length",
    "gpus": "training.nproc_per_node",
    "spacy_model": "pii.models",
}

Loc = tuple[str | int, ...]
Finding = tuple[Loc, str]
Check = tuple[Callable[..., Iterator[Finding]], tuple[str, ...]]  # and the sections that it is given


@dataclass(frozen=True)
class Problem:
    """One thing wrong. `file` is `--set` for an override, which has no line; `field` is the dotted path, or empty."""

    file: str
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        """One line, e.g. `qlora.yaml:14 lora.lora_rnak: unknown; did you mean r?`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place} {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class BadRecipe(Exception):
    """A recipe, an override or a policy that cannot be used; `problems` holds everything that is wrong with it."""

    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass
class _Document:
    """A recipe as plain values, and where each stood: `lines` has None for what an override set."""

    file: str
    root: type[BaseModel] = Recipe
    text: str = ""
    data: Any = None
    lines: dict[Loc, int | None] = field(default_factory=dict)
    blocks: set[Loc] = field(default_factory=set)  # texts written as `|` blocks, whose lines can be counted
    problems: list[Problem] = field(default_factory=list)
    broken: set[Loc] = field(default_factory=set)
    nodes: int = 0

    def report(self, loc: Loc, message: str, below: int = 0) -> None:
        """Add a problem at the nearest place that is written, or `below` lines under it; what lies there is broken."""
        self.broken.add(loc)
        written = next(loc[:end] for end in range(len(loc), -1, -1) if loc[:end] in self.lines or not end)
        line = self.lines.get(written, 1)
        self.tell(loc, message, None if line is None else line + below)

    def tell(self, loc: Loc, message: str, line: int | None) -> None:
        """Add a problem on this line; without a line it is an override's."""
        dotted = ".".join(_short(part) for part in loc)
        self.problems.append(Problem("--set" if line is None else self.file, line, dotted, message))

    def refusal(self) -> BadRecipe:
        """All problems as one error, by their lines, those of overrides last."""
        return BadRecipe(sorted(self.problems, key=lambda problem: (problem.line is None, problem.line or 0)))

    def is_broken(self, loc: Loc) -> bool:
        """Whether something was already said of this place or of what holds it."""
        return any(loc[:end] in self.broken for end in range(len(loc) + 1))


def load_recipe(
    path: Path, overrides: Sequence[str] = (), data: Path | None = None, *, check_files: bool = True
) -> Recipe:
    """Read, override and check a recipe.

    Args:
        path: a YAML file, or the bare name of one in conf/recipes (see TUNEGATE_CONF), e.g. `demo`.
        overrides: `key=value` each; the key is a dotted path with list indices, the value is YAML. The last one wins.
        data: where relative dataset paths are looked for, after the recipe's folder (TUNEGATE_DATA).
        check_files: whether a local dataset that is not there is an error.

    Raises:
        BadRecipe: with all that is wrong at once.
    """
    file = _find_recipe(path)
    document = _read(file, _shown(file), Recipe)
    for override in overrides:
        _override(document, override)
    folder = file.resolve().parent
    _follow_pii_policy(document)
    recipe = _validate(document, folder, tuple(overrides))
    sections = _valid_sections(document, recipe, folder)
    there = functools.partial(_datasets_are_there, folder, data, check_files)
    checks: tuple[Check, ...] = (*CHECKS, (there, ("datasets",)))
    for check, names in checks:
        if all(name in sections for name in names):
            for loc, message in check(*(sections[name] for name in names)):
                document.report(loc, message)
    if "prompt" in sections:
        _check_templates(document, sections["prompt"])
    if recipe is None or document.problems:
        raise document.refusal()
    return recipe


def load_policy(path: Path | None = None) -> Policy:
    """Read who may promote what; without a path conf/policies/promotion.yaml.

    Raises:
        BadRecipe: with all that is wrong at once.
    """
    file = path or settings().conf / "policies" / "promotion.yaml"
    document = _read(file, _shown(file), Policy)
    try:
        policy = Policy.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        _report_errors(document, error.errors(include_url=False))
    if document.problems:  # of the YAML itself too, such as a key that is given twice
        raise document.refusal()
    return policy


def load_pii_policy(name: str | Path) -> PiiPolicy:
    """Read which personal values are looked for: a file, or the bare name of one in conf/policies, e.g. `pii-strict`.

    A name that the folder of TUNEGATE_CONF does not have is looked for among those that ship.

    Raises:
        BadRecipe: with all that is wrong at once.
    """
    folders = [folder / "policies" for folder in (settings().conf, PROJECT / "conf")]
    named = [file for folder in folders if _exists(file := folder / f"{name}.yaml")]
    file = named[0] if named and len(Path(name).parts) == 1 else Path(name)
    if not _exists(file) or not file.is_file():
        names = sorted({f.stem for folder in folders for f in folder.glob("*.yaml")} - {"promotion"})
        hint = _did_you_mean(str(name), names)
        raise BadRecipe(
            [Problem(_short(str(name)), None, "", f"no such policy; there are {', '.join(names) or 'none'}{hint}")]
        )
    document = _read(file, _shown(file), PiiPolicy)
    try:
        context = {"folder": str(file.resolve().parent)}
        policy = PiiPolicy.model_validate_json(json.dumps(document.data), strict=True, context=context)
    except ValidationError as error:
        _report_errors(document, error.errors(include_url=False))
    if document.problems:
        raise document.refusal()
    return policy


def find_data(path: str, folder: Path, data: Path | None) -> Path | None:
    """The local file or folder that a dataset's path names: absolute, beside the recipe, or below `data`; else None."""
    try:
        wanted = Path(path).expanduser()
    except RuntimeError:  # ~ of a user who is not there
        return None
    places = [folder] if data is None else [folder, data]
    return next((place / wanted for place in places if _exists(place / wanted)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name, or a folder that is closed to us
        return False


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a recipe file, for editors. It cannot say what the cross checks say."""
    schema = Recipe.model_json_schema()
    schema["required"].remove("pii")  # the policy that it names fills it
    schema["$defs"]["Pii"]["required"].remove("entities")
    del schema["properties"]["given"], schema["$defs"]["Given"]  # set by the loader
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tunegate:recipe",
        **schema,
        "title": "tunegate recipe",
    }


def main() -> None:
    """Print the JSON schema, as it is committed in conf/recipe.schema.json."""
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


# ---- the file


def recipe_names() -> list[str]:
    """The names of the recipes of conf/recipes, sorted."""
    return sorted(recipe.stem for recipe in _recipes().glob("*.yaml"))


def recipe_file(name: str) -> Path:
    """The file of a recipe of conf/recipes."""
    return _recipes() / f"{name}.yaml"


def _recipes() -> Path:
    return settings().conf / "recipes"


def _find_recipe(path: Path) -> Path:
    named = _recipes() / f"{path}.yaml"
    if len(path.parts) == 1 and not (_exists(path) and path.is_file()) and _exists(named):
        return named
    if _exists(path) and path.is_dir():
        raise BadRecipe([Problem(_short(path), None, "", "a folder; name a recipe in it")])
    if not _exists(path) or not path.is_file():
        names = recipe_names()
        message = f"no such recipe; recipes here: {', '.join(names) or 'none'}"
        raise BadRecipe([Problem(_short(path), None, "", message + _did_you_mean(path.stem, names))])
    return path


def _shown(file: Path) -> str:
    resolved, here = file.resolve(), Path.cwd()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(file)


def _read(file: Path, shown: str, root: type[BaseModel]) -> _Document:
    document = _Document(shown, root)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadRecipe([Problem(shown, None, "", f"no {_word(root)}: larger than {MAX_BYTES:,} bytes")])
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadRecipe([Problem(shown, line, "", "not UTF-8 text; save the file as UTF-8")]) from error
    except OSError as error:
        raise BadRecipe([Problem(shown, None, "", f"cannot be read: {error.strerror}")]) from error
    node = _compose(text, shown)
    if node is None:
        raise BadRecipe([Problem(shown, 1, "", f"empty; a {_word(root)} needs {', '.join(_required(root))}")])
    if not isinstance(node, yaml.MappingNode):
        raise BadRecipe([Problem(shown, node.start_mark.line + 1, "", f"not a {_word(root)}: no `key: value` pairs")])
    document.text = text
    document.lines[()] = node.start_mark.line + 1
    document.data = _plain(node, (), document, ())
    if not isinstance(document.data, dict):  # a tag stands before it
        raise BadRecipe(document.problems)
    return document


def _word(root: type[BaseModel]) -> str:
    return "policy" if root.__name__.endswith("Policy") else root.__name__.lower()


def _required(root: type[BaseModel]) -> list[str]:
    return [name for name, info in root.model_fields.items() if info.is_required()]


def _compose(text: str, shown: str) -> yaml.Node | None:
    """The tree of the text. Raises BadRecipe for what is not YAML: nothing after that could be trusted."""
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line, message = text.count("\n", 0, error.position) + 1, "a control character; remove it"
    except yaml.MarkedYAMLError as error:
        line, message = _yaml_message(error)
    except RecursionError:
        line, message = 1, "nested too deep"
    except (ValueError, OverflowError):
        line, message = 1, "not YAML: an escape or a number that does not exist"
    raise BadRecipe([Problem(shown, line, "", message)])


def _yaml_message(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = _short(error.problem or error.context or "unreadable", 100)
    if "'\\t'" in problem:
        return line, "a tab; indent with spaces"
    if problem.startswith("mapping values"):
        problem += "; put a text that holds `: ` in quotes"
    if problem.startswith("but found another document"):
        problem = "a second document; a file holds one recipe"
    if error.context_mark and error.context_mark.line + 1 != line:
        problem += f" (in what starts on line {error.context_mark.line + 1})"
    return line, f"not YAML: {problem}"


# ---- from YAML nodes to plain values


def _plain(node: yaml.Node, loc: Loc, document: _Document, holders: tuple[yaml.Node, ...]) -> Any:
    """The value of a node: dict, list, str, int, float, bool or None. Notes the lines; reports any other."""
    document.nodes += 1
    if document.nodes > MAX_NODES:
        raise BadRecipe([Problem(document.file, node.start_mark.line + 1, "", f"more than {MAX_NODES:,} values")])
    if any(node is holder for holder in holders):
        return document.report(loc, "an alias that holds itself")
    if len(holders) > MAX_DEPTH:
        return document.report(loc[:MAX_DEPTH], "nested too deep")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, loc, document)
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _mapping(node, loc, document, (*holders, node))
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        values = []
        for index, item in enumerate(node.value):
            document.lines[(*loc, index)] = item.start_mark.line + 1
            values.append(_plain(item, (*loc, index), document, (*holders, node)))
        return values
    return document.report(loc, f"the tag {_tag(node)} is not allowed")


def _mapping(node: yaml.MappingNode, loc: Loc, document: _Document, holders: tuple[yaml.Node, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    merged: list[yaml.Node] = []
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == "tag:yaml.org,2002:merge":
            merged.extend(value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node])
        elif not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            document.lines[(*loc, name)] = line
            document.report((*loc, name), "a key must be text; put it in quotes")
        elif key_node.value in values:
            place = (*loc, key_node.value)
            document.tell(place, f"given twice; first on line {document.lines[place]}", line)
        else:
            place = (*loc, key_node.value)
            document.lines[place] = line
            values[key_node.value] = _plain(value_node, place, document, holders)
    for source in merged:
        if not isinstance(source, yaml.MappingNode) or any(source is holder for holder in holders):
            document.report((*loc, "<<"), "merges what is not a mapping of its own")
            continue
        _merge(values, source, loc, document, holders)
    return values


def _merge(
    values: dict[str, Any], source: yaml.MappingNode, loc: Loc, document: _Document, holders: tuple[yaml.Node, ...]
) -> None:
    """Add what `<<` brings where the mapping does not say it itself."""
    fresh = [pair for pair in source.value if not isinstance(pair[0].value, str) or pair[0].value not in values]
    part = yaml.MappingNode(source.tag, fresh, source.start_mark, source.end_mark)
    values.update(_mapping(part, loc, document, (*holders, source)))


def _scalar(node: yaml.ScalarNode, loc: Loc, document: _Document) -> Any:
    text, tag = node.value, node.tag.removeprefix("tag:yaml.org,2002:")
    if tag in ("str", "timestamp", "value", "merge"):
        if node.style == "|":
            document.blocks.add(loc)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            return document.report(loc, "holds a character that is no text")
        return text
    if tag not in ("null", "bool", "int", "float"):
        return document.report(loc, f"the tag {_tag(node)} is not allowed")
    try:
        return _special(text, tag)
    except ValueError:
        wanted = "true or false" if tag == "bool" else "a plain, finite decimal number"
        return document.report(loc, f"{_short(text)}: write {wanted}, or put it in quotes if it is text")


def _special(text: str, tag: str) -> bool | int | float | None:
    """The value of a scalar that is not text. Refuses what YAML 1.1 reads in base 8, 16 or 60, and what has no end.

    Raises:
        ValueError: it is not written plainly.
    """
    if tag == "null":
        return None
    if tag == "bool":
        return yaml.SafeLoader.bool_values[text.lower()] if text.lower() in yaml.SafeLoader.bool_values else _refuse()
    digits = text.replace("_", "")
    if tag == "int":
        return int(digits) if re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,18})", digits) else _refuse()
    number = float(digits)
    return number if math.isfinite(number) else _refuse()


def _refuse() -> typing.NoReturn:
    raise ValueError


def _tag(node: yaml.Node) -> str:
    return _short(node.tag.replace("tag:yaml.org,2002:", "!!"))


# ---- overrides


def _override(document: _Document, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        message = f"{_short(text)}: needs key=value, e.g. training.learning_rate=1.0e-4"
        document.problems.append(Problem("--set", None, "", message))
        return
    keys = key.strip().split(".", MAX_DEPTH)
    scratch = _Document("--set", lines={(): None})
    try:
        node = _compose(value, "--set")
        new = None if node is None else _plain(node, tuple(keys), scratch, ())
        loc = _put(document, document.data, (), keys, new)
    except BadRecipe as error:
        document.problems.append(Problem("--set", None, _short(key.strip()), error.problems[0].message))
    else:
        for place in [place for place in document.lines if place[: len(loc)] == loc]:
            del document.lines[place]
            document.blocks.discard(place)
        document.lines[loc] = None
        for problem in scratch.problems:
            document.problems.append(Problem("--set", None, problem.field, problem.message))
            document.broken.add(loc)


def _put(document: _Document, container: Any, loc: Loc, keys: list[str], value: Any) -> Loc:
    """Set the value below `container`, making the sections on the way; return its place.

    Raises:
        BadRecipe: the way leads through a value, or to an entry that the list does not have.
    """
    name, *rest = keys
    key: str | int = name
    where = ".".join(map(str, loc)) or "the recipe"
    if isinstance(container, list):
        if name not in map(str, range(len(container))):
            message = f"{where} has {len(container)} entries, counted from 0"
            raise BadRecipe([Problem("--set", None, "", message)])
        key = int(name)
    elif not isinstance(container, dict):
        raise BadRecipe([Problem("--set", None, "", f"{where} is a value and holds no keys")])
    elif rest and container.get(name) is None:
        container[name] = _unset((*loc, name))
        document.lines[(*loc, name)] = None
    if rest:
        return _put(document, container[key], (*loc, key), rest, value)
    container[key] = value
    return (*loc, key)


def _unset(loc: Loc) -> Any:
    """What an override finds where the recipe says nothing: a list's or dict's default entries, an empty section."""
    owner = _place_of(loc[:-1], Recipe).kind
    if _is_model(owner) and loc[-1] in owner.model_fields:
        default = owner.model_fields[str(loc[-1])].get_default(call_default_factory=True)
        if isinstance(default, dict | tuple):
            return to_jsonable_python(default)
    return {}


# ---- validation, and its errors in words


@dataclass(frozen=True)
class _Place:
    """A place of the schema: its path as a user writes it, the type there, and the section that holds it."""

    loc: Loc
    kind: Any
    owner: Any


def _follow_pii_policy(document: _Document) -> None:
    """Fill the section `pii` from the policy it names; what the recipe says itself wins, entity by entity."""
    section = document.data.get("pii", {})
    name = section.get("policy", "pii") if isinstance(section, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        return  # the schema says what is wrong with it
    try:
        policy = load_pii_policy(name).model_dump(mode="json")
    except BadRecipe as error:
        written = [problem for problem in error.problems if problem.line is not None]
        document.problems.extend(written)
        if not written or "policy" in section:
            document.report(("pii", "policy"), f"{name} cannot be used" if written else error.problems[0].message)
        policy = {"entities": {}}
    entities = section.get("entities", {})
    if isinstance(entities, dict):
        entities = {**policy["entities"], **entities}
    document.data["pii"] = {**policy, **section, "entities": entities}


def _validate(document: _Document, folder: Path, overrides: tuple[str, ...]) -> Recipe | None:
    """The recipe, or None after its problems were reported."""
    if "given" in document.data:
        document.report(("given",), "unknown; the loader sets it")
    document.data["given"] = {"folder": str(folder), "text": document.text, "overrides": overrides}
    try:
        # JSON is the one strict mode of pydantic that takes a list for a tuple
        text = json.dumps(document.data)
        return Recipe.model_validate_json(text, strict=True, context={"folder": str(folder)})
    except ValidationError as error:
        _report_errors(document, error.errors(include_url=False))
    except OSError as error:
        document.report((), f"{_short(error.filename, 200)}: cannot be read: {error.strerror}")
    return None


def _valid_sections(document: _Document, recipe: Recipe | None, folder: Path) -> dict[str, Any]:
    """The recipe's top-level values that nothing was said against."""
    if () in document.broken:
        return {}
    broken = {loc[0] for loc in document.broken if loc}
    names = [name for name in Recipe.model_fields if name not in broken]
    if recipe is not None:
        return {name: getattr(recipe, name) for name in names}
    sections: dict[str, Any] = {}
    for name in names:
        info = Recipe.model_fields[name]
        if name in document.data:
            kind: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
            text = json.dumps(document.data[name])
            sections[name] = kind.validate_json(text, strict=True, context={"folder": str(folder)})
        else:
            sections[name] = info.get_default(call_default_factory=True)
    return sections


def _report_errors(document: _Document, errors: list[ErrorDetails]) -> None:
    found: dict[Loc, tuple[_Place, ErrorDetails]] = {}
    for error in errors:
        place = _place_of(error["loc"], document.root)
        if error["type"].startswith("union_tag"):
            name = error["ctx"]["discriminator"].strip("'")
            place = _Place((*place.loc, name), place.kind, place.owner)
        if not document.is_broken(place.loc):
            found.setdefault(place.loc, (place, error))  # each member of a union complains: once is enough
    for loc, (place, error) in found.items():
        if not any(len(other) > len(loc) and other[: len(loc)] == loc for other in found):
            document.report(loc, _message(place, error))


def _place_of(loc: Loc, root: type[BaseModel]) -> _Place:
    """Follow pydantic's loc through the schema; tags and labels of unions, which nobody wrote, drop out of the path."""
    kind: Any = root
    owner: Any = None
    written: list[str | int] = []
    for part in loc:
        members = _members(kind)
        models = [member for member in members if _is_model(member)]
        tagged = next((model for model in models if _has_tag(model, part)), None) if len(models) > 1 else None
        if tagged is not None:
            kind = tagged
            continue
        inner = next((found for member in members if (found := _inner(member, part)) is not None), None)
        if inner is None and not (models and isinstance(part, str)):
            continue  # the label of a union's member
        owner, kind = models[0] if models else None, inner
        written.append(part)
    return _Place(tuple(written), kind, owner)


def _inner(kind: Any, part: str | int) -> Any:
    """The type of the field or entry `part`, or None where there is none."""
    if _is_model(kind):
        return kind.model_fields[part].annotation if part in kind.model_fields else None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (tuple, list) and isinstance(part, int):
        return arguments[0]
    return arguments[1] if origin is dict else None


def _members(kind: Any) -> tuple[Any, ...]:
    """The types that a place takes: those of a union, without None and annotations."""
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(m for member in typing.get_args(kind) if member is not type(None) for m in _members(member))
    return (kind,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _has_tag(model: type[BaseModel], part: str | int) -> bool:
    kinds = [info.annotation for info in model.model_fields.values()]
    return any(typing.get_origin(kind) is Literal and part in typing.get_args(kind) for kind in kinds)


WORDS = {
    "greater_than": "must be above {gt:g}, not {value}",
    "greater_than_equal": "must be at least {ge:g}, not {value}",
    "less_than": "must be below {lt:g}, not {value}",
    "less_than_equal": "must be at most {le:g}, not {value}",
    "string_pattern_mismatch": "{value}: must match {pattern}",
    "string_too_short": "must not be empty",
    "too_short": "needs {min_length} or more entries",
    "union_tag_not_found": "missing; it names the kind of this entry",
}


def _message(place: _Place, error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in WORDS:
        return WORDS[kind].format(value=_short(value), **context)
    if kind == "literal_error" or kind.endswith("_type"):
        return _wrong_type(place.kind, value)
    if kind == "union_tag_invalid":
        return _choice(str(context["tag"]), re.findall(r"'([^']*)'", context["expected_tags"]))
    by_kind = {
        "extra_forbidden": lambda: f"unknown{_nearest_key(place)}",
        "missing": lambda: f"missing; give {_described(place.kind)}",
        "value_error": lambda: _refusal(context["error"]),
    }
    return by_kind[kind]() if kind in by_kind else _short(error["msg"], 200)


def _refusal(cause: Exception) -> str:
    """What a validator of the schema said."""
    return "not UTF-8 text" if isinstance(cause, UnicodeDecodeError) else _short(cause, 200)


def _wrong_type(kind: Any, value: Any) -> str:
    """What the place takes, and how to write what was probably meant."""
    members = _members(kind)
    options = [o for member in members if typing.get_origin(member) is Literal for o in typing.get_args(member)]
    if isinstance(value, str) and options and len(members) == 1:
        return _choice(value, [str(option).lower() if isinstance(option, bool) else option for option in options])
    wanted = f"must be {_described(kind)}"
    if value is None:
        return f"empty; {wanted}, or leave the key out"
    if isinstance(value, str) and (float in members or (int in members and value.isdecimal())):
        return wanted + _number_hint(value)
    if isinstance(value, str) and any(typing.get_origin(member) is tuple for member in members):
        return f"{wanted}; did you mean [{_short(value)}]?"
    if isinstance(value, bool | int | float) and str in members:
        return f"{wanted}; put it in quotes"
    return wanted


def _number_hint(text: str) -> str:
    """How YAML 1.1 wants the number that a text spells, e.g. `; write 2.0e-4`."""
    match = re.fullmatch(r"([-+]?)(\d+)(\.\d*)?(?:[eE]([-+]?)(\d+))?", text.strip())
    if match is None:
        return ""
    sign, whole, fraction, exponent_sign, exponent = match.groups()
    if exponent is None:
        return f"; write {sign}{whole}{fraction or ''} without quotes"
    return (
        f"; write {sign}{whole}{fraction if fraction and len(fraction) > 1 else '.0'}e{exponent_sign or '+'}{exponent}"
    )


NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", TextFile: "a file's path"}


def _described(kind: Any) -> str:
    words = []
    for member in _members(kind):
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        if origin is Literal:
            options = ", ".join(str(option).lower() if isinstance(option, bool) else option for option in arguments)
            words.append(f"one of {options}" if len(arguments) > 1 else options)
        elif origin in (tuple, list):
            words.append("a list of sections" if _is_model(_members(arguments[0])[0]) else "a list")
        elif origin is dict or (_is_model(member) and member not in NAMES):
            words.append("a section of `key: value` lines")
        else:
            words.append(NAMES.get(member, "another value"))
    return " or ".join(dict.fromkeys(words))


# ---- suggestions


def _short(value: object, length: int = 60) -> str:
    """The value on one line, cut, without what a terminal would not print."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(str(value).split()))
    return text if len(text) <= length else text[: length - 1] + "…"


def _likeness(text: str, name: str) -> float:
    return difflib.SequenceMatcher(None, text[:60].lower(), name.lower()).ratio()


def _did_you_mean(text: str, names: Iterable[str]) -> str:
    best = max(names, key=lambda name: _likeness(text, name), default=None)
    return f"; did you mean {best}?" if best is not None and _likeness(text, best) >= 0.6 else ""


def _choice(value: str, options: Sequence[str]) -> str:
    suggestion = _did_you_mean(value, options)
    if suggestion and len(options) > 6:  # a long list would hide the answer
        return f"{_short(value)}: unknown{suggestion}"
    wanted = f"one of {', '.join(options)}" if len(options) > 1 else options[0]
    return f"{_short(value)}: must be {wanted}{suggestion}"


def _nearest_key(place: _Place) -> str:
    """The nearest key of the same section, else of another section, else what the name means in other tools."""
    key, section = str(place.loc[-1]), ".".join(str(part) for part in place.loc[:-1])
    here = [name for name in place.owner.model_fields if place.owner is not Recipe or name != "given"]
    scores = {name: _likeness(key, name) for name in here}
    elsewhere = place.owner.__module__ == Recipe.__module__  # a policy has no other sections to look in
    for name, path in _all_keys() if elsewhere else ():
        if path.rpartition(".")[0] != section:  # a little behind: the same section is the likelier place
            scores.setdefault(path, _likeness(key, name) - 0.1)
    for name, path in OTHER_NAMES.items() if elsewhere else ():
        parent, _, last = path.rpartition(".")
        shown = last if parent == section else path
        scores[shown] = max(scores.get(shown, 0.0), _likeness(key, name) - 0.05)
    best = max(scores.values(), default=0.0)
    if best < 0.6:
        return ""
    names = [name for name, score in scores.items() if score == best]
    return f"; did you mean {' or '.join(names[:2])}?"


@functools.cache
def _all_keys() -> tuple[tuple[str, str], ...]:
    """Every key of the schema with its dotted path; an entry of a list is shown as the first."""
    keys: list[tuple[str, str]] = []

    def walk(model: type[BaseModel], prefix: str) -> None:
        for name, info in model.model_fields.items():
            path = f"{prefix}{name}"
            if path == "given":
                continue
            keys.append((name, path))
            for member in _members(info.annotation):
                arguments = typing.get_args(member)
                if _is_model(member) and member is not TextFile:
                    walk(member, f"{path}.")
                elif typing.get_origin(member) is tuple:
                    for inner in filter(_is_model, _members(arguments[0])):
                        walk(inner, f"{path}.0.")

    walk(Recipe, "")
    return tuple(dict.fromkeys(keys))


# ---- what no single section can know


def _metrics_of(gate: Gate, evaluation: Evaluation) -> tuple[str, ...]:
    """What is measured of the arms that a gate looks at."""
    if gate.arm == "data":
        return DATA_METRICS
    if gate.arm == "people":
        return PEOPLE_METRICS
    there = (*METRICS[evaluation.task], *evaluation.custom_metrics)
    arms = {gate.arm, gate.against} - {None}
    there += PROBE_METRICS if arms <= {"base", "tuned"} and not gate.slice else ()
    return there + (TUNED_METRICS if arms == {"tuned"} and not gate.slice else ())


def _is_external(gate: Gate, evaluation: Evaluation) -> bool:
    """Whether it may be a figure of another tool's, which only its file names."""
    tools = tuple(f"{external.format}." for external in evaluation.external)
    return bool(tools) and gate.arm == "tuned" and gate.against is None and gate.metric.startswith(tools)


def _arms_are_there(gates: tuple[Gate, ...], evaluation: Evaluation) -> Iterator[Finding]:
    missing = {
        "prompted": "" if evaluation.shots else "evaluation.shots is 0",
        "champion": "" if evaluation.champion else "evaluation.champion is false",
        "served": "evaluation.served is as_evaluated" if evaluation.served == "as_evaluated" else "",
    }
    for index, gate in enumerate(gates):
        for key, arm in (("arm", gate.arm), ("against", gate.against)):
            if arm is not None and missing.get(arm):
                yield ("gates", index, key), f"{arm} does not answer: {missing[arm]}"
        if gate.slice and gate.slice not in evaluation.slices:
            yield ("gates", index, "slice"), f"{gate.slice} is not one of evaluation.slices"
    if evaluation.served != "as_evaluated" and all(gate.arm != "served" for gate in gates):
        metric = next((gate.metric for gate in gates if gate.arm == "tuned"), METRICS[evaluation.task][0])
        message = f"no gate holds what would be served; give one `arm: served`, e.g. on {metric}, or take as_evaluated"
        yield ("evaluation", "served"), message


def _gates_are_measured(gates: tuple[Gate, ...], evaluation: Evaluation) -> Iterator[Finding]:
    for index, gate in enumerate(gates):
        there = _metrics_of(gate, evaluation)
        if gate.metric not in there and not _is_external(gate, evaluation):
            nearest = _did_you_mean(gate.metric, there) or f"; it has {', '.join(there)}"
            named = {"data": "the data", "people": "people"}
            of = named.get(gate.arm, f"task {evaluation.task}")
            message = f"{_short(gate.metric)}: no metric of {of}{nearest}"
            yield ("gates", index, "metric"), message
        if gate.min is not None and gate.max is not None and gate.min > gate.max:
            yield ("gates", index, "min"), f"{gate.min} is above max {gate.max}: nothing can pass"


def _answers_may_stay_unscrubbed(pii: Pii, evaluation: Evaluation) -> Iterator[Finding]:
    if "assistant" not in pii.roles and evaluation.task != "classification":
        message = "leaves out assistant; only with evaluation.task classification are the answers a closed set"
        yield ("pii", "roles"), message


COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def _no_credentials(datasets: tuple[Dataset, ...]) -> Iterator[Finding]:
    """A recipe is logged whole: what opens a source belongs into the environment that fsspec's filesystems read."""
    for index, dataset in enumerate(datasets):
        address = urlsplit(dataset.path)
        query = {name.lower() for name, _ in parse_qsl(address.query)}
        if address.scheme and (address.password or query & {"x-amz-signature", "sig", "signature", "token"}):
            yield ("datasets", index, "path"), "holds a credential; give it in the environment, recipes are logged"


def _model_is_pinned(model: Model) -> Iterator[Finding]:
    name, revision = model.model_name_or_path, model.model_revision
    if name.startswith("package:") or _is_folder(name):
        if revision is not None:
            yield ("model", "model_revision"), "only for a hub id; a folder or package is pinned by sha256"
        if model.gguf_file and _is_folder(name) and not (Path(name).expanduser() / model.gguf_file).is_file():
            yield ("model", "gguf_file"), f"no such file in {_short(name, 200)}: {_short(model.gguf_file, 200)}"
    elif not HUB_ID.fullmatch(name):
        yield ("model", "model_name_or_path"), f"{_short(name)}: no such folder, and no hub id"
    elif revision is None or not COMMIT.fullmatch(revision):
        message = f"{_short(name)} is no folder here, so a hub id: give its commit (40 hex digits)"
        yield ("model", "model_revision"), message


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()  # as tasks/base_model.py looks for it
    except (OSError, RuntimeError):  # RuntimeError: ~ of a user who is not there
        return False


def _datasets_are_there(
    folder: Path, data: Path | None, check_files: bool, datasets: tuple[Dataset, ...]
) -> Iterator[Finding]:
    for index, dataset in enumerate(datasets):
        if "://" in dataset.path:
            continue
        found, path = find_data(dataset.path, folder, data), _short(dataset.path, 200)
        if dataset.type == "huggingface":
            yield from _hub_dataset_is_pinned(("datasets", index), dataset, found)
        elif check_files and found is None:
            looked = "" if path.startswith(("/", "~")) else f"; looked in {_looked_in(folder, data)}"
            yield ("datasets", index, "path"), f"no such file: {path}{looked}"
        elif check_files and found is not None and not found.is_file():
            yield ("datasets", index, "path"), f"{path} is a folder; name a file"


def _hub_dataset_is_pinned(loc: Loc, dataset: Dataset, found: Path | None) -> Iterator[Finding]:
    path = _short(dataset.path)
    if found is not None:
        if not found.is_dir():
            yield (*loc, "path"), f"{path} is a file; type huggingface takes a folder or a hub id"
    elif not HUB_ID.fullmatch(dataset.path):
        yield (*loc, "path"), f"{path}: no such folder, and no hub id"
    elif dataset.revision is None or not COMMIT.fullmatch(dataset.revision):
        yield (*loc, "revision"), f"{path} is no folder here, so a hub id: give its commit (40 hex digits)"


def _looked_in(folder: Path, data: Path | None) -> str:
    return f"{_shown(folder)} and {data} (TUNEGATE_DATA)" if data else f"{_shown(folder)} (set TUNEGATE_DATA)"


def _one_way_to_messages(datasets: tuple[Dataset, ...], prompt: Prompt) -> Iterator[Finding]:
    for index, dataset in enumerate(datasets):
        columns = "field_messages" if dataset.field_messages else "field_prompt" if dataset.field_prompt else None
        if columns and prompt.user is not None:
            yield ("datasets", index, columns), "prompt.user says it too; keep one way from a row to messages"
        if not columns and prompt.user is None:
            message = (
                "no way from a row to messages; give field_messages, or field_prompt and field_completion, "
                "or the templates prompt.user and prompt.assistant"
            )
            yield ("datasets", index), message


def _sides_have_rows(datasets: tuple[Dataset, ...], split: Split) -> Iterator[Finding]:
    sides = [dataset.side for dataset in datasets]
    if all(side == "test" for side in sides):
        yield ("datasets",), "each has side test; nothing is left to train on"
    if "test" not in sides and split.test_size == 0:
        yield ("split", "test_size"), "must be above 0 where no dataset has side test"
    if split.validation_size == 0:
        yield ("split", "validation_size"), "must be above 0: early stopping needs validation rows"


def _packing_is_safe(training: Training, model: Model) -> Iterator[Finding]:
    if training.packing and model.attn_implementation != "flash_attention_2":
        message = "needs model.attn_implementation flash_attention_2; without it joined rows see each other"
        yield ("training", "packing"), message


def _bounds_and_regexes_hold(quality: Quality) -> Iterator[Finding]:
    if quality.min_prompt_characters > quality.max_prompt_characters:
        yield ("quality", "min_prompt_characters"), "is above max_prompt_characters: no row can pass"
    for index, expectation in enumerate(quality.expectations):
        yield from _expectation_holds(("quality", "expectations", index), expectation)


def _expectation_holds(loc: Loc, expectation: Expectation) -> Iterator[Finding]:
    low, high = getattr(expectation, "min_value", None), getattr(expectation, "max_value", None)
    if low is not None and high is not None and low > high:
        yield (*loc, "min_value"), f"{low} is above max_value {high}: nothing can pass"
    regex = getattr(expectation, "regex", None)
    if regex is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a doubtful set such as [[] still compiles
                re.compile(regex)
        except re.error as error:
            yield (*loc, "regex"), f"no regular expression: {error}"
        except (OverflowError, RecursionError):
            yield (*loc, "regex"), "no regular expression: too large"


def _schema_is_a_schema(evaluation: Evaluation) -> Iterator[Finding]:
    """An answer's schema that is found wrong here costs a second, after the training an hour."""
    if evaluation.json_schema is None:
        return
    from jsonschema import SchemaError, validators

    path, loc = evaluation.json_schema.path, ("evaluation", "json_schema")
    try:
        schema = json.loads(evaluation.json_schema.text)
        validators.validator_for(schema).check_schema(schema)
    except json.JSONDecodeError as error:
        yield loc, f"{_short(path)}:{error.lineno} is not JSON: {error.msg}"
    except SchemaError as error:
        yield loc, f"{_short(path)} is no JSON schema: {_short(error.message, 100)}"
    except RecursionError:
        yield loc, f"{_short(path)} is nested too deep"


def _custom_metrics_are_there(evaluation: Evaluation) -> Iterator[Finding]:
    """Each is a file of conf/metrics, which no link may leave, that defines `score`; it is read, not run."""
    folder = settings().conf / "metrics"
    inside = folder.resolve()
    there = {file.stem: file for file in sorted(folder.glob("*.py")) if file.resolve().is_relative_to(inside)}
    taken = {*METRICS[evaluation.task], *DATA_METRICS, *PROBE_METRICS, *TUNED_METRICS}
    for index, name in enumerate(evaluation.custom_metrics):
        loc = ("evaluation", "custom_metrics", index)
        if name in taken:
            yield loc, f"{name}: there is a metric of that name"
        elif name not in there:
            hint = _did_you_mean(name, there) or f"; there are {', '.join(there) or 'none'}"
            yield loc, f"{_short(name)}: no such file in {_shown(folder)}{hint}"
        elif not _defines_score(there[name]):
            yield loc, f"{_shown(there[name])} has no function score(answer, expected)"
        taken.add(name)


def _defines_score(file: Path) -> bool:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "score" for node in tree.body)


CHECKS: tuple[Check, ...] = (
    (_gates_are_measured, ("gates", "evaluation")),
    (_arms_are_there, ("gates", "evaluation")),
    (_answers_may_stay_unscrubbed, ("pii", "evaluation")),
    (_no_credentials, ("datasets",)),
    (_model_is_pinned, ("model",)),
    (_one_way_to_messages, ("datasets", "prompt")),
    (_sides_have_rows, ("datasets", "split")),
    (_packing_is_safe, ("training", "model")),
    (_bounds_and_regexes_hold, ("quality",)),
    (_schema_is_a_schema, ("evaluation",)),
    (_custom_metrics_are_there, ("evaluation",)),
)


def _check_templates(document: _Document, prompt: Prompt) -> None:
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    for name in ("system", "user", "assistant"):
        text = getattr(prompt, name)
        if text is None:
            continue
        loc: Loc = ("prompt", name)
        try:
            environment.compile(text)
            others = list(meta.find_referenced_templates(environment.parse(text)))
        except TemplateSyntaxError as error:
            below = error.lineno if loc in document.blocks else 0
            document.report(loc, f"line {error.lineno} of the template: {_short(error.message, 100)}", below)
        except (RecursionError, SyntaxError):
            document.report(loc, "the template is nested too deep")
        else:
            if others:
                document.report(loc, "a template stands alone: no include, import or extends")


if __name__ == "__main__":
    main()

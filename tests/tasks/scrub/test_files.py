"""`tunegate scrub`: a file in, the same file without personal values out, or an error and no file."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from conf.schema import PiiPolicy
from flows import cli
from flows.terminal import StageBoard
from tasks.errors import DataError, RecipeError
from tasks.progress import listening, stage
from tasks.scrub import MAX_CHARACTERS
from tasks.scrub.files import Stats, scrub_file
from tests.tasks.scrub.small import pipeline, policy_of

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> PiiPolicy:
    """What patterns find, and a model that reads nothing."""
    model = pipeline(tmp_path_factory.mktemp("blank"))
    return policy_of("EMAIL_ADDRESS", "IP_ADDRESS", "CREDIT_CARD", model=model)


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def as_jsonl(path: Path, rows: Rows) -> Path:
    return written(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def scrubbed(source: Path, policy: PiiPolicy, *, spans: bool = False, name: str = "out") -> tuple[Path, Stats]:
    target = source.with_name(f"{name}{source.suffix}")
    stats = scrub_file(source, target, policy, source.parent / "cache", spans=spans, processes=1)
    assert sorted(path.name for path in source.parent.iterdir()) == sorted({"cache", source.name, target.name})
    return target, stats


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def places(row: dict[str, Any], original: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Field, entity and original value of each span of a row."""
    found = []
    for span in row["spans"]:
        value: Any = original
        for step in span["field"].split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        assert 0.4 <= span["score"] <= 1
        found.append((span["field"], span["entity_type"], value[span["start"] : span["end"]]))
    return found


# ---- the three kinds of files

JSONL = """\
{"id": 1, "text": "Write to jo@example.org", "n": 5500000000000004, "ok": true, "none": null}
{"messages": [{"role": "user", "content": "I am at 10.0.0.1, ü"}, {"role": "assistant", "content": ""}], "tags": []}

{"a b": {"c.d": ["x", ["jo@example.org"]]}}
{}
"""
SCRUBBED_JSONL = """\
{"id": 1, "text": "Write to <EMAIL_ADDRESS>", "n": 5500000000000004, "ok": true, "none": null}
{"messages": [{"role": "user", "content": "I am at <IP_ADDRESS>, ü"}, {"role": "assistant", "content": ""}], "tags": []}
{"a b": {"c.d": ["x", ["<EMAIL_ADDRESS>"]]}}
{}
"""


def test_jsonl_keeps_its_rows_but_for_the_texts_at_any_depth(tmp_path: Path, policy: PiiPolicy) -> None:
    target, stats = scrubbed(written(tmp_path / "in.jsonl", JSONL), policy)
    assert target.read_bytes() == SCRUBBED_JSONL.encode()
    assert (stats.rows, stats.rows_with_entities, dict(stats.dropped)) == (4, 3, {})
    assert dict(stats.entities) == {"EMAIL_ADDRESS": 2, "IP_ADDRESS": 1}
    assert stats.seconds > 0


def test_csv_keeps_its_columns_quotes_and_line_breaks(tmp_path: Path, policy: PiiPolicy) -> None:
    text = 'id,text,"a, b"\r\n1,"one\nline, jo@example.org ""so""",x\r\n2,plain,10.0.0.1\r\n'
    target, stats = scrubbed(written(tmp_path / "in.csv", text), policy)
    expected = 'id,text,"a, b"\r\n1,"one\nline, <EMAIL_ADDRESS> ""so""",x\r\n2,plain,<IP_ADDRESS>\r\n'
    assert target.read_bytes().decode() == expected
    assert stats.rows == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, policy: PiiPolicy, suffix: str) -> None:
    text = {".jsonl": '{"text": "jo@example.org"}\n', ".csv": "text\r\njo@example.org\r\n"}[suffix]
    target, _ = scrubbed(written(tmp_path / f"in{suffix}", f"\ufeff{text}"), policy)
    assert target.read_bytes().decode() == text.replace("jo@example.org", "<EMAIL_ADDRESS>")


def test_parquet_keeps_its_schema(tmp_path: Path, policy: PiiPolicy) -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.large_string())])
    kinds = [("id", pa.int32()), ("messages", pa.list_(message)), ("at", pa.timestamp("us"))]
    schema = pa.schema(kinds, metadata={"made": "here"})
    rows: Rows = [
        {"id": 1, "messages": [{"role": "user", "content": "jo@example.org"}], "at": None},
        {"id": None, "messages": None, "at": None},
    ]
    source = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), source)
    target, stats = scrubbed(source, policy)
    rows[0]["messages"][0]["content"] = "<EMAIL_ADDRESS>"
    assert pq.read_table(target).to_pylist() == rows
    assert pq.read_schema(target).equals(pq.read_schema(source), check_metadata=True)
    assert stats.rows == 2


@pytest.mark.parametrize(("name", "text"), [("in.jsonl", ""), ("in.csv", "id,text\r\n")])
def test_a_file_without_rows_gives_one_without_rows(tmp_path: Path, policy: PiiPolicy, name: str, text: str) -> None:
    target, stats = scrubbed(written(tmp_path / name, text), policy)
    assert (target.read_bytes().decode(), stats.rows, stats.rows_with_entities) == (text, 0, 0)


def test_a_parquet_file_without_rows_gives_one_with_its_columns(tmp_path: Path, policy: PiiPolicy) -> None:
    schema = pa.schema([("text", pa.string())])
    pq.write_table(pa.Table.from_pylist([], schema=schema), tmp_path / "in.parquet")
    target, stats = scrubbed(tmp_path / "in.parquet", policy)
    assert (pq.read_table(target).to_pylist(), pq.read_schema(target), stats.rows) == ([], schema, 0)


def test_more_rows_than_are_held_at_once_keep_their_order(tmp_path: Path, policy: PiiPolicy) -> None:
    rows = [{"n": n, "text": f"{n % 7}@example.org"} for n in range(5000)]
    target, stats = scrubbed(as_jsonl(tmp_path / "in.jsonl", rows), policy)
    assert rows_of(target) == [{"n": n, "text": "<EMAIL_ADDRESS>"} for n in range(5000)]
    assert (stats.rows, stats.entities["EMAIL_ADDRESS"]) == (5000, 5000)


class Bar(StageBoard):
    """Remembers what stands beside its bar."""

    def __init__(self) -> None:
        super().__init__(["scrub"], Console(file=io.StringIO()), itertools.count(step=10).__next__)
        self.figures: list[str] = []

    def progress(self, name: str, done: float, total: float | None = None, unit: str = "rows", note: str = "") -> None:
        super().progress(name, done, total, unit, note)
        self.figures.append(self.stages[name].figures())


def test_the_bar_shows_rows_a_second_and_the_time_left(tmp_path: Path, policy: PiiPolicy) -> None:
    source = as_jsonl(tmp_path / "in.jsonl", [{"n": n} for n in range(5000)])
    with Bar() as bar, listening(bar), stage("scrub"):
        scrubbed(source, policy)
    assert bar.figures == ["2,048/5,000 rows", "4,096/5,000 rows, 205/s, 0:04 left", "5,000/5,000 rows, 148/s"]


def test_the_output_may_take_the_place_of_the_input(tmp_path: Path, policy: PiiPolicy) -> None:
    source = written(tmp_path / "in.jsonl", JSONL)
    scrub_file(source, source, policy, tmp_path / "cache", spans=False, processes=1)
    assert source.read_bytes() == SCRUBBED_JSONL.encode()


# ---- spans

NESTED: dict[str, Any] = {
    "id": 7,
    "text": "ü \U0001f600 jo@example.org and 10.0.0.1",
    "messages": [{"role": "user", "content": "hello"}, {"role": "user", "content": "I am at 10.0.0.2."}],
    "answer": '{"mail": "al@example.org", "note": "at 10.0.0.3 or 10.0.0.4", "card": 5500000000000004}',
}
PLACES = [
    ("text", "EMAIL_ADDRESS", "jo@example.org"),
    ("text", "IP_ADDRESS", "10.0.0.1"),
    ("messages.1.content", "IP_ADDRESS", "10.0.0.2"),
    ("answer", "EMAIL_ADDRESS", "al@example.org"),
    ("answer", "IP_ADDRESS", "10.0.0.3"),
    ("answer", "IP_ADDRESS", "10.0.0.4"),
    ("answer", "CREDIT_CARD", "5500000000000004"),
]


def test_spans_are_places_in_the_original_texts_those_in_nested_fields_and_in_json_too(
    tmp_path: Path, policy: PiiPolicy
) -> None:
    target, _ = scrubbed(as_jsonl(tmp_path / "in.jsonl", [NESTED, {"text": "none"}]), policy, spans=True)
    first, second = rows_of(target)
    assert places(first, NESTED) == PLACES
    assert second == {"text": "none", "spans": []}
    assert {name: value for name, value in first.items() if name != "spans"} == {
        "id": 7,
        "text": "ü \U0001f600 <EMAIL_ADDRESS> and <IP_ADDRESS>",
        "messages": [{"role": "user", "content": "hello"}, {"role": "user", "content": "I am at <IP_ADDRESS>."}],
        "answer": '{"mail": "<EMAIL_ADDRESS>", "note": "at <IP_ADDRESS> or <IP_ADDRESS>", "card": "<CREDIT_CARD>"}',
    }


def test_names_of_nested_fields_go_too_and_each_field_stays_one(tmp_path: Path, policy: PiiPolicy) -> None:
    mails = {"jo@example.org": 1, "<EMAIL_ADDRESS>": 2, "al@example.org": {"bo@example.org": "at 10.0.0.1"}, "plain": 3}
    target, stats = scrubbed(as_jsonl(tmp_path / "in.jsonl", [{"by_mail": mails}]), policy, spans=True)
    (row,) = rows_of(target)
    assert row["by_mail"] == {
        "<EMAIL_ADDRESS> 2": 1,
        "<EMAIL_ADDRESS>": 2,
        "<EMAIL_ADDRESS> 3": {"<EMAIL_ADDRESS>": "at <IP_ADDRESS>"},
        "plain": 3,
    }
    assert [span["field"] for span in row["spans"]] == ["by_mail.<EMAIL_ADDRESS> 3.<EMAIL_ADDRESS>"]
    assert stats.entities == {"EMAIL_ADDRESS": 3, "IP_ADDRESS": 1}


def test_names_in_a_parquet_schema_stay(tmp_path: Path, policy: PiiPolicy) -> None:
    row = {"by_mail": {"jo@example.org": "at 10.0.0.1"}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "in.parquet")
    target, _ = scrubbed(tmp_path / "in.parquet", policy)
    assert pq.read_table(target).to_pylist() == [{"by_mail": {"jo@example.org": "at <IP_ADDRESS>"}}]


def test_a_span_in_json_with_escapes_is_the_whole_string(tmp_path: Path, policy: PiiPolicy) -> None:
    row = {"answer": '{"a": "at \\u00e9 jo@example.org"}'}
    target, _ = scrubbed(as_jsonl(tmp_path / "in.jsonl", [row]), policy, spans=True)
    (found,) = rows_of(target)
    assert places(found, row) == [("answer", "EMAIL_ADDRESS", "at \\u00e9 jo@example.org")]
    assert found["answer"] == '{"a": "at \\u00e9 <EMAIL_ADDRESS>"}'


def test_spans_are_json_in_csv_and_a_list_in_parquet(tmp_path: Path, policy: PiiPolicy) -> None:
    row = {"id": "1", "text": "jo@example.org, 10.0.0.1"}
    expected = [("text", "EMAIL_ADDRESS", "jo@example.org"), ("text", "IP_ADDRESS", "10.0.0.1")]
    (tmp_path / "a").mkdir()
    target, _ = scrubbed(written(tmp_path / "a" / "in.csv", f'id,text\r\n1,"{row["text"]}"\r\n'), policy, spans=True)
    with target.open(encoding="utf-8", newline="") as stream:
        (found,) = csv.DictReader(stream)
    assert list(found) == ["id", "text", "spans"]
    assert places({"spans": json.loads(found["spans"])}, row) == expected
    (tmp_path / "b").mkdir()
    pq.write_table(pa.Table.from_pylist([row, {"id": "2", "text": None}]), tmp_path / "b" / "in.parquet")
    target, _ = scrubbed(tmp_path / "b" / "in.parquet", policy, spans=True)
    first, second = pq.read_table(target).to_pylist()
    assert places(first, row) == expected
    assert second == {"id": "2", "text": None, "spans": []}


def test_what_is_kept_has_spans_too(tmp_path: Path, policy: PiiPolicy) -> None:
    keeping = policy.model_copy(update={"entities": {"EMAIL_ADDRESS": "keep"}})
    row = {"text": "jo@example.org"}
    target, stats = scrubbed(as_jsonl(tmp_path / "in.jsonl", [row]), keeping, spans=True)
    (found,) = rows_of(target)
    assert found["text"] == row["text"]
    assert places(found, row) == [("text", "EMAIL_ADDRESS", "jo@example.org")]
    assert dict(stats.entities) == {"EMAIL_ADDRESS": 1}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_column_that_is_already_named_spans_is_not_overwritten(
    tmp_path: Path, policy: PiiPolicy, suffix: str
) -> None:
    source = tmp_path / f"in{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{"text": "jo@example.org", "spans": "mine"}]), source)
    else:
        texts = {".jsonl": '{"text": "jo@example.org", "spans": "mine"}\n', ".csv": "text,spans\njo@example.org,mine\n"}
        written(source, texts[suffix])
    with pytest.raises(DataError, match="spans"):
        scrubbed(source, policy, spans=True)


# ---- operators


def test_a_row_with_an_entity_to_drop_is_left_out_and_counted(tmp_path: Path, policy: PiiPolicy) -> None:
    dropping = policy.model_copy(update={"entities": {**policy.entities, "CREDIT_CARD": "drop_row"}})
    rows = [{"text": "4111 1111 1111 1111"}, {"text": "jo@example.org"}, {"a": {"b": "5500000000000004"}}]
    target, stats = scrubbed(as_jsonl(tmp_path / "in.jsonl", rows), dropping, spans=True)
    assert [row["text"] for row in rows_of(target)] == ["<EMAIL_ADDRESS>"]
    assert (stats.rows, dict(stats.dropped)) == (3, {"CREDIT_CARD": 2})
    assert dict(stats.entities) == {"CREDIT_CARD": 2, "EMAIL_ADDRESS": 1}


def test_a_pseudonym_is_the_same_in_every_field_of_a_row_and_begins_anew_in_the_next(
    tmp_path: Path, policy: PiiPolicy
) -> None:
    numbered = policy.model_copy(update={"entities": {"EMAIL_ADDRESS": "pseudonym"}})
    rows = [
        {"a": "al@example.org, jo@example.org", "b": ["JO@example.org"]},
        {"a": "jo@example.org", "b": ["al@example.org"]},
    ]
    target, _ = scrubbed(as_jsonl(tmp_path / "in.jsonl", rows), numbered)
    assert rows_of(target) == [
        {"a": "<EMAIL_ADDRESS_1>, <EMAIL_ADDRESS_2>", "b": ["<EMAIL_ADDRESS_2>"]},
        {"a": "<EMAIL_ADDRESS_1>", "b": ["<EMAIL_ADDRESS_2>"]},
    ]


def test_a_numbering_over_groups_is_refused_as_a_file_has_none(tmp_path: Path, policy: PiiPolicy) -> None:
    numbered = policy.model_copy(update={"pseudonym_scope": "group"})
    source = as_jsonl(tmp_path / "in.jsonl", [{"a": "jo@example.org"}])
    with pytest.raises(RecipeError, match=r"^pseudonym_scope: group is for a recipe's rows"):
        scrub_file(source, tmp_path / "out.jsonl", numbered, tmp_path / "cache", spans=False, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_surrogate_is_the_same_in_every_file(tmp_path: Path, policy: PiiPolicy) -> None:
    standing_in = policy.model_copy(update={"entities": {"EMAIL_ADDRESS": "surrogate"}})
    source = as_jsonl(tmp_path / "in.jsonl", [{"a": "jo@example.org"}])
    first, _ = scrubbed(source, standing_in)
    text = first.read_text()
    first.unlink()
    second, _ = scrubbed(source, standing_in, name="again")
    assert "@" in text
    assert "jo@example.org" not in text
    assert second.read_text() == text


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("in.jsonl", '{"a": "x"}\n{"a": jo@example.org}\n', r"in\.jsonl:2: not JSON \(JSONDecodeError\)$"),
        ("in.jsonl", '{"a": "x"}\n\n["jo@example.org"]\n', r"in\.jsonl:3: not a JSON object$"),
        ("in.csv", "a,b\n1,2\njo@example.org\n", r"in\.csv:3: another number of fields than the header has$"),
        ("in.csv", "a,b\n1,2\n1,2,jo@example.org\n", r"in\.csv:3: another number of fields than the header has$"),
        ("in.jsonl", json.dumps({"a": {"b": "x" * (MAX_CHARACTERS + 1)}}), r"^column 1: a text of 100,001 characters"),
        ("in.csv", f"b,jo@example.org\n1,{'x' * (MAX_CHARACTERS + 1)}\n", r"^column 2: a text of 100,001 characters"),
        ("in.csv", "1,jo@example.org,jo@example.org\n", r"in\.csv: columns 2 and 3 have the same name: rename one$"),
        ("in.csv", f"a,b\njo@example.org,{'x' * 140_000}\n", r"in\.csv: no CSV \(field larger than field limit"),
        ("in.csv", "a,b,a\njo@example.org,1,2\n", r"in\.csv: columns 1 and 3 have the same name: rename one$"),
    ],
)
def test_a_broken_line_is_told_without_its_text_and_leaves_no_output(
    tmp_path: Path, policy: PiiPolicy, name: str, text: str, message: str
) -> None:
    source = written(tmp_path / name, text)
    target = tmp_path / f"out{source.suffix}"
    target.write_text("from before")
    with pytest.raises(DataError, match=message) as error:
        scrub_file(source, target, policy, tmp_path / "cache", spans=False, processes=1)
    assert "example" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {name, target.name}
    assert target.read_text() == "from before"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_file_that_is_none_of_its_kind_is_told_and_leaves_no_output(
    tmp_path: Path, policy: PiiPolicy, suffix: str
) -> None:
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    source.write_bytes(b"a,b\n\xff\xfe\x00,jo@example.org\n")
    with pytest.raises(DataError, match=rf"in{suffix}") as error:
        scrub_file(source, target, policy, tmp_path / "cache", spans=False, processes=1)
    assert "example" not in str(error.value)
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in.txt", "out.txt", "both must be .jsonl, .csv, .parquet, and of the same kind"),
        ("in.jsonl", "out.csv", "both must be .jsonl, .csv, .parquet, and of the same kind"),
        ("in.jsonl", "out", "both must be .jsonl, .csv, .parquet, and of the same kind"),
        ("none.jsonl", "out.jsonl", "none.jsonl: no such file"),
        ("in.jsonl", "none/out.jsonl", "none"),
    ],
)
def test_another_kind_of_file_or_none_at_all_is_refused(
    tmp_path: Path, policy: PiiPolicy, source: str, target: str, message: str
) -> None:
    for name in ("in.txt", "in.jsonl"):
        written(tmp_path / name, JSONL)
    with pytest.raises(DataError, match=message):
        scrub_file(tmp_path / source, tmp_path / target, policy, tmp_path / "cache", spans=False, processes=1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["in.jsonl", "in.txt"]


# ---- the command


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run the command in; what it sets for libraries (MLflow's address, …) is gone afterwards."""
    before = dict(os.environ)
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def command(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command."""
    monkeypatch.setattr("sys.argv", ["tunegate", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


LETTERS: Rows = [{"text": "Write to jo@example.org, or jo@example.org"}, {"text": "Where is it?"}]


def test_the_command_tells_how_much_it_found_and_never_what(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_jsonl(house / "in.jsonl", LETTERS)
    assert command("scrub", "in.jsonl", "out.jsonl", "--stats", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    assert "out.jsonl: 2 rows, 2 values in 1 of them\n  EMAIL_ADDRESS             2\n" in printed.out
    assert "example.org" not in printed.out + printed.err
    assert rows_of(house / "out.jsonl") == [{"text": "Write to <EMAIL_ADDRESS>, or <EMAIL_ADDRESS>"}, LETTERS[1]]
    left = {file: file.read_bytes() for file in house.rglob("*") if file.is_file() and file.name != "in.jsonl"}
    assert any(b"EMAIL_ADDRESS" in content for file, content in left.items() if file.parent.name == "spans")
    assert [file for file, content in left.items() if b"jo@example.org" in content] == []


def test_the_command_prints_its_counts_as_json_alone(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = {"score_threshold": 0.4, "entities": {"EMAIL_ADDRESS": "drop_row"}}
    written(house / "mine.yaml", json.dumps(policy))
    as_jsonl(house / "in.jsonl", LETTERS)
    arguments = ("scrub", "in.jsonl", "out.jsonl", "--policy", "mine.yaml", "--spans", "--json")
    assert command(*arguments, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    assert figures.pop("seconds") > 0
    assert figures == {
        "rows": 2,
        "rows_with_entities": 1,
        "entities": {"EMAIL_ADDRESS": 2},
        "dropped": {"EMAIL_ADDRESS": 1},
    }
    assert printed.err == ""
    assert rows_of(house / "out.jsonl") == [{**LETTERS[1], "spans": []}]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("in.jsonl", "out.csv"),
            1,
            "error: in.jsonl to out.csv: both must be .jsonl, .csv, .parquet, and of the same",
        ),
        (("none.jsonl", "out.jsonl"), 1, "error: none.jsonl: no such file"),
        (("in.jsonl", "out.jsonl", "--policy", "pii-strikt"), 3, "error: pii-strikt: no such policy; there are pii"),
        (("in.jsonl",), 3, "error: Missing argument 'OUT'."),
    ],
)
def test_the_command_ends_with_one_line_and_its_code(
    house: Path,
    arguments: tuple[str, ...],
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_jsonl(house / "in.jsonl", LETTERS)
    assert command("scrub", *arguments, monkeypatch=monkeypatch) == code
    assert line in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in house.iterdir() if path.name != "home"] == ["in.jsonl"]


def test_a_map_of_parquet_is_data_keys_and_values(tmp_path: Path, policy: PiiPolicy) -> None:
    kind = pa.map_(pa.string(), pa.string())
    table = pa.table({"by_mail": pa.array([[("jo@example.org", "at 10.0.0.1")]], kind)})
    pq.write_table(table, tmp_path / "in.parquet")
    target, _ = scrubbed(tmp_path / "in.parquet", policy)
    assert pq.read_table(target).to_pylist() == [{"by_mail": [("<EMAIL_ADDRESS>", "at <IP_ADDRESS>")]}]


def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path, policy: PiiPolicy) -> None:
    columns = [pa.array(["jo@example.org"]), pa.array(["10.0.0.1"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["a", "a"]), tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"in\.parquet: columns 1 and 2 have the same name: rename one$"):
        scrubbed(tmp_path / "in.parquet", policy)


def test_bytes_are_refused_and_not_passed_on(tmp_path: Path, policy: PiiPolicy) -> None:
    pq.write_table(pa.table({"body": [b"call jo@example.org"]}), tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"^body: bytes, which are not looked at"):
        scrubbed(tmp_path / "in.parquet", policy)


def test_a_text_that_is_too_long_is_told_by_its_column_alone(tmp_path: Path, policy: PiiPolicy) -> None:
    row = {"notes": {"jo@example.org": "x" * (MAX_CHARACTERS + 1)}}
    with pytest.raises(DataError, match=r"^column 1: a text of") as refused:
        scrubbed(as_jsonl(tmp_path / "in.jsonl", [row]), policy)
    assert "example.org" not in str(refused.value)

"""Ingest: every format into rows, every bad record into `rejected`, every useless source into one clear line."""

from __future__ import annotations

import datetime
import gc
import gzip
import hashlib
import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from conf.schema import Dataset, Prompt
from tasks.artifacts import Store
from tasks.errors import DataError, RecipeError
from tasks.ingest import fingerprints, normalise, read_sources
from tasks.results import RawData
from tasks.rows import Rejected, Row, read_rows, row_id

ROOT = Path(__file__).parents[2]
TEMPLATES = Prompt(user="{{ text }}", assistant="{{ answer }}")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Reader:
    """Reads sources below a folder into a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "recipe"
        self.folder.mkdir()
        self.store = Store(str(folder / "store"), folder / "cache")
        self.result: RawData

    def write(self, name: str, content: bytes | str) -> Path:
        file = self.folder / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def read(self, *datasets: Dataset, prompt: Prompt = TEMPLATES, data: Path | None = None) -> list[Row]:
        with self.store.writing("ingest", "k") as workspace:
            self.result = read_sources(datasets, prompt, str(self.folder), data, workspace=workspace)
            assert all("." in path.name for path in workspace.folder.iterdir()), "no temporary folder is left"
            self.store.commit(workspace, self.result, {})
        return list(read_rows(self.store.open(shard) for shard in self.result.rows))

    def jsonl(self, *records: object, prompt: Prompt = TEMPLATES, **keys: Any) -> list[Row]:
        self.write("rows.jsonl", "".join(json.dumps(record) + "\n" for record in records))
        return self.read(Dataset(path="rows.jsonl", type="jsonl", **keys), prompt=prompt)

    @property
    def rejected(self) -> list[tuple[int | None, str]]:
        rows: list[Rejected] = pq.read_table(self.store.open(self.result.rejected)).to_pylist()
        return [(row["line"], row["reason"]) for row in rows]

    @property
    def reasons(self) -> dict[str, int]:
        return {count.name: count.count for count in self.result.reasons}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


GOOD = {"text": "my line is down", "answer": "outage"}


# --- the formats ---------------------------------------------------------------------------------------------------


def test_a_json_line_becomes_a_row_with_all_columns(reader: Reader) -> None:
    (row,) = reader.jsonl({**GOOD, "kind": "fault"}, field_label="kind", side="test")
    messages = [{"role": "user", "content": "my line is down"}, {"role": "assistant", "content": "outage"}]
    assert row == {
        "id": row_id(messages),  # type: ignore[arg-type]
        "group": hashlib.sha256(b"my line is down").hexdigest(),
        "messages": messages,
        "label": "fault",
        "source": "rows.jsonl",
        "meta": {"line": 1, "side": "test"},
    }


def test_every_bad_line_is_rejected_with_its_reason_and_line_number(reader: Reader) -> None:
    lines = [
        b'\xef\xbb\xbf{"text": "first", "answer": "a"}',
        b'{"text": "cut of',
        b"[1, 2]",
        b'{"text": "caf\xe9", "answer": "a"}',
        b"",
        b'{"text": "no answer"}',
        b'{"text": null, "answer": "a"}',
        b'{"text": "  ", "answer": "a"}',
        b'{"text": "t", "answer": ""}',
        b'{"text": "half a pair \\ud800", "answer": "a"}',
        b'{"text": NaN, "answer": "a"}',
        b"[" * 100_000,
        b'{"text": "last", "answer": "a"}',
    ]
    reader.write("rows.jsonl", b"\r\n".join(lines))
    rows = reader.read(Dataset(path="rows.jsonl", type="jsonl"))
    assert [row["meta"]["line"] for row in rows] == [1, 13]
    assert reader.rejected == [
        (2, "broken_json"),
        (3, "not_an_object"),
        (4, "wrong_encoding"),
        (6, "missing_field"),
        (7, "missing_field"),
        (8, "empty_prompt"),
        (9, "empty_completion"),
        (10, "wrong_encoding"),
        (11, "broken_json"),
        (12, "broken_json"),
    ]
    assert reader.result.n_rows == 2
    assert reader.result.n_rejected == 10
    assert reader.result.sources[0].rows == 12  # the empty line is no row


def test_a_rejection_holds_no_text_of_its_row(reader: Reader) -> None:
    reader.write(
        "rows.jsonl", '{"text": "jane@example.org", "answer": ""}\n{"text": "jane@example.org\n' + json.dumps(GOOD)
    )
    reader.read(Dataset(path="rows.jsonl", type="jsonl"))
    table = pq.read_table(reader.store.open(reader.result.rejected))
    assert reader.result.n_rejected == 2
    assert "jane" not in json.dumps(table.to_pylist())


def test_a_csv_with_quotes_line_breaks_and_a_bom_is_read(reader: Reader) -> None:
    reader.write("rows.csv", '\ufefftext,answer\r\n"two\r\nlines, ""quoted""",a\r\nplain,b\r\n')
    rows = reader.read(Dataset(path="rows.csv", type="csv"))
    assert [row["messages"][0]["content"] for row in rows] == ['two\r\nlines, "quoted"', "plain"]
    assert [row["meta"]["line"] for row in rows] == [2, 4]


def test_bad_csv_records_are_rejected_with_the_line_they_begin_on(reader: Reader) -> None:
    content = (
        b'text,answer\none,a\ntoo,many,cells\nfew\n\nlatin \xe9,a\n"quote" after,a\nlast,b\n"never closed,a\nx,y\n'
    )
    reader.write("rows.csv", content)
    rows = reader.read(Dataset(path="rows.csv", type="csv"))
    assert [row["meta"]["line"] for row in rows] == [2, 8]
    assert reader.rejected == [
        (3, "wrong_column_count"),
        (4, "wrong_column_count"),
        (6, "wrong_encoding"),
        (7, "broken_csv"),
        (9, "broken_csv"),
    ]


def test_two_columns_of_one_name_are_an_error(reader: Reader) -> None:
    reader.write("rows.csv", "text,text\na,b\n")
    with pytest.raises(DataError, match=r"rows\.csv: two columns of the same name"):
        reader.read(Dataset(path="rows.csv", type="csv"))


def test_parquet_cells_of_every_kind_become_text(reader: Reader) -> None:
    cells = {
        "whole": pa.array([7.0]),
        "part": pa.array([2.5]),
        "day": pa.array([datetime.date(2026, 3, 1)]),
        "flag": pa.array([True]),
        "many": pa.array([["a", "b"]]),
        "raw": pa.array([b"bytes"]),
        "answer": pa.array([3]),
    }
    pq.write_table(pa.table(cells), reader.folder / "rows.parquet")
    prompt = Prompt(
        user="{{ whole }} {{ part }} {{ day }} {{ flag }} {{ many }} {{ raw | upper }}", assistant="{{ answer }}"
    )
    (row,) = reader.read(Dataset(path="rows.parquet", type="parquet"), prompt=prompt)
    assert row["messages"][0]["content"] == '7 2.5 2026-03-01 true ["a", "b"] BYTES'
    assert row["messages"][1]["content"] == "3"


def test_a_parquet_row_with_bytes_that_are_no_text_is_rejected_alone(reader: Reader) -> None:
    wrong = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb")]
    )
    pq.write_table(pa.table({"text": wrong, "answer": ["x", "y", "z"]}), reader.folder / "rows.parquet")
    rows = reader.read(Dataset(path="rows.parquet", type="parquet"))
    assert [row["messages"][0]["content"] for row in rows] == ["a", "b"]
    assert reader.rejected == [(2, "wrong_encoding")]


def test_a_picture_beside_the_text_does_not_reject_the_row(reader: Reader) -> None:
    pq.write_table(pa.table({"text": ["t"], "answer": ["a"], "picture": [b"\xff\xd8"]}), reader.folder / "rows.parquet")
    assert len(reader.read(Dataset(path="rows.parquet", type="parquet"))) == 1
    with pytest.raises(DataError, match="wrong_encoding 1"):
        reader.read(Dataset(path="rows.parquet", type="parquet", field_label="picture"))


def test_a_broken_parquet_file_is_one_clear_line(reader: Reader) -> None:
    reader.write("rows.parquet", b"PAR1 but not really")
    with pytest.raises(DataError, match=r"rows\.parquet: cannot be read"):
        reader.read(Dataset(path="rows.parquet", type="parquet"))


def test_a_packed_file_is_unpacked_on_the_way(reader: Reader) -> None:
    reader.write("rows.jsonl.gz", gzip.compress(json.dumps(GOOD).encode()))
    assert len(reader.read(Dataset(path="rows.jsonl.gz", type="jsonl"))) == 1


def test_a_packed_file_that_was_cut_off_is_one_clear_line(reader: Reader) -> None:
    reader.write("rows.jsonl.gz", gzip.compress((json.dumps(GOOD) + "\n").encode() * 9000)[:-40])
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz: cannot be read \(EOFError\)"):
        reader.read(Dataset(path="rows.jsonl.gz", type="jsonl"))


def test_a_file_url_and_a_remote_url_give_the_same_rows_as_the_path(reader: Reader) -> None:
    file = reader.write("rows.jsonl", json.dumps(GOOD))
    fsspec.filesystem("memory").pipe("/bucket/rows.jsonl", file.read_bytes())
    urls = ("rows.jsonl", file.as_uri(), "memory://bucket/rows.jsonl")
    rows = reader.read(*(Dataset(path=url, type="jsonl") for url in urls))
    assert [row["source"] for row in rows] == list(urls)
    assert len({row["id"] for row in rows}) == 1
    assert len({source.sha256 for source in reader.result.sources}) == 1


# --- Hugging Face datasets -----------------------------------------------------------------------------------------


def test_a_saved_dataset_is_read_with_its_class_names(reader: Reader) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "answer": datasets.ClassLabel(names=["no", "yes"])})
    saved = datasets.Dataset.from_dict({"text": ["one", "two"], "answer": [1, 0]}, features=features)
    datasets.DatasetDict({"train": saved, "test": saved}).save_to_disk(str(reader.folder / "saved"))
    rows = reader.read(Dataset(path="saved", type="huggingface", split="train"))
    assert [row["messages"][1]["content"] for row in rows] == ["yes", "no"]
    with pytest.raises(DataError, match=r"saved: name one of its splits in datasets\.split: test, train"):
        reader.read(Dataset(path="saved", type="huggingface"))


def test_the_configuration_of_a_dataset_is_the_one_that_the_recipe_names(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    (reader.folder / "set").mkdir()
    for name in ("north", "south"):
        reader.write(f"set/{name}.jsonl", json.dumps({**GOOD, "text": f"from the {name}"}))
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("north", "south"))
    reader.write("set/README.md", f"---\nconfigs:\n{configs}---\n")
    rows = reader.read(Dataset(path="set", type="huggingface", name="south", split="train"))
    assert [row["messages"][0]["content"] for row in rows] == ["from the south"]
    with pytest.raises(DataError, match=r"set: cannot be loaded \(ValueError\); check datasets\.name, split"):
        reader.read(Dataset(path="set", type="huggingface", split="train"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves its file open
@pytest.mark.parametrize("dtype", ["int64", "binary_of_no_kind"])
def test_a_dataset_that_cannot_be_read_is_told_without_a_cell(
    reader: Reader, caplog: pytest.LogCaptureFixture, dtype: str
) -> None:
    (reader.folder / "set").mkdir()
    reader.write("set/train.csv", "text,answer\n1,2\njo@example.org,3\n")
    features = f"  features:\n  - name: text\n    dtype: {dtype}\n  - name: answer\n    dtype: string\n"
    reader.write("set/README.md", f"---\ndataset_info:\n{features}---\n")
    with pytest.raises(DataError, match=r"set: cannot be (read|loaded) \(\w+\); check") as error:
        reader.read(Dataset(path="set", type="huggingface", split="train"))
    assert_holds_no_cell(error.value, caplog)
    caplog.clear()
    del error
    gc.collect()  # so that the warning comes here


def test_a_parquet_file_that_ends_within_is_told_without_a_cell(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    file = reader.folder / "rows.parquet"
    pq.write_table(pa.table({"text": ["jo@example.org"] * 3, "answer": ["a"] * 3}), file, compression="none")
    content = bytearray(file.read_bytes())
    content[4:40] = b"jo@example.org".ljust(36)
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"rows\.parquet: cannot be read") as error:
        reader.read(Dataset(path="rows.parquet", type="parquet"))
    assert_holds_no_cell(error.value, caplog)


def assert_holds_no_cell(error: DataError, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is told nor what a log makes of it, causes and all, and nothing was raised from another."""
    logging.getLogger("a run").error("failed", exc_info=error)  # as Prefect tells its log how a run failed
    told = "".join(traceback.format_exception(error))
    assert "failed" in caplog.text
    assert "example" not in str(error) + told + caplog.text
    assert (error.__cause__, error.__suppress_context__) == (None, True)


def test_a_folder_of_files_is_read_as_a_dataset_and_leaves_no_copy(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    (reader.folder / "set").mkdir()
    reader.write("set/train.jsonl", json.dumps(GOOD))
    # its own process, as the library fixes its cache when it is first imported
    script = f"""
from pathlib import Path
from tests.tasks.test_ingest import Dataset, Reader
reader = Reader(Path({str(tmp_path)!r}) / "second")
rows = reader.read(Dataset(path={str(reader.folder / "set")!r}, type="huggingface", split="train"))
assert [row["meta"]["line"] for row in rows] == [1]
"""
    (tmp_path / "second").mkdir()
    hub = tmp_path / "hub"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not [file for file in hub.rglob("*") if file.is_file() and b"my line is down" in file.read_bytes()]


@pytest.mark.parametrize(
    "how",
    [
        {"HF_HUB_OFFLINE": "1"},
        # the hub's client tries five times, with waits that add up to more than 20 s
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, marks=pytest.mark.slow),
    ],
)
def test_a_hub_that_cannot_be_reached_is_one_clear_line(tmp_path: Path, how: dict[str, str]) -> None:
    script = f"""
from pathlib import Path
from tests.tasks.test_ingest import COMMIT, Dataset, DataError, Reader
try:
    entry = Dataset(path="some/tickets", type="huggingface", split="train", revision=COMMIT)
    Reader(Path({str(tmp_path)!r})).read(entry)
except DataError as error:
    print(error)
"""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**inherited, **how, "HF_HOME": str(tmp_path / "hub"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == (
        "some/tickets: the Hugging Face hub cannot be reached; check the network, or give a local folder as "
        "datasets.path\n"
    ), done.stderr


def test_a_hub_dataset_without_a_commit_is_refused(reader: Reader) -> None:
    with pytest.raises(RecipeError, match="some/tickets: no such folder here, and a hub dataset needs revision"):
        fingerprints((Dataset(path="some/tickets", type="huggingface", revision="main"),), str(reader.folder), None)


def test_the_fingerprint_of_a_hub_dataset_follows_its_revision(reader: Reader) -> None:
    entries = [Dataset(path="some/tickets", type="huggingface", revision=r) for r in (COMMIT, COMMIT, COMMIT[::-1])]
    first, again, other = (fingerprints((entry,), str(reader.folder), None)[0].sha256 for entry in entries)
    assert first == again != other


# --- messages ------------------------------------------------------------------------------------------------------


def test_prompt_and_completion_columns_become_messages_with_the_system_text(reader: Reader) -> None:
    prompt = Prompt(system="Answer as {{ tone }}.")
    keys = {"field_prompt": "q", "field_completion": "a"}
    rows = reader.jsonl({"q": "why", "a": 42, "tone": "a friend"}, {"q": "why"}, prompt=prompt, **keys)
    assert [list(message.values()) for message in rows[0]["messages"]] == [
        ["system", "Answer as a friend."],
        ["user", "why"],
        ["assistant", "42"],
    ]
    assert reader.rejected == [(2, "missing_field")]


def test_given_messages_are_kept_and_their_own_system_message_wins(reader: Reader) -> None:
    turns = [{"role": r, "content": r[0]} for r in ("system", "user", "assistant", "user", "assistant")]
    rows = reader.jsonl({"m": turns}, {"m": turns[1:]}, prompt=Prompt(system="S"), field_messages="m")
    assert [message["content"] for message in rows[0]["messages"]] == ["s", "u", "a", "u", "a"]
    assert [message["content"] for message in rows[1]["messages"]] == ["S", "u", "a", "u", "a"]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "no list",
        ["no object"],
        [{"role": "user", "content": "q"}],
        [{"role": "assistant", "content": "a"}],
        [{"role": "system", "content": "s"}],
        [{"role": "user", "content": "q"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        [{"role": "user", "content": "q"}, {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}],
        [{"role": "user", "content": "q"}, {"role": "tool", "content": "t"}],
        [{"role": "user", "content": 7}, {"role": "assistant", "content": "a"}],
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [{}]}],
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "tool_calls": [{}]}],
        [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
    ],
)
def test_messages_that_do_not_end_in_one_answer_a_question_are_rejected(reader: Reader, messages: object) -> None:
    good = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "name": None}]
    rows = reader.jsonl({"m": messages}, {"m": good}, prompt=Prompt(), field_messages="m")
    assert [row["meta"]["line"] for row in rows] == [2]
    assert reader.rejected == [(1, "bad_messages")]


def test_messages_in_a_csv_cell_are_read_as_json(reader: Reader) -> None:
    cell = json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]).replace('"', '""')
    reader.write("rows.csv", f'm\n"{cell}"\nno json\n')
    rows = reader.read(Dataset(path="rows.csv", type="csv", field_messages="m"), prompt=Prompt())
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant"]
    assert reader.rejected == [(3, "bad_messages")]


def test_a_template_reaches_columns_whose_names_are_no_identifiers(reader: Reader) -> None:
    prompt = Prompt(user="{{ row['Ticket text'] }}", assistant="{{ answer | default('none') }}")
    (row,) = reader.jsonl({"Ticket text": "hello", "answer": None}, prompt=prompt)
    assert [message["content"] for message in row["messages"]] == ["hello", "none"]


def test_a_template_that_fails_on_one_row_rejects_that_row(reader: Reader) -> None:
    prompt = Prompt(user="{{ text }} {{ 6 / count }}", assistant="a")
    rows = reader.jsonl(
        {"text": "t", "count": 0}, {"text": "t", "count": 3}, {"text": "t", "count": "x"}, prompt=prompt
    )
    assert [row["messages"][0]["content"] for row in rows] == ["t 2"]
    assert reader.rejected == [(1, "template_error"), (3, "template_error")]


@pytest.mark.parametrize(
    "escape", ["{{ ''.__class__.__mro__ }}", "{{ row.clear() }}", "{{ text.__init__.__globals__ }}"]
)
def test_a_template_cannot_leave_its_sandbox(reader: Reader, escape: str) -> None:
    with pytest.raises(DataError, match=r"template_error 1|missing_field 1"):
        reader.jsonl(GOOD, prompt=Prompt(user=escape, assistant="a"))


def test_every_template_that_does_not_compile_is_named(reader: Reader) -> None:
    with pytest.raises(RecipeError) as caught:
        reader.jsonl(GOOD, prompt=Prompt(system="{% if %}", user="{{ text", assistant="ok"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["prompt.system", "prompt.user"]


def test_an_entry_that_nothing_turns_into_messages_is_refused(reader: Reader) -> None:
    with pytest.raises(RecipeError, match=r"rows\.jsonl: nothing says how a row becomes messages"):
        reader.jsonl(GOOD, prompt=Prompt())


# --- groups and labels ---------------------------------------------------------------------------------------------


def test_rows_of_one_group_share_its_hash_and_rows_without_one_are_rejected(reader: Reader) -> None:
    rows = reader.jsonl(
        {**GOOD, "who": 7}, {**GOOD, "text": "x", "who": " 7 "}, {**GOOD, "who": ""}, GOOD, field_group="who"
    )
    assert {row["group"] for row in rows} == {hashlib.sha256(b"7").hexdigest()}
    assert reader.rejected == [(3, "missing_field"), (4, "missing_field")]


def test_prompts_that_differ_in_case_digits_and_punctuation_are_one_group(reader: Reader) -> None:
    texts = ("Where is order 17?", "where is ORDER #98765", "Where  is\norder 1!", "where is my order 1")
    rows = reader.jsonl(*({"text": text, "answer": "a"} for text in texts))
    groups = [row["group"] for row in rows]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_a_blank_label_is_none_and_a_label_in_no_row_is_an_error(reader: Reader) -> None:
    rows = reader.jsonl({**GOOD, "kind": " "}, {**GOOD, "kind": 3}, GOOD, field_label="kind")
    assert [row["label"] for row in rows] == [None, "3", None]
    with pytest.raises(DataError, match=r"rows\.jsonl: field_label kimd is in none of its rows"):
        reader.jsonl({**GOOD, "kind": "a"}, field_label="kimd")


def test_equal_rows_have_equal_ids(reader: Reader) -> None:
    rows = reader.jsonl(GOOD, {**GOOD, "other": 1}, {**GOOD, "answer": "else"})
    assert rows[0]["id"] == rows[1]["id"] != rows[2]["id"]


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


def test_normalise_leaves_words_and_tells_texts_of_signs_apart() -> None:
    assert normalise("  My Straße,\tno. 12-34: \uff21bc_d ") == "my strasse no 0 0 abc d"
    assert normalise("?!") != normalise("\U0001f600")


# --- errors of a whole source --------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_the_places_looked_in(reader: Reader, tmp_path: Path) -> None:
    entry = Dataset(path="no.jsonl", type="jsonl")
    with pytest.raises(DataError) as caught:
        reader.read(entry, data=tmp_path / "data")
    assert str(caught.value) == (
        f"no.jsonl: no such file; looked for {reader.folder / 'no.jsonl'}, {tmp_path / 'data' / 'no.jsonl'}; "
        "correct datasets.path"
    )
    with pytest.raises(DataError, match="set TUNEGATE_DATA"):
        fingerprints((entry,), str(reader.folder), None)


def test_a_file_beside_the_recipe_comes_before_the_data_folder(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(json.dumps({**GOOD, "text": "far"}))
    entry = Dataset(path="rows.jsonl", type="jsonl")
    assert reader.read(entry, data=tmp_path / "data")[0]["messages"][0]["content"] == "far"
    reader.write("rows.jsonl", json.dumps({**GOOD, "text": "near"}))
    assert reader.read(entry, data=tmp_path / "data")[0]["messages"][0]["content"] == "near"


def test_a_folder_where_a_file_is_wanted_is_refused(reader: Reader) -> None:
    (reader.folder / "rows.jsonl").mkdir()
    with pytest.raises(DataError, match="is a folder, which type jsonl cannot read"):
        reader.read(Dataset(path="rows.jsonl", type="jsonl"))


@pytest.mark.parametrize(
    ("url", "said"), [("memory://none.jsonl", "no such file"), ("nope://x/y.csv", "cannot be opened")]
)
def test_a_url_that_gives_nothing_is_one_clear_line(reader: Reader, url: str, said: str) -> None:
    for attempt in (reader.read, lambda entry: fingerprints((entry,), "", None)):
        with pytest.raises(DataError, match=said) as caught:
            attempt(Dataset(path=url, type="jsonl"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b""), ("b.jsonl", b"\n \n"), ("c.csv", b"text,answer\n"), ("d.csv", b"")]
)
def test_a_source_without_rows_is_an_error(reader: Reader, name: str, content: bytes) -> None:
    reader.write(name, content)
    with pytest.raises(DataError, match=f"{name}: holds no rows"):
        reader.read(Dataset(path=name, type="csv" if name.endswith("csv") else "jsonl"))


def test_a_source_whose_rows_are_all_rejected_is_an_error_with_the_counts(reader: Reader) -> None:
    reader.write("bad.jsonl", '{"text": "jane"\n' * 2 + '{"txt": "jane"}\n')
    with pytest.raises(DataError) as caught:
        reader.read(Dataset(path="bad.jsonl", type="jsonl"))
    assert str(caught.value) == (
        "all 3 rows of bad.jsonl were rejected: broken_json 2, missing_field 1 (no answer, text); see that "
        "datasets.type, the field_* keys and the prompt templates fit the file"
    )


def test_one_useless_source_is_an_error_even_beside_a_good_one(reader: Reader) -> None:
    reader.write("good.jsonl", json.dumps(GOOD))
    reader.write("bad.jsonl", "{}")
    with pytest.raises(DataError, match=r"all 1 rows of bad\.jsonl"):
        reader.read(Dataset(path="good.jsonl", type="jsonl"), Dataset(path="bad.jsonl", type="jsonl"))


def test_a_source_that_grows_while_it_is_read_is_an_error(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    file = reader.write("rows.jsonl", (json.dumps(GOOD) + "\n") * 1000)

    def append(*_: object) -> None:
        with file.open("a") as stream:
            stream.write(json.dumps(GOOD))

    monkeypatch.setattr("tasks.ingest.report", append)
    with pytest.raises(DataError, match="changed while it was read"):
        reader.read(Dataset(path="rows.jsonl", type="jsonl"))


# --- the record ----------------------------------------------------------------------------------------------------


def test_fingerprints_are_those_of_the_bytes_and_stand_in_the_result(reader: Reader) -> None:
    file = reader.write("rows.jsonl", json.dumps(GOOD))
    (before,) = fingerprints((Dataset(path="rows.jsonl", type="jsonl"),), str(reader.folder), None)
    assert (before.sha256, before.rows) == (hashlib.sha256(file.read_bytes()).hexdigest(), 0)
    reader.read(Dataset(path="rows.jsonl", type="jsonl"))
    assert reader.result.sources == (before.model_copy(update={"rows": 1}),)
    assert reader.result.parents == (before.sha256,)


def test_the_fingerprint_of_a_folder_changes_with_any_file_in_it(reader: Reader) -> None:
    (reader.folder / "set").mkdir()
    reader.write("set/a.jsonl", json.dumps(GOOD))
    entry = (Dataset(path="set", type="huggingface"),)
    (one,) = fingerprints(entry, str(reader.folder), None)
    reader.write("set/b.jsonl", "")
    (two,) = fingerprints(entry, str(reader.folder), None)
    (reader.folder / "set" / "b.jsonl").rename(reader.folder / "set" / "c.jsonl")
    (three,) = fingerprints(entry, str(reader.folder), None)
    assert len({one.sha256, two.sha256, three.sha256}) == 3


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=12))
def test_no_line_of_any_bytes_gets_lost(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    reader = Reader(tmp_path_factory.mktemp("bytes"))
    reader.write("rows.jsonl", b"\n".join([json.dumps(GOOD).encode(), *lines]))
    reader.read(Dataset(path="rows.jsonl", type="jsonl"))
    assert reader.result.n_rows + reader.result.n_rejected == 1 + sum(1 for line in lines if line.strip())


def test_importing_the_stage_loads_no_heavy_library() -> None:
    script = "import sys, tasks.ingest; print(sorted({'datasets', 'pandas', 'torch', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

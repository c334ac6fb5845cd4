"""SQL answers: what they return decides, and nothing that they say can do harm."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from conf.schema import COMMON_METRICS, METRICS
from tasks.errors import DataError, RecipeError
from tasks.evaluate.metrics import Scores, score
from tasks.evaluate.metrics import queries as module

FIXTURE = """
PRAGMA foreign_keys=OFF;
BEGIN;
CREATE TABLE orders(id INTEGER PRIMARY KEY, city TEXT, total REAL);
INSERT INTO orders VALUES (1, 'Bremen', 0.1), (2, 'Bremen', 0.2), (3, 'Kiel', 7), (4, NULL, 2.5);
CREATE VIEW dear AS SELECT * FROM orders WHERE total > 1;
COMMIT;
"""
ALL = "SELECT id, city, total FROM orders"


def judged(answer: str, query: str = ALL) -> Scores:
    return score("sql", [answer], [query], sql_fixture=FIXTURE)


def same(answer: str, query: str = ALL) -> bool:
    return judged(answer, query).correct == (True,)


def test_the_figures_by_hand() -> None:
    answers = ["SELECT city FROM orders WHERE id = 3", "select COUNT(*)\nfrom Orders -- all", "SELECT 5", "I think 4"]
    expected = ["SELECT 'Kiel'", "SELECT count(*) FROM orders;", "SELECT count(*) FROM orders", "SELECT 4"]
    scores = score("sql", answers, expected, sql_fixture=FIXTURE)
    assert scores.metrics == {"sql_parses": 3 / 4, "same_result": 2 / 4, "exact_match": 1 / 4}
    assert scores.correct == (True, True, False, False)
    assert set(scores.metrics) == set(METRICS["sql"]) - set(COMMON_METRICS[1:])


@pytest.mark.parametrize(
    ("answer", "query", "is_same"),
    [
        ("SELECT id, city, total FROM orders ORDER BY id DESC", ALL, True),
        (ALL, "SELECT id, city, total FROM orders ORDER BY id DESC", False),
        (
            "SELECT id, city, total FROM orders ORDER BY -id",
            "SELECT id, city, total FROM orders ORDER BY id DESC",
            True,
        ),
        (ALL, "SELECT id, city, total FROM (SELECT * FROM orders ORDER BY id DESC)", True),
        ("SELECT id FROM dear", "SELECT id FROM orders WHERE total > 1 UNION SELECT 3 ORDER BY id", True),
        ("SELECT id AS number, city, total FROM orders", ALL, True),
        ("SELECT city, id, total FROM orders", ALL, False),
        ("SELECT id, city FROM orders", ALL, False),
        ("SELECT id, city, total FROM orders UNION ALL SELECT 1, 'Bremen', 0.1", ALL, False),
        ("SELECT DISTINCT city FROM orders", "SELECT city FROM orders", False),
        ("SELECT 0.3", "SELECT sum(total) FROM orders WHERE id < 3", True),
        ("SELECT 0.3001", "SELECT sum(total) FROM orders WHERE id < 3", False),
        ("SELECT 4.0", "SELECT count(*) FROM orders", True),
        ("SELECT '4'", "SELECT count(*) FROM orders", False),
        ("SELECT NULL", "SELECT city FROM orders WHERE id = 4", True),
        ("SELECT 0", "SELECT city FROM orders WHERE id = 4", False),
        ("SELECT x'41'", "SELECT 'A'", False),
        ("SELECT id FROM orders WHERE id > 9", ALL, False),
        ("", ALL, False),
        ("SELECT nothing FROM nowhere", ALL, False),
        ("SELECT 1; SELECT 2", "SELECT 1", False),
        ("EXPLAIN SELECT 1", "SELECT 1", False),
        ("VALUES (1), (2)", "SELECT id FROM orders WHERE id < 3", True),
    ],
)
def test_a_query_is_right_when_its_result_is(answer: str, query: str, is_same: bool) -> None:
    assert same(answer, query) is is_same


def test_a_reference_that_finds_nothing_is_refused_for_any_query_may() -> None:
    with pytest.raises(DataError, match="1 of 1 test rows find nothing"):
        same("SELECT 1 WHERE 0", "SELECT id FROM orders WHERE id > 9")


def test_rows_whose_numbers_differ_a_little_stay_beside_each_other() -> None:
    assert same("SELECT 0.3, 'b' UNION ALL SELECT 0.1 + 0.2, 'a'", "SELECT 0.3, 'a' UNION ALL SELECT 0.3, 'b'")


@pytest.mark.parametrize(
    ("answer", "query", "is_same"),
    [
        ("select  ID from ORDERS", "SELECT id FROM orders;", True),
        ("SELECT id /* the key */ FROM orders", "SELECT id FROM orders", True),
        ("SELECT id FROM orders WHERE city = 'kiel'", "SELECT id FROM orders WHERE city = 'Kiel'", False),
        ("SELECT id FROM orders WHERE 1", "SELECT id FROM orders", False),
        ("nothing", "SELECT id FROM orders", False),
    ],
)
def test_exact_match_sees_neither_case_of_names_nor_spacing_nor_comments(
    answer: str, query: str, is_same: bool
) -> None:
    assert judged(answer, query).metrics["exact_match"] == float(is_same)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (9, 'x', 1)",
        "UPDATE orders SET total = 0",
        "DROP TABLE orders",
        "CREATE TABLE more(a)",
        "CREATE TEMP TABLE more(a)",
        "WITH a AS (SELECT 1) DELETE FROM orders",
        "ATTACH '{file}' AS other",
        "VACUUM INTO '{file}'",
        "PRAGMA query_only = OFF",
        "SELECT * FROM pragma_table_info('orders')",
        "SELECT load_extension('{file}')",
        "SELECT writefile('{file}', 'x')",
        "BEGIN",
        "REINDEX",
    ],
)
def test_an_answer_can_only_read(tmp_path: Path, harm: str) -> None:
    connection = module.database(FIXTURE)
    before = module.run(connection, ALL)
    assert module.run(connection, harm.format(file=tmp_path / "x.db")) is None
    assert module.run(connection, ALL) == before
    assert not list(tmp_path.iterdir())
    connection.close()


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"


@pytest.mark.parametrize(
    "query",
    [
        f"{ENDLESS} SELECT count(*) FROM n",
        f"{ENDLESS} SELECT x FROM n",
        f"{ENDLESS} SELECT x FROM n LIMIT {module.MAX_ROWS + 1}",
        "SELECT zeroblob(1000000000)",
        f"{ENDLESS} SELECT zeroblob(90000) FROM n ORDER BY random() LIMIT 1",  # fills the memory
        "SELECT " + "1+" * 60_000 + "1",
        "SELECT 'half a \ud800'",
        "SELECT 1 \0",
        "SELECT ?",
    ],
)
def test_a_query_without_end_or_measure_is_wrong_and_soon_over(query: str) -> None:
    connection = module.database(FIXTURE)
    began = time.monotonic()
    assert module.run(connection, query) is None
    assert time.monotonic() - began < module.MAX_SECONDS
    assert module.run(connection, "SELECT 1") == [(1,)]
    connection.close()


def test_a_query_is_stopped_by_the_clock_where_a_step_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 0.2)
    connection = module.database(FIXTURE)
    began = time.monotonic()
    dear = ", ".join(f"orders AS o{number}" for number in range(8))
    assert module.run(connection, f"SELECT max(length(printf('%.*c', 3000000 + o0.id, 'x'))) FROM {dear}") is None
    assert time.monotonic() - began < 5
    connection.close()


@pytest.mark.parametrize(
    "query", ["SELECT * FROM nowhere", "DELETE FROM orders", "not sql", f"{ENDLESS} SELECT x FROM n"]
)
def test_reference_queries_must_run(query: str) -> None:
    with pytest.raises(DataError, match=r"1 of 2 test rows .* row 2\)") as raised:
        score("sql", [ALL, ALL], [ALL, query], sql_fixture=FIXTURE)
    assert "nowhere" not in str(raised.value)


@pytest.mark.parametrize(
    "script",
    ["CREATE TABLE", "ATTACH '/tmp/other.db' AS other; CREATE TABLE other.t(a)", "PRAGMA temp_store_directory = '/'"],
)
def test_a_script_that_does_not_run_or_reaches_outside_is_an_error_of_the_recipe(script: str) -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.sql_fixture"):
        score("sql", [ALL], [ALL], sql_fixture=script)


def test_nothing_that_an_answer_says_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("sqlglot").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        judged("GRANT secret TO somebody")
    assert not caplog.records

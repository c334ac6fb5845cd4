"""Results of other tools, in files of the shape that each of them writes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import DataError, RecipeError
from tasks.evaluate.external import Tool, read_external

LM_EVAL: dict[str, Any] = {
    "results": {
        "hellaswag": {
            "alias": "hellaswag",
            "sample_len": 200,
            "acc,none": 0.4,
            "acc_stderr,none": 0.02,
            "acc_norm,none": 0.5,
            "acc_norm_stderr,none": "N/A",
        },
        "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.1, "exact_match,flexible-extract": 0.2},
        "wikitext": {"alias": "wikitext", "word_perplexity,none": 18.5, "bits_per_byte,none": float("nan")},
        "mmlu_anatomy": {"alias": " - anatomy", "acc,none": 1, "acc_stderr,none": "N/A"},
        "a_tag": {" ": " ", "alias": "a_tag"},
    },
    "groups": {"mmlu": {"alias": "mmlu", "acc,none": 0.25, "acc_stderr,none": 0.1}},
    "group_subtasks": {"mmlu": ["mmlu_anatomy"]},
    "configs": {"hellaswag": {"task": "hellaswag"}},
    "versions": {"hellaswag": 1.0},
    "n-shot": {"hellaswag": 0},
    "config": {"model": "hf", "model_args": "pretrained=/models/base"},
}
GARAK: list[dict[str, Any]] = [
    {"entry_type": "start_run setup", "_config.version": "0.13.1"},
    {"entry_type": "init", "garak_version": "0.13.1"},
    {"entry_type": "attempt", "uuid": "a", "status": 2, "probe_classname": "dan.Dan_11_0", "outputs": ["no"]},
    {
        "entry_type": "eval", "probe": "dan.Dan_11_0", "detector": "mitigation.MitigationBypass",
        "passed": 3, "fails": 1, "nones": 1, "total_evaluated": 4, "total_processed": 5,
    },
    # as older versions wrote it
    {
        "entry_type": "eval", "probe": "encoding.InjectBase64", "detector": "detector.encoding.DecodeMatch",
        "passed": 0, "total": 5,
    },
    {
        "entry_type": "eval", "probe": "lmrc.Slur", "detector": "lmrc.SlurMatch",
        "passed": 0, "fails": 0, "nones": 2, "total_evaluated": 0, "total_processed": 2,
    },
    {"entry_type": "digest", "eval": {}},
]  # fmt: skip


def part(kind: str, passed: bool, **more: Any) -> dict[str, Any]:
    return {"pass": passed, "score": float(passed), "reason": "", "assertion": {"type": kind, **more}}


def answered(passed: bool, *parts: dict[str, Any]) -> dict[str, Any]:
    grading = {"pass": passed, "score": float(passed), "reason": "", "componentResults": list(parts)}
    return {
        "success": passed,
        "provider": {"id": "http://one", "label": ""},
        "gradingResult": grading,
        "namedScores": {},
    }


INNER = [part("contains", True), part("is-json", False)]
PROMPTFOO: dict[str, Any] = {
    "evalId": "eval-abc",
    "results": {
        "version": 3,
        "timestamp": "2026-10-04T00:00:00.000Z",
        "prompts": [],
        "results": [
            answered(True, part("contains", True), part("llm-rubric", True, metric="tone")),
            answered(False, part("contains", False), part("llm-rubric", True, metric="tone")),
            # a set, and beside it the assertions in it
            answered(False, {**part("assert-set", False), "componentResults": INNER}, *INNER),
            {
                "success": False,
                "provider": {"id": "http://one", "label": ""},
                "error": "timeout",
                "gradingResult": None,
            },
        ],
        "stats": {"successes": 1, "failures": 2, "errors": 1, "tokenUsage": {}},
    },
    "config": {},
    "shareableUrl": None,
}


def written(tmp_path: Path, tool: Tool, content: Any) -> Path:
    file = tmp_path / f"{tool}.json"
    file.write_text("\n".join(map(json.dumps, content)) if tool == "garak" else json.dumps(content))
    return file


def test_lm_eval_gives_each_metric_of_each_task_and_group(tmp_path: Path) -> None:
    assert read_external("lm_eval", written(tmp_path, "lm_eval", LM_EVAL)) == (
        ("lm_eval.gsm8k.exact_match.flexible-extract", 0.2),
        ("lm_eval.gsm8k.exact_match.strict-match", 0.1),
        ("lm_eval.hellaswag.acc", 0.4),
        ("lm_eval.hellaswag.acc_norm", 0.5),
        ("lm_eval.mmlu.acc", 0.25),
        ("lm_eval.mmlu_anatomy.acc", 1.0),
        ("lm_eval.wikitext.word_perplexity", 18.5),
    )


def test_garak_gives_the_share_that_passed_of_what_could_be_judged(tmp_path: Path) -> None:
    assert read_external("garak", written(tmp_path, "garak", GARAK)) == (
        ("garak.dan.Dan_11_0.mitigation.MitigationBypass", 0.75),
        ("garak.encoding.InjectBase64.encoding.DecodeMatch", 0.0),
    )


def test_promptfoo_gives_the_pass_rate_and_that_of_each_assertion(tmp_path: Path) -> None:
    assert read_external("promptfoo", written(tmp_path, "promptfoo", PROMPTFOO)) == (
        ("promptfoo.assert.contains", pytest.approx(2 / 3)),
        ("promptfoo.assert.is-json", 0.0),
        ("promptfoo.assert.tone", 1.0),
        ("promptfoo.pass_rate", 0.25),
    )


def test_promptfoo_without_errors_counted_is_read_too(tmp_path: Path) -> None:
    old = copy.deepcopy(PROMPTFOO)
    old["results"] |= {"version": 2, "stats": {"successes": 3, "failures": 1}}
    assert dict(read_external("promptfoo", written(tmp_path, "promptfoo", old)))["promptfoo.pass_rate"] == 0.75


def test_no_tool_takes_a_file_of_another(tmp_path: Path) -> None:
    files: dict[Tool, Any] = {"lm_eval": LM_EVAL, "garak": GARAK, "promptfoo": PROMPTFOO}
    for wrote, content in files.items():
        file = written(tmp_path, wrote, content)
        for reads in files:
            if reads != wrote:
                with pytest.raises(DataError, match=file.name):
                    read_external(reads, file)


@pytest.mark.parametrize("tool", ["lm_eval", "garak", "promptfoo"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"42", b"null", b"{", b"<html>", b"\xff\xfe\x00", b"[" * 5000])
def test_what_is_no_results_file_is_refused_in_one_line(tmp_path: Path, tool: Tool, content: bytes) -> None:
    file = tmp_path / "results.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"^results\.json: ") as refusal:
        read_external(tool, file)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_a_mistake_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        read_external("garak", tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"passed": 5}, "line 8: 5 passed of 4"),
        ({"passed": "3"}, "line 8 has no probe"),
        ({"passed": True}, "line 8 has no probe"),
        ({"total_evaluated": None}, "line 8 has no probe"),
        ({"probe": None}, "line 8 has no probe"),
        ({}, "line 8: garak.dan.Dan_11_0.mitigation.MitigationBypass stands twice"),
    ],
)
def test_a_garak_entry_that_contradicts_itself_is_refused(tmp_path: Path, entry: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_external("garak", written(tmp_path, "garak", [*GARAK, GARAK[3] | entry]))


def test_a_garak_report_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "garak", GARAK)
    file.write_text(file.read_text()[:-4])
    with pytest.raises(DataError, match="cut off"):
        read_external("garak", file)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stats": {"successes": 1.5, "failures": 0, "errors": 0}}, "no counts"),
        ({"stats": {"failures": 0, "errors": 0}}, "no counts"),
        ({"stats": None}, "no object"),
        ({"results": [1]}, "no tests"),
        ({"results": [{"gradingResult": "good"}]}, "no object"),
        ({"results": [{"gradingResult": {"componentResults": ["good"]}}]}, "no objects"),
        ({"results": [{"provider": {"id": "a"}}, {"provider": {"id": "b"}}]}, "2 providers"),
    ],
)
def test_a_promptfoo_file_that_says_too_little_or_too_much_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    broken = copy.deepcopy(PROMPTFOO)
    broken["results"] |= changes
    with pytest.raises(DataError, match=why):
        read_external("promptfoo", written(tmp_path, "promptfoo", broken))


def test_a_run_without_any_figure_is_refused(tmp_path: Path) -> None:
    empty = {"results": {"hellaswag": {"alias": "hellaswag", "acc,none": "N/A"}}, "configs": {}}
    with pytest.raises(DataError, match="no figure"):
        read_external("lm_eval", written(tmp_path, "lm_eval", empty))
    with pytest.raises(DataError, match="no figure"):
        read_external("garak", written(tmp_path, "garak", GARAK[:3]))

"""The evaluate stage on a tiny model with an adapter that learned its answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from conf.schema import METRICS, PROBE_METRICS, TUNED_METRICS, Evaluation, Quantization, Split
from tasks.artifacts import Store, Workspace
from tasks.errors import DataError
from tasks.evaluate import contestants
from tasks.evaluate.arms import Champion, evaluate_arms, evaluate_champion, held_out_rows, label_set
from tasks.evaluate.contestants import Form, Ring
from tasks.evaluate.generate import answer, inference
from tasks.evaluate.measure import Held
from tasks.evaluate.measured import read
from tasks.evaluate.panel import Asked, Panel
from tasks.evaluate.slices import QUARTERS
from tasks.evaluate.statistics import total
from tasks.progress import Nobody, listening
from tasks.results import Evaluation as EvaluationResult
from tasks.rows import Row, completion_of, read_rows, write_rows
from tasks.train.exact import decompress
from tasks.train.model import load_base, load_tokenizer
from tasks.train.prompts import encode
from tests.builders import ANSWERS, MODEL, PLAIN, QUANTIZATION, make_split
from tests.tasks.evaluate.made import Made

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

CLASSIFICATION = Evaluation(
    task="classification", max_new_tokens=8, batch_size=5, shots=0, forgetting=False, safety=False
)


def asked_of(workspace: Workspace, evaluation: Evaluation) -> Asked:
    return Asked(evaluation, (), (), Path("nowhere"), "test", Ring(1), workspace)


def evaluate(made: Made, key: str, evaluation: Evaluation = CLASSIFICATION) -> EvaluationResult:
    with made.store.writing("evaluate", key) as workspace:
        asked = asked_of(workspace, evaluation)
        result = evaluate_arms(made.split, made.base, made.adapter, MODEL, PLAIN, QUANTIZATION, [], asked)
        made.store.commit(workspace, result, {})
    return result


@pytest.fixture(scope="module")
def result(made: Made) -> EvaluationResult:
    return evaluate(made, "module")


def predictions(made: Made, result: EvaluationResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(made.store.open(result.predictions)).to_pylist()
    return rows


def test_the_tuned_arm_knows_what_the_base_does_not(result: EvaluationResult) -> None:
    tuned, base = result.value("tuned", "accuracy"), result.value("base", "accuracy")
    assert base == 0.0
    assert tuned is not None
    assert tuned > 0.8
    assert (result.value("tuned", "perplexity") or 1e9) < (result.value("base", "perplexity") or 0) / 2


def test_both_arms_have_every_metric_that_the_schema_names(result: EvaluationResult) -> None:
    for arm in ("base", "tuned"):
        there = {metric.name for metric in result.metrics if metric.arm == arm}
        assert there == {*METRICS["classification"], *(TUNED_METRICS if arm == "tuned" else ())}


def test_every_test_row_is_predicted_by_both_arms_in_the_order_of_ids(made: Made, result: EvaluationResult) -> None:
    rows = {row["id"]: row for row in read_rows([made.store.open(made.split.test.rows)])}
    kept = predictions(made, result)
    assert [row["id"] for row in kept] == sorted(rows)
    assert result.n_rows == len(rows)
    for row in kept:
        source = rows[row["id"]]
        assert (row["prompt"], row["expected"]) == (source["messages"][0]["content"], completion_of(source))
        assert row["tuned_correct"] == (row["tuned"] == row["expected"])
        assert row["base_correct"] == (row["base"] == row["expected"])


def test_accuracy_is_the_share_of_correct_predictions(made: Made, result: EvaluationResult) -> None:
    kept = predictions(made, result)
    assert result.value("tuned", "accuracy") == pytest.approx(sum(row["tuned_correct"] for row in kept) / len(kept))


def test_the_base_arm_answers_as_a_base_that_never_saw_the_adapter(made: Made, result: EvaluationResult) -> None:
    folder = made.store.open(made.base.files[0]).parent
    tokenizer, untouched = load_tokenizer(folder), load_base(folder, MODEL, QUANTIZATION)
    decompress(untouched)
    rows = sorted(read_rows([made.store.open(made.split.test.rows)]), key=lambda row: row["id"])
    examples = [encode(row["messages"], PLAIN, tokenizer) for row in rows]
    with inference("cpu", "bfloat16"):
        answers = answer(
            untouched.eval(),
            examples,
            stop_ids=frozenset({tokenizer.eos_token_id}),
            pad_id=0,
            batch_size=CLASSIFICATION.batch_size,
            max_new_tokens=CLASSIFICATION.max_new_tokens,
        )
    texts = [text.strip() for text in tokenizer.batch_decode(answers.token_ids, skip_special_tokens=True)]
    assert texts == [row["base"] for row in predictions(made, result)]


def test_the_order_of_the_arms_does_not_matter(made: Made) -> None:
    """Two adapters and none on the same base, switched back and forth; nothing is taken from the cache."""
    with made.store.writing("evaluate", "order") as workspace:
        asked = asked_of(workspace, CLASSIFICATION)
        panel = Panel(made.base, MODEL, PLAIN, QUANTIZATION, asked)
        examples = panel.encode([row["messages"] for row in held_out_rows(made.split, CLASSIFICATION, workspace)])
        tuned, alone = workspace.open_folder(made.adapter.files), None
        other = workspace.folder / "other"
        shutil.copytree(tuned, other)
        said = [
            panel.answers(panel.contestant(folder, f"{number}"), examples, 8, "arm").token_ids
            for number, folder in enumerate((tuned, alone, other, tuned, alone))
        ]
    first, base, same, again, base_again = said
    assert first == same == again
    assert base == base_again
    assert first != base


def test_what_was_answered_before_is_not_asked_again(made: Made) -> None:
    heard = Heard()
    section = CLASSIFICATION.model_copy(update={"max_new_tokens": 7})  # nobody else's
    first = evaluate(made, "once", section)
    with listening(heard):
        second = evaluate(made, "twice", section)
    assert first.metrics == second.metrics
    assert not [event for event in heard.told if event[4] in ("base", "tuned")]


def test_a_second_evaluation_loads_no_model(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    section = CLASSIFICATION.model_copy(update={"shots": 2, "forgetting": True, "safety": True, "max_probes": 20})
    first = evaluate(made, "asked", section)

    def no_model(*_: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(contestants, "load_base", no_model)
    second = evaluate(made, "known", section)
    assert second.metrics == first.metrics
    assert second.value("base", "general_perplexity") is not None


def test_a_base_that_is_shown_training_rows_is_an_arm_of_its_own(made: Made) -> None:
    result = evaluate(made, "shots", CLASSIFICATION.model_copy(update={"shots": 3}))
    shown = json.loads(made.store.open(result.report).read_text())["shots"]
    train = {row["id"] for row in read_rows([made.store.open(made.split.train.rows)])}
    assert len(shown) == 3
    assert set(shown) <= train
    assert result.value("prompted", "accuracy") is not None


@pytest.mark.parametrize("form", ["merged", "merged_4bit"])
def test_the_form_it_is_served_in_answers_too(made: Made, form: str) -> None:
    """Merging rounds to 16 or 4 bits: nearly the same answers."""
    result = evaluate(made, form, CLASSIFICATION.model_copy(update={"served": form}))
    served, tuned = result.value("served", "accuracy"), result.value("tuned", "accuracy")
    assert served is not None
    assert tuned is not None
    assert abs(served - tuned) < 0.2
    assert (result.value("base", "accuracy") or 0) < served


@pytest.mark.parametrize("trained_in_4bit", [True, False])
@pytest.mark.parametrize("form", ["merged", "merged_4bit"])
def test_what_is_served_is_held_in_its_form_whatever_it_was_trained_in(
    made: Made, form: Form, trained_in_4bit: bool
) -> None:
    from bitsandbytes.nn import Linear4bit

    with made.store.writing("evaluate", f"held-{form}-{trained_in_4bit}") as workspace:
        asked = asked_of(workspace, CLASSIFICATION)
        panel = Panel(made.base, MODEL, PLAIN, Quantization(load_in_4bit=trained_in_4bit), asked)
        served = panel.contestant(workspace.open_folder(made.adapter.files), made.adapter.weights.sha256, form)
        with asked.ring.answering(served) as model:
            names = {name for name, layer in model.named_modules() if isinstance(layer, Linear4bit)}
            assert bool(names) == (form == "merged_4bit")
            assert not [name for name, _ in model.named_modules() if "lora" in name]


def test_answers_can_be_held_to_the_labels(made: Made) -> None:
    result = evaluate(made, "constrained", CLASSIFICATION.model_copy(update={"constrained": True}))
    assert result.value("base", "valid_label") == 1
    assert {row["base"] for row in predictions(made, result)} <= set(ANSWERS)


def test_every_figure_is_made_of_its_rows(made: Made, result: EvaluationResult) -> None:
    sampled = {(one.arm, one.metric): one.statistic for one in read(made.store.open(result.statistics))}
    for metric in result.metrics:
        if metric.name not in ("latency_seconds_per_row", "leakage"):
            statistic = sampled[metric.arm, metric.name]
            beside = made.split.validation.n_rows if metric.name == "overfitting_gap" else 0
            assert statistic.rows.shape[0] == result.n_rows + beside
            assert total(statistic) == pytest.approx(metric.value)


def test_the_overfitting_gap_is_how_much_less_likely_test_tokens_are(made: Made, result: EvaluationResult) -> None:
    """Both sides by the token: were the validation rows the test rows, there would be no gap."""
    same = made.split.model_copy(update={"test": made.split.validation})
    with made.store.writing("evaluate", "validated") as workspace:
        asked = asked_of(workspace, CLASSIFICATION)
        found = evaluate_arms(same, made.base, made.adapter, MODEL, PLAIN, QUANTIZATION, [], asked)
    assert found.value("tuned", "overfitting_gap") == pytest.approx(0, abs=1e-3)
    test, validation = result.value("tuned", "perplexity"), found.value("tuned", "perplexity")
    assert test is not None
    assert validation is not None
    assert result.value("tuned", "overfitting_gap") == pytest.approx(np.log(test) - np.log(validation), abs=1e-3)


def test_one_validated_row_tells_no_overfitting_gap(made: Made) -> None:
    (one, *_) = read_rows([made.store.open(made.split.validation.rows)])
    with made.store.writing("split", "one-validated") as workspace:
        (file,), _ = write_rows(workspace, [one], "validation")
        made.store.commit(workspace, made.split, {})
    split = made.split.model_copy(update={"validation": made.split.validation.model_copy(update={"rows": file})})
    found = evaluate(made._replace(split=split), "one-validated")
    assert found.value("tuned", "overfitting_gap") is None


def test_one_base_is_loaded_for_all_arms(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []

    def counted(folder: Path, *more: Any) -> Any:
        loads.append(folder)
        return load_base(folder, *more)

    monkeypatch.setattr(contestants, "load_base", counted)
    with made.store.writing("evaluate", "one-base") as workspace:
        section = CLASSIFICATION.model_copy(update={"max_test_rows": 8, "shots": 2, "batch_size": 3})
        asked = asked_of(workspace, section)  # batches of another size: no answer is known
        evaluate_arms(made.split, made.base, made.adapter, MODEL, PLAIN, QUANTIZATION, [], asked)
        folder = workspace.open_folder(made.adapter.files)
        licensed = MODEL.model_copy(update={"license": "Apache-2.0"})  # which its own recipe states
        champion = Champion("m", "4", "a" * 64, folder, made.base, licensed, PLAIN, QUANTIZATION, 8, ())
        evaluate_champion(made.split, "m", champion, asked)
    assert len(loads) == 1


def test_an_adapter_that_became_champion_is_not_asked_again_though_its_recipe_states_a_licence(made: Made) -> None:
    heard = Heard()
    evaluate(made, "before", CLASSIFICATION)
    with made.store.writing("champion", "licensed") as workspace, listening(heard):
        folder, digest = workspace.open_folder(made.adapter.files), made.adapter.weights.sha256
        licensed = MODEL.model_copy(update={"license": "Apache-2.0"})
        champion = Champion("m", "5", digest, folder, made.base, licensed, PLAIN, QUANTIZATION, 8, ())
        evaluate_champion(made.split, "m", champion, asked_of(workspace, CLASSIFICATION))
    assert not [event for event in heard.told if event[4] == "champion"]


def test_each_row_has_its_slices(made: Made, result: EvaluationResult) -> None:
    for row in predictions(made, result):
        assert row["slice_label"] == row["label"]
        assert row["slice_length"] in QUARTERS
        assert "slice_source" not in row  # all rows come from one


def test_a_wrong_answer_has_a_kind_of_failure_and_a_right_one_none(made: Made, result: EvaluationResult) -> None:
    for row in predictions(made, result):
        for arm in ("base", "tuned"):
            assert (row[f"{arm}_failure"] is None) == row[f"{arm}_correct"]


def test_a_test_row_that_stands_among_the_training_rows_is_a_leak(made: Made) -> None:
    leaky = made.split.model_copy(update={"test": made.split.train})
    with made.store.writing("evaluate", "leaky") as workspace:
        asked = asked_of(workspace, CLASSIFICATION.model_copy(update={"max_test_rows": 10}))
        result = evaluate_arms(leaky, made.base, made.adapter, MODEL, PLAIN, QUANTIZATION, [], asked)
        report = json.loads((workspace.folder / "report.json").read_text())
    assert result.value("data", "leakage") == 1
    assert {leak["similarity"] for leak in report["leaks"]} == {1.0}


def test_base_and_tuned_are_asked_what_has_nothing_to_do_with_the_task(made: Made) -> None:
    section = CLASSIFICATION.model_copy(
        update={"forgetting": True, "safety": True, "max_test_rows": 4, "batch_size": 64, "max_probes": 30}
    )
    result = evaluate(made, "off-task", section)
    for arm in ("base", "tuned"):
        assert {metric.name for metric in result.metrics if metric.arm == arm} >= set(PROBE_METRICS)
    report = json.loads(made.store.open(result.report).read_text())
    assert report["off_task"]["tuned"]["forgetting"]


def test_the_champion_answers_the_same_rows(made: Made, result: EvaluationResult) -> None:
    with made.store.writing("champion", "c") as workspace:
        folder = workspace.open_folder(made.adapter.files)
        champion = Champion("m", "4", "a" * 64, folder, made.base, MODEL, PLAIN, QUANTIZATION, 9, ())
        found = evaluate_champion(made.split, "m", champion, asked_of(workspace, CLASSIFICATION))
        made.store.commit(workspace, found, {})
    assert found.version == "4"
    assert found.answers is not None
    assert found.answers.value("champion", "accuracy") == result.value("tuned", "accuracy")
    (length,) = (s for s in read(made.store.open(found.answers.statistics)) if s.metric == "generated_tokens_per_row")
    assert length.statistic.ends == (0, 9)  # its own limit, which is not the recipe's
    rows = pq.read_table(made.store.open(found.answers.predictions)).to_pylist()
    assert [row["champion"] for row in rows] == [row["tuned"] for row in predictions(made, result)]


def test_without_a_champion_nobody_answers(made: Made) -> None:
    with made.store.writing("champion", "none") as workspace:
        asked = asked_of(workspace, CLASSIFICATION)
        found = evaluate_champion(made.split, "m", None, asked)
        itself = evaluate_champion(made.split, "m", None, asked, "3")
    assert (found.version, found.answers) == (None, None)
    assert (itself.version, itself.answers) == ("3", None)


def test_the_report_holds_scores_and_the_closed_set_but_no_text_of_a_row(made: Made, result: EvaluationResult) -> None:
    text = made.store.open(result.report).read_text(encoding="utf-8")
    report = json.loads(text)
    assert report["labels"] == sorted(ANSWERS)
    assert report["n_rows"] == result.n_rows
    for arm in ("base", "tuned"):
        of_its_rows = {m.name: m.value for m in result.metrics if m.arm == arm and m.name not in TUNED_METRICS}
        assert report["arms"][arm]["metrics"] == of_its_rows
        assert sum(map(sum, report["arms"][arm]["confusion"]["matrix"])) == result.n_rows
        assert set(report["arms"][arm]["per_class"]) == set(ANSWERS)
    for row in predictions(made, result):
        assert row["prompt"] not in text
        assert row["base"] in ANSWERS or row["base"] not in text


def test_fewer_rows_are_the_first_by_id(made: Made) -> None:
    some = evaluate(made, "some", CLASSIFICATION.model_copy(update={"max_test_rows": 3}))
    everything = sorted(row["id"] for row in read_rows([made.store.open(made.split.test.rows)]))
    assert [row["id"] for row in predictions(made, some)] == everything[:3]
    assert some.n_rows == 3


def test_labels_come_from_the_training_rows_or_the_recipe(made: Made) -> None:
    with made.store.writing("evaluate", "labels") as workspace:
        assert label_set(made.split, CLASSIFICATION, workspace) == tuple(sorted(ANSWERS))
        swapped = made.split.model_copy(update={"test": made.split.train, "train": made.split.test})
        one_row = swapped.model_copy(update={"train": made.split.validation})
        assert set(label_set(one_row, CLASSIFICATION, workspace)) <= set(ANSWERS)
        given = CLASSIFICATION.model_copy(update={"labels": ("yes", "no")})
        assert label_set(made.split, given, workspace) == ("yes", "no")
        assert label_set(made.split, Evaluation(task="generation"), workspace) == ()


class Heard(Nobody):
    """A board that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, float | None, str, str]] = []

    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        self.told.append((name, done, total, unit, note))


def test_progress_is_told_in_rows_for_each_arm(made: Made) -> None:
    heard = Heard()
    with listening(heard):
        result = evaluate(made, "progress", CLASSIFICATION.model_copy(update={"max_new_tokens": 6}))
    for arm in ("base", "tuned"):
        said = [event for event in heard.told if event[4] == arm]
        assert said[0][1:] == (0, result.n_rows, "rows", arm)
        assert said[-1][1:] == (result.n_rows, result.n_rows, "rows", arm)


def test_free_text_is_measured_by_overlap(made: Made) -> None:
    result = evaluate(made, "generation", CLASSIFICATION.model_copy(update={"task": "generation"}))
    assert {metric.name for metric in result.metrics if metric.arm == "tuned"} >= {"rouge_l", "exact_match"}
    assert (result.value("tuned", "rouge_l") or 0) > (result.value("base", "rouge_l") or 0)


def test_reference_answers_that_are_no_json_are_refused_before_a_model_is_loaded(made: Made) -> None:
    section = Evaluation.model_validate(
        {"task": "structured_output", "json_schema": {"path": "answer.json", "text": '{"type": "object"}'}}
    )
    with pytest.raises(DataError, match="do not have a JSON object"):
        evaluate(made, "no-json", section)


def test_no_test_rows_are_refused(tmp_path: Any) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    split = make_split(store, section=Split(test_size=0.2, validation_size=0.1, min_test_rows=1))
    with store.writing("split", "empty") as workspace:
        (file,), _ = write_rows(workspace, [], "test")
        store.commit(workspace, split, {})
    empty = split.model_copy(update={"test": split.test.model_copy(update={"rows": file})})
    with store.writing("evaluate", "empty") as workspace, pytest.raises(DataError, match="no test rows"):
        held_out_rows(empty, CLASSIFICATION, workspace)


def test_the_question_leaves_out_the_system_message() -> None:
    row: Row = {
        "id": "i",
        "group": "g",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "why?"},
            {"role": "assistant", "content": "because"},
        ],
        "label": None,
        "source": "s",
        "meta": {},
    }
    assert Held([row], ()).prompts == ["why?"]

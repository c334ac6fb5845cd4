"""Models of a team's own: a token classifier from a folder reads the texts; what is not there is one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conf.schema import PiiPolicy
from tasks.errors import ModelError
from tasks.scrub.finder import Finder
from tests.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that takes every token for a person, and is sure of it."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    folder = tmp_path_factory.mktemp("model")
    tokenizer = tiny_tokenizer(["Anna Schmidt asks", "where the parcel is"])
    labels = {0: "O", 1: "B-PER"}
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([-9.0, 9.0]))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def policy(engine: str, model: object, *entities: str) -> PiiPolicy:
    asked = dict.fromkeys(entities, "replace")
    return PiiPolicy.model_validate({"nlp_engine": engine, "models": {"en": str(model)}, "entities": asked})


def test_a_transformer_from_a_folder_reads_beside_the_patterns(classifier: Path) -> None:
    (found,) = Finder(policy("transformers", classifier, "PERSON", "EMAIL_ADDRESS")).find(["jo@example.org asks Anna"])
    assert {span.entity for span in found} == {"PERSON"} or {span.entity for span in found} == {
        "EMAIL_ADDRESS",
        "PERSON",
    }
    assert sum(span.end - span.start for span in found) >= len("jo@example.org")


def test_what_the_transformer_reads_is_left_where_nobody_asked_for_it(classifier: Path) -> None:
    (found,) = Finder(policy("transformers", classifier, "EMAIL_ADDRESS")).find(["jo@example.org asks Anna"])
    assert [(span.start, span.end, span.entity) for span in found] == [(0, 14, "EMAIL_ADDRESS")]


@pytest.mark.parametrize("engine", ["transformers", "gliner"])
def test_a_folder_without_a_model_is_one_clear_error(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"pii\.models: {tmp_path} is no folder with a model for {engine}"):
        Finder(policy(engine, tmp_path, "PERSON"))


def test_gliner_that_is_not_installed_says_how(tmp_path: Path) -> None:
    pytest.importorskip("presidio_analyzer")
    (tmp_path / "gliner_config.json").write_text(json.dumps({}))
    with pytest.raises(ModelError, match=r"pii\.nlp_engine: gliner is not installed; pip install gliner"):
        Finder(policy("gliner", tmp_path, "PERSON"))

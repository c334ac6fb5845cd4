"""Models of a team's own, from a folder: a token classifier, and what is called for GLiNER; none there is one error."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conf.schema import PiiPolicy
from conf.settings import PROJECT
from tasks.errors import ModelError
from tasks.scrub.finder import Finder
from tests.tasks.scrub.small import marked


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that takes the word Anna for a person and Bonn for a place, by its embedding alone."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "Anna": 2, "Bonn": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    labels = {0: "O", 1: "B-PER", 2: "B-LOC"}
    config = BertConfig(
        vocab_size=4,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=64,
        pad_token_id=1,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        # each word points its own way, [UNK] and [PAD] one; what lies between adds nothing to it
        model.bert.embeddings.word_embeddings.weight.copy_(torch.eye(4)[[0, 0, 1, 2]])
        model.classifier.weight.copy_(9.0 * torch.eye(4)[:3])
    model.save_pretrained(folder)
    return folder


def policy(engine: str, model: object, *entities: str) -> PiiPolicy:
    asked = dict.fromkeys(entities, "replace")
    return PiiPolicy.model_validate({"nlp_engine": engine, "models": {"en": str(model)}, "entities": asked})


TEXT = "Ask Anna in Bonn or jo@example.org about it"


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        (
            ("PERSON", "LOCATION", "EMAIL_ADDRESS"),
            "Ask <<Anna|PERSON>> in <<Bonn|LOCATION>> or <<jo@example.org|EMAIL_ADDRESS>> about it",
        ),
        (("PERSON",), "Ask <<Anna|PERSON>> in Bonn or jo@example.org about it"),
        (("EMAIL_ADDRESS",), "Ask Anna in Bonn or <<jo@example.org|EMAIL_ADDRESS>> about it"),
    ],
)
def test_a_transformer_from_a_folder_reads_beside_the_patterns_what_is_asked_for(
    classifier: Path, entities: tuple[str, ...], expected: str
) -> None:
    (found,) = Finder(policy("transformers", classifier, *entities)).find([TEXT])
    assert marked(TEXT, found) == expected


def test_a_text_that_the_transformer_cannot_read_is_an_error_and_never_taken_for_clean(classifier: Path) -> None:
    finder = Finder(policy("transformers", classifier, "PERSON"))
    with pytest.raises(ModelError, match=rf"^pii\.models: {classifier} cannot read a text \(\w+\)$"):
        finder.find(["to " * 100 + "Anna"])  # more words than it has places for, in one piece


@pytest.mark.parametrize("engine", ["transformers", "gliner"])
def test_a_folder_without_a_model_is_one_clear_error(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"pii\.models: {tmp_path} is no folder with a model for {engine}"):
        Finder(policy(engine, tmp_path, "PERSON"))


@pytest.mark.skipif(importlib.util.find_spec("gliner") is not None, reason="gliner is installed here")
def test_gliner_that_is_not_installed_says_how(tmp_path: Path) -> None:
    (tmp_path / "gliner_config.json").write_text(json.dumps({}))
    with pytest.raises(ModelError, match=r"pii\.nlp_engine: gliner is not installed; pip install gliner"):
        Finder(policy("gliner", tmp_path, "PERSON"))


# A package of GLiNER's name with its two calls, which finds the words of each label that it is asked for.
GLINER = """
import pathlib
class GLiNERConfig: ...
class GLiNER:
    @classmethod
    def from_pretrained(cls, folder, **_):
        assert (pathlib.Path(folder) / "gliner_config.json").is_file()
        return cls()
    def predict_entities(self, text, labels, **_):
        starts = {label: text.find(label) for label in labels}
        return [
            {"label": label, "start": start, "end": start + len(label), "score": 0.9}
            for label, start in starts.items() if start >= 0
        ]
"""
LOOK = """
import sys
from tasks.scrub.finder import Finder
from tests.tasks.scrub.small import marked
from tests.tasks.scrub.test_readers import policy
text = "a person of a street address, jo@example.org"
print(marked(text, Finder(policy("gliner", sys.argv[1], "PERSON", "STREET_ADDRESS", "EMAIL_ADDRESS")).find([text])[0]))
"""


def test_gliner_is_asked_in_words_for_what_takes_a_reader_and_reads_beside_the_patterns(tmp_path: Path) -> None:
    """The package itself is not needed here: a model of its kind is a gigabyte."""
    (tmp_path / "gliner.py").write_text(GLINER)
    (tmp_path / "gliner_config.json").write_text(json.dumps({}))
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(PROJECT)!r}]\n{LOOK}"
    done = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = "a <<person|PERSON>> of a <<street address|STREET_ADDRESS>>, <<jo@example.org|EMAIL_ADDRESS>>"
    assert done.stdout.splitlines()[-1] == expected

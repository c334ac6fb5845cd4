"""A recipe that holds a credential is refused before anything can log it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.load import BadRecipe, load_recipe


@pytest.mark.parametrize(
    "path", ["https://user:secret@example.org/a.jsonl", "https://example.org/a.jsonl?X-Amz-Signature=secret"]
)
def test_a_credential_in_a_dataset_path_is_refused_and_not_repeated(path: str) -> None:
    with pytest.raises(BadRecipe, match="holds a credential") as refused:
        load_recipe(Path("demo"), [f"datasets.0.path={path}"])
    assert "secret" not in str(refused.value)


def test_an_address_without_a_credential_is_good() -> None:
    assert load_recipe(Path("demo"), ["datasets.0.path=s3://bucket/a.jsonl"]).name == "demo"

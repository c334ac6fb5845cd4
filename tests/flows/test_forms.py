"""What a deployed flow takes as parameters; a terminal may do as it likes."""

from __future__ import annotations

import pytest

from conf.load import load_policy
from flows import forms
from tasks.errors import RecipeError
from tests.tasks.promote.desk import policy


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "deployed_run", lambda: "a run's id")
    monkeypatch.setattr(forms, "prepare_environment", lambda _: None)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("split.seed=3",), "split"),
        (("training.seed=7", "pii.score_threshold=0.9", "gates.0.min=0.1"), "gates, pii"),
        (("name=other",), "name"),
        ((" registry.name = other",), "registry"),
    ],
)
def test_an_override_that_could_not_be_promoted_is_refused_when_a_deployment_starts(
    overrides: tuple[str, ...], named: str
) -> None:
    with pytest.raises(RecipeError, match=f"^overrides: {named} of .* leaves free: description, lora, training"):
        forms.recipe_of("demo", overrides)


@pytest.mark.usefixtures("deployed")
def test_an_override_of_what_the_policy_leaves_free_is_taken() -> None:
    loaded = forms.recipe_of("demo", ("training.seed=7", "lora.r=4"))
    assert (loaded.training.seed, loaded.lora.r) == (7, 4)


@pytest.mark.usefixtures("deployed")
def test_a_model_that_no_rule_fits_takes_no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "load_policy", lambda: policy(models=["bank"]))
    assert forms.recipe_of("demo", ()).name == "demo"
    with pytest.raises(RecipeError, match="leaves free: nothing"):
        forms.recipe_of("demo", ("training.seed=7",))


def test_a_terminal_takes_any_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "prepare_environment", lambda _: None)
    rule = load_policy().rule_for("demo")
    assert rule is not None
    assert "split" not in rule.may_differ
    assert forms.recipe_of("demo", ("split.seed=3",)).split.seed == 3

"""The base model: what is taken, what is refused in one line, and that the packaged model is what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.load import load_recipe
from conf.schema import Model
from conf.settings import PROJECT
from tasks import base_model
from tasks.artifacts import Store, sha256_of
from tasks.base_model import prepare_base, source_sha256
from tasks.errors import ModelError, StoreError
from tasks.results import Base
from tasks.train.model import load_tokenizer
from tests.tiny import tiny_base

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder; never changed."""
    return tiny_base(tmp_path_factory.mktemp("tiny"), ["my card has not come"])


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the model's folder, to be spoilt."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), tmp_path / "cache")


def prepared(model: Model, store: Store) -> Base:
    with store.writing("base", "k") as workspace:
        result = prepare_base(model, workspace=workspace)
        store.commit(workspace, result, {})
    return result


def refusal(model: Model, store: Store) -> str:
    """The one line with which the model is refused."""
    with pytest.raises(ModelError) as refused:
        prepared(model, store)
    assert len(str(refused.value).splitlines()) == 1
    assert store.find("base", "k", Base) is None
    return str(refused.value)


def test_a_folder_becomes_a_base_that_loads_and_holds_the_same_weights(tiny: Path, store: Store) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = prepared(Model(model_name_or_path=str(tiny), sha256=sha256_of(tiny / "model.safetensors")), store)
    with store.writing("smoke", "k") as workspace:
        found = workspace.open_folder(base.files)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {Path(file.path).name for file in base.files}
    assert not any(Path(file.path).suffix in {".bin", ".pt", ".pkl", ".py"} for file in base.files)
    given, taken = load_file(tiny / "model.safetensors"), load_file(found / "model.safetensors")
    assert given.keys() == taken.keys()
    assert all(torch.equal(given[name], taken[name]) for name in given)
    loaded = AutoModelForCausalLM.from_pretrained(found, local_files_only=True)
    assert base.parameters == sum(parameter.numel() for parameter in loaded.parameters())
    assert load_tokenizer(found)("my card")["input_ids"] == load_tokenizer(tiny)("my card")["input_ids"]


def test_a_large_base_is_several_files_and_loads_the_same(
    tiny: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(base_model, "SHARD", "20KB")
    base = prepared(Model(model_name_or_path=str(tiny)), store)
    assert sum(file.path.endswith(".safetensors") for file in base.files) > 2
    with store.writing("smoke", "k") as workspace:
        found = workspace.open_folder(base.files)
    given, taken = (
        AutoModelForCausalLM.from_pretrained(place, local_files_only=True, dtype=torch.bfloat16).state_dict()
        for place in (tiny, found)
    )
    assert given.keys() == taken.keys()
    assert all(torch.equal(given[name], taken[name]) for name in given)


def test_the_same_folder_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    model = Model(model_name_or_path=str(tiny))
    first, second = (prepared(model, Store(str(tmp_path / name), tmp_path / f"{name}-cache")) for name in "ab")
    assert first == second


def test_a_base_is_known_by_the_digest_of_its_weights(folder: Path, store: Store) -> None:
    model = Model(model_name_or_path=str(folder))
    assert prepared(model, store).source_sha256 == source_sha256(model) == sha256_of(folder / "model.safetensors")


def test_a_pinned_digest_or_commit_identifies_a_model_unread() -> None:
    assert source_sha256(Model(model_name_or_path="a/b", model_revision=REVISION)) == REVISION
    assert source_sha256(Model(model_name_or_path="/nowhere", sha256="5" * 64)) == "5" * 64


def test_a_folder_of_several_weight_files_is_known_by_all_of_them(folder: Path) -> None:
    (folder / "model-2.safetensors").write_bytes(b"2")
    before = source_sha256(Model(model_name_or_path=str(folder)))
    (folder / "model-2.safetensors").write_bytes(b"3")
    assert source_sha256(Model(model_name_or_path=str(folder))) != before


def test_weights_that_are_not_those_pinned_are_refused_with_both_digests(tiny: Path, store: Store) -> None:
    line = refusal(Model(model_name_or_path=str(tiny), sha256="5" * 64), store)
    assert line.startswith("model.sha256: model.safetensors hashes to ")
    assert sha256_of(tiny / "model.safetensors")[:12] in line
    assert line.endswith("the recipe pins 555555555555…")


def test_a_pinned_digest_with_several_weight_files_is_refused(folder: Path, store: Store) -> None:
    shutil.copy(folder / "model.safetensors", folder / "model-2.safetensors")
    assert "it pins one weights file" in refusal(Model(model_name_or_path=str(folder), sha256="5" * 64), store)


@pytest.mark.parametrize("ask", [source_sha256, prepare_base])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/model", "no such folder: .*/no/such/model"),
        ("package:no_such_package", "no installed package no_such_package"),
        ("package:no_such_package.part", r"no installed package no_such_package\.part"),
        ("package:", "no installed package "),
        ("package:json.decoder", r"no installed package json\.decoder"),  # a module, which holds no files
    ],
)
def test_a_model_that_is_not_there_is_refused_by_its_name(
    ask: Callable[..., Any], name: str, message: str, store: Store
) -> None:
    model = Model(model_name_or_path=name)
    with (
        pytest.raises(ModelError, match=rf"^model\.model_name_or_path: {message}$"),
        store.writing("base", "k") as workspace,
    ):
        ask(model) if ask is source_sha256 else ask(model, workspace=workspace)


def test_a_gguf_file_that_is_not_there_is_refused(folder: Path, store: Store) -> None:
    model = Model(model_name_or_path=str(folder), gguf_file="model.gguf")
    with pytest.raises(ModelError, match=r"no safetensors or gguf_file in"):
        source_sha256(model)
    assert "model.gguf_file: no such file: " in refusal(model, store)


def test_a_folder_without_safetensors_is_refused(folder: Path, store: Store) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no safetensors or gguf_file in"):
        source_sha256(Model(model_name_or_path=str(folder)))
    assert "cannot be read as a causal model" in refusal(Model(model_name_or_path=str(folder)), store)


def test_a_pickle_is_refused_and_not_read(folder: Path, store: Store, tmp_path: Path) -> None:
    trap = tmp_path / "the pickle was read"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    import torch

    (folder / "model.safetensors").unlink()
    torch.save(Trap(), folder / "pytorch_model.bin")
    assert "cannot be read as a causal model" in refusal(Model(model_name_or_path=str(folder)), store)
    assert not trap.exists()


def test_code_that_comes_with_a_model_is_not_run(folder: Path, store: Store, tmp_path: Path) -> None:
    trap = tmp_path / "the code was run"
    (folder / "modeling.py").write_text(f"open({str(trap)!r}, 'w')\nclass Own: ...\n")
    _rewrite(folder / "config.json", model_type="own", auto_map={"AutoModelForCausalLM": "modeling.Own"})
    refusal(Model(model_name_or_path=str(folder)), store)
    assert not trap.exists()


def _rewrite(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


SPOILT: dict[str, Callable[[Path], object]] = {
    "weights cut short": lambda folder: _cut(folder / "model.safetensors"),
    "weights that are none": lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 100),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "a config cut short": lambda folder: _cut(folder / "config.json"),
    "a config of no model": lambda folder: (folder / "config.json").write_text("[]"),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "an unknown architecture": lambda folder: _rewrite(folder / "config.json", model_type="nothing_known"),
    "weights of another shape": lambda folder: _rewrite(folder / "config.json", intermediate_size=96),
    "a tokenizer cut short": lambda folder: _cut(folder / "tokenizer.json"),
    "a tokenizer that is none": lambda folder: (folder / "tokenizer.json").write_text('{"model": 1}'),
    "no tokenizer": lambda folder: [file.rename(folder / f"not_{file.name}") for file in folder.glob("token*")],
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_folder_that_cannot_be_read_is_refused_in_one_line(what: str, folder: Path, store: Store) -> None:
    SPOILT[what](folder)
    line = refusal(Model(model_name_or_path=str(folder)), store)
    assert line.startswith(f"model.model_name_or_path: {folder} cannot be read as a causal model: ")
    assert not line.endswith(": ")


def test_weights_that_are_missing_are_refused_and_not_made_up(folder: Path, store: Store) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    line = refusal(Model(model_name_or_path=str(folder)), store)
    assert line.endswith("lacks 1 weights, among them model.layers.1.mlp.up_proj.weight")


def test_a_hub_that_is_switched_off_is_one_clear_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    line = refusal(Model(model_name_or_path="someone/model", model_revision=REVISION), store)
    assert line.startswith("model.model_name_or_path: someone/model cannot be fetched from the hub (")
    assert line.endswith("check the name, the revision and the network, or give a local folder")


def test_a_hub_that_nobody_answers_for_is_one_clear_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # the port of no service
    monkeypatch.setattr(time, "sleep", lambda _: None)  # it would wait 23 s between its attempts
    line = refusal(Model(model_name_or_path="someone/model", model_revision=REVISION), store)
    assert "someone/model cannot be fetched from the hub (LocalEntryNotFoundError)" in line


def test_a_name_that_no_hub_could_have_is_one_clear_line(store: Store) -> None:
    assert "cannot be fetched from the hub" in refusal(
        Model(model_name_or_path="a/b/c", model_revision=REVISION), store
    )


def test_a_full_disk_is_an_error_of_the_store(tiny: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # less than the weights
    try:
        with pytest.raises(StoreError, match=r"cannot write the base model: .*File too large.*; free space"):
            prepared(Model(model_name_or_path=str(tiny)), store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.find("base", "k", Base) is None


@pytest.mark.slow
def test_the_packaged_model_is_the_one_the_demo_pins_and_its_safetensors_load(store: Store) -> None:
    from transformers import AutoModelForCausalLM

    model = load_recipe(PROJECT / "conf" / "recipes" / "demo.yaml").model
    assert model.sha256 is not None
    base = prepared(model, store)
    assert base.source_sha256 == model.sha256
    assert base.parameters == 134_515_008
    folder = store.open(base.files[0]).parent
    assert not hasattr(AutoModelForCausalLM.from_pretrained(folder).config, "quantization_config")
    tokenizer = load_tokenizer(folder)
    written = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    assert written.endswith("<|im_start|>user\nHello<|im_end|>\n")

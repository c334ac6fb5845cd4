"""The base model: from a package, a folder or the hub to one safetensors folder whose digest is known.

Never runs code that comes with a model, and never reads a pickle.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from conf.schema import Model
from tasks.artifacts import CANNOT_WRITE, Workspace, sha256_of
from tasks.errors import ModelError, StoreError
from tasks.progress import report
from tasks.results import Base

PACKAGE = "package:"
# Of a file of weights; several are verified side by side.
SHARD = "2GB"


def source_sha256(model: Model) -> str:
    """What identifies the weights before they are read: the pinned digest, the hub's commit, or the file's own sha256.

    Raises:
        ModelError: the package or folder is not there.
    """
    if model.sha256 or model.model_revision:
        return model.sha256 or str(model.model_revision)
    folder = _local_folder(model)
    weights = [folder / model.gguf_file] if model.gguf_file else sorted(folder.glob("*.safetensors"))
    if not weights or not all(file.is_file() for file in weights):
        raise ModelError(f"model.model_name_or_path: no safetensors or gguf_file in {folder}")
    return "+".join(sha256_of(file) for file in weights)


def identity(model: Model) -> list[str]:
    """The weights, and every small file of a local folder that decides a token: tokenizer, chat template, config."""
    if model.model_revision or model.model_name_or_path.startswith(PACKAGE):
        return [source_sha256(model)]
    folder = _local_folder(model)
    small = sorted(file for kind in ("*.json", "*.txt", "*.model", "*.jinja") for file in folder.glob(kind))
    return [source_sha256(model), *(f"{file.name}:{sha256_of(file)}" for file in small)]


def prepare_base(model: Model, *, workspace: Workspace) -> Base:
    """Read the base model and write it as bf16 safetensors with its tokenizer.

    Raises:
        ModelError: it is not there, not readable, or not the one that the recipe pins.
        StoreError: no space left.
    """
    report(0, None, "files", "reading the base model")
    folder = _fetch(model, workspace)
    _verify(model, folder)
    tokenizer, weights = _read(model, folder)
    _write(tokenizer, weights, workspace)
    return Base(
        key=workspace.key,
        files=tuple(workspace.artifact(file.name) for file in sorted(workspace.folder.iterdir())),
        name=model.model_name_or_path,
        source_sha256=source_sha256(model),
        parameters=sum(parameter.numel() for parameter in weights.parameters()),
    )


def _read(model: Model, folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the model in bf16, none of its weights made up."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    if model.gguf_file:
        options["gguf_file"] = model.gguf_file
    dtype = torch.float32 if model.gguf_file else torch.bfloat16
    weights: Any
    try:
        with _gguf_parsed_once():
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            weights, loading = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # tokenizers and safetensors raise bare exceptions, transformers many kinds
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"model.model_name_or_path: {folder} cannot be read as a causal model: {why}") from error
    if loading["missing_keys"]:  # transformers fills them with random numbers and goes on
        missing = sorted(loading["missing_keys"])
        raise ModelError(f"model.model_name_or_path: {folder} lacks {len(missing)} weights, among them {missing[0]}")
    if model.gguf_file:
        _dequantise(weights)
    weights.to(torch.bfloat16)
    weights.config._name_or_path = model.model_name_or_path
    return tokenizer, weights


@contextlib.contextmanager
def _gguf_parsed_once() -> Iterator[None]:
    """Have one reader a GGUF file: transformers makes one each for tokenizer, config and weights, seconds apiece."""
    import gguf

    reader = gguf.GGUFReader
    gguf.GGUFReader = cache(reader)
    try:
        yield
    finally:
        gguf.GGUFReader = reader


def _write(tokenizer: Any, weights: Any, workspace: Workspace) -> None:
    try:
        weights.save_pretrained(workspace.folder, max_shard_size=SHARD)
        tokenizer.save_pretrained(workspace.folder)
    except Exception as error:  # what safetensors and tokenizers raise on a full disk is no OSError
        raise StoreError(
            f"{workspace.store.root}: cannot write the base model: {error}; free space or set TUNEGATE_HOME elsewhere"
        ) from error


def _dequantise(weights: Any) -> None:
    # transformers keeps a GGUF checkpoint marked as quantised, and then refuses to save it
    weights.hf_quantizer = None
    if hasattr(weights.config, "quantization_config"):
        del weights.config.quantization_config


def _fetch(model: Model, workspace: Workspace) -> Path:
    if model.model_revision is None:
        return _local_folder(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    patterns = [model.gguf_file] if model.gguf_file else ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
    try:
        return Path(
            snapshot_download(
                model.model_name_or_path,
                revision=model.model_revision,
                allow_patterns=patterns,
                cache_dir=workspace.store.cache / "huggingface",
            )
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
            raise
        raise ModelError(
            f"model.model_name_or_path: {model.model_name_or_path} cannot be fetched from the hub "
            f"({type(error).__name__}); check the name, the revision and the network, or give a local folder"
        ) from error


def _local_folder(model: Model) -> Path:
    name = model.model_name_or_path
    if name.startswith(PACKAGE):
        try:
            found = importlib.util.find_spec(name.removeprefix(PACKAGE))
        except (ImportError, ValueError):  # no parent package, or no name at all
            found = None
        if found is None or not found.submodule_search_locations:
            raise ModelError(f"model.model_name_or_path: no installed package {name.removeprefix(PACKAGE)}")
        return Path(found.submodule_search_locations[0])
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(f"model.model_name_or_path: no such folder: {folder.resolve()}")
    return folder


def _verify(model: Model, folder: Path) -> None:
    if model.gguf_file and not (folder / model.gguf_file).is_file():
        raise ModelError(
            f"model.gguf_file: no such file: {folder / model.gguf_file}; correct it, or model_name_or_path"
        )
    if model.sha256 is None:
        return
    weights = [folder / model.gguf_file] if model.gguf_file else sorted(folder.glob("*.safetensors"))
    if len(weights) != 1 or not weights[0].is_file():
        raise ModelError(f"model.sha256: it pins one weights file; {folder} has {len(weights)}")
    found = sha256_of(weights[0])
    if found != model.sha256:
        raise ModelError(
            f"model.sha256: {weights[0].name} hashes to {found[:12]}…, the recipe pins {model.sha256[:12]}…"
        )

"""The model in production, as a contestant for the next candidate: found in the registry, verified, ready to be asked.

Never moves an alias.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from conf.schema import Model, Prompt, Quantization
from conf.settings import Settings
from tasks.artifacts import Store
from tasks.errors import ModelError
from tasks.evaluate.arms import Champion
from tasks.ledger import Ledger, lost_champion
from tasks.register.load import verified_folder
from tasks.register.record import FORM
from tasks.register.runs import client
from tasks.results import Base

CHAMPION = "champion"


class Standing(NamedTuple):
    """Which version is the champion, as the registry says."""

    name: str
    version: str
    adapter_sha256: str
    files_sha256: str


def standing_champion(name: str, settings: Settings) -> Standing | None:
    """The champion of a production model, or None where there is none.

    Raises:
        MlflowException: the registry does not answer: that says nothing about a champion.
        ModelError: the version was not made by this product, or its alias is gone and the ledger knows of one.
    """
    from mlflow.exceptions import MlflowException

    registry = client(settings)
    try:
        aliases = registry.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        aliases = {}
    version = {str(key): str(value) for key, value in aliases.items()}.get(CHAMPION)
    if version is None:
        # else gates that ask for a comparison would pass as for the first
        if why := lost_champion(Ledger.of(settings).entries(), name, None):
            raise ModelError(why)
        return None
    tags = registry.get_model_version(name, version).tags
    if not {"adapter_sha256", "files_sha256"} <= set(tags):
        raise ModelError(
            f"{name} version {version}: the champion has no digests, so nothing can be held against it; set "
            "evaluation.champion=false, or promote one of this product's candidates first"
        )
    return Standing(name, version, tags["adapter_sha256"], tags["files_sha256"])


def read_champion(standing: Standing, settings: Settings) -> Champion:
    """The champion's files, verified, and how it is asked.

    Raises:
        DigestMismatch: its files are not those that were registered.
        ModelError: its base is not in the store.
    """
    folder = verified_folder(f"models:/{standing.name}/{standing.version}", settings)
    form = json.loads((folder / FORM).read_text(encoding="utf-8"))
    base = Base.model_validate(form["base"])
    store = Store.of(settings)
    if not all(store.has(file) for file in base.files):
        raise ModelError(
            f"{standing.name} version {standing.version}: the champion's base {base.name} is not in the store "
            f"{store.root}; run its recipe again, or set evaluation.champion=false"
        )
    return Champion(
        name=standing.name,
        version=standing.version,
        adapter_sha256=standing.adapter_sha256,
        folder=Path(folder),
        base=base,
        model=Model.model_validate(form["model"]),
        prompt=Prompt.model_validate(form["prompt"]),
        quantization=Quantization.model_validate(form["quantization"]),
        max_new_tokens=int(form["max_new_tokens"]),
        labels=tuple(form.get("labels", ())),
    )

"""Who answers: one base in memory, on which adapters are put and switched. Never holds two bases at once.

An arm that is served in another form than it was evaluated in, merged into the base, needs a base of its own: the other
goes first.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from conf.schema import Model, Quantization
from tasks.memory import give_back
from tasks.train.exact import decompress
from tasks.train.model import device_of, load_base

Form = Literal["as_evaluated", "merged", "merged_4bit"]


class Contestant(NamedTuple):
    """A base, and what is on it.

    Attributes:
        base: the folder of the base.
        adapter: the folder of the adapter; None for the base alone.
        form: how the two are held in memory.
        digest: of all that decides its answers, but for the prompt and the limits.
    """

    base: Path
    adapter: Path | None
    model: Model
    quantization: Quantization
    form: Form
    digest: str


class Ring:
    """Loads contestants as they are asked for; the last base stays until another one is needed."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._standing: tuple[object, ...] | None = None
        self._loaded: Any = None
        self._names: dict[Path, str] = {}

    @contextlib.contextmanager
    def answering(self, contestant: Contestant) -> Iterator[Any]:
        """The model in evaluation mode, as the contestant; do not keep it."""
        self._bring(contestant)
        if contestant.form != "as_evaluated":
            yield self._loaded
        elif contestant.adapter is not None:
            self._put_on(contestant.adapter)
            yield self._loaded
        elif self._names:
            with self._loaded.disable_adapter():
                yield self._loaded
        else:
            yield self._loaded

    def empty(self) -> None:
        """Let go of the base, if there is one: to collect garbage for nothing takes half a second."""
        if self._loaded is None:
            return
        self._loaded, self._standing = None, None
        self._names.clear()
        give_back()

    def _bring(self, contestant: Contestant) -> None:
        """Have the right base in memory."""
        import torch

        merged = contestant.adapter if contestant.form != "as_evaluated" else None
        wanted = (contestant.base, contestant.model, contestant.quantization, contestant.form, merged)
        if wanted == self._standing:
            return
        self.empty()
        torch.set_num_threads(self.threads)
        if merged is None:
            self._loaded = load_base(contestant.base, contestant.model, contestant.quantization, device_of()).eval()
            decompress(self._loaded)
        else:
            self._loaded = _merged(contestant, merged)
        self._standing = wanted

    def _put_on(self, adapter: Path) -> None:
        """Switch to the adapter, which is loaded once."""
        from peft import PeftModel

        if not self._names:
            self._names[adapter] = "adapter-0"
            self._loaded = PeftModel.from_pretrained(self._loaded, adapter, adapter_name="adapter-0").eval()
        elif adapter not in self._names:
            self._names[adapter] = f"adapter-{len(self._names)}"
            self._loaded.load_adapter(adapter, adapter_name=self._names[adapter])
        self._loaded.set_adapter(self._names[adapter])
        self._loaded.eval()


def _merged(contestant: Contestant, adapter: Path) -> Any:
    """The adapter merged into the whole base, held whole or in 4 bits: what servers that know no adapters run."""
    from peft import PeftModel

    whole = contestant.quantization.model_copy(update={"load_in_4bit": False})
    loaded = load_base(contestant.base, contestant.model, whole, device_of())
    merged = PeftModel.from_pretrained(loaded, adapter).merge_and_unload().eval()
    if contestant.form == "merged":
        return merged
    in_4_bits = contestant.quantization.model_copy(update={"load_in_4bit": True})  # however it was evaluated
    with tempfile.TemporaryDirectory() as folder:
        merged.save_pretrained(folder)
        del loaded, merged
        give_back()
        quantised = load_base(Path(folder), contestant.model, in_4_bits, device_of()).eval()
    decompress(quantised)
    return quantised

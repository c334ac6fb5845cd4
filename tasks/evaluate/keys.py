"""The keys and values of a batch, with room to grow: a token is written into place, and what came before stays there.

The cache of transformers copies all of it at each token. Never changes a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.cache_utils import Cache, DynamicLayer

ROOM = 32  # places that are kept free: all is copied once in so many tokens


def cache_of(rows: int, shared: Sequence[tuple[Any, Any]] = ()) -> Cache:
    """An empty cache, or one whose rows all begin with the same keys and values.

    Args:
        rows: how many there will be.
        shared: keys and values of one row, (1, heads, tokens, width) each, a pair a layer; None where a layer has none.
    """
    if not shared:
        return Cache(layer_class_to_replicate=RoomyLayer)
    layers = [RoomyLayer() for _ in shared]
    for layer, (keys, values) in zip(layers, shared, strict=True):
        if keys is not None:
            layer.begin(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))
    return Cache(layers=layers)


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """Keys and values (rows, heads, tokens, width) of a layer: the first places of tensors that have some more."""

    def begin(self, keys: Any, values: Any) -> None:
        """Let the rows begin with these, which are never written to."""
        self.lazy_initialization(keys, values)
        self.keys = self._all_keys = keys
        self.values = self._all_values = values

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append the keys and values of new tokens; return all."""
        if not self.is_initialized:
            self.begin(key_states[:, :, :0], value_states[:, :, :0])
        length = self.keys.shape[-2] + key_states.shape[-2]
        if length > self._all_keys.shape[-2]:
            self._all_keys, self._all_values = _roomier(self.keys, length), _roomier(self.values, length)
        self.keys = _append(self._all_keys, key_states, length)
        self.values = _append(self._all_values, value_states, length)
        return self.keys, self.values

    def batch_select_indices(self, indices: Any) -> None:
        """Keep these rows."""
        length = self.keys.shape[-2]
        self._all_keys, self._all_values = self._all_keys[indices], self._all_values[indices]
        self.keys, self.values = self._all_keys[:, :, :length], self._all_values[:, :, :length]


def _roomier(states: Any, length: int) -> Any:
    """The same, in a tensor of `length` places and some to spare."""
    rows, heads, before, width = states.shape
    room = states.new_empty(rows, heads, length + ROOM, width)
    room[:, :, :before] = states
    return room


def _append(room: Any, states: Any, length: int) -> Any:
    """Write the last of `length` places; return all of these."""
    room[:, :, length - states.shape[-2] : length] = states
    return room[:, :, :length]

"""Keys and values with room to grow are those of transformers' own cache, whatever is done to them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

HEADS, WIDTH = 2, 4
STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 70)),
    st.tuples(st.just("cut"), st.integers(1, 9)),
    st.tuples(st.just("keep"), st.lists(st.integers(0, 10), min_size=1, max_size=4)),
)


def states(rows: int, tokens: int, seed: int) -> tuple[Any, Any]:
    import torch

    made = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, HEADS, tokens, WIDTH, generator=made) for _ in range(2))  # type: ignore[return-value]


@settings(deadline=None)
@given(st.lists(STEPS, max_size=12), st.integers(1, 4), st.integers(0, 5))
def test_any_steps_leave_what_they_leave_in_the_cache_of_transformers(
    steps: list[tuple[str, Any]], rows: int, shared: int
) -> None:
    import torch
    from transformers import DynamicCache

    from tasks.evaluate.keys import cache_of

    beginning = states(1, shared, 99) if shared else None
    ours = cache_of(rows, [beginning, beginning] if beginning else ())
    theirs = DynamicCache()
    if beginning:
        for layer in range(2):
            theirs.update(*(part.repeat(rows, 1, 1, 1) for part in beginning), layer)
    for number, (kind, given_) in enumerate([("append", 3), *steps]):
        if kind == "append":
            for layer in range(2):
                new = states(rows, given_, 2 * number + layer)
                for found, expected in zip(ours.update(*new, layer), theirs.update(*new, layer), strict=True):
                    assert torch.equal(found, expected)
        elif kind == "cut":
            extra = min(given_, theirs.get_seq_length() - 1)
            ours.crop(-extra)
            theirs.crop(-extra)
        else:
            index = torch.tensor([slot % rows for slot in given_])
            rows = len(index)
            ours.batch_select_indices(index)
            theirs.batch_select_indices(index)
        assert ours.get_seq_length() == theirs.get_seq_length()
        for mine, other in zip(ours.layers, theirs.layers, strict=True):
            assert torch.equal(mine.keys, other.keys)
            assert torch.equal(mine.values, other.values)


def test_a_token_is_written_into_place_and_the_shared_beginning_never() -> None:
    from tasks.evaluate.keys import ROOM, cache_of

    beginning = states(1, 5, 0)
    before = [part.clone() for part in beginning]
    cache = cache_of(3, [beginning])
    cache.update(*states(3, 2, 1), 0)
    place = cache.layers[0].keys.data_ptr()
    for step in range(ROOM):
        cache.update(*states(3, 1, step), 0)
    assert cache.layers[0].keys.data_ptr() == place
    cache.update(*states(3, 1, 0), 0)
    assert cache.layers[0].keys.data_ptr() != place
    assert all(bool((part == old).all()) for part, old in zip(beginning, before, strict=True))

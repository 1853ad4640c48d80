from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.engines.torch.prefix_cache import PrefixCache

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=30)


def block_of(tokens: list[int], start: int = 0) -> torch.Tensor:
    """A block that says, at each position, which prefix it belongs to."""
    codes = [hash(tuple(tokens[: i + 1])) % 1000003 for i in range(len(tokens))]
    return torch.tensor(codes[start:], dtype=torch.float32).reshape(1, 1, 1, -1, 1).expand(1, 2, 1, -1, 1)


def joined(blocks: list[torch.Tensor]) -> list[float]:
    return torch.cat(blocks, dim=3)[0, 0, 0, :, 0].tolist() if blocks else []


@settings(max_examples=150, deadline=None)
@given(SEQUENCES)
def test_match_equals_a_brute_force_map(sequences: list[list[int]]) -> None:
    cache = PrefixCache(2**20)
    known: set[tuple[int, ...]] = set()
    for tokens in sequences:
        longest = max((n for n in range(len(tokens) + 1) if not n or tuple(tokens[:n]) in known), default=0)
        length, blocks = cache.match(tokens)
        assert length == longest
        assert joined(blocks) == block_of(tokens)[0, 0, 0, :length, 0].tolist()
        cache.insert(tokens, length, block_of(tokens, length))
        known.update(tuple(tokens[: n + 1]) for n in range(len(tokens)))


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(0, 120))
def test_memory_stays_bounded_and_what_is_found_is_right(sequences: list[list[int]], bound: int) -> None:
    cache = PrefixCache(bound)
    for tokens in sequences:
        length, blocks = cache.match(tokens)
        assert joined(blocks) == block_of(tokens)[0, 0, 0, :length, 0].tolist()
        cache.insert(tokens, length, block_of(tokens, length))
        assert cache.bytes <= bound
        assert cache.bytes == _stored(cache)


def _stored(cache: PrefixCache) -> int:
    stack, total = [cache._root], 0
    while stack:
        node = stack.pop()
        stack.extend(node.children.values())
        total += 0 if node.block is None else node.block.numel() * node.block.element_size()
    return total


def test_an_insert_whose_beginning_was_evicted_is_passed_over() -> None:
    cache = PrefixCache(2**20)
    cache.insert([1, 2, 3], 2, block_of([1, 2, 3], 2))
    assert cache.match([1, 2, 3])[0] == 0

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.engines.torch.prefix_cache import Block, PrefixCache

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=30)


def block_of(tokens: list[int], start: int = 0) -> Block:
    """A block, of tensors of two shapes, that says at each position which prefix it belongs to."""
    codes = [hash(tuple(tokens[: i + 1])) % 1000003 for i in range(len(tokens))]
    line = torch.tensor(codes[start:], dtype=torch.float32).reshape(1, 1, -1, 1)
    return line.expand(2, 1, -1, 1), line.expand(1, 2, -1, 3)


def said(block: Block) -> list[float]:
    lines = [part[0, 0, :, 0].tolist() for part in block]
    assert lines[0] == lines[1]
    return lines[0]


def joined(blocks: list[Block]) -> list[float]:
    return [code for block in blocks for code in said(block)]


@settings(max_examples=150, deadline=None)
@given(SEQUENCES)
def test_match_equals_a_brute_force_map(sequences: list[list[int]]) -> None:
    cache = PrefixCache(2**20)
    known: set[tuple[int, ...]] = set()
    for tokens in sequences:
        longest = max((n for n in range(len(tokens) + 1) if not n or tuple(tokens[:n]) in known), default=0)
        length, blocks = cache.match(tokens)
        assert length == longest
        assert joined(blocks) == said(block_of(tokens))[:length]
        cache.insert(tokens, length, block_of(tokens, length))
        known.update(tuple(tokens[: n + 1]) for n in range(len(tokens)))


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(0, 300))
def test_memory_stays_bounded_and_what_is_found_is_right(sequences: list[list[int]], bound: int) -> None:
    cache = PrefixCache(bound)
    for tokens in sequences:
        length, blocks = cache.match(tokens)
        assert joined(blocks) == said(block_of(tokens))[:length]
        cache.insert(tokens, length, block_of(tokens, length))
        assert cache.bytes <= bound
        assert cache.bytes == _stored(cache)


def _stored(cache: PrefixCache) -> int:
    stack, total = [cache._root], 0
    while stack:
        node = stack.pop()
        stack.extend(node.children.values())
        total += sum(part.numel() * part.element_size() for part in node.block)
    return total


def test_an_insert_whose_beginning_was_evicted_is_passed_over() -> None:
    cache = PrefixCache(2**20)
    cache.insert([1, 2, 3], 2, block_of([1, 2, 3], 2))
    assert cache.match([1, 2, 3])[0] == 0

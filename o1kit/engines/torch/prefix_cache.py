"""A radix tree of token sequences and their keys and values, bounded in memory, least recently used out first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

Block = tuple[Tensor, ...]
"""Keys and values of some positions: tensors [members, heads, tokens, width] (see `RowCache`)."""


def cut(block: Block, start: int, stop: int | None = None) -> Block:
    """Views of some of a block's positions."""
    return tuple(part[:, :, start:stop] for part in block)


def _own(block: Block) -> Block:
    return tuple(part.clone() for part in block)


def _size(block: Block) -> int:
    return sum(part.numel() * part.element_size() for part in block)


@dataclass(eq=False, slots=True)
class _Node:
    tokens: tuple[int, ...]
    block: Block
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)
    used: int = 0


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    if a == b:
        return len(a)
    limit = min(len(a), len(b))
    return next((i for i in range(limit) if a[i] != b[i]), limit)


class PrefixCache:
    """Finds the longest stored prefix of a sequence."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._root = _Node((), (), None)
        self._clock = 0

    def clear(self) -> None:
        """Forgets everything: the weights have changed."""
        self._root = _Node((), (), None)
        self.bytes = 0

    def match(self, tokens: Sequence[int]) -> tuple[int, list[Block]]:
        """Length of the longest stored prefix, and the blocks that make it up in order."""
        self._clock += 1
        tokens = tuple(tokens)
        node, length, blocks = self._root, 0, []
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None:
                break
            shared = _common(child.tokens, tokens[length : length + len(child.tokens)])
            child.used = self._clock
            blocks.append(child.block if shared == len(child.tokens) else cut(child.block, 0, shared))
            length += shared
            if shared < len(child.tokens):
                break
            node = child
        return length, blocks

    def insert(self, tokens: Sequence[int], start: int, block: Block) -> None:
        """Stores `tokens`; `block` holds positions from `start` on, and what is before must be stored already.

        When the earlier part has been evicted meanwhile, nothing is stored. The block is copied.
        """
        self._clock += 1
        tokens = tuple(tokens)
        node, length = self._root, 0
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None:
                if length >= start:
                    self._attach(node, tokens[length:], cut(block, length - start))
                return
            shared = _common(child.tokens, tokens[length : length + len(child.tokens)])
            child.used = self._clock
            if shared < len(child.tokens):
                if length + shared == len(tokens):
                    return
                child = self._split(child, shared)
            node, length = child, length + shared

    def _attach(self, parent: _Node, tokens: tuple[int, ...], block: Block) -> None:
        size = _size(block)
        if size > self.max_bytes:
            return
        self._evict(self.max_bytes - size, keep=parent)
        if self.bytes + size > self.max_bytes:
            return
        parent.children[tokens[0]] = _Node(tokens, _own(block), parent, used=self._clock)
        self.bytes += size

    def _split(self, node: _Node, at: int) -> _Node:
        assert node.parent is not None
        head = _Node(node.tokens[:at], _own(cut(node.block, 0, at)), node.parent, used=node.used)
        node.parent.children[head.tokens[0]] = head
        head.children[node.tokens[at]] = node
        node.tokens, node.block, node.parent = node.tokens[at:], _own(cut(node.block, at)), head
        return head

    def _evict(self, limit: int, keep: _Node) -> None:
        """Drops least recently used leaves until at most `limit` bytes remain; never `keep` or its ancestors."""
        if self.bytes <= limit:
            return
        protected = set()
        node: _Node | None = keep
        while node is not None:
            protected.add(id(node))
            node = node.parent
        target = limit - self.max_bytes // 10
        for leaf in sorted(self._leaves(), key=lambda n: n.used):
            current: _Node | None = leaf
            while current is not None and not current.children and current.parent and id(current) not in protected:
                self.bytes -= _size(current.block)
                del current.parent.children[current.tokens[0]]
                current = current.parent if current.parent.used <= leaf.used else None
            if self.bytes <= target:
                return

    def _leaves(self) -> list[_Node]:
        stack, leaves = [self._root], []
        while stack:
            node = stack.pop()
            stack.extend(node.children.values())
            if not node.children and node.parent is not None:
                leaves.append(node)
        return leaves

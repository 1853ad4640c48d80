"""A radix tree of token sequences and their keys and values, bounded in memory, least recently used out first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(eq=False, slots=True)
class _Node:
    tokens: tuple[int, ...]
    block: Tensor | None
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)
    used: int = 0


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    limit = min(len(a), len(b))
    return next((i for i in range(limit) if a[i] != b[i]), limit)


class PrefixCache:
    """Finds the longest stored prefix of a sequence. Blocks are [layers, 2, heads, tokens, width] tensors."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._root = _Node((), None, None)
        self._clock = 0

    def clear(self) -> None:
        """Forgets everything: the weights have changed."""
        self._root = _Node((), None, None)
        self.bytes = 0

    def match(self, tokens: Sequence[int]) -> tuple[int, list[Tensor]]:
        """Length of the longest stored prefix, and the blocks that make it up in order."""
        self._clock += 1
        node, length, blocks = self._root, 0, []
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None or child.block is None:
                break
            shared = _common(child.tokens, tokens[length : length + len(child.tokens)])
            child.used = self._clock
            blocks.append(child.block[:, :, :, :shared])
            length += shared
            if shared < len(child.tokens):
                break
            node = child
        return length, blocks

    def insert(self, tokens: Sequence[int], start: int, block: Tensor) -> None:
        """Stores `tokens`; `block` holds positions from `start` on, and what is before must be stored already.

        When the earlier part has been evicted meanwhile, nothing is stored.
        """
        self._clock += 1
        node, length = self._root, 0
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None:
                if length >= start:
                    self._attach(node, tuple(tokens[length:]), block[:, :, :, length - start :])
                return
            shared = _common(child.tokens, tokens[length : length + len(child.tokens)])
            child.used = self._clock
            if shared < len(child.tokens):
                if length + shared == len(tokens):
                    return
                child = self._split(child, shared)
            node, length = child, length + shared

    def _attach(self, parent: _Node, tokens: tuple[int, ...], block: Tensor) -> None:
        size = block.numel() * block.element_size()
        if size > self.max_bytes:
            return
        self._evict(self.max_bytes - size, keep=parent)
        if self.bytes + size > self.max_bytes:
            return
        parent.children[tokens[0]] = _Node(tokens, block.clone(), parent, used=self._clock)
        self.bytes += size

    def _split(self, node: _Node, at: int) -> _Node:
        assert node.block is not None and node.parent is not None
        head = _Node(node.tokens[:at], node.block[:, :, :, :at].clone(), node.parent, used=node.used)
        node.parent.children[head.tokens[0]] = head
        head.children[node.tokens[at]] = node
        node.tokens, node.block, node.parent = node.tokens[at:], node.block[:, :, :, at:].clone(), head
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
                assert current.block is not None
                self.bytes -= current.block.numel() * current.block.element_size()
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

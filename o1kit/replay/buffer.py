"""`PrioritizedBuffer`: proportional prioritized replay (Schaul et al. 2015, arXiv 1511.05952) with an age bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from o1kit.functional.priorities import importance_weights
from o1kit.replay.segment_tree import Floats, Ints, SumTree


class Aged(Protocol):
    """What a buffer holds: anything that knows which policy made it."""

    @property
    def policy_version(self) -> int:
        """Number of the policy that made the item; later policies have higher numbers."""
        ...


T = TypeVar("T", bound=Aged)


class Drawn(NamedTuple):
    """A sample: slots with the serial numbers of their items, the items, and importance weights of at most 1."""

    slots: Ints
    serials: Ints
    items: list[Any]
    weights: Floats


class PrioritizedBuffer(Generic[T]):
    """A ring of items drawn with P(i) ~ (priority_i + floor)^alpha; the floor keeps every item reachable."""

    def __init__(self, capacity: int, alpha: float, floor: float) -> None:
        self.capacity, self.alpha, self.floor = capacity, alpha, floor
        self._tree = SumTree(capacity)
        self._items: list[T | None] = [None] * capacity
        self._serials: Ints = np.full(capacity, -1, dtype=np.int64)
        self._added = 0
        self._count = 0
        self.max_priority = 1.0

    def __len__(self) -> int:
        return self._count

    def add(self, items: Sequence[T], priorities: Sequence[float] | None = None) -> None:
        """Adds items, the oldest leaving when the ring is full; by default with the highest priority seen so far.

        Raises:
            ValueError: a priority is negative or not finite.
        """
        values = np.full(len(items), self.max_priority) if priorities is None else _checked(priorities)
        slots = (self._added + np.arange(len(items))) % self.capacity
        for slot, item in zip(slots.tolist(), items, strict=True):
            self._count += self._items[slot] is None
            self._items[slot] = item
        self._serials[slots] = self._added + np.arange(len(items))
        self._added += len(items)
        self._set(slots, values)

    def sample(self, size: int, rng: np.random.Generator, beta: float) -> Drawn:
        """`size` items, one from each equal share of the total priority, with replacement.

        Raises:
            ValueError: the buffer is empty.
        """
        if not self._count:
            raise ValueError("the replay buffer is empty")
        total = self._tree.total
        sums = (np.arange(size) + rng.random(size)) * (total / size)
        slots = self._tree.find(np.minimum(sums, np.nextafter(total, 0.0)))
        weights = importance_weights(self._tree.get(slots) / total, self._count, beta)
        return Drawn(slots, self._serials[slots], [self._items[i] for i in slots.tolist()], weights)

    def update_priorities(self, slots: Ints, serials: Ints, priorities: Sequence[float]) -> None:
        """Sets new priorities; items that left since they were drawn are passed over."""
        values = _checked(priorities)
        present = (self._serials[slots] == serials) & (serials >= 0)
        self._set(slots[present], values[present])

    def drop_older_than(self, policy_version: int) -> int:
        """Removes items of policies before the given one and returns how many."""
        old = [i for i, item in enumerate(self._items) if item is not None and item.policy_version < policy_version]
        for slot in old:
            self._items[slot] = None
        slots = np.asarray(old, dtype=np.int64)
        self._serials[slots] = -1
        self._tree.set(slots, np.zeros(len(old)))
        self._count -= len(old)
        return len(old)

    def items(self) -> list[T]:
        """Everything held, by slot."""
        return [item for item in self._items if item is not None]

    def state_dict(self, encode: Callable[[T], Any]) -> dict[str, Any]:
        """All state as plain containers; `encode` turns an item into such."""
        filled = [i for i, item in enumerate(self._items) if item is not None]
        slots = np.asarray(filled, dtype=np.int64)
        return {
            "slots": filled,
            "serials": self._serials[slots].tolist(),
            "powers": self._tree.get(slots).tolist(),
            "items": [encode(item) for item in self._items if item is not None],
            "added": self._added,
            "max_priority": self.max_priority,
        }

    def load_state_dict(self, state: dict[str, Any], decode: Callable[[Any], T]) -> None:
        """Restores what `state_dict` gave; the next draws are the same."""
        slots = np.asarray(state["slots"], dtype=np.int64)
        self._tree = SumTree(self.capacity)
        self._items = [None] * self.capacity
        self._serials[:] = -1
        for slot, item in zip(state["slots"], state["items"], strict=True):
            self._items[slot] = decode(item)
        self._serials[slots] = state["serials"]
        self._tree.set(slots, np.asarray(state["powers"], dtype=np.float64))
        self._added, self._count = int(state["added"]), len(slots)
        self.max_priority = float(state["max_priority"])

    def _set(self, slots: Ints, values: Floats) -> None:
        if len(values):
            self.max_priority = max(self.max_priority, float(values.max()))
            self._tree.set(slots, (values + self.floor) ** self.alpha)


def _checked(priorities: Sequence[float]) -> Floats:
    values = np.asarray(priorities, dtype=np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("priorities must be finite and not negative")
    return values

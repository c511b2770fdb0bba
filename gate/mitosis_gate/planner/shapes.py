"""The cache of rules by shape: bounded in bytes, and closed to shapes that are seen only once."""

from mitosis_gate.planner.rules import Rule

Key = tuple[bytes, ...]
_ENTRY_BYTES = 900
_TEXT_BYTES = 40
_SEEN = 8192


class ShapeCache:
    """Two generations: what is used moves to the young one, and the old one is dropped whole.

    Programs that put values where no literal can be (comments, names) make shapes without end:
    a shape is kept from its second statement on, so these do not drive out the others.
    """

    __slots__ = ("_limit", "_old", "_seen", "_used", "get", "young")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes // 2
        self._old: dict[Key, Rule] = {}
        self._seen: set[int] = set()
        self._used = 0
        self.young: dict[Key, Rule] = {}
        self.get = self.young.get
        """The quick look; `find` after it misses."""

    def find(self, key: Key) -> Rule | None:
        """Look in both generations."""
        rule = self.young.get(key)
        if rule is None:
            rule = self._old.pop(key, None)
            if rule is not None:
                self._keep(key, rule)
        return rule

    def offer(self, key: Key, rule: Rule) -> bool:
        """Keep the rule if the shape has been offered before; say whether it is kept."""
        mark = hash(key)
        if mark in self._seen:
            return self._keep(key, rule)
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def _keep(self, key: Key, rule: Rule) -> bool:
        size = _ENTRY_BYTES + sum(len(text) + _TEXT_BYTES for text in key)
        if size > self._limit // 16:
            return False
        if self._used + size > self._limit:
            self._old, self.young = self.young, {}
            self.get = self.young.get
            self._used = 0
        self.young[key] = rule
        self._used += size
        return True

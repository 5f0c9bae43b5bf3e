"""Progress of a hypothesis through its constraints, the token sequences that it must contain.

Source: Post and Vilar 2018 (arXiv:1804.06609) for dynamic beam allocation, Hu et al. 2019 (N19-1090) for the trie of
unordered constraints. The behaviour is that of fairseq's `--constraints ordered|unordered`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

Constraints = Sequence[Sequence[int]]


class ConstraintProgress(Protocol):
    """The progress of one hypothesis; immutable."""

    @property
    def bank(self) -> int:
        """Number of constraint tokens generated so far."""

    @property
    def finished(self) -> bool:
        """Whether all constraints have been generated."""

    def next_tokens(self) -> set[int]:
        """Tokens that continue or begin a constraint."""

    def advance(self, token: int) -> ConstraintProgress:
        """The progress after one more token."""


class OrderedProgress:
    """Progress through constraints that must occur in order, with any tokens between them.

    Args:
        tokens: all constraints, concatenated.
        is_last: for each token, whether it ends a constraint.
        bank: number of tokens generated.
    """

    def __init__(self, tokens: Sequence[int], is_last: Sequence[bool], bank: int = 0) -> None:
        self._tokens, self._is_last, self._bank = tokens, is_last, bank

    @property
    def bank(self) -> int:
        """See `ConstraintProgress`."""
        return self._bank

    @property
    def finished(self) -> bool:
        """See `ConstraintProgress`."""
        return self._bank == len(self._tokens)

    def next_tokens(self) -> set[int]:
        """See `ConstraintProgress`."""
        following = set() if self.finished else {self._tokens[self._bank]}
        return following | {self._tokens[0]} if self._bank > 1 else following

    def advance(self, token: int) -> OrderedProgress:
        """See `ConstraintProgress`. After an interrupted constraint, the list starts again from its beginning."""
        if self.finished:
            return self
        if token == self._tokens[self._bank]:
            return self._at(self._bank + 1)
        if self._bank == 0 or self._is_last[self._bank - 1]:
            return self
        return self._at(1 if token == self._tokens[0] else 0)

    def _at(self, bank: int) -> OrderedProgress:
        return OrderedProgress(self._tokens, self._is_last, bank)


class _Node:
    """A node of the trie of constraints.

    Attributes:
        ending: number of constraints that end at the node.
        passing: number of constraints that lead to or through the node.
    """

    def __init__(self, parent: _Node | None) -> None:
        self.parent = parent
        self.children: dict[int, _Node] = {}
        self.ending = 0
        self.passing = 0

    def add(self, constraint: Sequence[int]) -> None:
        node = self
        node.passing += 1
        for token in constraint:
            node = node.children.setdefault(token, _Node(node))
            node.passing += 1
        node.ending += 1


class UnorderedProgress:
    """Progress through constraints that may occur in any order.

    Args:
        root: of the trie of all constraints.
        node: of the newest token.
        completed: for each node, number of completed constraints that end there.
        generated: for each node, number of constraints that have been generated up to it.
    """

    def __init__(self, root: _Node, node: _Node, completed: Counter[_Node], generated: Counter[_Node]) -> None:
        self._root, self._node, self._completed, self._generated = root, node, completed, generated

    @property
    def bank(self) -> int:
        """See `ConstraintProgress`."""
        return sum(self._generated.values())

    @property
    def finished(self) -> bool:
        """See `ConstraintProgress`."""
        completes_one = self._node.ending > 0 and self._completed[self._node] < self._node.ending
        return self._root.passing == sum(self._completed.values()) + completes_one

    def next_tokens(self) -> set[int]:
        """See `ConstraintProgress`."""
        return set(self._root.children) | set(self._node.children)

    def advance(self, token: int) -> UnorderedProgress:
        """See `ConstraintProgress`."""
        child = self._node.children.get(token)
        if child is not None and self._generated[child] < child.passing:
            return self._at(child, Counter(self._completed), Counter(self._generated))
        completed, generated = Counter(self._completed), Counter(self._generated)
        restart = self._root.children.get(token)
        # As in fairseq, the test for a restart comes before the interrupted constraint is rolled back.
        may_restart = restart is not None and generated[restart] < restart.passing
        self._roll_back(completed, generated)
        return self._at(restart if may_restart and restart is not None else self._root, completed, generated)

    def _roll_back(self, completed: Counter[_Node], generated: Counter[_Node]) -> None:
        """Counts the longest constraint that ends on the path to the newest token, and rolls back what follows it."""
        node = self._node
        while node.parent is not None:
            if completed[node] < node.ending:
                completed[node] += 1
                return
            generated[node] -= 1
            node = node.parent

    def _at(self, node: _Node, completed: Counter[_Node], generated: Counter[_Node]) -> UnorderedProgress:
        if node is not self._root:
            generated[node] += 1
        return UnorderedProgress(self._root, node, completed, generated)


def start_progress(constraints: Constraints, order: str) -> ConstraintProgress:
    """The progress before the first token.

    Args:
        constraints: token sequences that must occur; may be empty.
        order: "ordered" or "unordered".
    """
    if order == "ordered":
        tokens = [token for constraint in constraints for token in constraint]
        return OrderedProgress(tokens, [i == len(c) - 1 for c in constraints for i in range(len(c))])
    root = _Node(None)
    for constraint in constraints:
        root.add(constraint)
    return UnorderedProgress(root, root, Counter(), Counter())

"""What a graph costs: the prices of its nodes that call paid services, as the server tells them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfy_runner.graph.object_info import NodeInfo, ObjectInfo, expanded
from comfy_runner.graph.price_badge import Amount
from comfy_runner.graph.workflow import Link, Node, Workflow


@dataclass(frozen=True, slots=True)
class Price:
    """What something costs, in US dollars.

    Attributes:
        low: At least.
        high: At most, without those nodes whose price is not known.
        is_rough: Whether that is approximate, as the server says of one of its parts.
        unknown: The node classes whose price is not known.
    """

    low: float = 0.0
    high: float = 0.0
    is_rough: bool = False
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it for people: ``$0.04``, ``up to $0.08``, ``about $0.04``, ``unknown``."""
        if self.unknown:
            return "unknown"
        if self.low < self.high:
            return f"up to {dollars(self.high)}"
        return f"about {dollars(self.high)}" if self.is_rough else dollars(self.high)

    def at_most(self, other: Price) -> Price:
        """Return what covers both, as where one of two servers does it."""
        return Price(
            min(self.low, other.low),
            max(self.high, other.high),
            self.is_rough or other.is_rough,
            tuple(sorted({*self.unknown, *other.unknown})),
        )


def dollars(amount: float) -> str:
    """Return an amount for people, with two decimals, and up to four where it has more."""
    text = f"{amount:.4f}"
    return f"${text[:-2]}{text[-2:].rstrip('0')}"


def total(prices: Iterable[Price]) -> Price:
    """Return what several things cost together."""
    found = list(prices)
    return Price(
        sum(each.low for each in found),
        sum(each.high for each in found),
        any(each.is_rough for each in found),
        tuple(sorted({name for each in found for name in each.unknown})),
    )


def price_of(workflow: Workflow, info: ObjectInfo) -> Price | None:
    """Return what a graph costs once; None where none of its nodes calls a paid service.

    A node counts once, however often lists or loops have it run.

    Args:
        workflow: The graph.
        info: What the server says of its nodes.
    """
    paid = info.paid(workflow.classes)
    nodes = [node for node in workflow.nodes.values() if node.class_type in paid]
    return total(_price(node, info.get(node.class_type)) for node in nodes) if nodes else None


def _price(node: Node, known: NodeInfo | None) -> Price:
    amount = _amount(node, known) if known is not None else None
    if amount is None:
        return Price(unknown=(node.class_type,))
    return Price(amount.low, amount.high, amount.is_rough)


def _amount(node: Node, known: NodeInfo) -> Amount | None:
    if known.price is None:
        return None
    literals = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
    defaults = {name: each.default for name, each in expanded(known.inputs, literals) if each.has_default}
    return known.price.amount({**defaults, **literals}, frozenset(node.inputs.keys() - literals.keys()))

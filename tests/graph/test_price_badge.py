"""Prices as servers tell them: reckoned as ComfyUI's page does, and whatever else an expression tries is no price."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.graph import price_badge
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.price_badge import Amount, PriceBadge, parse_badge
from comfy_runner.graph.prices import Price, dollars, price_of, total
from comfy_runner.graph.workflow import parse_workflow
from tests.standin.partners import CLASSES, PARTNER

_INFO = ObjectInfo(CLASSES, source="x")


def _price(**inputs: Any) -> str:
    graph = {"a": {"class_type": PARTNER, "inputs": inputs}, "number": {"class_type": "Number", "inputs": {}}}
    return str(price_of(parse_workflow(graph), _INFO))


def test_a_price_depends_on_the_values_of_a_node() -> None:
    assert _price(model="Exact") == "$0.04"
    assert _price(model="Exact", batch_size=3) == "$0.12"
    assert _price(model="Range", width=64, height=64) == "up to $0.08"
    assert _price(model="Range", width=2048, height=1024) == "up to $0.20"
    assert _price(model="Exact", batch_size=10**400) == "unknown"


def test_what_depends_on_another_node_or_is_told_in_words_is_unknown() -> None:
    assert _price(model="Exact", batch_size=["number", 0]) == "unknown"
    assert _price(model="Timed") == "unknown"
    assert _price(model="Tokens") == "unknown"
    assert str(price_of(parse_workflow({"a": {"class_type": "Number", "inputs": {}}}), _INFO)) == "None"


def test_prices_add_up_and_are_told_with_what_is_not_known() -> None:
    both = total([Price(0.02, 0.08), Price(0.0073, 0.0073, is_rough=True), Price(unknown=("A",))])

    assert [both.low, both.high] == pytest.approx([0.0273, 0.0873])
    assert (both.is_rough, both.unknown) == (True, ("A",))
    assert str(Price(0.0073, 0.0073, is_rough=True)) == "about $0.0073"
    assert [dollars(each) for each in (0, 0.1, 12.5, 0.00429)] == ["$0.00", "$0.10", "$12.50", "$0.0043"]


def test_links_and_texts_are_seen_as_the_page_sees_them() -> None:
    badge = parse_badge(
        {
            "expr": '(inputs.image.connected ? {"type":"list_usd","usd":[0.3, 0.1]}'
            ' : $lookup({"high": [1, 2]}, widgets.quality)[1] = 2 and widgets.hd'
            ' ? {"type":"usd","usd": $count(widgets) * inputGroups.refs})',
            "depends_on": {
                "widgets": [{"name": "quality", "type": "COMBO"}, {"name": "hd", "type": "BOOLEAN"}],
                "inputs": ["image"],
                "input_groups": ["refs"],
            },
        }
    )
    assert badge is not None
    assert badge.amount({}, frozenset({"image"})) == Amount(0.1, 0.3)
    assert badge.amount({"quality": " High ", "hd": "true"}, frozenset({"refs.a", "refs.b", "other"})) == Amount(2.0, 2.0)
    assert badge.amount({"quality": "low", "hd": True}, frozenset()) is None


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "(",
        "[1..9999999]",
        '{"type":"usd","usd":-1}',
        '{"type":"usd","usd":"1"}',
        '{"type":"usd","usd":true}',
        '{"type":"usd","usd":1e999}',
        f'{{"type":"usd","usd":1{"0" * 400}}}',
        '{"type":"usd","usd":1e300}',
        '{"type":"usd","usd": widgets.missing * 2}',
        '{"type":"list_usd","usd":[]}',
        '{"type":"usd","usd":$length($pad("x", 999999999999))}',
        '{"type":"usd","usd":$eval("1")}',
        '{"type":"usd","usd":$match("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", /(a+)+$/) ? 1 : 2}',
        '($f := function($n) { $f($n + 1) }; {"type":"usd","usd":$f(1)})',
        '($p := $pad; {"type":"usd","usd":$length($p("x", 999999999999))})',
        "(" + "".join(f"$a{n + 1} := $a{n} & $a{n};" for n in range(60)) + '{"type":"usd","usd":1})',
        "(" * 5000,
        " " * 20000,
    ],
)
def test_whatever_else_a_server_says_is_no_price(expression: str) -> None:
    assert PriceBadge(expression).amount({}, frozenset()) is None


@pytest.mark.parametrize("raw", [None, 1, {}, {"expr": 1}, {"expr": "1", "engine": "javascript"}])
def test_what_is_no_badge_is_none(raw: Any) -> None:
    assert parse_badge(raw) is None


def test_without_the_extra_constants_are_known_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_badge, "HAS_JSONATA", False)

    assert PriceBadge('{"type":"usd","usd":0.07}').amount({}, frozenset()) == Amount(0.07, 0.07)
    assert PriceBadge('{"type":"usd","usd":0.07 + 1.0}').amount({}, frozenset()) is None

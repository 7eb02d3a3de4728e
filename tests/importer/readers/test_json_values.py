"""JSON as ComfyUI's page reads it, within limits."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.importer.readers.json_values import DEEPEST, NoJson, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[NaN, Infinity, -Infinity, 1e999, -1e999]", [None] * 5),
        ("[1e3, 0.5, -0.0, 5e-324]", [1000.0, 0.5, 0.0, 5e-324]),
        ("[9007199254740993, 18446744073709551615]", [9007199254740993, 18446744073709551615]),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (r'"\ud83c\udf32"', "🌲"),
        (r'"\ud83c"', "\ufffd"),
        (r'{"\ud83c": ["\ud83c", {"x": "\udf32"}], "y": 1}', {"\ufffd": ["\ufffd", {"x": "\ufffd"}], "y": 1}),
        (" [] ", []),
        ("3", 3),
        ("[" * DEEPEST + "]" * DEEPEST, None),
    ],
)
def test_values_are_those_of_the_page(text: str, value: Any) -> None:
    found = parse_json(text)

    assert found == value or value is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expecting value, line 1 column 1"),
        ("{} {}", "extra data, line 1 column 4"),
        ('{"a":\n nope}', "expecting value, line 2 column 2"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "it is nested deeper than 100 levels"),
        ('{"a":' * 100_000, "it is nested deeper than 100 levels"),
        ("9" * 5000, "a number in it has too many digits"),
        ("[" + "0," * 2_000_000, "it has more than 2000000 values"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(NoJson) as caught:
        parse_json(text)

    assert str(caught.value) == reason

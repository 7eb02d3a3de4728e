from __future__ import annotations

import pytest

from comfy_runner.errors import InputError
from comfy_runner.yaml_loader import parse
from tests.recipe.support import fault

QUOTES = "put the whole text in "


@pytest.mark.parametrize(
    ("text", "place", "what", "hint"),
    [
        ('a: 1\nb: "a "big" cat"\n', "2:8", 'continues after a closing "', QUOTES + "single quotes"),
        ('b: "big" cat', "1:10", 'continues after a closing "', QUOTES + "single quotes"),
        ("b: 'it's a cat'", "1:8", "continues after a closing '", QUOTES + "double quotes"),
        ('b: "big": cat', "1:9", 'continues after a closing "', QUOTES + "single quotes"),
        ('b: "a cat"\n  sitting', "2:3", 'continues after a closing " on line 1', QUOTES + "single quotes"),
        ('b: "a cat\nc: "d"', "2:5", 'continues after a closing " on line 1', QUOTES + "single quotes"),
        ('b: [a, "c "d""]', "1:12", 'continues after a closing "', QUOTES + "single quotes"),
        ("b: [a:b:0.5], cat", "1:13", "continues after a closing ]", QUOTES + "quotes"),
        ("b: {a|b} cat", "1:10", "continues after a closing }", QUOTES + "quotes"),
        ("- [a] cat", "1:7", "continues after a closing ]", QUOTES + "quotes"),
        ("[a],b", "1:4", "continues after a closing ]", QUOTES + "quotes"),
        ("b: a cat # best\n  sitting", "2:3", "continues after a comment", QUOTES + "quotes"),
        ("b: a cat\n  # best\n  sitting", "3:3", "continues after a comment", QUOTES + "quotes"),
        *[
            (f"b: {text}", "1:4", f"an unquoted text cannot begin with {text[0]}", QUOTES + "quotes")
            for text in ("@x", "`x`", "%x", "*", "*big* x", "& x", "!<x", "!x!y z", "| x", "> x", "- x", "? x", ",x", "]x", "}x")
        ],
        ("b: - x", "1:4", "an unquoted text cannot begin with -", "a list must be below its key"),
        ("b: c: d\n", "1:5", "': ' where no key can be", "put a text with ': ' in it in quotes"),
        ("b: a\n  c: d", "2:4", "': ' where no key can be", "indent"),
        ("a: 1\n\tb: 2\n", "2:1", "a tab cannot be used for indentation", "spaces"),
        ("a: 1\nb", "2:2", "a key without ': ' after it", "write key: value"),
        ("a:\n  - 1\n - 2\n", "3:2", "the indentation does not fit", "indent the keys"),
        ('a: "x"\n  b: 1', "2:3", "the indentation does not fit", "indent the keys"),
        ("a: 'x\n", "2:1", "the text ends too early, while scanning a quoted scalar that starts on line 1", "close the quote"),
        ("a: [1, 2\n", "2:1", "the text ends too early", "close the quote or the bracket"),
        ("a: [b #1, c]\n", "2:1", "the text ends too early", "what follows ' #' is a comment"),
        ('a: "SDXL\\"\n', "2:1", "the text ends too early", '\\" in double quotes does not close them'),
        ("a: [b:c\nd: e\n", "2:2", "a bracket is not closed, while parsing a flow sequence that starts on line 1", "close it"),
        ("a: {b]", "1:6", "a bracket is not closed", "in quotes"),
        (r'a: "SDXL\juggernaut"', "1:10", r"\j in double quotes is not an escape", "single quotes"),
        (r'a: "SDXL\xl"', "1:11", r"\xl in double quotes is not an escape", "single quotes"),
        (r'a: "SDXL\unet"', "1:11", r"\un in double quotes is not an escape", "single quotes"),
        ("!<%zz> a", "1:1", "an unquoted text cannot begin with !", QUOTES + "quotes"),
    ],
)
def test_a_fault_of_syntax_has_its_place_a_plain_reason_and_the_way_out(text: str, place: str, what: str, hint: str) -> None:
    problem = fault(lambda: parse(text, name="x.yaml"), error=InputError)
    assert problem.where == f"x.yaml:{place}"
    assert what in problem.what
    assert hint in problem.hint

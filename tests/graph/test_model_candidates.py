"""Model names of recipes against the names of servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.graph.model_lists import candidates


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("x.safetensors", ["y.safetensors", "x.safetensors"], "x.safetensors"),
        ("sdxl/x.safetensors", ["sdxl\\x.safetensors"], "sdxl\\x.safetensors"),
        ("sdxl\\x.safetensors", ["sdxl/x.safetensors"], "sdxl/x.safetensors"),
        ("SDXL/X.safetensors", ["sdxl\\x.SafeTensors"], "sdxl\\x.SafeTensors"),
        ("x.safetensors", ["sdxl/x.safetensors", "y.safetensors"], "sdxl/x.safetensors"),
        ("old/x.safetensors", ["new\\deep\\X.safetensors"], "new\\deep\\X.safetensors"),
        ("Karras", ["normal", "karras"], "karras"),
        ("x.safetensors", [], None),
        ("x", ["x.safetensors"], "x.safetensors"),
        ("X", ["y.ckpt", "sdxl\\x.ckpt"], "sdxl\\x.ckpt"),
        ("sdxl/x", ["flux/x.safetensors", "sdxl/x.safetensors"], "sdxl/x.safetensors"),
        ("x.v1.0", ["x.v1.0.gguf"], "x.v1.0.gguf"),
        ("x.ckpt", ["x.safetensors"], None),
        ("x", ["x.txt"], None),
        ("", [".safetensors", "a/.safetensors"], None),
        ("", ["x"], None),
    ],
)
def test_a_name_finds_the_one_that_it_means(name: str, options: list[str], found: str | None) -> None:
    assert candidates(name, options) == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("a/x", ["A/x", "a\\x", "a/x", "b/x"], "a/x"),
        ("a/x", ["A/x", "a\\x", "b/x"], "a\\x"),
        ("a/x", ["A/x", "b/x"], "A/x"),
        ("a/x", ["b/x", "a/y"], "b/x"),
    ],
)
def test_the_stricter_reading_wins(name: str, options: list[str], found: str) -> None:
    assert candidates(name, options) == [found]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x", ["a/x", "b/x"]),
        ("x", ["x.ckpt", "x.safetensors"]),
        ("A/X", ["a/x", "A/x"]),
        ("a/x", ["A/x", "a/X"]),
        ("c/x", ["a/X", "b\\x"]),
    ],
)
def test_a_name_with_more_than_one_meaning_finds_them_all(name: str, options: list[str]) -> None:
    assert candidates(name, options) == options


def test_an_option_that_is_listed_twice_is_one_option() -> None:
    assert candidates("x", ["a/x", "a/x"]) == ["a/x"]


@given(st.text(), st.lists(st.text(), max_size=5))
def test_what_is_found_is_always_an_option(name: str, options: list[str]) -> None:
    assert set(candidates(name, options)) <= set(options)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_an_exact_name_always_finds_itself(options: list[str]) -> None:
    assert candidates(options[-1], options) == [options[-1]]

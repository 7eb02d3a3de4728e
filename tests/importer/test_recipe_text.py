"""Recipes as commented YAML: pleasant to read, and loaded back to the very same values, whatever these are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner import yaml_loader
from comfy_runner.importer.recipe_text import comment_line, recipe_text
from tests.hostile.values import TEXTS, many

_WORDS = st.sampled_from(
    ("a", "red", "#1", "fox:", "- x", "'", '"', "\n", "  ", "\t", "\\", "{", "}", "[", "]", "&x", "*y", "%", "@", "é", "狐", "\xa0")
)
_STRINGS = st.one_of(
    st.text(max_size=40),
    st.lists(_WORDS, max_size=60).map(" ".join),
    st.lists(_WORDS, max_size=9).map("".join),
    st.sampled_from(TEXTS),
)
_SCALARS = st.one_of(
    _STRINGS, st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_#: \n", max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_a_recipe_as_people_would_write_it() -> None:
    fields = {
        "name": "fox",
        "checkpoint": "SDXL\\base.safetensors",
        "loras": [{"name": "a.safetensors", "strength_model": 0.8}],
        "prompt": "a red fox in the snow, golden light rays between tall pine trees, dew on fern leaves, a path into the distance",
        "negative_prompt": "blurry: no\nlowres # none",
        "size": {"width": 1024, "height": 576},
        "sampler": {"name": "euler", "steps": 20},
    }
    comments = {"sampler.steps": "node 3", "loras.0": "node 4", "prompt": "node 6"}

    assert recipe_text(fields, comments=comments, head="From fox.png.", tail="More:\n  --param 3.cfg=cfg") == (
        "# From fox.png.\n"
        "name: fox\n"
        "checkpoint: 'SDXL\\base.safetensors'\n"
        "loras:\n"
        "  - {name: a.safetensors, strength_model: 0.8} # node 4\n"
        "\n"
        "# node 6\n"
        "prompt: >-\n"
        "  a red fox in the snow, golden light rays between tall pine trees, dew on fern leaves, a path into the\n"
        "  distance\n"
        "negative_prompt: |-\n"
        "  blurry: no\n"
        "  lowres # none\n"
        "\n"
        "size: {width: 1024, height: 576}\n"
        "\n"
        "sampler:\n"
        "  name: euler\n"
        "  steps: 20 # node 3\n"
        "\n"
        "# More:\n"
        "#   --param 3.cfg=cfg\n"
    )


@given(
    st.dictionaries(st.sampled_from(("name", "prompt", "params", "seed", "loras", "x")), _VALUES, min_size=1),
    _STRINGS,
    st.booleans(),
)
@many(300)
def test_whatever_is_written_loads_back(fields: dict[str, Any], comment: str, everywhere: bool) -> None:
    comments = dict.fromkeys(("prompt", "params.a", "loras.0", "x.b.c") if everywhere else ("name",), comment)
    try:
        text = recipe_text(fields, comments=comments, head=comment, tail=comment)
    except ValueError:
        assert any(bad in repr(fields) for bad in ("\\ud", "\\x00"))
        return
    assert yaml_loader.parse(text, name="x").value == fields


@pytest.mark.parametrize("text", TEXTS)
def test_a_comment_is_one_line(text: str) -> None:
    assert comment_line(text).isprintable()
    assert len(comment_line(text)) <= 300

"""Taking the web UIs' texts apart, however they look."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.errors import InputError, UsageError
from comfy_runner.importer.a1111 import parse_parameters, recipe_of
from comfy_runner.recipe.load import from_mapping
from tests.example_counts import tried

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: m"


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        (f"a cat\nNegative prompt: b\n{LINE}", "a cat", "b"),
        (f"a cat\n{LINE}", "a cat", ""),
        (LINE, "", ""),
        (f"Negative prompt: b\n{LINE}", "", "b"),
        (f"a\n\nb\nNegative prompt: c,\nd\n{LINE}\n", "a\n\nb", "c,\nd"),
        (f"a\r\nNegative prompt: b\r\n{LINE}\r\n", "a", "b"),
        (f"a, Steps: 20, Sampler: x, and\nNegative prompt: b\n{LINE}", "a, Steps: 20, Sampler: x, and", "b"),
        (f"Steps: 3, Sampler: y, Seed: 4, in a prompt\nb\n{LINE}", "Steps: 3, Sampler: y, Seed: 4, in a prompt\nb", ""),
        (f"a Negative prompt: in it\nNegative prompt: b\n{LINE}", "a Negative prompt: in it", "b"),
        (f'say "Steps: 5, x: 1, y: 2"\n{LINE}', 'say "Steps: 5, x: 1, y: 2"', ""),
        (f"a cat Negative prompt: b {LINE}", "a cat", "b"),
        (f"a\n{LINE},\nClip skip: 2, Version: v1.6.0, Seed: 3", "a", ""),
        (f"a\nSize: 512x512, Hires upscale: 2, {LINE}", "a", ""),
        (f"\x00a\x1b[31m\ud800\n{LINE}", "a[31m", ""),
    ],
)
def test_prompts_and_settings_are_told_apart(text: str, prompt: str, negative: str) -> None:
    found = parse_parameters(text)
    assert (found.prompt, found.negative_prompt) == (prompt, negative)
    assert {"Steps": "20", "Sampler": "Euler a", "Seed": "1", "Size": "512x512", "Model": "m"}.items() <= found.settings.items()


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ('Lora hashes: "a: 1, b: 2", X: 3', "Lora hashes", "a: 1, b: 2"),
        (r'Hires prompt: "a \"b\", c\nd", X: 3', "Hires prompt", 'a "b", c\nd'),
        ('Hashes: {"model": "1, 2", "x": [1, {"}": 2}]}, X: 3', "Hashes", '{"model": "1, 2", "x": [1, {"}": 2}]}'),
        ('Civitai resources: [{"a":1,"b":"X: 4"}], X: 3', "Civitai resources", '[{"a":1,"b":"X: 4"}]'),
        (r'Path: "D:\models\x, y.pt", X: 3', "Path", r"D:\models\x, y.pt"),
        (r"Path: D:\models\x.pt, X: 3", "Path", r"D:\models\x.pt"),
        ("Created Date: 2024-05-01T10:10:10.123Z, X: 3", "Created Date", "2024-05-01T10:10:10.123Z"),
        ("Broken: {a, X: 3", "Broken", "{a"),
        ('Broken: "a, X: 3', "Broken", '"a'),
        ("Empty: , X: 3", "Empty", ""),
        ("Steps: 99, X: 3", "Steps", "20"),
        ("X: 3\nTemplate: a, Y: 4\nNegative Template: b", "Template", "a, Y: 4"),
        ("X: 3\nTemplate: a, Y: 4\nNegative Template: b", "Negative Template", "b"),
    ],
)
def test_values_of_every_form(settings: str, key: str, value: str) -> None:
    found = parse_parameters(f"a\n{LINE}, {settings}")
    assert found.settings[key] == value
    assert found.settings["X"] == "3"
    assert found.get("none", key.upper()) == value


@pytest.mark.parametrize(
    "text", ["", "a cat", "Steps: 20", "a: b, c: d, e: f", "Size: big, Style: oil, Mood: calm", '{"prompt": "a"}', "[1]"]
)
def test_a_text_without_settings_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_parameters(text)
    assert caught.value.problems[0].hint


def test_a_text_of_a_megabyte_is_read_and_a_longer_one_refused() -> None:
    assert parse_parameters(f"{'a cat, ' * 150_000}\n{LINE}").get("Seed") == "1"
    with pytest.raises(UsageError, match="at most"):
        parse_parameters("a" * 3_000_000)


@pytest.mark.parametrize(
    "piece", ["a: [, ", 'a: ", ', "a: {[]", "Steps: 1, ", "a:", "\n", "a: [[],", '"', "Steps: 1, a: b, c: d\n", "\\", "a b c: d, "]
)
def test_a_long_hostile_text_is_taken_apart_as_any_other(piece: str) -> None:
    for text in (piece * (100_000 // len(piece)), f"{LINE}, {piece * (100_000 // len(piece))}"):
        with contextlib.suppress(UsageError):
            parse_parameters(text)


_KEYS = (
    *("Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "VAE", "Clip skip", "Denoising strength"),
    *("Hires upscale", "Hires resize", "Hires steps", "Hires upscaler", "Hires sampler", "Hires schedule type", "Hires CFG Scale"),
    *("Distilled CFG Scale", "Module 1", "Module 2", "TI hashes", "Hashes", "Refiner", "Version"),
)
_WORDS = st.sampled_from(
    ["Euler a", "DPM++ 2M", "Karras", "Automatic", "512x512", "0.5", "2", "20", "Latent", "None", "flux", "ae", "-1", "1e9"]
)
_VALUES = st.one_of(_WORDS, st.text(max_size=20))
_PROMPTS = st.text(alphabet=st.sampled_from('ab ,:()[]{}|<>\\"0.5\nloraANDBREAK_'), max_size=60)


@settings(max_examples=tried(60), deadline=None)
@given(_PROMPTS, _PROMPTS, st.dictionaries(st.sampled_from(_KEYS), _VALUES), st.text(max_size=60))
def test_any_text_is_a_recipe_or_one_error(prompt: str, negative: str, values: dict[str, str], rest: str) -> None:
    line = ", ".join(f"{key}: {value}" for key, value in {"Steps": "20", "Sampler": "Euler", "Seed": "1", **values}.items())
    try:
        recipe = recipe_of(parse_parameters(f"{prompt}\nNegative prompt: {negative}\n{line}, {rest}"), size=(512, 512), models={})
    except UsageError:
        return
    # How long a name may be, the recipe's schema knows.
    with contextlib.suppress(InputError):
        from_mapping(recipe.fields)

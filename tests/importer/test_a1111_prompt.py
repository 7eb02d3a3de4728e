"""Prompts of the web UI, as ComfyUI reads them alike."""

from __future__ import annotations

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.importer.a1111_prompt import (
    PromptLora,
    comfyui_weights,
    loras_of,
    web_ui_weights,
    with_comfyui_weights,
    with_embeddings,
    without_networks,
)


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a <lora:x>", PromptLora("x", 1.0, 1.0)),
        ("a <lora:x:0.8>", PromptLora("x", 0.8, 0.8)),
        ("a <lora:x y.v2:0.8:0.5>", PromptLora("x y.v2", 0.5, 0.8)),
        ("a <lora:x:te=0.2:unet=0.7:dyn=4>", PromptLora("x", 0.7, 0.2)),
        ("a <lora:x:unet=0.7>", PromptLora("x", 0.7, 1.0)),
        ("a <LyCO:x:-.5>", PromptLora("x", -0.5, -0.5)),
    ],
)
def test_a_lora_has_the_strengths_of_its_tag(prompt: str, found: PromptLora) -> None:
    assert loras_of(prompt) == ([found], [])


@pytest.mark.parametrize("tag", ["<lora:x:high>", "<lora:x:nan>", "<lora:x:1000>", "<lora: :1>"])
def test_a_tag_that_cannot_be_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="LoRA"):
        loras_of(tag)


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("a cat, <lora:x:1>", "a cat"),
        ("a cat <lora:x:1>", "a cat"),
        ("<lora:x:1>, a cat", "a cat"),
        ("<lora:x:1> a cat", "a cat"),
        ("a, <lora:x:1>, b", "a, b"),
        ("a,<lora:x:1>,<lora:y:1> , b", "a, b"),
        ("a <lora:x:1> b", "a b"),
        ("a\n<lora:x:1>, <hypernet:y:1>\nb, <lora:z:1>\nc", "a\n\nb,\nc"),
        ("a,\n<lora:x:1>", "a"),
        ("(<lora:x:1>, a <lora:y:1>)", "(a)"),
        ("<lora:x:1>", ""),
        ("a <b> c, <3", "a <b> c, <3"),
    ],
)
def test_tags_are_cut_out_with_their_commas(prompt: str, left: str) -> None:
    assert without_networks(prompt) == left


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("EasyNegative, blurry", "embedding:easynegative, blurry"),
        ("blurry,easynegative,bad", "blurry, embedding:easynegative, bad"),
        ("(easynegative:1.2)", "(embedding:easynegative:1.2)"),
        ("a easynegative-v2 b, noeasynegative", "a easynegative-v2 b, noeasynegative"),
        ("x bad.v2, bad", "x embedding:bad.v2, bad"),
        ("embedding:easynegative", "embedding:easynegative"),
    ],
)
def test_embeddings_are_called_as_comfyui_calls_them(prompt: str, found: str) -> None:
    assert with_embeddings(prompt, ["easynegative", "bad.v2"]) == found


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("[blurry]", "(blurry:0.909)"),
        ("[[blurry]], [dark]", "(blurry:0.826), (dark:0.909)"),
        ("[[[a]]]", "(a:0.751)"),
        ("([a])", "a"),
        ("[(a:1.5)]", "(a:1.364)"),
        ("[ a cat ]", " (a cat:0.909) "),
        ("(a (b:1.5) c:1.2)", "(a:1.2) (b:1.8) (c:1.2)"),
        ("((a:1.2))", "(a:1.32)"),
        ("((a))", "((a))"),
        ("(a:1.2), (b), c", "(a:1.2), (b), c"),
        (r"\(a\), \[b\]", r"\(a\), [b]"),
        (r"[a \(b\)]", r"(a \(b\):0.909)"),
        ("[a:b:0.5] [c]", "[a:b:0.5] (c:0.909)"),
        ("[a|b], [a:0.3], [a::4]", "[a|b], [a:0.3], [a::4]"),
        ("([a|b] c:1.2)", "([a|b] c:1.2)"),
        ("[x [a|(b:1.3)]]", "(x [a|(b:1.3)]:0.909)"),
        ("a [b", "a (b:0.909)"),
        ("a (b", "a (b:1.1)"),
        ("a) b]", r"a\) b]"),
        ("a (b] c)", "a (b] c:1.1)"),
        ("", ""),
    ],
)
def test_weights_are_those_of_the_web_ui(prompt: str, found: str) -> None:
    assert with_comfyui_weights(prompt) == found


@pytest.mark.parametrize(
    "prompt", ["(a (b:1.5) c:1.2), [d], e", "((a:1.2) [b] c)", r"([\(a\)]:1.5), (b", "x (y:.5)", "(16:9) (a:b)"]
)
def test_what_is_written_anew_has_the_same_weights_in_comfyui(prompt: str) -> None:
    meant = web_ui_weights(prompt)
    read = comfyui_weights(with_comfyui_weights(prompt))

    def words(segments: list[tuple[str, float]]) -> list[tuple[str, float]]:
        return [(text.strip(), round(weight, 2)) for text, weight in segments if text.strip()]

    assert words(read) == words(meant)


@pytest.mark.parametrize(
    "text", ["(", "[", "[[a|", ")", "(a:1", "<lora:", "<lora:a>", ",", "\\", "a,<lora:a:1> ", "[a:0.5]", " \n"]
)
def test_a_long_hostile_prompt_is_written_anew_as_any_other(text: str) -> None:
    prompt = text * (50_000 // len(text))
    assert isinstance(with_comfyui_weights(with_embeddings(without_networks(prompt), ["a"])), str)

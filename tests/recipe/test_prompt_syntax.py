"""What other programs know in prompts, and ComfyUI does not: told once for each kind, at the line of the prompt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.prompt_syntax import foreign_syntax
from tests.recipe.support import written


@pytest.mark.parametrize(
    ("prompt", "found", "advice"),
    [
        ("a cat <lora:detail:0.8>", "<lora:detail:0.8>", "give the LoRA under loras:"),
        ("<LyCO:a b.v2:1:0.5>, cat", "<LyCO:a b.v2:1:0.5>", "give the LoRA under loras:"),
        ("<hypernet:x:1>", "<hypernet:x:1>", "HypernetworkLoader"),
        ("<embedding:neg>", "<embedding:neg>", "write embedding:name"),
        ("<random:cat,dog>", "<random:cat,dog>", "whose nodes understand it"),
        ("<fromto[0.5]:cat,dog>", "<fromto[0.5]:cat,dog>", "whose nodes understand it"),
        ("a [cat:dog:0.5] here", "[cat:dog:0.5]", "from step to step"),
        ("a [cat:0.5]", "[cat:0.5]", "from step to step"),
        ("[a:b:0.1,0.5],cat", "[a:b:0.1,0.5]", "from step to step"),
        ("[cat|dog]", "[cat|dog]", "from step to step"),
        ("a [[blurry]] cat", "[blurry]", "write (words:0.909)"),
        ("{{{cat}}}", "{cat}", "write (words:1.05)"),
        ("a {red|blue} cat", "{red|blue}", "alternatives: combine"),
        ("a __colour/dark__ cat", "__colour/dark__", "sweep over the lines of a file"),
        ("a cat BREAK a dog", "BREAK", "ConditioningConcat"),
        ("a cat AND a dog", "AND", "ConditioningCombine"),
        ("blurry,embedding:neg", "embedding:neg", "after a space"),
        ("Embedding:neg", "Embedding:neg", "in lower case"),
        ("(EasyNegative:1.2), blurry", "EasyNegative", "write embedding: before it"),
        ("cat::2, dog::1", "cat::2", "in parentheses"),
        ("cat:1.3, dog", "cat:1.3", "in parentheses"),
        ("(cat)1.3", ")1.3", "in parentheses"),
        ("(cat)++ dog", ")++", "in parentheses"),
    ],
)
def test_what_comfyui_does_not_know_is_told_with_what_to_do(prompt: str, found: str, advice: str) -> None:
    ((number, what),) = foreign_syntax([prompt])
    assert number == 0
    assert what.startswith(f'ComfyUI reads "{found}" as words: ')
    assert advice in what


@pytest.mark.parametrize(
    "prompt",
    [
        "(((masterpiece))), (cat:1.2), ((a cat:0.9), dog:1.1)",
        r"a \(real\) cat, \[sic\]",
        "embedding:neg, (embedding:a/b.pt:1.1) embedding:easynegative\nembedding:x",
        "CATS AND DOGS, NO BREAK",
        "at 10:30, 16:9, 2:1.5, a <b> c, 1 < 2 > 0, <3, http://x.y/z, a well--known cat - or two -- in C++",
        'bad hands, bad anatomy, negative space, {"subject": "a cat", "tags": ["one", "two"]}, [], { }, a__b',
        "",
    ],
)
def test_what_comfyui_knows_and_plain_words_are_not_told(prompt: str) -> None:
    assert list(foreign_syntax([prompt])) == []


@pytest.mark.parametrize(
    ("prompt", "kind", "found"),
    [
        ("cat --ar 16:9", "options", "--ar 16:9"),
        ("cat // big", "comments", "// big"),
        ("a /* big */ cat", "comments", "/* big */ cat"),
        ("a cat\n# big\n", "comments", "# big"),
    ],
)
def test_options_and_comments_in_a_prompt_are_told(prompt: str, kind: str, found: str) -> None:
    ((_, what),) = foreign_syntax([prompt])
    assert what.startswith(f"{kind} are read as part of the prompt; ")
    assert what.endswith(f'(got "{found}")')


def test_each_kind_is_told_once_for_many_prompts() -> None:
    prompts = ["a", "<lora:a:1> <lora:b:1>", "[x] <lora:c:1>", "{y} [z]"]
    assert [(number, what.split('"')[1]) for number, what in foreign_syntax(prompts)] == [(1, "<lora:a:1>"), (2, "[x]"), (3, "{y}")]


@pytest.mark.parametrize(
    "text",
    ["[", "<lora:", "{", "__", "/*", "--a", "a:", r"\[", "[a:", "bad-image-", "[:0", "<a[", ")++", "a:1.", "(", "{a|", "a" * 90],
)
def test_a_long_hostile_prompt_is_looked_through_as_any_other(text: str) -> None:
    # With a pattern that takes the square of the length this would not end.
    told = [what for _, what in foreign_syntax([text * (50_000 // len(text)) + " <lora:a:1>"])]
    assert any('"<lora:a:1>"' in what for what in told)


def test_a_prompt_is_told_of_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "x.yaml", "seed: 1\nprompt: a cat <lora:a:1>\nparams: {second_prompt: '[a]', style: '[b]'}\n")

    places = {note.where.rpartition("/")[2] for note in load(path, sets=["negative_prompt=a BREAK b"]).notes}

    assert places == {"x.yaml:2: prompt", "x.yaml:3: params.second_prompt", "--set negative_prompt"}


def test_prompts_of_a_sweep_are_told_of_where_they_are_written(tmp_path: Path) -> None:
    written(tmp_path, "prompts.txt", "a cat\n# a comment\na <lora:a:1> dog\nb <lora:b:1>\n--steps 7 a\n")
    written(tmp_path, "table.csv", "negative_prompt,seed\nblur,1\n[blur],2\n")
    text = """
prompt: not used [a]
sweep:
  prompt: {file: prompts.txt}
  zip: [{file: table.csv}]
  include:
  - {prompt: a BREAK b}
  - {prompt: c BREAK d}
  params.other_prompt: [a, "(b)++"]
  exclude:
  - {prompt: a <lora:a:1> dog}
"""
    found = {re.sub(r"^.*/", "", note.where): note.what.split('"')[1] for note in load(written(tmp_path, "x.yaml", text)).notes}

    assert found == {
        "prompts.txt:3: sweep.prompt": "<lora:a:1>",
        "prompts.txt:5: sweep.prompt": "--steps 7 a",
        "table.csv:3: negative_prompt": "[blur]",
        "x.yaml:7: sweep.include[0].prompt": "BREAK",
        "x.yaml:9: sweep.params.other_prompt[1]": ")++",
    }


def test_a_recipe_of_python_has_notes_too() -> None:
    assert [str(note) for note in from_mapping({"prompt": "[a]"}).notes] == [
        'recipe: prompt: ComfyUI reads "[a]" as words: for less weight, write (words:0.909)'
    ]

"""A graph as a Mermaid flowchart: its lines, and that no title, class or name is ever more than text in it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.graph.mermaid import mermaid, quoted
from comfy_runner.graph.workflow import parse_workflow
from tests.graph.support import chain, graph, node, shipped_graph
from tests.hostile.values import TEXTS

# Within quotes: what means nothing to Mermaid, and characters as their numbers; a line break is ours.
_STRING = r'"(?:[^\W]|[ \-.,/()\N{REPLACEMENT CHARACTER}]|#[0-9]+;|<br/>)*"'
_LINE = re.compile(rf"    (n[0-9]+(\[{_STRING}\]|\(\[{_STRING}\]\))|n[0-9]+ -->\|{_STRING}\| n[0-9]+)")

_NASTY = (
    *TEXTS,
    "1. Load checkpoint",
    "- item",
    "# heading",
    "end",
    'a"]); click n1 "javascript:alert(1)"',
    "<script>alert(1)</script>",
    "`**bold**`",
    "style: x#y;z",
    '%%{init: {"theme": "dark"}}%%',
    "$$x^2$$",
    "fa:fa-car",
    "a\\nb",
    "@{ shape: x }",
    "&amp; #quot; &lt;b&gt;",
    "x\ny | z\r\u2028w",
    "日本語 🎉",
)
_texts = st.one_of(st.text(alphabet=st.characters(codec=None), max_size=80), st.sampled_from(_NASTY))


def _lines(drawn: str) -> list[str]:
    first, *lines = drawn.split("\n")
    assert first == "flowchart LR"
    return lines


def test_nodes_have_title_and_class_outputs_are_rounded_links_have_the_names_of_inputs() -> None:
    drawn = mermaid(
        graph(
            load={**node("CheckpointLoaderSimple", ckpt_name="x"), "_meta": {"title": "Checkpoint"}},
            both=node("Both", model=["load", 0], clip=["load", 1], text="words"),
            save=node("SaveImage", role="original", images=["both", 0]),
        )
    )

    assert drawn.splitlines() == [
        "flowchart LR",
        '    n1["Checkpoint<br/>CheckpointLoaderSimple"]',
        '    n2["Both"]',
        '    n3(["SaveImage"])',
        '    n1 -->|"clip, model"| n2',
        '    n2 -->|"images"| n3',
    ]


def test_it_can_lead_down() -> None:
    assert mermaid(graph(save=node("SaveImage", role="x")), direction="TD") == 'flowchart TD\n    n1(["SaveImage"])'


def test_the_shipped_graph_is_lines_of_the_grammar() -> None:
    assert all(_LINE.fullmatch(line) for line in _lines(mermaid(shipped_graph().workflow)))


@given(ids=st.lists(_texts, min_size=2, max_size=2, unique=True), title=_texts, class_type=_texts, name=_texts)
def test_whatever_names_say_they_are_text_and_add_no_line(ids: list[str], title: str, class_type: str, name: str) -> None:
    meta: dict[str, Any] = {"_meta": {"title": title}}
    data = {
        ids[0]: {"class_type": class_type or "C", "inputs": {}, **meta},
        ids[1]: {"class_type": "SaveImage", "inputs": {name: [ids[0], 0], "filename_prefix": "x"}, **meta},
    }

    lines = _lines(mermaid(parse_workflow({"prompt": data})))

    assert len(lines) == 3
    assert [line for line in lines if not _LINE.fullmatch(line)] == []


@pytest.mark.parametrize("text", _NASTY)
def test_a_nasty_text_is_one_string(text: str) -> None:
    assert re.fullmatch(_STRING, quoted(text))


@pytest.mark.parametrize(
    ("text", "string"),
    [
        ("end", '"end"'),
        ('a "b"', '"a #34;b#34;"'),
        ("x\n  y", '"x y"'),
        ("日本語", '"日本語"'),
        ("a:b", '"a#58;#8288;b"'),
        ("1. Load", '"#8288;1. Load"'),
        ("", '"#8288;"'),
        ("a\x1bb\u202ec", '"a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"'),
        ("x" * 61, f'"{"x" * 59}#8230;"'),
    ],
)
def test_a_text_is_written_so(text: str, string: str) -> None:
    assert quoted(text) == string


def test_a_deep_graph_is_drawn() -> None:
    assert len(_lines(mermaid(chain(3000)))) == 5999

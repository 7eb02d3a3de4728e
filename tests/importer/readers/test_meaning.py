"""What texts of files mean, one by one and together."""

from __future__ import annotations

import json

import pytest

from comfy_runner.importer.readers.embedded import Embedded
from comfy_runner.importer.readers.meaning import Meaning, is_parameters
from tests.importer.readers.support import GRAPH, PARAMETERS, PROMPT, UI, WORKFLOW


def _meaning(**texts: str) -> Meaning:
    embedded, meaning = Embedded(), Meaning("x.png")
    for name, text in texts.items():
        embedded.add(name, text)
    meaning.read_texts(embedded)
    return meaning


def test_all_that_is_there_is_kept() -> None:
    found = _meaning(prompt=PROMPT, workflow=WORKFLOW, parameters=PARAMETERS, comfy_runner='{"job_id": "lake"}')

    assert (found.graph, found.ui, found.parameters, found.about) == (GRAPH, UI, PARAMETERS, {"job_id": "lake"})
    assert (found.notes, found.problems) == ([], [])


def test_the_text_that_is_named_counts_before_a_comment() -> None:
    other = json.dumps({"prompt": {"1": {"class_type": "Other", "inputs": {}}}})

    assert _meaning(prompt=PROMPT, comment=other).graph == GRAPH
    assert _meaning(parameters=PARAMETERS, usercomment="Steps: 1, Sampler: Other").parameters == PARAMETERS


@pytest.mark.parametrize("name", ["Comment", "UserComment", "DESCRIPTION", "ImageDescription", "XPComment"])
def test_a_comment_may_be_anything(name: str) -> None:
    assert _meaning(**{name: json.dumps({"prompt": PROMPT, "workflow": UI})}).ui == UI
    assert _meaning(**{name: PARAMETERS}).parameters == PARAMETERS
    assert _meaning(**{name: "a lake at dawn"}).is_empty
    assert _meaning(**{name: '{"exposure": 3}'}).problems == []


def test_a_comment_that_is_cut_off_is_told() -> None:
    found = _meaning(usercomment=json.dumps(GRAPH)[:-2])

    assert found.is_empty
    assert found.problems[0].startswith("its text usercomment is not JSON (")


def test_json_that_is_no_workflow_is_told() -> None:
    assert _meaning(prompt="{}").problems == ['its text prompt is JSON, but not a workflow (got "{}")']
    assert _meaning(comfy_runner="[]").problems == ['its text comfy_runner is JSON, but not a workflow (got "[]")']


@pytest.mark.parametrize("name", ["comment", "parameters"])
def test_another_program_is_known_by_what_it_writes(name: str) -> None:
    assert _meaning(**{name: '{"sui_image_params": {}}'}).program == "SwarmUI"
    assert _meaning(**{name: '{"sui_image_params": {}}'}).problems == []


def test_json_within_json_is_read_to_some_depth() -> None:
    text = PROMPT
    for _ in range(2):
        text = json.dumps({"prompt": text})
    assert _meaning(comment=text).graph == GRAPH
    for _ in range(10):
        text = json.dumps({"prompt": text})
    assert _meaning(comment=text).is_empty


@pytest.mark.parametrize(
    "text",
    [
        PARAMETERS,
        "Steps: 20, Sampler: Euler a",
        "a lake\n  Steps: 8, Seed: 1",
        "a lake\r\nNegative prompt: blurry\r\nSteps: 20, Sampler: Euler a, CFG scale: 7",
    ],
)
def test_parameters_are_known_by_their_last_line(text: str) -> None:
    assert is_parameters(text)


@pytest.mark.parametrize("text", ["", "a lake", "steps: 20", "Steps: 20", "five Steps: 20, Sampler: x", '{"Steps": 20}'])
def test_other_texts_are_no_parameters(text: str) -> None:
    assert not is_parameters(text)

"""Workflows of any kind are imported, or refused with one clear error; nothing in them gets out of its place."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import WorkflowError
from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.importer.recognise import recognise
from comfy_runner.importer.write import Pair, prove, write_pair
from tests.hostile.values import TEXTS, many

_CLASSES = (
    *("KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced", "FaceDetailer", "UltimateSDUpscale", "BasicGuider", "CFGGuider"),
    *("CheckpointLoaderSimple", "UNETLoader", "VAELoader", "LoraLoader", "LoraLoaderModelOnly", "CLIPSetLastLayer", "VAEDecode"),
    *(
        "CLIPTextEncode",
        "CLIPTextEncodeFlux",
        "ConditioningConcat",
        "ConditioningZeroOut",
        "Text Concatenate",
        "ShowText",
        "Reroute",
    ),
    *(
        "EmptyLatentImage",
        "LatentUpscaleBy",
        "ImageScale",
        "LoadImage",
        "ComfySwitchNode",
        "Any Switch (rgthree)",
        "Context (rgthree)",
    ),
    *("SaveImage", "PreviewImage", "VAESave", "PrimitiveInt", "RandomNoise", "BasicScheduler", "KSamplerSelect", "#} evil {{ x"),
)
_INPUTS = (
    *(
        "model",
        "clip",
        "vae",
        "positive",
        "negative",
        "latent_image",
        "samples",
        "image",
        "images",
        "text",
        "text_g",
        "conditioning",
    ),
    *("seed", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "denoise", "width", "height", "batch_size", "scale_by"),
    *(
        "ckpt_name",
        "lora_name",
        "strength_model",
        "strength_clip",
        "stop_at_clip_layer",
        "filename_prefix",
        "value",
        "switch",
        "on_true",
    ),
    *("guider", "noise", "sampler", "sigmas", "pipe", "base_ctx", "items", "upscale_method", "{% raw %}", "a\n#} b", "guidance"),
)
_NUMBERS = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([8, 512, 1000, 2**53 - 1, 2**53, 2**64, 10**120, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
_STRINGS = st.one_of(st.sampled_from([text for text in TEXTS if len(text) < 1000]), st.text(max_size=30))
_JSON = st.recursive(
    st.one_of(_NUMBERS, _STRINGS),
    lambda inner: st.dictionaries(_STRINGS, inner | st.lists(inner, max_size=2), max_size=2),
    max_leaves=4,
)
_SEEN: dict[str, int] = {"imported": 0, "refused": 0}


@st.composite
def _graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a graph whose links lead to earlier nodes alone."""
    ids = draw(st.lists(st.one_of(st.integers(0, 99).map(str), st.sampled_from(TEXTS[:40])), min_size=1, max_size=14, unique=True))
    graph: dict[str, Any] = {}
    for index, node_id in enumerate(ids):
        inputs: dict[str, Any] = {}
        for name in draw(st.lists(st.sampled_from(_INPUTS), max_size=9, unique=True)):
            is_link = index and draw(st.booleans())
            inputs[name] = [draw(st.sampled_from(ids[:index])), draw(st.integers(0, 2))] if is_link else draw(_JSON)
        graph[node_id] = {"class_type": draw(st.sampled_from(_CLASSES)), "inputs": inputs}
        if draw(st.booleans()):
            graph[node_id]["_meta"] = {"title": draw(_STRINGS)}
    return graph


def _imported(workflow: Workflow, source: str) -> Pair | None:
    """Return a pair that was proved; None where the workflow was refused before there was one."""
    try:
        pair = write_pair(recognise(workflow, where="x.json"), name="fox", source=source)
    except WorkflowError:
        return None
    prove(pair, workflow)
    return pair


@given(_graphs(), _STRINGS)
@many(150)
def test_any_graph_is_imported_or_refused(graph: dict[str, Any], source: str) -> None:
    try:
        workflow = parse_workflow(graph)
    except WorkflowError:
        return
    pair = _imported(workflow, source)
    _SEEN["imported" if pair else "refused"] += 1
    if pair is not None:
        comments = [line.partition("# ")[2] for line in pair.recipe.splitlines() if line.startswith("# ")]
        assert all(map(str.isprintable, comments))
        assert "\x1b" not in pair.recipe + pair.template
        assert not {"\u202e", "\u2066"} & set(pair.recipe + pair.template)


def test_many_of_them_were_imported() -> None:
    assert _SEEN["imported"] > 20 or not any(_SEEN.values())

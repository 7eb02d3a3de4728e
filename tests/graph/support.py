"""What the tests of this room share: recipes with golden graphs, small graphs, templates on disk, a recorded object_info.

``python -m tests.graph.support`` writes the golden graphs anew, after a change of the shipped template that is meant.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import InputError, Problem, TemplateError
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.signature import literals_of
from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import from_mapping
from comfy_runner.shipped import shipped
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import Template, find_template

GOLDEN = Path(__file__).parent / "golden"
RECORDED = Path(__file__).parents[1] / "data" / "object_info.json"

REFERENCE: dict[str, Any] = {
    "name": "golden",
    "checkpoint": "juggernautXL_juggXIByRundiffusion.safetensors",
    "prompt": "Professional architectural photography, urban skyline, ...",
    "negative_prompt": "blurry, lowres, watermark",
    "seed": 1234,
    "size": {"width": 1024, "height": 576},
    "sampler": {"name": "dpmpp_2m_sde", "scheduler": "karras", "steps": 30, "cfg": 5.0},
    "upscale": {"factor": 2, "denoise": 0.55, "method": "nearest-exact", "seed": 5678},
}
RECIPES: dict[str, dict[str, Any]] = {
    "latent_upscale": REFERENCE,
    "latent_upscale_models": {
        **REFERENCE,
        "vae": "sdxl_vae.safetensors",
        "clip_skip": 2,
        "loras": ["detail.safetensors", {"name": "style/ink.safetensors", "strength_model": 0.8, "strength_clip": -0.25}],
    },
    "latent_upscale_second_sampler": {
        **REFERENCE,
        "size": {"width": 832, "height": 1216},
        "upscale": {
            "factor": 1.5,
            "denoise": 0.5,
            "method": "bislerp",
            "steps_mode": "scaled",
            "seed": "next",
            "sampler": {"name": "euler", "scheduler": "simple", "cfg": 7.5},
        },
    },
}


def values(**fields: Any) -> dict[str, Any]:
    """Return what a template sees of the reference recipe with other fields."""
    return dict(job(from_mapping({**REFERENCE, **fields})).values)


def render(template: Template, seen: Mapping[str, Any], *, folders: Sequence[Path]) -> Filled:
    """Return what a template renders to, by a renderer that has rendered nothing else."""
    return Renderer(template, folders).render(seen)


def shipped_graph(seen: Mapping[str, Any] | None = None) -> Filled:
    """Return what the shipped template renders to."""
    folders = [shipped("templates")]
    return render(find_template("latent_upscale", folders), values() if seen is None else seen, folders=folders)


def golden_text(name: str) -> str:
    """Return the text that a golden file must have."""
    return shipped_graph(dict(job(from_mapping(RECIPES[name])).values)).workflow.to_json() + "\n"


def rendered(folder: Path, text: str, seen: Mapping[str, Any] | None = None, **files: str) -> Filled:
    """Return what a template of this text renders to; `files` are further templates beside it, by stem."""
    (folder / "mine.json.j2").write_text(text, encoding="utf-8", newline="")
    for stem, content in files.items():
        (folder / f"{stem}.j2").write_text(content, encoding="utf-8")
    return render(find_template("mine", [folder]), seen or {}, folders=[])


def value_of(folder: Path, expression: str, seen: Mapping[str, Any] | None = None, **files: str) -> Any:
    """Return the value that a template's expression arrives as in the graph."""
    text = '{"save": {"class_type": "SaveText", "inputs": {"value": %s, "filename_prefix": "x"}}}'
    return rendered(folder, text % expression, seen, **files).workflow.nodes["save"].inputs["value"]


def template_fault(folder: Path, expression: str, seen: Mapping[str, Any] | None = None, **files: str) -> Problem:
    """Return the only problem of rendering an expression, which stands on line 1 of ``mine.json.j2``."""
    return fault(lambda: value_of(folder, expression, seen, **files), error=TemplateError)


def faults(call: Callable[[], object], *, error: type[InputError]) -> list[Problem]:
    """Return the problems of the error that a call must raise."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    return list(caught.value.problems)


def fault(call: Callable[[], object], *, error: type[InputError]) -> Problem:
    """Return the only problem of the error that a call must raise."""
    found = faults(call, error=error)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def node(class_type: str, *, role: Any = "", **inputs: Any) -> dict[str, Any]:
    """Return one node as JSON."""
    return {"class_type": class_type, "inputs": inputs, **({"_meta": {"role": role}} if role else {})}


def graph(**nodes: Mapping[str, Any]) -> Workflow:
    """Return a checked graph of nodes by id."""
    return parse_workflow(copy.deepcopy(nodes))


def filled(workflow: Workflow) -> Filled:
    """Return a graph as a shape of its own with its literals."""
    return Filled(Shape(workflow, {}), literals_of(workflow)[1])


def content_hash(workflow: Workflow) -> str:
    """Return the identity of the job with this graph."""
    return filled(workflow).signed.content


def pixel_hash(workflow: Workflow) -> str:
    """Return the identity of what the job with this graph shows."""
    return filled(workflow).signed.pixels


def chain(length: int) -> Workflow:
    """Return a graph as deep as `length` nodes, each enlarging the latent of the one before by 1."""
    nodes: dict[str, Any] = {"n0": node("EmptyLatentImage", width=64, height=64, batch_size=1)}
    for index in range(1, length - 1):
        nodes[f"n{index}"] = node("LatentUpscaleBy", samples=[f"n{index - 1}", 0], upscale_method="area", scale_by=1.0)
    nodes["save"] = node("SaveImage", images=[f"n{length - 2}", 0], filename_prefix="x")
    # The deepest first, which is the worst order for an algorithm that walks along the links.
    return parse_workflow(dict(reversed(nodes.items())))


def recorded(**changed: Callable[[dict[str, Any]], object]) -> ObjectInfo:
    """Return the recorded object_info of a ComfyUI 0.3.75, with some classes changed in place."""
    data = json.loads(RECORDED.read_text(encoding="utf-8"))
    for class_type, change in changed.items():
        change(data.setdefault(class_type, {"input": {}, "output": [], "python_module": "custom_nodes.pack"}))
    return ObjectInfo(data, source="http://server")


def with_options(name: str, options: Sequence[str | int]) -> Callable[[dict[str, Any]], object]:
    """Return a change that gives an enum these options."""
    return lambda known: known["input"]["required"][name].__setitem__(0, options)


if __name__ == "__main__":
    for golden in RECIPES:
        (GOLDEN / f"{golden}.json").write_text(golden_text(golden), encoding="utf-8")

"""What all jobs of a run have in common: what the head of its page and the texts in its sheet say was fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from comfy_runner.recipe.layers import value_at
from comfy_runner.report.dimensions import short_labels
from comfy_runner.report.run_data import RUN, Material, label, sidecar_of
from comfy_runner.store.about import metadata_of
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.sidecar import Sidecar

_FIELDS = {
    "prompt": "prompt",
    "negative_prompt": "negative prompt",
    "checkpoint": "model",
    "seed": "seed",
    "sampler.name": "sampler",
    "sampler.scheduler": "scheduler",
    "sampler.steps": "steps",
    "sampler.cfg": "cfg",
    "upscale.factor": "factor",
    "upscale.method": "method",
    "upscale.denoise": "denoise",
}


def fixed_values(material: Material) -> dict[str, str]:
    """Return what all jobs have in common, as text by name: prompts, model, size, how it was sampled, versions.

    One finished job of each recipe is looked at, for the jobs of a recipe differ in the axes alone.

    Args:
        material: The run.
    """
    return _common(material, _samples(material))


def publishable_values(material: Material) -> dict[str, str] | None:
    """Return `fixed_values` for pictures drawn of a run; None if a recipe has ``output.metadata: none``, so that they may not tell.

    Args:
        material: The run.
    """
    samples = _samples(material)
    return _common(material, samples) if all(metadata_of(sidecar.recipe) for sidecar in samples) else None


def _common(material: Material, samples: Iterable[Sidecar]) -> dict[str, str]:
    found = [_of_one(sidecar) for sidecar in samples]
    if not found:
        return {}
    swept = {axis.field for axis in material.axes}
    free = {name for field, name in _FIELDS.items() if any(_touch(field, axis) for axis in swept)}
    if any(_touch("size", axis) or axis in ("template", "output") or axis.startswith("upscale.size") for axis in swept):
        free.add("size")
    if "upscale.factor" in swept:
        free.add("size")
    return {name: text for name, text in found[0].items() if name not in free and all(one.get(name) == text for one in found)}


def _samples(material: Material) -> list[Sidecar]:
    """Return the sidecar of one finished job of each recipe, as far as they can be read."""
    of_recipes = {(entry.values.get(RUN), entry.row.recipe): entry.job_id for entry in reversed(material.entries) if entry.pictures}
    files = JobFiles(material.store)
    return [sidecar for job_id in of_recipes.values() if (sidecar := sidecar_of(files, job_id))]


def _touch(field: str, axis: str) -> bool:
    """Return whether an axis gives a field, or a part of it, or something that it is a part of."""
    return field == axis or field.startswith(f"{axis}.") or axis.startswith(f"{field}.")


def _of_one(sidecar: Sidecar) -> dict[str, str]:
    values = {name: value_at(sidecar.recipe, field.split(".")) for field, name in _FIELDS.items()}
    texts = {name: label(value) for name, value in values.items() if value is not None and value != ""}
    if "model" in texts:
        (texts["model"],) = short_labels([texts["model"]])
    sizes = [
        f"{first.width}x{first.height}" for first in (records[0] for records in sidecar.files.values() if records) if first.width
    ]
    if sizes:
        texts["size"] = " → ".join(dict.fromkeys(sizes))
    server = sidecar.server if isinstance(sidecar.server, Mapping) else {}
    if server.get("version"):
        texts["ComfyUI"] = label(server["version"])
    texts["comfy_runner"] = sidecar.comfy_runner
    return texts

"""Which nodes of a workflow give its outputs, and what their roles are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.errors import WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.workflow import Node, Workflow, as_link
from comfy_runner.importer.recognising.passes import WorkflowPasses
from comfy_runner.recipe.names import role_fault, slug

_SILENT = frozenset({"VAESave", "CheckpointSave", "CLIPSave", "ModelSave", "LoraSave"})
_PREVIEWS = ("PreviewImage", "SaveImageWebsocket", "PreviewAudio", "MaskPreview", "PreviewAny", "Preview3D")
_SAVES_PICTURES = re.compile(
    r"(save|export|write).*(image|img|picture|photo|webp|png|jpe?g|video|gif)|image.?saver?", re.IGNORECASE
)
_SHOWS = re.compile(r"preview|save|show|display|compar|view|output", re.IGNORECASE)
_USUAL = re.compile(r"(save|preview)[ _]?image|image[ _]?(save|preview)|comfyui", re.IGNORECASE)
_PICTURES = ("images", "image")


@dataclass(frozen=True, slots=True)
class Roles:
    """The outputs of a workflow.

    Attributes:
        names: The role of each node that gives an output, by node id.
        silent: Those of them that tell the server of no file, so that nothing is collected.
        sentences: What each role is, in one sentence.
    """

    names: Mapping[str, str]
    silent: frozenset[str]
    sentences: Mapping[str, str]


def output_nodes(workflow: Workflow, info: ObjectInfo | None) -> set[str]:
    """Return the nodes for whose sake a server runs a workflow: as it says, else as their class and their place in it tell."""
    used = {link.node for node in workflow.nodes.values() for _, link in node.links()}
    known = {id_: info.get(node.class_type) if info is not None else None for id_, node in workflow.nodes.items()}
    sure = {id_ for id_, node in workflow.nodes.items() if "filename_prefix" in node.inputs or node.class_type in _PREVIEWS}
    sure |= {id_ for id_, said in known.items() if said is not None and said.is_output}
    ends = {id_ for id_, node in workflow.nodes.items() if id_ not in used and known[id_] is None and any(node.links())}
    found = sure | {id_ for id_ in ends if _SHOWS.search(workflow.nodes[id_].class_type)}
    return found or ends or set(workflow.nodes)


def find_roles(workflow: Workflow, passes: WorkflowPasses, info: ObjectInfo | None, *, where: str) -> Roles:
    """Return the roles of a workflow's outputs.

    One output alone is the picture; below a second pass it is called upscaled, below the first alone original. Others are named
    after their titles or file prefixes. Roles that the workflow has already are kept.

    Raises:
        WorkflowError: Nothing in it saves or shows anything.
    """
    chosen = _chosen(workflow, info)
    if not chosen:
        hint = "add a SaveImage (Save Image) to the workflow, and export it again"
        raise WorkflowError("no node of the workflow saves or shows a picture", where=where, hint=hint)
    names = {node_id: workflow.nodes[node_id].role for node_id in chosen if not role_fault(workflow.nodes[node_id].role)}
    silent = frozenset(node_id for node_id in chosen if workflow.nodes[node_id].class_type in _SILENT)
    # Names that differ in case alone are one file on some systems.
    taken = {role.casefold(): 1 for role in names.values()}
    sentences = {role: _sentence(workflow.nodes[node_id], node_id) for node_id, role in names.items()}
    usual = _usual_roles(workflow, passes, chosen)
    for node_id in chosen:
        if node_id in names:
            continue
        role, sentence = usual.get(node_id, ("", ""))
        if not role or role in taken or node_id in silent:
            role, sentence = _own_role(workflow.nodes[node_id]), ""
        names[node_id] = role = _unique(role, taken)
        sentences[role] = sentence or _sentence(workflow.nodes[node_id], node_id)
    return Roles(names, silent, sentences)


def _chosen(workflow: Workflow, info: ObjectInfo | None) -> list[str]:
    """Return the nodes whose files are collected: those that save, else those that show."""
    nodes = workflow.nodes
    savers = [id_ for id_, node in nodes.items() if "filename_prefix" in node.inputs or node.role]
    if any(nodes[id_].class_type not in _SILENT for id_ in savers):
        return savers
    used = {link.node for node in nodes.values() for _, link in node.links()}
    custom = [
        id_
        for id_, node in nodes.items()
        if id_ not in used and _SAVES_PICTURES.search(node.class_type) and any(as_link(node.inputs.get(name)) for name in _PICTURES)
    ]
    previews = [id_ for id_, node in nodes.items() if node.class_type == "PreviewImage"]
    others = [id_ for id_, node in nodes.items() if node.class_type in _PREVIEWS]
    outputs = output_nodes(workflow, info)
    ends = [id_ for id_ in nodes if id_ in outputs and id_ not in used and any(nodes[id_].links())]
    shown = [id_ for id_ in ends if _SHOWS.search(nodes[id_].class_type) or _is_output(nodes[id_], info)]
    return [*savers, *(custom or previews or others or shown)]


def _is_output(node: Node, info: ObjectInfo | None) -> bool:
    known = info.get(node.class_type) if info is not None else None
    return known is not None and known.is_output


def _usual_roles(workflow: Workflow, passes: WorkflowPasses, chosen: list[str]) -> dict[str, tuple[str, str]]:
    """Return what the place of nodes in the workflow tells: role and sentence, by node id."""
    if len(chosen) == 1:
        return {chosen[0]: ("picture", "The picture.")}
    first, second, others = (workflow.descendants(ids) for ids in (passes.first, passes.second, passes.others))
    originals = first - second - others if passes.second else set()
    return dict.fromkeys(second, ("upscaled", "The second pass.")) | dict.fromkeys(originals, ("original", "The first pass."))


def _own_role(node: Node) -> str:
    """Return a role of a node's title or file prefix; the usual ones say nothing."""
    prefix = node.inputs.get("filename_prefix")
    prefix = re.sub(r"%[^%]*%", "", prefix) if isinstance(prefix, str) else ""
    for text in (node.title, prefix.replace("\\", "/").rsplit("/", 1)[-1]):
        role = slug(text)[:40].strip("-")
        if role and not _USUAL.search(text) and text != node.class_type and not role_fault(role):
            return role
    return "picture" if any(name in node.inputs for name in _PICTURES) else "output"


def _unique(role: str, taken: dict[str, int]) -> str:
    """Return a role with a number behind it where it is taken; `taken` has the last number of each."""
    found, key = role, role.casefold()
    while found.casefold() in taken:
        taken[key] += 1
        found = f"{role}-{taken[key]}"
    taken[found.casefold()] = 1
    return found


def _sentence(node: Node, node_id: str) -> str:
    what = f"{node.class_type} ({node.title})" if node.title != node.class_type else node.class_type
    return f"The output of node {node_id}, a {what}."

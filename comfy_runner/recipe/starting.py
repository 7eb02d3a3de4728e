"""A recipe to start from: the commented one, or a copy of another one, with a checkpoint that a server has."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from comfy_runner.errors import UsageError
from comfy_runner.recipe.lint import family, is_stand_in
from comfy_runner.recipe.load import load, shipped_recipes
from comfy_runner.shipped import STARTER
from comfy_runner.text_files import read
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import means_itself

_MOST_NAMED = 12
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ ()+-]*[A-Za-z0-9)]")
# What their names say they are made for: no first pass that a second one follows.
_OF_ITS_OWN = re.compile(r"inpaint|refiner|flux|video|svd|cascade|stable[-_]?audio|hunyuan|wan2|ltx|zero123|pix2pix", re.IGNORECASE)
# Distilled to few steps and little guidance: what the cards of these models ask for.
_FAST = re.compile(r"turbo|lightning|hyper(?!real)|lcm", re.IGNORECASE)
_CHECKPOINT = re.compile(r"^checkpoint: .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Start:
    """A recipe to start from.

    Attributes:
        text: YAML.
        checkpoint: The server's checkpoint that it names; empty where it is not about any of them.
        others: How many checkpoints of the server it could name in its place.
    """

    text: str
    checkpoint: str = ""
    others: int = 0


def starting_recipe(base: str = "", *, checkpoints: Sequence[str] = ()) -> Start:
    """Return a recipe to start from.

    Args:
        base: The shipped recipe, by its name, or the recipe file that is copied; empty for the one that explains every field.
        checkpoints: The server's, as it lists them; none to leave what the recipe says. The recipe's own is kept where the server
            has it; otherwise it is the first that is made for two passes, and the commented recipe gets the size and the sampler
            that its family asks for, as far as its name tells. The others are listed in a comment.

    Raises:
        InputError: There is no such recipe, or it is wrong.
    """
    text = read(load(base).path or STARTER) if base else read(STARTER)
    found = _CHECKPOINT.search(text)
    if not checkpoints or found is None:
        return Start(text)
    kept = next((name for name in checkpoints if _value(name) == found[0].removeprefix("checkpoint: ").partition(" #")[0]), "")
    chosen = kept or next((name for name in checkpoints if not _OF_ITS_OWN.search(name)), checkpoints[0])
    others = [name for name in checkpoints if name != chosen]
    text = _CHECKPOINT.sub(lambda _: "\n".join([f"checkpoint: {_value(chosen)}", *_listed(others)]), text, count=1)
    return Start(text if base else _fitted(text, chosen), chosen, len(others))


def recipe_for(template: str) -> str:
    """Return the name of the shipped recipe that uses a shipped template.

    Raises:
        UsageError: None does.
    """
    wanted = template.replace("-", "_")
    uses = {str(load(path).recipe.template): name for name, path in reversed(shipped_recipes().items())}
    if wanted not in uses:
        raise UsageError(f"no shipped recipe uses a template of this name (got {template})", hint=did_you_mean(template, uses))
    return uses[wanted]


def _value(name: str) -> str:
    """Return a name as YAML, which may be that of a server that means no good."""
    is_plain = _PLAIN.fullmatch(name) and ": " not in name and " #" not in name and means_itself(name)
    return name if is_plain else json.dumps(name)


def _listed(others: Sequence[str]) -> list[str]:
    if not others:
        return []
    lines = [f"#   {_value(name)}" for name in others[:_MOST_NAMED]]
    if len(others) > _MOST_NAMED:
        lines.append(f"#   and {len(others) - _MOST_NAMED} more: comfy-runner models checkpoints")
    return ["# The server also has:", *lines]


def _fitted(text: str, checkpoint: str) -> str:
    """Give the commented recipe the size and sampler of a checkpoint's family."""
    known = family(checkpoint)
    if known is not None and known[1] == 512:  # the side of SD 1.5's square
        text = text.replace("size: {width: 1024, height: 576}", "size: {preset: sd15-landscape} # 768x512")
        text = text.replace("  name: dpmpp_2m_sde\n", "  name: dpmpp_2m\n").replace("  cfg: 5.0\n", "  cfg: 7.0\n")
    if is_stand_in(checkpoint):  # as the recipe quickstart: on a CPU, a picture takes seconds then, not a quarter of an hour
        text = text.replace(
            "size: {width: 1024, height: 576}", "size: {width: 256, height: 144} # small: the checkpoint is for trying"
        )
        text = text.replace("  steps: 30\n", "  steps: 10\n")
    if _FAST.search(checkpoint):
        text = text.replace("  steps: 30\n", "  steps: 8 # few, and little cfg: the checkpoint's name says that it is distilled\n")
        text = re.sub(r"  cfg: [0-9.]+\n", "  cfg: 2.0\n", text, count=1)
    return text

"""What a picture of ours says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner._version import __version__
from comfy_runner.store.about import about_job, metadata_of, without_recipe
from tests.running.support import HASH, picture, posted, rendered, sidecar_in, small
from tests.standin import StandIn

_TEMPLATE = {"name": "mine", "sha256": HASH}
_INPUT = {"param": "image", "path": "", "name": "comfy_runner/0.png", "sha256": HASH, "size_bytes": 3}


def _about(recipe: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return about_job(**{"job_id": "lake", "content_hash": HASH, "recipe": recipe, "template": _TEMPLATE, **changes})


@pytest.mark.parametrize("folder", ["/home/me/secret/", "C:\\Users\\me\\secret\\", "\\\\host\\secret\\"])
def test_no_folder_of_the_machine_is_told(folder: str) -> None:
    recipe: dict[str, Any] = {"template": folder + "mine.json.j2", "params": {"image": folder + "cat.png", "strength": 1}}

    found = _about(recipe, inputs=[{**_INPUT, "path": folder + "cat.png"}])

    assert "secret" not in json.dumps(found)
    assert found["recipe"] == {"template": "mine", "params": {"image": "cat.png", "strength": 1}}
    told = {"param": "image", "file": "cat.png", "name": "comfy_runner/0.png", "sha256": HASH, "size_bytes": 3}
    assert (found["template"], found["inputs"]) == (_TEMPLATE, [told])
    assert recipe["params"]["image"] == folder + "cat.png"


@pytest.mark.parametrize("given", [None, [], {}, {"output": None}, {"output": {}}, {"output": {"metadata": None}}])
def test_without_being_told_otherwise_pictures_say_what_comfyui_writes(given: Any) -> None:
    assert metadata_of(given) == ("comfyui",)


@pytest.mark.parametrize(
    ("given", "kinds"),
    [("none", ()), ([], ()), (["a1111"], ("a1111",)), (["a1111", "comfyui"], ("comfyui", "a1111")), (7, ()), ({"a1111": 1}, ())],
)
def test_what_a_sidecar_says_of_metadata(given: Any, kinds: tuple[str, ...]) -> None:
    assert metadata_of({"output": {"metadata": given}}) == kinds


def test_an_endless_recipe_is_left_out() -> None:
    found = _about({"prompt": "x" * (1 << 20)})

    assert found == {"version": __version__, "job_id": "lake", "content_hash": HASH} == without_recipe(_about({"prompt": "x"}))


def test_a_picture_names_the_recipe_that_makes_it_again(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "run", small(negative_prompt="fog"))

    asked = server.state.requests("POST", "/prompt")[0].body["extra_data"]["extra_pnginfo"]["comfy_runner"]
    found = sidecar_in(tmp_path / "run")
    assert asked["recipe"] == found["recipe"]
    assert asked["template"] == found["template"]
    assert json.dumps(asked).encode() in picture(tmp_path / "run")

    rendered(server, tmp_path / "again", asked["recipe"])

    again = sidecar_in(tmp_path / "again")
    assert (again["content_hash"], again["recipe"]) == (asked["content_hash"], asked["recipe"])
    assert len(posted(server)) == 2

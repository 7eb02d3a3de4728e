from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.store.environment import EnvironmentChange, changes, environment_of
from tests.running.support import sidecar

_SERVER = {"url": "http://gpu:8188", "comfyui": "0.3.75", "python": "3.12", "pytorch": "2.8.0", "devices": "cpu", "node_packs": ""}


def _environment(**values: Any) -> dict[str, str]:
    return environment_of(sidecar("a", {}, **values))


def test_an_environment_is_what_decides_about_pixels_and_not_where_it_is() -> None:
    template = {"name": "latent_upscale", "sha256": "0123456789abcdef" * 4}

    assert _environment(server=_SERVER, comfy_runner="1.2.3", template=template) == {
        "comfyui": "0.3.75",
        "pytorch": "2.8.0",
        "python": "3.12",
        "devices": "cpu",
        "node_packs": "none",
        "comfy_runner": "1.2.3",
        "template": "latent_upscale (01234567)",
    }


def test_what_differs_is_named_from_one_to_the_other() -> None:
    before, now = _environment(server=_SERVER), _environment(server=_SERVER | {"comfyui": "0.7.0", "node_packs": "Impact-Pack"})

    assert changes(before, now) == (
        EnvironmentChange("ComfyUI", "0.3.75", "0.7.0"),
        EnvironmentChange("node packs", "none", "Impact-Pack"),
    )
    assert str(changes(before, now)[0]) == "ComfyUI 0.3.75 → 0.7.0"
    assert changes(before, before) == ()


def test_what_is_unknown_differs_in_nothing() -> None:
    old = {name: text for name, text in _SERVER.items() if name != "node_packs"} | {"pytorch": "unknown"}

    assert changes(_environment(server=old), _environment(server=_SERVER)) == ()


@pytest.mark.parametrize("server", [None, [], "text", {"comfyui": 3, "devices": ["cpu"], "pytorch": None}])
def test_a_sidecar_may_say_anything(server: Any) -> None:
    assert _environment(server=server, comfy_runner=7, template=[1]) == {}


def test_words_of_others_stay_short_and_on_one_line() -> None:
    (text,) = _environment(server={"comfyui": "0.3\n\x1b[31m" + "x" * 1000}).values()

    assert text.isprintable()
    assert len(text) == 200

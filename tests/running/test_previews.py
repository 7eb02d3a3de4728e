"""Previews: asked for of servers that know how, told of as events, and of none where nobody wants them."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner import api
from comfy_runner.running.events import JobPreviewed
from comfy_runner.running.policy import Policy
from tests.running.support import small
from tests.standin import StandIn, State
from tests.standin.generations import V0_3_75, V0_38, Generation


@pytest.mark.parametrize(
    ("generation", "wanted", "asked"), [(V0_38, True, "latent2rgb"), (V0_38, False, None), (V0_3_75, True, None)]
)
def test_servers_that_know_how_are_asked_for_previews_if_they_are_wanted(
    tmp_path: Path, generation: Generation, wanted: bool, asked: str | None
) -> None:
    with StandIn(State(generation=generation)) as server:
        rendering = api.run([small()], server=server.url, out=tmp_path / "lake", policy=Policy(previews=wanted))
        previews = [event for event in rendering if isinstance(event, JobPreviewed)]

        (post,) = server.state.requests("POST", "/prompt")
        assert post.body["extra_data"].get("preview_method") == asked
    assert bool(previews) == (asked is not None)
    assert all(event.job_id == "lake" and event.image.startswith(b"\xff\xd8\xff") for event in previews)

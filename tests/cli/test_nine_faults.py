"""Nine everyday faults, the command's verdict on each: the same with a websocket and without, on old servers and new ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.support import Typed
from tests.standin import EARLY_2024, V0_3_75, V0_38, Generation, NodeFault, StandIn, State

_FAST = ("--set", "sampler.steps=2", "--set", "size={width: 64, height: 64}")
_BOTH = ["original.png", "upscaled.png"]

Run = Callable[..., Typed]


_SLOW = pytest.mark.slow  # together; the others say the same in a sixth of the time


@pytest.fixture(
    params=[
        pytest.param(EARLY_2024, id="early 2024", marks=_SLOW),
        pytest.param(V0_3_75, id="0.3.75"),
        pytest.param(V0_38, id="0.38", marks=_SLOW),
    ]
)
def server(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    generation: Generation = request.param
    with StandIn(State(generation=generation)) as standin:
        yield standin


@pytest.fixture(params=[pytest.param((), id="websocket"), pytest.param(("--no-websocket",), id="no websocket", marks=_SLOW)])
def run(request: pytest.FixtureRequest, cli: Run, server: StandIn) -> Run:
    """``comfy-runner run`` of a small quickstart, or of what is given."""

    def call(*args: str, recipe: str = "quickstart") -> Typed:
        return cli("run", recipe, "--server", server.url, *_FAST, *request.param, *args)

    return call


def _meanwhile(server: StandIn, place: str, act: Callable[[], None]) -> threading.Thread:
    """Do something to the server while a prompt stands at this node."""
    gate = server.state.hold(place)

    def watch() -> None:
        gate.wait()
        act()
        gate.open()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def _pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs").rglob("*.png"))


def _broken_template(folder: Path, cli: Run) -> Path:
    """A recipe whose upscaled half no server takes."""
    graph = json.loads(cli("render", "quickstart", *_FAST).out)
    graph["upscale"]["inputs"]["upscale_method"] = "no such method"
    (folder / "half.json.j2").write_text(json.dumps(graph), encoding="utf-8")
    recipe = folder / "half.yaml"
    recipe.write_text("template: ./half.json.j2\n", encoding="utf-8")
    return recipe


def test_both_pictures_are_collected(run: Run, tmp_path: Path) -> None:
    assert run().code == 0
    assert _pictures(tmp_path) == _BOTH


def test_previews_are_no_pictures_and_break_nothing(run: Run, server: StandIn, tmp_path: Path) -> None:
    server.state.preview_bytes = 3 * 1024 * 1024

    assert run().code == 0
    assert _pictures(tmp_path) == _BOTH


def test_a_job_that_is_wholly_in_the_servers_cache_gives_its_pictures(run: Run, tmp_path: Path) -> None:
    assert [run("--out", f"runs/{number}").code for number in range(2)] == [0, 0]
    assert _pictures(tmp_path) == sorted(_BOTH * 2)


def test_a_wrong_checkpoint_is_named_with_the_nearest_one(run: Run, server: StandIn, tmp_path: Path) -> None:
    done = run("--set", "checkpoint=tiny-randum-sd15.safetensors")

    assert done.code == 2
    assert '--set checkpoint: "tiny-randum-sd15.safetensors" is not among the 2' in done.err
    assert "did you mean tiny-random-sd15.safetensors?" in done.err
    assert server.state.requests("POST", "/prompt") == []
    assert _pictures(tmp_path) == []


def test_a_job_of_which_half_is_invalid_is_not_rendered_at_all(run: Run, cli: Run, server: StandIn, tmp_path: Path) -> None:
    done = run(recipe=str(_broken_template(tmp_path, cli)))

    assert done.code == 2
    assert '"no such method" is not among the 5' in done.err
    assert server.state.requests("POST", "/prompt") == []


def test_allow_partial_renders_the_valid_half_and_says_what_is_left_out(run: Run, cli: Run, tmp_path: Path) -> None:
    recipe = str(_broken_template(tmp_path, cli))

    done = run("--allow-partial", recipe=recipe)
    again = run("--allow-partial", recipe=recipe)

    assert (done.code, again.code) == (1, 1)
    assert _pictures(tmp_path) == ["original.png"]
    assert "left out: " in done.err
    assert "the server would refuse upscaled" in again.err


def test_memory_that_runs_out_in_the_second_pass_leaves_the_original(run: Run, server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.OUT_OF_MEMORY

    done = run()

    assert done.code == 1
    assert _pictures(tmp_path) == ["original.png"]
    assert 'node "second_pass" (Second pass, KSampler) failed' in done.err
    assert "the GPU ran out of memory" in done.err


def test_a_websocket_that_is_cut_costs_nothing(run: Run, server: StandIn, tmp_path: Path) -> None:
    cutting = _meanwhile(server, "second_pass", server.state.drop_sockets)

    done = run()

    cutting.join()
    assert done.code == 0
    assert _pictures(tmp_path) == _BOTH


def test_a_job_that_a_restarted_server_has_lost_is_posted_again(run: Run, server: StandIn, tmp_path: Path) -> None:
    restarting = _meanwhile(server, "second_pass", server.state.restart)

    done = run()
    restarting.join()

    assert done.code == 0
    assert "tried again" in done.err
    assert "no longer knows the prompt" in done.err
    assert _pictures(tmp_path) == _BOTH


def test_a_job_that_is_lost_as_often_as_it_may_be_fails_and_the_next_run_makes_it(
    run: Run, server: StandIn, tmp_path: Path
) -> None:
    restarting = _meanwhile(server, "second_pass", server.state.restart)

    done = run("--set", "retry.server_lost=0")
    restarting.join()

    assert done.code == 3
    assert "no longer knows the prompt" in done.err
    assert run().code == 0
    assert _pictures(tmp_path) == _BOTH


def test_one_503_is_got_over_and_the_job_runs_once(run: Run, server: StandIn, tmp_path: Path) -> None:
    server.state.fail_next("/prompt", 503)

    assert run().code == 0
    assert _pictures(tmp_path) == _BOTH
    assert len(server.state.memory.history) == 1


def test_a_reply_that_is_lost_is_no_second_job(run: Run, server: StandIn, tmp_path: Path) -> None:
    server.state.lose_replies()

    assert run().code == 0
    assert _pictures(tmp_path) == _BOTH
    assert len(server.state.memory.history) == 1


def test_a_job_that_takes_too_long_is_taken_back(run: Run, server: StandIn) -> None:
    gate = server.state.hold("second_pass")

    done = run("--timeout", "0.5")

    gate.open()
    assert done.code == 1
    assert "has taken longer than 0.5 s" in done.err


def test_a_job_without_progress_is_a_server_that_is_stuck(run: Run, server: StandIn) -> None:
    gate = server.state.hold("second_pass")

    done = run("--stall-timeout", "1")

    gate.open()
    assert done.code == 3
    assert "has made no progress with the prompt" in done.err


@pytest.mark.slow
def test_jobs_of_others_in_front_are_no_stall(run: Run, server: StandIn, tmp_path: Path) -> None:
    # Together they take longer than the limit, and each of them, as ours, far less, on a loaded machine too.
    server.state.step_seconds = 0.3
    foreign = server.state.add_foreign(9, steps=1)

    done = run("--stall-timeout", "2.5")

    assert done.code == 0, done.err
    assert _pictures(tmp_path) == _BOTH
    assert set(foreign) <= set(server.state.memory.history)

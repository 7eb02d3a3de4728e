"""Whole runs against the stand-in: how jobs end, what is in the run folder then, and what the next run makes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner import api
from comfy_runner.config import Config, ServerConfig
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import (
    InputError,
    JobFailed,
    JobLost,
    RunFolderError,
    ServerError,
    Unreachable,
    VerificationError,
    WorkflowError,
)
from comfy_runner.running.events import JobFinished, JobProgressed, JobResult
from comfy_runner.store.ledger import FILE
from comfy_runner.store.sidecar import FORMAT
from tests.recipe.support import written
from tests.running.support import begin, files_in, rendered, sidecar_in, small, sweep
from tests.standin import V0_3_40, NodeFault, StandIn, State, ViewFault
from tests.standin.nodes import object_info

_HALF = json.dumps(
    {
        "prompt_id": "5bd1c8a0-0000-4000-8000-000000000000",
        "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": ""},
        "node_errors": {
            "second_pass": {
                "class_type": "KSampler",
                "errors": [
                    {
                        "type": "value_not_in_list",
                        "message": "Value not in list",
                        "details": "d",
                        "extra_info": {"input_name": "scheduler"},
                    }
                ],
            }
        },
    }
)


def _states(results: Sequence[JobResult]) -> list[str]:
    return [result.state for result in results]


def _posted(server: StandIn) -> list[dict[str, Any]]:
    """Return the graphs that were posted."""
    return [asked.body["prompt"] for asked in server.state.requests("POST", "/prompt")]


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


# Done


def test_a_run_gives_both_pictures_in_their_places_and_sizes(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path)

    assert (result.state, result.error, result.was_done) == ("done", None, False)
    assert result.files == {"original": (tmp_path / "lake/original.png",), "upscaled": (tmp_path / "lake/upscaled.png",)}
    assert [_size(paths[0]) for paths in result.files.values()] == [(64, 64), (128, 128)]


def test_a_run_leaves_nothing_but_pictures_sidecar_ledger_and_lock(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    assert files_in(tmp_path) == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "lake", FILE}


def test_pictures_go_where_the_recipe_wants_them(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path, small(output={"original": "deep/{name}-{seed}.png"}))

    assert result.files["original"] == (tmp_path / "deep/lake-1.png",)
    assert result.files["upscaled"] == (tmp_path / "lake/upscaled.png",)


def test_the_sidecar_tells_all_that_is_documented(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    found = sidecar_in(tmp_path)
    assert sorted(found) == [
        "assignments",
        "attempts",
        "cached_nodes",
        "comfy_runner",
        "content_hash",
        "files",
        "filled_from",
        "finished",
        "format",
        "inputs",
        "job_id",
        "notes",
        "posted_with",
        "prompt_id",
        "reason",
        "recipe",
        "recipe_name",
        "recovered",
        "seconds",
        "server",
        "shares",
        "state",
        "template",
        "workflow",
    ]
    assert (found["format"], found["state"], found["reason"], found["job_id"]) == (FORMAT, "done", "", "lake")
    assert (found["assignments"], found["attempts"], found["posted_with"]) == ({}, [], [])
    assert (found["shares"], found["recovered"]) == ("", False)
    assert found["server"] == {
        "url": server.url,
        "comfyui": "0.3.75",
        "python": "3.12",
        "pytorch": "unknown",
        "devices": "stand-in",
        "node_packs": "",
    }
    assert found["workflow"] == _posted(server)[0]
    assert found["prompt_id"] == server.state.requests("POST", "/prompt")[0].body["prompt_id"]
    assert found["template"]["name"] == "latent_upscale"
    assert found["recipe"]["upscale"]["denoise"] == 0.55
    assert found["seconds"] >= 0
    (picture,) = found["files"]["upscaled"]
    assert (picture["path"], picture["width"], picture["height"], picture["problem"]) == ("lake/upscaled.png", 128, 128, "")
    assert picture["size_bytes"] == (tmp_path / "lake/upscaled.png").stat().st_size


def test_the_sidecar_names_the_node_packs_of_the_graph(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def from_packs(*args: Any, **options: Any) -> dict[str, Any]:
        found = object_info(*args, **options)
        found["KSampler"]["python_module"] = "custom_nodes.better-samplers"
        found["PreviewAny"]["python_module"] = "custom_nodes.not-of-this-graph"
        return found

    monkeypatch.setattr("tests.standin.routes.object_info", from_packs)

    rendered(server, tmp_path)

    assert sidecar_in(tmp_path)["server"]["node_packs"] == "better-samplers"


def test_without_the_websocket_the_run_ends_alike_and_tells_no_progress(server: StandIn, tmp_path: Path) -> None:
    with begin(server, tmp_path, websocket=False) as rendering:
        events = list(rendering)

    assert _states(rendering.results()) == ["done"]
    assert not [event for event in events if isinstance(event, JobProgressed)]
    assert server.state.requests("GET", "/ws") == []


def test_the_sidecar_names_the_prompt_id_that_an_old_server_chose(tmp_path: Path) -> None:
    with StandIn(State(generation=V0_3_40)) as old:
        rendered(old, tmp_path)

        assert sidecar_in(tmp_path)["prompt_id"] in old.state.memory.history


def test_every_job_saves_under_a_prefix_of_its_own(server: StandIn, tmp_path: Path) -> None:
    for out in ("a", "b"):
        rendered(server, tmp_path / out, small(), small(name="hill", seed=2))

    prefixes = [
        graph[node]["inputs"]["filename_prefix"] for graph in _posted(server) for node in ("save_original", "save_upscaled")
    ]
    assert len(set(prefixes)) == len(prefixes) == 8
    assert all(prefix.startswith("comfy_runner/") for prefix in prefixes)


def test_neither_header_nor_credentials_get_into_the_run_folder_or_a_result(server: StandIn, tmp_path: Path) -> None:
    address = server.url.replace("http://", "http://somebody:hunter2@")
    config = Config(servers={"studio": ServerConfig(url=address, headers={"X-Token": "s3cr3t-token"})})
    server.state.node_faults["second_pass"] = NodeFault.ERROR

    with api.run([small()], server="studio", out=tmp_path, config=config) as rendering:
        told = "".join(map(repr, rendering)) + repr(rendering.results())

    (post,) = server.state.requests("POST", "/prompt")
    assert post.headers["x-token"] == "s3cr3t-token"
    assert post.headers["authorization"].startswith("Basic ")
    secrets = ("hunter2", "s3cr3t-token", post.headers["authorization"].removeprefix("Basic "))
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 2
    for secret in secrets:
        assert not [content for content in kept if secret.encode() in content]
        assert secret not in told


# Again


def test_what_is_done_is_not_rendered_again_and_needs_no_server(server: StandIn, tmp_path: Path) -> None:
    (first,) = rendered(server, tmp_path)
    asked = len(server.state.asked)

    (again,) = rendered(server, tmp_path)

    assert (again.state, again.was_done, again.files) == ("done", True, first.files)
    assert len(server.state.asked) == asked


def test_of_two_recipes_in_one_folder_only_the_one_that_is_not_done_is_rendered(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    results = rendered(server, tmp_path, small(), small(name="hill", seed=2))

    assert [(result.job_id, result.state, result.was_done) for result in results] == [
        ("lake", "done", True),
        ("hill", "done", False),
    ]
    assert len(_posted(server)) == 2


def test_force_renders_what_is_done_and_keeps_the_old_pictures(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    old = (tmp_path / "lake/original.png").read_bytes()

    for _ in range(2):
        (again,) = rendered(server, tmp_path, force=True)
        assert (again.state, again.was_done) == ("done", False)

    shelf = tmp_path / "superseded/lake"
    assert len(list(shelf.iterdir())) == 2
    assert old in [path.read_bytes() for path in shelf.rglob("original.png")]


def test_a_changed_job_is_rendered_and_its_old_pictures_are_kept(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    old, before = sidecar_in(tmp_path), (tmp_path / "lake/upscaled.png").read_bytes()

    (result,) = rendered(server, tmp_path, small(seed=2))

    shelf = tmp_path / "superseded/lake" / old["content_hash"][:8]
    assert result.state == "done"
    assert (shelf / "lake/upscaled.png").read_bytes() == before
    assert json.loads((shelf / "job.json").read_text(encoding="utf-8")) == old
    assert sidecar_in(tmp_path)["recipe"]["seed"] == 2


def test_a_lost_picture_is_made_again_and_the_other_stays(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake/upscaled.png").unlink()

    (result,) = rendered(server, tmp_path)

    assert result.state == "done"
    assert "save_original" not in _posted(server)[1]
    assert _size(tmp_path / "lake/upscaled.png") == (128, 128)


def test_a_random_seed_stays_the_same_in_a_run_folder(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(seed="random"))

    (again,) = rendered(server, tmp_path, small(seed="random"))

    assert again.was_done
    assert _posted(server)[0]["first_pass"]["inputs"]["seed"] == sidecar_in(tmp_path)["recipe"]["seed"]


def test_each_random_seed_of_a_sweep_is_drawn_and_stays(server: StandIn, tmp_path: Path) -> None:
    few = rendered(server, tmp_path, small(seed="random", sweep={"seed": ["random"] * 2}))
    more = rendered(server, tmp_path, small(seed="random", sweep={"seed": ["random"] * 3}))

    seeds = [sidecar_in(tmp_path, result.job_id)["recipe"]["seed"] for result in more]
    assert [result.was_done for result in more] == [True, True, False]
    assert [result.job_id for result in more] == [*(result.job_id for result in few), "lake-s-random3"]
    assert len(set(seeds)) == 3
    assert [graph["first_pass"]["inputs"]["seed"] for graph in _posted(server)] == seeds
    assert [sidecar_in(tmp_path, result.job_id)["assignments"] for result in more] == [{"seed": seed} for seed in seeds]


def test_seeds_can_be_consecutive_from_one_that_is_drawn(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, small(seed=1, sweep={"seed": {"start": "random", "count": 2}}))

    first, second = (sidecar_in(tmp_path, result.job_id)["recipe"]["seed"] for result in results)
    assert second == (first + 1) % 2**53


def test_random_recipes_whose_files_are_named_by_their_seeds_do_not_clash(server: StandIn, tmp_path: Path) -> None:
    output = {"original": "{seed}-1.png", "upscaled": "{seed}-2.png"}
    recipes = [small(name=name, seed="random", output=output) for name in ("a", "b")]

    assert _states(rendered(server, tmp_path, *recipes)) == ["done", "done"]


def test_a_sidecar_is_a_recipe_that_makes_the_same_job_again(server: StandIn, tmp_path: Path) -> None:
    template = (
        '{"p": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": {{ seed % 99 }}}},'
    )
    template += '"s": {"class_type": "SaveImage", "inputs": {"images": ["p", 0], "filename_prefix": "x"}, "_meta": {"role": "p"}}}'
    recipe = written(tmp_path, "recipes/mine.yaml", "template: mine\nseed: random\n")
    written(tmp_path, "recipes/templates/mine.json.j2", template)
    rendered(server, tmp_path / "first", recipe)

    (again,) = rendered(server, tmp_path / "again", tmp_path / "first/mine/job.json")

    assert again.state == "done"
    assert sidecar_in(tmp_path / "again", "mine")["content_hash"] == sidecar_in(tmp_path / "first", "mine")["content_hash"]


# Partial and failed


def test_a_failed_second_pass_leaves_the_original(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.OUT_OF_MEMORY

    (result,) = rendered(server, tmp_path)

    assert result.state == "partial"
    assert list(result.files) == ["original"]
    assert isinstance(result.error, JobFailed)
    assert 'lake: node "second_pass" (Second pass, KSampler) failed: torch.OutOfMemoryError' in str(result.error)
    assert "upscale.factor" in result.error.problems[0].hint
    found = sidecar_in(tmp_path)
    assert found["state"] == "partial"
    assert "OutOfMemory" in found["reason"]


def test_the_next_run_makes_only_the_missing_half(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    rendered(server, tmp_path)
    original = (tmp_path / "lake/original.png").stat().st_mtime_ns
    server.state.node_faults.clear()

    (result,) = rendered(server, tmp_path)

    assert result.state == "done"
    graph = _posted(server)[1]
    assert "save_upscaled" in graph
    assert not {"save_original", "decode_original"} & set(graph)
    assert (tmp_path / "lake/original.png").stat().st_mtime_ns == original
    found = sidecar_in(tmp_path)
    assert (found["state"], found["reason"], sorted(found["files"])) == ("done", "", ["original", "upscaled"])


def test_the_missing_half_that_fails_again_leaves_the_job_partial(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    rendered(server, tmp_path)

    (again,) = rendered(server, tmp_path)

    assert (again.state, list(again.files), again.was_done) == ("partial", ["original"], False)
    assert sidecar_in(tmp_path)["state"] == "partial"


def test_a_job_that_fails_before_anything_is_saved_leaves_no_sidecar(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    (result,) = rendered(server, tmp_path)

    assert (result.state, result.files) == ("failed", {})
    assert isinstance(result.error, JobFailed)
    assert "families" in result.error.problems[0].hint
    assert not (tmp_path / "lake/job.json").exists()


def test_a_forced_job_that_fails_leaves_the_old_pictures_where_they_are(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    before = sidecar_in(tmp_path)
    server.state.node_faults["first_pass"] = NodeFault.ERROR
    server.state.memory.cache.clear()

    (result,) = rendered(server, tmp_path, force=True)

    assert result.state == "failed"
    assert sidecar_in(tmp_path) == before
    assert (tmp_path / "lake/upscaled.png").exists()


def test_one_failed_job_does_not_keep_the_others_from_being_rendered(server: StandIn, tmp_path: Path) -> None:
    server.state.fail_next("/prompt", 400, body=_HALF)

    results = rendered(server, tmp_path, small(name="bad", seed=3), small(), small(name="hill", seed=2))

    assert _states(results) == ["failed", "done", "done"]


def test_an_output_that_the_server_silently_left_out_makes_the_job_partial(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["save_upscaled"] = NodeFault.BLOCKED

    (result,) = rendered(server, tmp_path)

    assert result.state == "partial"
    assert isinstance(result.error, JobFailed)
    assert result.error.exit_code == 1
    assert "the server saved nothing for upscaled" in str(result.error)


# Refused


@pytest.mark.parametrize("status", [400, 200])
def test_what_a_server_refuses_is_told_at_the_line_of_the_recipe(server: StandIn, tmp_path: Path, status: int) -> None:
    text = "checkpoint: tiny-random-sd15.safetensors\nprompt: p\nseed: 1\nsampler:\n  scheduler: karras\n"
    recipe = written(tmp_path, "lake.yaml", text)
    server.state.fail_next("/prompt", status, body=_HALF)

    (result,) = rendered(server, tmp_path / "run", recipe)

    assert result.state == "failed"
    assert isinstance(result.error, WorkflowError)
    (problem,) = result.error.problems
    assert problem.where.endswith("lake.yaml:5: sampler.scheduler")
    assert problem.what == 'node "second_pass" (KSampler), input scheduler: Value not in list: d'


def test_what_the_check_finds_costs_no_rendering(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nope"):
        rendered(server, tmp_path, small(), small(name="b", checkpoint="nope.safetensors"))

    assert _posted(server) == []


# Servers that are gone


def test_a_server_that_does_not_answer_at_all_is_an_error_before_anything_begins(server: StandIn, tmp_path: Path) -> None:
    server.state.go_away()

    with pytest.raises(Unreachable):
        rendered(server, tmp_path)


def test_after_a_run_that_could_not_begin_the_folder_can_be_used(server: StandIn, tmp_path: Path) -> None:
    server.state.fail_next("/system_stats", 403, method="GET")
    with pytest.raises(ServerError):
        rendered(server, tmp_path)

    assert _states(rendered(server, tmp_path)) == ["done"]


def test_a_job_that_a_restarted_server_forgot_is_lost_where_it_may_not_be_tried_again_and_the_next_one_is_rendered(
    server: StandIn, tmp_path: Path
) -> None:
    gate = server.state.hold("first_pass")
    never = small(retry={"server_lost": 0})
    with begin(server, tmp_path, never, small(name="b", seed=2), in_flight=1) as rendering:
        gate.wait()
        server.state.restart()
        gate.open()
        results = rendering.results()

    assert _states(results) == ["failed", "done"]
    assert isinstance(results[0].error, JobLost)


# Downloads


def test_a_picture_that_is_one_flat_colour_is_kept_and_made_again_by_the_next_run(server: StandIn, tmp_path: Path) -> None:
    server.state.view_fault = ViewFault.FLAT

    (result,) = rendered(server, tmp_path)

    assert (result.state, sorted(result.files)) == ("partial", ["original", "upscaled"])
    assert isinstance(result.error, VerificationError)
    assert str(result.error) == "lake/original.png: is one flat colour"
    flat = (tmp_path / "lake/original.png").read_bytes()

    server.state.view_fault = None
    (again,) = rendered(server, tmp_path)

    assert (again.state, again.was_done) == ("done", False)
    assert flat in [path.read_bytes() for path in (tmp_path / "superseded").rglob("original.png")]


def test_a_picture_of_another_size_makes_the_job_partial(server: StandIn, tmp_path: Path) -> None:
    server.state.view_fault = ViewFault.OTHER_SIZE

    (result,) = rendered(server, tmp_path)

    assert result.state == "partial"
    assert "does not have the planned size, 64x64 pixels (got 24x16)" in str(result.error)


@pytest.mark.parametrize("fault", [ViewFault.TRUNCATED, ViewFault.HTML, ViewFault.GARBAGE, ViewFault.CUT])
def test_a_download_that_goes_wrong_is_tried_again(server: StandIn, tmp_path: Path, fault: ViewFault) -> None:
    server.state.view_fault, server.state.view_fault_times = fault, 2

    (result,) = rendered(server, tmp_path)

    assert (result.state, result.error) == ("done", None)
    assert len(server.state.requests("GET", "/view")) == 4


def test_a_download_that_always_breaks_off_leaves_no_part_of_it(server: StandIn, tmp_path: Path) -> None:
    server.state.view_fault = ViewFault.TRUNCATED

    (result,) = rendered(server, tmp_path, timeouts=Timeouts(outage=0.2, repost=(0.01,)))

    assert (result.state, result.files) == ("submitted", {})
    assert isinstance(result.error, ServerError)
    assert files_in(tmp_path) == []
    assert len({asked.query["filename"] for asked in server.state.requests("GET", "/view")}) == 1


def test_a_picture_that_is_not_there_to_download_leaves_the_other(server: StandIn, tmp_path: Path) -> None:
    server.state.output_names["save_upscaled"] = "gone.png"

    (result,) = rendered(server, tmp_path)

    assert (result.state, list(result.files)) == ("partial", ["original"])
    assert "answered with status 404" in str(result.error)
    # Once more may help, where somebody has tidied up.
    assert len(server.state.requests("POST", "/prompt")) == 2


@pytest.mark.parametrize(
    "name", ["../../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png", "evil\0.png", "x" * 5000 + ".png"]
)
def test_a_hostile_file_name_of_a_server_writes_nothing_anywhere(server: StandIn, tmp_path: Path, name: str) -> None:
    server.state.output_names["save_original"] = name

    (result,) = rendered(server, tmp_path / "run")

    assert (result.state, list(result.files)) == ("partial", ["upscaled"])
    assert files_in(tmp_path) == ["run/lake/job.json", "run/lake/upscaled.png"]


# The run folder


def test_a_run_whose_folder_cannot_take_a_picture_stops_and_the_rest_stays_pending(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("mine", encoding="utf-8")
    recipes = [small(output={"original": "blocked/x.png"}), small(name="b", seed=2), small(name="c", seed=3)]
    first = server.state.hold("first_pass")
    with begin(server, tmp_path, *recipes, in_flight=1) as rendering:
        first.wait()
        # Until it is known that the folder takes nothing, the next job gets no further than this.
        second = server.state.hold("POST /prompt")
        first.open()
        next(event for event in rendering if isinstance(event, JobFinished))
        second.open()
        results = rendering.results()

    assert (results[0].state, list(results[0].files)) == ("submitted", ["upscaled"])
    assert results[-1].state == "pending"
    assert isinstance(results[0].error, RunFolderError)
    assert "a file is where a folder should be" in str(results[0].error)


@pytest.mark.parametrize("lost", [False, True])
def test_a_damaged_sidecar_shows_before_anything_is_rendered_also_with_force(server: StandIn, tmp_path: Path, lost: bool) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake/job.json").write_text("{", encoding="utf-8")
    if lost:
        (tmp_path / "lake/original.png").unlink()

    with pytest.raises(RunFolderError, match="is damaged"):
        rendered(server, tmp_path, force=not lost)

    assert len(_posted(server)) == 1
    assert (tmp_path / "lake/upscaled.png").exists()


def test_a_damaged_sidecar_keeps_nobody_from_seeing_that_a_job_is_done(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake/job.json").write_text("{", encoding="utf-8")

    (again,) = rendered(server, tmp_path)

    assert (again.state, again.was_done) == ("done", True)


def test_an_error_at_the_end_names_the_job_and_its_file(server: StandIn, tmp_path: Path) -> None:
    paths = {"original": "pictures/{seed}.png", "upscaled": "pictures/{seed}u.png"}
    (tmp_path / "pictures").write_text("mine", encoding="utf-8")

    results = rendered(server, tmp_path, sweep({"seed": [2]}, output=paths))

    (error,) = (str(result.error) for result in results)
    assert error.startswith("lake-s2, ")
    assert error.endswith("pictures/2.png: a file is where a folder should be")


def test_an_error_of_the_server_names_the_job(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["save_upscaled"] = NodeFault.BLOCKED

    results = rendered(server, tmp_path, sweep({"seed": [1, 2]}))

    for result in results:
        assert str(result.error) == f"{result.job_id}, {server.url}: the server saved nothing for upscaled"

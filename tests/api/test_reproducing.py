"""Jobs of the stand-in rendered once more: what is the same, what is not, and that it is really rendered."""

from __future__ import annotations

import json
import random
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner import api
from comfy_runner.api.reproducing import Reproduced
from comfy_runner.config import Config
from comfy_runner.errors import InputError, RunFolderError, ServerStuck, UsageError, VerificationError
from comfy_runner.store.registry import open_store
from tests.running.support import files_in, posted, rendered, sidecar_in, small
from tests.standin import ReplyFault, StandIn


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def run(server: StandIn, tmp_path: Path) -> Path:
    """A run of one job."""
    rendered(server, tmp_path / "run")
    return tmp_path / "run"


def _reproduced(server: StandIn, source: Path | str, **options: Any) -> Reproduced:
    return api.reproduce(source, server=server.url, config=Config(), **options)


def _told(found: Reproduced) -> dict[str, str]:
    return {each.role: each.likeness for each in found.pictures}


def _change(run: Path, **values: Any) -> None:
    (run / "lake/job.json").write_text(json.dumps({**sidecar_in(run), **values}), encoding="utf-8")


def _paint(path: Path, most: int, box: tuple[int, int, int, int] = (0, 0, 40, 40)) -> None:
    """Change the values of some pixels by so much at most."""
    dice = random.Random(1)  # noqa: S311 - a picture
    with Image.open(path) as image:
        picture = image.convert("RGB")
    for left in range(box[0], box[2]):
        for top in range(box[1], box[3]):
            values = picture.getpixel((left, top))
            assert isinstance(values, tuple)
            picture.putpixel((left, top), tuple(min(255, max(0, value + dice.randint(-most, most))) for value in values))
    picture.save(path)


@pytest.mark.parametrize("given", ["run/lake", "run/lake/job.json"])
def test_a_job_that_is_rendered_again_gives_the_same_pixels(server: StandIn, run: Path, given: str) -> None:
    before = {name: (run / name).read_bytes() for name in files_in(run)}

    found = _reproduced(server, Path(given))

    assert _told(found) == {"original": "same", "upscaled": "same"}
    assert (found.is_alike, found.changes, found.notes) == (True, (), ())
    assert (found.folder, found.job_id) == (Path("reproduced/lake"), "lake")
    assert {name: (run / name).read_bytes() for name in files_in(run)} == before


def test_nothing_comes_from_the_cache_of_the_server_that_made_it(server: StandIn, run: Path, tmp_path: Path) -> None:
    _reproduced(server, run / "lake")

    assert server.state.frees == 1
    assert sidecar_in(tmp_path / "reproduced/lake")["cached_nodes"] == []


def test_a_server_that_frees_its_memory_too_late_is_asked_again(server: StandIn, run: Path, tmp_path: Path) -> None:
    server.state.reply_faults.append(ReplyFault("/free", "POST", 403))

    assert _reproduced(server, run / "lake").is_alike

    assert (server.state.frees, len(posted(server))) == (1, 3)
    assert sidecar_in(tmp_path / "reproduced/lake")["cached_nodes"] == []


def test_a_server_that_keeps_its_cache_proves_nothing(server: StandIn, run: Path) -> None:
    server.state.reply_faults.append(ReplyFault("/free", "POST", 403, times=-1))

    with pytest.raises(ServerStuck, match="answers from its cache even after it was asked to clear it"):
        _reproduced(server, run / "lake")


def test_every_call_renders_and_what_was_made_before_is_kept(server: StandIn, run: Path, tmp_path: Path) -> None:
    _reproduced(server, run / "lake")
    _reproduced(server, run / "lake")

    assert len(posted(server)) == 3
    assert len([*(tmp_path / "reproduced/lake/superseded").rglob("*.png")]) == 2


def test_rounding_is_perceptually_equal_with_the_figure(server: StandIn, run: Path) -> None:
    _paint(run / "lake/upscaled.png", 3)

    found = _reproduced(server, run / "lake")

    assert (_told(found), found.is_alike) == ({"original": "same", "upscaled": "similar"}, True)
    assert found.pictures[1].similarity is not None
    assert 0.95 <= found.pictures[1].similarity <= 1


def test_what_is_different_can_be_looked_at(server: StandIn, run: Path, tmp_path: Path) -> None:
    _paint(run / "lake/upscaled.png", 200)

    found = _reproduced(server, run / "lake")

    assert (_told(found), found.is_alike) == ({"original": "same", "upscaled": "different"}, False)
    assert found.pictures[1].reason.startswith("looks different, ")
    triple = [tmp_path / f"reproduced/lake/comparison_files/lake/upscaled.{kind}.png" for kind in ("expected", "actual", "diff")]
    assert found.pictures[1].difference == triple[2].relative_to(tmp_path).as_posix()
    with Image.open(run / "lake/upscaled.png") as then, Image.open(triple[0]) as expected, Image.open(triple[2]) as difference:
        assert expected.tobytes() == then.tobytes()
        assert difference.size == then.size
    shutil.copy(triple[1], run / "lake/upscaled.png")
    assert _reproduced(server, run / "lake").is_alike
    assert not any(path.exists() for path in triple)


def test_another_graph_and_another_environment_are_named(server: StandIn, run: Path) -> None:
    values = sidecar_in(run)
    values["recipe"]["seed"] = 99
    _change(run, recipe=values["recipe"], server=values["server"] | {"comfyui": "0.2.0", "pytorch": "2.8.0", "node_packs": "x"})

    found = _reproduced(server, run / "lake")

    assert _told(found) == {"original": "different", "upscaled": "different"}
    assert [str(change) for change in found.changes] == ["ComfyUI 0.2.0 → 0.3.75", "node packs x → none"]
    assert found.notes == ("its graph is no longer the same",)


def test_tiles_that_memory_called_for_are_told(server: StandIn, run: Path) -> None:
    _change(run, attempts=[{"reason": "out_of_memory", "what": "no memory", "freed": True, "vae_decode": "tiled"}, "nonsense"])

    assert _reproduced(server, run / "lake").notes == ("it ran out of memory then, and was decoded in tiles",)


def test_a_picture_in_its_job_s_folder_is_that_output_of_the_job(server: StandIn, run: Path) -> None:
    found = _reproduced(server, run / "lake/original.png")

    assert (_told(found), found.notes) == ({"original": "same"}, ())


def test_a_picture_alone_is_found_among_what_its_recipe_gives(server: StandIn, run: Path, tmp_path: Path) -> None:
    shutil.move(run / "lake/upscaled.png", tmp_path / "some.png")

    found = _reproduced(server, Path("some.png"))

    assert _told(found) == {"upscaled": "same"}
    assert (found.folder, found.notes) == (Path("reproduced/some"), ("which ComfyUI rendered it then is unknown",))


def test_a_picture_of_somebody_else_is_rendered_by_its_graph(server: StandIn, run: Path, tmp_path: Path) -> None:
    with Image.open(run / "lake/original.png") as image:
        texts = PngInfo()
        texts.add_text("prompt", image.info["prompt"])
        image.save(tmp_path / "ComfyUI_00001_.png", pnginfo=texts)

    found = _reproduced(server, Path("ComfyUI_00001_.png"))

    assert list(_told(found).values()) == ["same"]


def test_replaced_pictures_lie_with_their_sidecar_and_can_be_made_again(server: StandIn, run: Path) -> None:
    rendered(server, run, small(seed=2))
    (old,) = (run / "superseded/lake").iterdir()

    found = _reproduced(server, old)

    assert _told(found) == {"original": "same", "upscaled": "same"}


def test_it_is_not_rendered_to_where_the_pictures_are(server: StandIn, run: Path) -> None:
    before = files_in(run)

    with pytest.raises(UsageError, match="is the folder of the pictures to compare with"):
        _reproduced(server, run / "lake", out=run)

    assert files_in(run) == before
    assert len(posted(server)) == 1


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("recipe.yaml", b"name: lake", "is neither a finished job nor a picture"),
        ("nothing.png", None, "no such file"),
        ("nowhere/lake", None, "no such file"),
        (".", None, "no such file"),
        ("graph.json", b"{}", "is neither a finished job nor a picture"),
        ("photo.png", b"", "cannot be read|contains no workflow|is empty"),
    ],
)
def test_what_cannot_be_made_again_is_a_mistake(
    server: StandIn, tmp_path: Path, name: str, content: bytes | None, what: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=what):
        _reproduced(server, Path(name))

    assert server.state.frees == 0


def test_who_names_a_run_is_told_to_name_a_job(server: StandIn, run: Path) -> None:
    with pytest.raises(UsageError, match=r"run/job\.json: no such file") as caught:
        _reproduced(server, run)

    assert caught.value.problems[0].hint == "it is a run folder: name one of its jobs, such as run/lake"


@pytest.mark.parametrize("spoilt", ["missing", "broken"])
def test_a_picture_that_is_not_there_any_more_costs_no_rendering(server: StandIn, run: Path, spoilt: str) -> None:
    path = run / "lake/upscaled.png"
    content = path.read_bytes()
    path.unlink()
    if spoilt == "broken":
        path.write_bytes(content[:500])

    with pytest.raises(VerificationError, match="is gone" if spoilt == "missing" else "is not a whole picture"):
        _reproduced(server, run / "lake")

    assert (server.state.frees, len(posted(server))) == (0, 1)


def test_a_damaged_sidecar_is_one_error(server: StandIn, run: Path) -> None:
    (run / "lake/job.json").write_bytes(b"[" * 100_000)

    with pytest.raises(RunFolderError, match="is damaged"):
        _reproduced(server, run / "lake")


def test_a_recipe_that_cannot_be_used_any_more_costs_nobody_his_models(server: StandIn, run: Path) -> None:
    _change(run, recipe=sidecar_in(run)["recipe"] | {"checkpoint": "gone.safetensors"})

    with pytest.raises(InputError, match="gone"):
        _reproduced(server, run / "lake")

    assert server.state.frees == 0


def test_a_spoilt_sidecar_that_sweeps_is_no_job(server: StandIn, run: Path) -> None:
    _change(run, recipe=sidecar_in(run)["recipe"] | {"sweep": {"seed": [1, 2]}})

    with pytest.raises(UsageError, match=r"makes 2 jobs \(expected 1\)"):
        _reproduced(server, run / "lake")


def test_a_spoilt_sidecar_leads_nowhere_and_says_nothing_odd(server: StandIn, run: Path, tmp_path: Path) -> None:
    values = sidecar_in(run)
    role = "../../../out\n\x1b[31m"
    _paint(run / "lake/upscaled.png", 200)
    _change(run, server=["x"], template=3, comfy_runner=None, files={role: values["files"]["upscaled"]})

    found = _reproduced(server, run / "lake")

    assert not found.is_alike
    assert found.changes == ()
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "reproduced", "cache"}
    assert [*(tmp_path / "reproduced/lake/comparison_files").rglob("*.diff.png")]


# At a URL


@pytest.fixture
def run_url(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a run whose only job was rendered twice, of other values."""
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))
    url = f"memory://{uuid.uuid4()}/runs/lake"
    rendered(server, url, small(sampler={"steps": 3}))
    rendered(server, url)
    return url


@pytest.mark.parametrize("given", ["lake", "lake/job.json", "lake/upscaled.png", "superseded"])
def test_a_job_at_a_url_is_rendered_again_and_nothing_of_it_is_left_here(
    server: StandIn, run_url: str, tmp_path: Path, given: str
) -> None:
    if given == "superseded":
        (key,) = (key for key in open_store(run_url).list(f"{given}/") if key.endswith("/job.json"))
        given = key.removesuffix("/job.json")

    found = _reproduced(server, f"{run_url}/{given}")

    assert set(_told(found).values()) == {"same"}
    assert len(found.pictures) == (1 if given.endswith(".png") else 2)
    assert all(each.expected.startswith(f"{run_url}/") and "/lake/" in each.expected for each in found.pictures)
    assert found.changes == ()
    assert [path.name for path in tmp_path.rglob("job.json")] == ["job.json"], "of what was made now"


def test_what_is_no_job_at_a_url_is_told_with_one_that_is(server: StandIn, run_url: str) -> None:
    above = run_url.rpartition("/")[0]
    for given, told, hint in (
        (run_url, "no such job", f"name one, such as {run_url}/lake"),
        (f"{run_url}/sea", "no such job", "give the URL of a finished job"),
        (f"{above}/nowhere/job.json", "no such job", "give the URL"),
        ("memory://x", "is neither a finished job nor a picture", "give the URL"),
    ):
        with pytest.raises(UsageError, match=told) as caught:
            _reproduced(server, given)
        assert caught.value.problems[0].hint.startswith(hint)
    open_store(run_url).remove("lake/upscaled.png")
    with pytest.raises(VerificationError, match=rf"{run_url}/lake/upscaled\.png: "):
        _reproduced(server, f"{run_url}/lake")

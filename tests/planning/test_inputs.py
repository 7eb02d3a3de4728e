"""Input files that recipes name: found from where they are given, read once, checked, and named by their content."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.errors import InputError, RecipeError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.input_files import is_upload_name
from comfy_runner.planning import inputs
from comfy_runner.planning.capabilities import check_all
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.drafting import draft_all
from comfy_runner.recipe.sources import load_source
from comfy_runner.recipe.sweep.expand import expand
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

TEMPLATE = """{#
params:
  image: {type: image, description: The picture}
  sound: {type: file, default: ""}
#}
{
  "load": {"class_type": "LoadImage", "inputs": {"image": {{ params.image }}}},
  {% if params.sound %}"other": {"class_type": "LoadLatent", "inputs": {"latent": {{ params.sound }}}},{% endif %}
  "save": {"class_type": "SaveImage", "inputs": {"images": ["load", 0], "filename_prefix": "x"}, "_meta": {"role": "copy"}}
}
"""


def picture(path: Path, colour: str = "red", size: tuple[int, int] = (16, 8)) -> Path:
    """Write a picture, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def bomb(path: Path) -> None:
    """Write a small PNG file that says it has 20000x20000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b""))


def cut_short(path: Path) -> None:
    """Write the first half of a picture."""
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])


def recipe(folder: Path, params: str, *, more: str = "", name: str = "copy.yaml") -> Path:
    """Write a recipe, and the template beside it."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "templates" / "copy.json.j2").write_text(TEMPLATE, encoding="utf-8")
    (folder / name).write_text(f"name: copy\ntemplate: copy\nseed: 1\nparams: {params}\n{more}", encoding="utf-8")
    return folder / name


def drafts(source: Path | Mapping[str, Any], **options: Any) -> tuple[Draft, ...]:
    """Return the jobs of a recipe."""
    return draft_all(expand(load_source(source, **options)), templates=(), seed_of=lambda _variant: 0).drafts


def name_of(draft: Draft) -> Any:
    """Return what LoadImage loads."""
    return draft.planned().workflow.nodes["load"].inputs["image"]


def refusal(folder: Path, value: str) -> str:
    """Return how a recipe with this path is refused: place, reason and way out."""
    with pytest.raises(RecipeError) as error:
        drafts(recipe(folder, f"{{image: {value}}}"))
    (problem,) = error.value.problems
    return f"{problem} | {problem.hint}"


def test_a_path_starts_from_the_recipe_that_gives_it_and_the_graph_has_a_name_made_of_the_content(tmp_path: Path) -> None:
    picture(tmp_path / "recipes" / "pictures" / "photo.PNG")

    (draft,) = drafts(recipe(tmp_path / "recipes", "{image: ./pictures/photo.PNG}"))

    (file,) = draft.inputs
    assert name_of(draft) == file.name == f"comfy_runner/{file.sha256[:32]}.png"
    assert (file.param, Path(file.path)) == ("image", tmp_path / "recipes" / "pictures" / "photo.PNG")
    assert file.size_bytes == Path(file.path).stat().st_size


def test_a_path_of_a_recipe_that_is_extended_starts_from_there(tmp_path: Path) -> None:
    picture(tmp_path / "base" / "photo.png")
    recipe(tmp_path / "base", "{image: photo.png}", name="base.yaml")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "copy.yaml").write_text("extends: ../base/base.yaml\ntemplate: ../base/templates/copy.json.j2\n")

    (draft,) = drafts(tmp_path / "mine" / "copy.yaml")

    assert Path(draft.inputs[0].path).samefile(tmp_path / "base" / "photo.png")


def test_a_path_of_an_override_or_of_python_code_starts_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "here" / "photo.png")
    path = recipe(tmp_path / "there", "{image: gone.png}")
    monkeypatch.chdir(tmp_path / "here")
    values = {
        "name": "copy",
        "seed": 1,
        "template": str(tmp_path / "there/templates/copy.json.j2"),
        "params": {"image": "photo.png"},
    }

    for (draft,) in (drafts(path, sets=["params.image=photo.png"]), drafts(values)):
        assert Path(draft.inputs[0].path) == tmp_path / "here" / "photo.png"


def test_a_path_in_a_sweep_starts_from_the_recipe_also_where_all_parameters_are_swept_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", "blue")
    axes = ("sweep: {params.image: [a.png, b.png]}", "sweep: {params: [{image: a.png}, {image: b.png}]}")

    for axis in axes:
        found = drafts(recipe(tmp_path, "{image: a.png}" if "params.image" in axis else "{}", more=axis))
        assert [Path(draft.inputs[0].path).name for draft in found] == ["a.png", "b.png"]
        assert len({draft.content_hash for draft in found}) == 2


def test_a_default_starts_from_the_template_and_an_empty_one_is_none(tmp_path: Path) -> None:
    picture(tmp_path / "templates" / "default.png")
    path = recipe(tmp_path, "{}")
    template = tmp_path / "templates" / "copy.json.j2"
    template.write_text(TEMPLATE.replace("image, desc", "image, default: default.png, desc"), encoding="utf-8")

    (draft,) = drafts(path)

    assert [Path(file.path) for file in draft.inputs] == [tmp_path / "templates" / "default.png"]


def test_an_equal_file_elsewhere_is_the_same_job_and_a_changed_one_is_not(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "deep" / "b.png")
    hashes = [drafts(recipe(tmp_path, f"{{image: {name}}}"))[0].content_hash for name in ("a.png", "deep/b.png")]
    picture(tmp_path / "a.png", "blue")

    assert hashes[0] == hashes[1]
    assert drafts(recipe(tmp_path, "{image: a.png}"))[0].content_hash != hashes[0]


def test_a_file_is_read_once_for_a_whole_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", "blue")
    hashed = []
    digest = hashlib.file_digest

    def counted(file: Any, kind: str) -> Any:
        hashed.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)

    found = drafts(recipe(tmp_path, "{}", more="sweep: {params.image: [a.png, b.png], seed: {start: 0, count: 200}}"))

    assert (len(found), len(hashed)) == (400, 2)


def test_the_id_of_a_job_has_the_stem_of_its_file(tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "pictures/0001.jpg", "pictures/Sea Side.png", "x/a.png")):
        picture(tmp_path / name, f"#{number:06x}")
    axis = 'sweep: {params.image: [pictures/0001.jpg, "pictures/Sea Side.png", a.png]}'

    ids = [draft.job_id for draft in drafts(recipe(tmp_path, "{}", more=axis))]
    clash = [draft.job_id for draft in drafts(recipe(tmp_path, "{}", more="sweep: {params.image: [a.png, x/a.png]}"))]

    assert ids == ["copy-image-0001", "copy-image-sea-side", "copy-image-a"]
    assert len(set(clash)) == 2
    assert all(job_id.startswith("copy-image-a-") for job_id in clash)


def test_a_missing_file_is_refused_with_place_and_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert refusal(tmp_path, "gone.png") == (
        'copy.yaml:4: params.image: there is no such file (got "gone.png") | it would be gone.png'
    )
    assert refusal(tmp_path, "~/gone.png").endswith("it would be ~/gone.png; ~ is not expanded")
    assert "there is no such file" in refusal(tmp_path, "copy.yaml/photo.png")
    assert "\\t in double quotes is that character" in refusal(tmp_path, '"pics\\test.png"')


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.mkdir(), "is a directory, not a file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"GIF89a and so on"), "is not a complete picture: neither PNG, JPEG nor WebP"),
        (bomb, "is larger than 178956970 pixels: 20000x20000"),
        (cut_short, "is not a complete picture: "),
        (os.mkfifo if hasattr(os, "mkfifo") else lambda path: path.mkdir(), "is "),
    ],
    ids=["directory", "empty", "no picture", "bomb", "cut short", "pipe"],
)
def test_what_is_no_whole_picture_is_refused(tmp_path: Path, make: Any, what: str) -> None:
    make(tmp_path / "x.png")

    assert f"copy.yaml:4: params.image: {what}" in refusal(tmp_path, "x.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "x.png").chmod(0)

    assert "cannot be read (permission denied)" in refusal(tmp_path, "x.png")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(inputs.MOST_BYTES + 1)

    assert "is larger than the 1024 MiB that are uploaded: 1024 MiB" in refusal(tmp_path, "x.png")


def test_all_files_that_are_wrong_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        drafts(recipe(tmp_path, "{image: gone.png, sound: away.wav}"))

    assert [problem.where.rpartition(" ")[2] for problem in error.value.problems] == ["params.image", "params.sound"]


@pytest.mark.parametrize(
    "name", ["a b.png", "ü.png", "-rf.png", "$(id).png", "a'b.png", "x" * 200 + ".png", "..png", "pic.p!g", "pic"]
)
def test_a_strange_name_shows_in_no_graph(tmp_path: Path, name: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    (tmp_path / name).write_bytes(file.getvalue())
    quoted = name.replace("'", "''")

    (draft,) = drafts(recipe(tmp_path, f"{{image: '{quoted}'}}"))

    assert is_upload_name(name_of(draft))


def test_a_file_of_any_kind_is_taken_and_held_against_a_server_whatever_that_lists(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "x.latent").write_bytes(b"anything")
    data = object_info(MODELS)
    data["LoadLatent"] = {"input": {"required": {"latent": [["other.latent"]]}}, "output": ["LATENT"], "python_module": "nodes"}
    for name, flag in (("LoadAudio", "audio_upload"), ("LoadVideo", "video_upload"), ("LoadImageMask", "image_upload")):
        data[name] = {"input": {"required": {"image": [["b.png"], {flag: True}]}}, "output": ["IMAGE"], "python_module": "nodes"}

    for name in ("LoadImage", "LoadAudio", "LoadVideo", "LoadImageMask"):
        path = recipe(tmp_path, "{image: a.png, sound: x.latent}")
        (tmp_path / "templates" / "copy.json.j2").write_text(TEMPLATE.replace("LoadImage", name), encoding="utf-8")
        check_all(drafts(path), ObjectInfo(data, source="server"))


def test_render_and_validate_need_the_file_and_no_server(tmp_path: Path) -> None:
    path = recipe(tmp_path, "{image: a.png}")
    with pytest.raises(InputError, match="there is no such file"):
        api.validate([path], config=Config())
    picture(tmp_path / "a.png")

    assert is_upload_name(api.render(path, config=Config()).nodes["load"].inputs["image"])


# Their shape


def turned(path: Path, size: tuple[int, int], orientation: int) -> Path:
    """Write a picture that its EXIF data turn."""
    image = Image.new("RGB", size, "red")
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def img2img(path: Path, **fields: Any) -> tuple[str, list[str]]:
    """Return the size of what is made of a picture, and what is said of it."""
    recipe = {"template": "img2img_upscale", "checkpoint": "a", "prompt": "p", "seed": 1, **fields}
    recipe["params"] = {"image": str(path), **fields.get("params", {})}
    plan = draft_all(expand(load_source(recipe)), templates=(), seed_of=lambda _variant: 0)
    (found,) = plan.drafts
    assert found.planned().sizes == found.filled.sizes
    return str(found.filled.sizes["upscaled"]), [note.what for note in plan.notes]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 128), "128x256"), ((128, 64), "256x128"), ((96, 96), "192x192"), ((100, 100), "192x192"), ((32, 96), "64x192")],
)
def test_the_size_is_the_pictures_where_a_recipe_gives_none(tmp_path: Path, size: tuple[int, int], expected: str) -> None:
    assert img2img(picture(tmp_path / "a.png", size=size)) == (expected, [])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize(("orientation", "expected"), [(1, "128x96"), (3, "128x96"), (6, "96x128"), (8, "96x128")])
def test_a_picture_counts_as_its_exif_data_turn_it(tmp_path: Path, suffix: str, orientation: int, expected: str) -> None:
    assert img2img(turned(tmp_path / f"a.{suffix}", (64, 48), orientation)) == (expected, [])


@pytest.mark.parametrize(
    ("fields", "expected", "said"),
    [
        ({"upscale": {"factor": 1.5}}, "96x192", []),
        ({"size": {"width": 128, "height": 72}}, "256x144", ["64x128 is cropped to 64x36 (72 % is lost) and resized to 256x144"]),
        ({"size": {"preset": "16:9-exact"}}, "2048x1152", ["64x128 is cropped to 64x36 (72 % is lost) and resized to 2048x1152"]),
        ({"upscale": {"size": {"width": 64, "height": 64}}}, "64x64", ["64x128 is cropped to 64x64 (50 % is lost)"]),
        (
            {"size": {"width": 64, "height": 64}, "params": {"fit": "stretch"}},
            "128x128",
            ["64x128 is stretched by 100 % to 128x128"],
        ),
    ],
)
def test_what_is_cropped_or_stretched_is_said_with_numbers(
    tmp_path: Path, fields: dict[str, Any], expected: str, said: list[str]
) -> None:
    size, notes = img2img(picture(tmp_path / "a.png", size=(64, 128)), **fields)

    assert size == expected
    assert notes == [f"{what}; `upscale.factor` without `size` keeps its shape" for what in said]


@pytest.mark.parametrize("fields", [{}, {"size": {"width": 64, "height": 88}}], ids=["the picture's", "given"])
def test_what_fills_no_latent_cell_is_lost_whoever_gives_the_size(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert img2img(picture(tmp_path / "a.png", size=(67, 90)), **fields) == (
        "128x176",
        ["67x90 is cropped to 65x90 (3 % is lost) and resized to 128x176"],
    )


def test_each_picture_of_a_sweep_has_its_own_size(tmp_path: Path) -> None:
    paths = [str(picture(tmp_path / name, size=size)) for name, size in (("a.png", (64, 128)), ("b.png", (128, 64)))]
    recipe = {"template": "img2img_upscale", "checkpoint": "a", "prompt": "p"}
    found = drafts({**recipe, "sweep": {"params.image": paths, "seed": [1, 2]}})

    assert [str(draft.filled.sizes["upscaled"]) for draft in found] == ["128x256"] * 2 + ["256x128"] * 2


def test_a_picture_that_no_size_can_be_of_needs_one_from_the_recipe(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", size=(8, 64))
    with pytest.raises(RecipeError) as caught:
        img2img(path)

    (problem,) = caught.value.problems
    assert problem.where == "recipe: params.image"
    assert problem.what.startswith("8x64 cannot be the size")
    assert img2img(path, size={"width": 64, "height": 64})[0] == "128x128"


def test_a_size_of_a_template_names_a_parameter_that_is_a_picture(tmp_path: Path) -> None:
    source = recipe(tmp_path, "{image: a.png}")
    picture(tmp_path / "a.png")
    template = tmp_path / "templates" / "copy.json.j2"
    for fields in ("{size: {picture: sound}}", "{upscale.factor: {picture: image}}", "{size: {picture: 5}}"):
        template.write_text(TEMPLATE.replace("params:", f"fields: {fields}\nparams:"), encoding="utf-8")
        with pytest.raises(InputError, match="must name a parameter of type image"):
            drafts(source)

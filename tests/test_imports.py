"""The rooms of the package: imports point one way, third parties stay where they belong, only the command line prints."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import FILES, PACKAGE, nodes, tree

# The rooms by level; a room knows only those of lower levels, and itself. Those of one level do not know each other, but for the
# second level.
LEVELS = [
    {"_version", "errors"},
    {
        "atomic_files",
        "byte_sizes",
        "input_files",
        "model_settings",
        "notebook_html",
        "picture_files",
        "text_files",
        "plugins",
        "ray_options",
        "yaml_loader",
        "yaml_syntax",
        "setting_types",
        "shipped",
        "expect",
        "inbox",
        "notification",
        "retry",
        "shard",
        "wording",
    },
    {"config", "graph", "search"},
    {"recipe"},
    {"store", "scheduling", "templating"},
    {"engine", "check", "model_files"},
    {"planning"},
    {"collect", "importer"},
    # What runs jobs knows engines by their interface alone.
    {"engine.comfyui", "engine.local", "running", "report"},
    {"engine.ray_actors"},
    {"engine.registry", "baseline"},
    {"engine.server_status", "gates"},
    {"bisecting", "control"},
    {"api", "watch"},
    {"agents"},
    {"cli"},
]
_KNOW_EACH_OTHER = LEVELS[1]
_LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

# Where each third party may be imported: prefixes of paths in the package.
_PLACES = {
    "PIL": (
        *("picture_files.py", "collect/exif.py", "collect/picture_texts.py", "collect/reencode.py", "collect/verify.py"),
        *("importer/readers/pictures.py", "report/", "baseline/folder.py"),
    ),
    "anyio": ("agents/server.py",),
    "choix": ("report/eye_order.py",),
    "click": ("cli/",),
    "fsspec": ("store/filesystem.py",),
    "filelock": ("store/", "engine/local/", "model_files/cache.py"),
    "jsonata": ("graph/price_badge.py",),
    "jinja2": ("templating/", "report/page/page.py"),
    "markupsafe": ("templating/",),
    "mcp": ("agents/server.py", "agents/serving.py"),
    "numpy": ("report/metrics/", "report/calibrate.py", "report/eye_order.py"),
    "optuna": ("search/proposals.py",),
    "platformdirs": ("config.py", "engine/local/"),
    "psutil": ("engine/local/",),
    "pydantic": (
        "recipe/",
        "config.py",
        "model_settings.py",
        "setting_types.py",
        "expect.py",
        "agents/server.py",
        "ray_options.py",
        "retry.py",
        "check/expected.py",
        "report/calibrations.py",
        "report/failed_checks.py",
        "report/measure_run.py",
        "report/picks.py",
        "baseline/folder.py",
        "store/plan_record.py",
    ),
    "pydantic_core": ("recipe/", "expect.py", "setting_types.py", "store/sidecar.py"),
    "ray": ("engine/ray_actors/",),
    "requests": ("engine/comfyui/", "model_files/web.py", "notification.py"),
    "rich": ("cli/",),
    "starlette": ("watch/guard.py", "watch/page_routes.py"),
    "scipy": ("report/calibrate.py",),
    "ssimulacra2": ("report/metrics/ssimulacra.py",),
    "uvicorn": ("watch/server.py", "agents/serving.py"),
    "urllib3": ("engine/comfyui/", "model_files/web.py"),
    "websocket": ("engine/comfyui/websocket_channel.py",),
    "yaml": ("yaml_loader.py",),
    # It runs in the Python of the local ComfyUI.
    "safetensors": ("engine/local/tiny_models/",),
    "torch": ("engine/local/tiny_models/",),
}
# Run by another Python, without the package around it: its modules can only name each other.
_ALONE = "engine/local/tiny_models/"
_HEAVY = (
    *(
        "PIL",
        "choix",
        "filelock",
        "fsspec",
        "jinja2",
        "numpy",
        "optuna",
        "psutil",
        "pydantic",
        "ray",
        "requests",
        "rich",
        "scipy",
        "starlette",
        "urllib3",
        "uvicorn",
        "websocket",
    ),
    "yaml",
)


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def _imports(path: Path) -> list[str]:
    """Return the full names of all that a file imports anywhere, also inside functions and for type checking."""
    found: list[str] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and _name(path).startswith(_ALONE):
                continue
            assert node.level == 0, f"{_name(path)}: a relative import hides where it leads"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def _room(name: str) -> str:
    """Return the smallest room that a module, or something in it, belongs to."""
    parts = name.split(".")[1:]
    return next((room for room in (".".join(parts[:2]), parts[0]) if room in _LEVEL), parts[0])


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def _may_know(room: str, other: str) -> bool:
    together = room == other or {room, other} <= _KNOW_EACH_OTHER
    return together or _LEVEL[other] < _LEVEL[room]


def _room_of(path: Path) -> str:
    return "cli" if path.parent == PACKAGE and path.stem in ("__main__", "__init__") else _room(_module(path))


def test_every_room_has_a_level() -> None:
    assert {_name(path) for path in FILES if _room_of(path) not in _LEVEL} == set()


def test_imports_point_one_way() -> None:
    wrong = {
        (_name(path), other)
        for path in FILES
        for other in {_room(name) for name in _imports(path) if name.startswith("comfy_runner.")}
        if not _may_know(_room_of(path), other)
    }

    assert wrong == set()


def test_no_module_needs_itself_by_way_of_others() -> None:
    modules = {_module(path): path for path in FILES}
    needs: dict[str, set[str]] = {}
    for module, path in modules.items():
        named = {name if name in modules else name.rpartition(".")[0] for name in _imports(path)}
        needs[module] = (named & modules.keys()) - {module}

    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" needs ".join(error.args[1]))


def test_the_check_of_imports_finds_the_wrong_ones() -> None:
    pairs = [
        *[("graph", "recipe"), ("errors", "wording"), ("running", "api"), ("engine", "running"), ("config", "recipe")],
        *[
            ("running", "engine.comfyui"),
            ("running", "engine.local"),
            ("running", "engine.registry"),
            ("collect", "engine.comfyui"),
        ],
    ]

    assert [pair for pair in pairs if _may_know(*pair)] == []


def test_third_parties_are_imported_only_where_they_belong() -> None:
    wrong = {
        (_name(path), top)
        for path in FILES
        for top in {name.split(".")[0] for name in _imports(path)} - {"comfy_runner"} - sys.stdlib_module_names
        if not _name(path).startswith(_PLACES.get(top, ()))
    }

    assert wrong == set()


def test_every_place_for_a_third_party_is_used() -> None:
    used = {(top, _name(path)) for path in FILES for top in {name.split(".")[0] for name in _imports(path)}}

    unused = [
        (top, place)
        for top, places in _PLACES.items()
        for place in places
        if not any(other == top and name.startswith(place) for other, name in used)
    ]
    assert unused == []


@pytest.mark.parametrize("module", ["comfy_runner", "comfy_runner.errors", "comfy_runner.cli.main"])
def test_importing_the_package_or_the_command_loads_no_heavy_library(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert [name for name in json.loads(done.stdout) if name in _HEAVY] == []


def test_the_names_of_events_load_neither_server_nor_recipe_libraries() -> None:
    code = "import sys; from comfy_runner import JobFinished, ComfyRunnerError; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"requests", "pydantic", "jinja2", "PIL", "rich"} & set(done.stdout.split())


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@cache
def _uses(path: Path) -> set[str]:
    """Return the plain names that a file calls, and all attributes that it names."""
    called = {_dotted(node.func) for node in nodes(path) if isinstance(node, ast.Call)}
    return called | {_dotted(node) for node in nodes(path) if isinstance(node, ast.Attribute)}


# Besides the command line, the three programs that run as processes of their own.
_TALKING = ("cli/", "__main__.py", "engine/local/launcher.py", "engine/local/tiny_models/", "engine/ray_actors/guard.py")


def test_only_the_command_line_prints_or_exits() -> None:
    talks = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "sys.stdout", "sys.stderr", "SystemExit"}

    assert {_name(path) for path in FILES if not _name(path).startswith(_TALKING) and _uses(path) & talks} == set()


def test_the_environment_is_read_only_where_settings_are() -> None:
    settings = ("config.py", "cli/", "engine/local/", "engine/ray_actors/connection.py")
    readers = {"os.environ", "os.getenv", "os.environb", "environ.get", "getenv"}

    assert {_name(path) for path in FILES if not _name(path).startswith(settings) and _uses(path) & readers} == set()


def test_every_module_says_what_it_is() -> None:
    assert {_name(path) for path in FILES if not ast.get_docstring(tree(path))} == set()

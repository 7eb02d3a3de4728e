"""The MCP server: nine tools, and the manual and sidecars as resources. Everything that they say is a value; nothing is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.to_thread
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from comfy_runner import api
from comfy_runner._version import __version__
from comfy_runner.agents.detached_run import start_run
from comfy_runner.agents.results import job_results, run_status, suggestion
from comfy_runner.agents.workplace import Workplace
from comfy_runner.control.cancel import cancel as end_run
from comfy_runner.errors import ComfyRunnerError, UsageError
from comfy_runner.graph.prices import Price
from comfy_runner.recipe.field_docs import Param
from comfy_runner.recipe.layers import value_at
from comfy_runner.recipe.load import shipped_recipes
from comfy_runner.shipped import shipped
from comfy_runner.store.status import list_runs
from comfy_runner.templating.describe import describe as describe_template
from comfy_runner.text_files import read
from comfy_runner.wording import did_you_mean

_INSTRUCTIONS = """Renders recipes (YAML) on ComfyUI servers: an original picture and a latent-upscaled one for each job.
Usual order: `recipes`, `describe`, `plan`, `run` (returns at once), `status` with wait_seconds until is_live is false, `suggest` or
`results`. A sweep tries several values of a field, such as upscale.denoise=0.45:0.70:0.05. All paths are relative to the folder of
this server. The resource comfy-runner://docs lists the pages of the manual."""

_MOST_LISTED = 200
_MOST_WAITED = 600.0
_POLL_SECONDS = 0.5
_DIGITS_OF_DOLLARS = 6
_HIDDEN = (".", "runs/")

RecipeName = Annotated[str, Field(description="The name of a shipped recipe, or the path of a recipe, a workflow or a picture.")]
Overrides = Annotated[list[str], Field(description="Overrides of fields, such as upscale.denoise=0.6.")]
SweptFields = Annotated[list[str], Field(description="Axes, such as seed=1,2,3 or upscale.denoise=0.45:0.70:0.05.")]
OutFolder = Annotated[str, Field(description="The run folder; empty for runs/NAME of the recipe.")]
RunPath = Annotated[str, Field(description="The run folder, as returned by `run`.")]


@contextmanager
def _told(error: type[ToolError | ResourceError] = ToolError) -> Iterator[None]:
    """Turn errors into what a client reads: place, reason and way out; never a traceback."""
    try:
        yield
    except ComfyRunnerError as fault:
        hints = dict.fromkeys(f"hint: {problem.hint}" for problem in fault.problems if problem.hint)
        raise error("\n".join([*map(str, fault.problems), *hints])) from None
    except (ToolError, ResourceError):
        raise
    except Exception as fault:
        raise error(f"internal: {type(fault).__name__}: {fault}; this is a fault in comfy-runner, please report it") from None


@dataclass(frozen=True)
class Tools:
    """The tools, whose descriptions are what clients show to models.

    Attributes:
        workplace: Where they work.
    """

    workplace: Workplace

    @_told()
    def recipes(self) -> dict[str, Any]:
        """List the recipes that can be rendered (shipped ones by name, others by path), and the run folders that there are."""
        files = (path.relative_to(".").as_posix() for path in sorted(Path().rglob("*.y*ml")))
        return {
            "shipped": {name: read(path).partition("\n")[0].removeprefix("# ") for name, path in shipped_recipes().items()},
            "files": [path for path in files if not path.startswith(_HIDDEN)][:_MOST_LISTED],
            "runs": [str(run.folder) for run in list_runs(self.workplace.path("runs"))][:_MOST_LISTED],
        }

    @_told()
    def describe(self, recipe: RecipeName) -> dict[str, Any]:
        """Describe a recipe: its text, its jobs, and the parameters and recipe fields that its template uses.

        Each field has its type, range and default, and its value where the recipe gives another one than the default.
        """
        drafted = self.workplace.drafted(recipe, sets=(), sweeps=())
        first = drafted.plan.drafts[0]
        found = describe_template(first.template, self.workplace.config.templates)
        path = first.variant.loaded.path
        fields = [*((f"params.{each.name}", each) for each in found.params), *((each.name, each) for each in found.fields)]
        values = first.variant.loaded.recipe.model_dump(mode="json", exclude_none=True)
        return {
            "text": read(path) if path is not None and path.suffix in (".yaml", ".yml") else "",
            "jobs": [draft.job_id for draft in drafted.plan.drafts][:_MOST_LISTED],
            "template": first.template.name,
            "about": first.template.header.description or "",
            "fields": {name: _field(each, value_at(values, tuple(name.split(".")))) for name, each in fields},
        }

    @_told()
    def validate(self, recipe: RecipeName, sets: Overrides = [], sweeps: SweptFields = []) -> dict[str, Any]:  # noqa: B006 - never changed
        """Check a recipe against the servers' nodes and models, without rendering anything. What is wrong is the error's text."""
        self.workplace.drafted(recipe, sets=sets, sweeps=sweeps)
        server = self.workplace.fleet[0]
        notes = api.validate([recipe], server=server, sets=sets, sweeps=sweeps, config=self.workplace.config)
        return {"valid": True, "server": server.place, "notes": list(map(str, notes))}

    @_told()
    def plan(self, recipe: RecipeName, sets: Overrides = [], sweeps: SweptFields = [], out: OutFolder = "") -> dict[str, Any]:  # noqa: B006
        """Show what a run would do: its jobs, which of them are done already, and how long it would take. Nothing is rendered.

        Paid services cost low to high US dollars, without the nodes in unknown, whose prices are not known. The price is that of
        the jobs to render; spent is what has been spent in the run folder before.
        """
        drafted = self.workplace.drafted(recipe, sets=sets, sweeps=sweeps, out=out)
        fleet, config = self.workplace.fleet, self.workplace.config
        found = api.plan([recipe], server=fleet, out=drafted.folder, sets=sets, sweeps=sweeps, config=config)
        rows = [
            {"job": row.job_id, "state": row.state, "values": dict(row.assignments)}
            | ({"price": _price(row.price)} if row.price else {})
            for row in found.jobs
        ]
        return {
            "folder": str(drafted.folder),
            "jobs": rows[:_MOST_LISTED],
            "job_count": len(rows),
            "to_render": found.graphs,
            "seconds": None if found.time is None else found.time.seconds,
            "price": None if found.price is None else _price(found.price),
            "spent": round(found.spent, _DIGITS_OF_DOLLARS),
            "notes": list(map(str, found.notes)),
        }

    @_told()
    def run(self, recipe: RecipeName, sets: Overrides = [], sweeps: SweptFields = [], out: OutFolder = "") -> dict[str, Any]:  # noqa: B006
        """Begin to render a recipe, and return its run folder at once. It goes on by itself; ask `status` how it stands.

        The same call again goes on with a run that was interrupted: what is done is not rendered again.
        """
        drafted = self.workplace.drafted(recipe, sets=sets, sweeps=sweeps, out=out)
        self.workplace.refuse_paid(drafted.plan)
        place = self.workplace
        start_run(recipe, servers=place.servers, sets=sets, sweeps=sweeps, out=drafted.folder, max_cost=place.max_cost)
        return {"folder": str(drafted.folder), "jobs": len(drafted.plan.drafts)}

    async def status(
        self,
        context: Context,
        folder: RunPath,
        wait_seconds: Annotated[
            float,
            Field(
                ge=0, le=_MOST_WAITED, description="Wait until the run has ended, at most this long; many clients give up after 60."
            ),
        ] = 0,
    ) -> dict[str, Any]:
        """Show how a run stands: whether it goes on (is_live), its jobs by state, and what went wrong."""
        with _told():
            path = self.workplace.path(folder)
            with anyio.move_on_after(wait_seconds):
                while (found := await _look(path))["is_live"]:
                    await context.report_progress(found["ended"], found["jobs"])
                    await anyio.sleep(_POLL_SECONDS)
            return await _look(path)

    @_told()
    def results(
        self,
        folder: RunPath,
        jobs: Annotated[list[str], Field(description="Ids of jobs, or patterns such as *-s42; empty for all.")] = [],  # noqa: B006
        thumbnails: Annotated[int, Field(ge=0, le=16, description="For how many jobs to return a thumbnail.")] = 4,
    ) -> list[str | Image]:
        """Show jobs of a run, at most 50, with their values, files and measurements (JSON), and small pictures of the first.

        Detail is gained by upscaling; drift, local_drift and colour_shift tell how far a picture has left its original. A job with
        vetoes has faults that can be seen.
        """
        told, pictures = job_results(self.workplace.path(folder), jobs, thumbnails)
        return [json.dumps(told), *(Image(data=picture, format="webp") for picture in pictures)]

    @_told()
    def suggest(
        self, folder: RunPath, axis: Annotated[str, Field(description="The swept field; empty for the usual one.")] = ""
    ) -> dict[str, Any]:
        """Name the best value of a swept field: the most real detail among those that keep the composition.

        With its reason, and the numbers of all values.
        """
        path = self.workplace.path(folder)
        return suggestion(path, api.suggest(path, axis=axis or None, limits=api.kept_limits(path)))

    @_told()
    def cancel(self, folder: RunPath) -> dict[str, Any]:
        """End a run, and take its jobs back from the servers. Pictures that are finished are kept."""
        found = end_run(self.workplace.path(folder), servers=self.workplace.fleet, config=self.workplace.config)
        return {
            "ended": found.asked is not None,
            "taken_back": dict(found.ended),
            "problems": list(map(str, found.errors)),
        }


@dataclass(frozen=True)
class Resources:
    """The resources.

    Attributes:
        workplace: Where they lie.
    """

    workplace: Workplace

    @_told(ResourceError)
    def contents(self) -> str:
        """List the pages of the manual: comfy-runner://docs/TOPIC."""
        return "\n".join(f"{path.stem}: {read(path).partition(chr(10))[0].lstrip('# ')}" for path in _pages().values())

    @_told(ResourceError)
    def page(self, topic: str) -> str:
        """A page of the manual, as Markdown."""
        pages = _pages()
        if topic not in pages:
            raise UsageError(f"there is no page {topic}", hint=did_you_mean(topic, pages))
        return read(pages[topic])

    @_told(ResourceError)
    def sidecar(self, folder: str, job: str) -> str:
        """All that is recorded of a job that has ended, as JSON; FOLDER is the run folder with %2F for /."""
        return read(self.workplace.path(f"{folder}/{job}/job.json"))


async def _look(folder: Path) -> dict[str, Any]:
    return await anyio.to_thread.run_sync(partial(run_status, folder))


def _price(price: Price) -> dict[str, Any]:
    return {**asdict(price), **{name: round(getattr(price, name), _DIGITS_OF_DOLLARS) for name in ("low", "high")}}


def _field(field: Param, value: object) -> dict[str, Any]:
    bounds = {"min": field.minimum, "max": field.maximum, "choices": list(field.choices) or None}
    told = {
        "type": field.type,
        "default": field.default,
        "value": None if value == field.default else value,
        **bounds,
        "about": field.description,
    }
    return {name: value for name, value in told.items() if value is not None}


def _pages() -> dict[str, Path]:
    return {path.stem: path for path in sorted(shipped("docs").glob("*.md"))}


def mcp_server(workplace: Workplace) -> MCPServer:
    """Return the server, which is to be run.

    Args:
        workplace: Where it works.
    """
    server = MCPServer("comfy-runner", instructions=_INSTRUCTIONS, version=__version__, log_level="ERROR")
    tools, resources = Tools(workplace), Resources(workplace)
    looks = ToolAnnotations(read_only_hint=True)
    for look in (tools.recipes, tools.describe, tools.validate, tools.plan, tools.status, tools.results, tools.suggest):
        server.tool(annotations=looks)(look)
    server.tool(annotations=ToolAnnotations(destructive_hint=False, idempotent_hint=True))(tools.run)
    server.tool(annotations=ToolAnnotations(destructive_hint=True, idempotent_hint=True))(tools.cancel)
    server.resource("comfy-runner://docs", mime_type="text/plain")(resources.contents)
    server.resource("comfy-runner://docs/{topic}", mime_type="text/markdown")(resources.page)
    server.resource("comfy-runner://sidecar/{folder}/{job}", mime_type="application/json")(resources.sidecar)
    return server

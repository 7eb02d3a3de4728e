"""The Python interface: recipes in, events and results out. It joins the stages, and knows nothing of terminals.

::

    from comfy_runner import run

    with run(["quickstart"], server="local") as rendering:
        for event in rendering:
            print(event)
    print(rendering.results())
"""

from __future__ import annotations

from comfy_runner.api.planning import plan, render, validate
from comfy_runner.api.reporting import draw_sheet, measure, suggest, write_report
from comfy_runner.api.running import run
from comfy_runner.api.server_info import models, nodes, servers
from comfy_runner.engine.registry import connect, local_options
from comfy_runner.engine.server_status import Standing
from comfy_runner.graph.model_lists import Listing
from comfy_runner.planning.summary import PlanSummary
from comfy_runner.recipe.sources import RecipeSource
from comfy_runner.report.measures import Measures
from comfy_runner.report.sheet.sheet import Sheet
from comfy_runner.report.suggest import Limits, Suggestion
from comfy_runner.report.writer import Report

__all__ = [
    "Limits",
    "Listing",
    "Measures",
    "PlanSummary",
    "RecipeSource",
    "Report",
    "Sheet",
    "Standing",
    "Suggestion",
    "connect",
    "draw_sheet",
    "local_options",
    "measure",
    "models",
    "nodes",
    "plan",
    "render",
    "run",
    "servers",
    "suggest",
    "validate",
    "write_report",
]

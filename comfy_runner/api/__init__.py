"""The Python interface: recipes in, events and results out. It joins the stages, and does not print.

::

    from comfy_runner import run

    with run(["quickstart"], server="local") as rendering:
        for event in rendering:
            print(event)
    print(rendering.results())
"""

from __future__ import annotations

from comfy_runner.api.bisecting import bisect as bisect
from comfy_runner.api.calibrating import calibrate as calibrate, kept_limits as kept_limits
from comfy_runner.api.checking import check_run as check_run, unbegun_run as unbegun_run
from comfy_runner.api.search_results import FindPlan as FindPlan, SearchResult as SearchResult, SearchStep as SearchStep
from comfy_runner.api.finding import find as find, plan_find as plan_find
from comfy_runner.api.importing import convert_workflow as convert_workflow, import_workflow as import_workflow
from comfy_runner.api.importing import write_import as write_import
from comfy_runner.api.picking import copy_picks as copy_picks, import_picks as import_picks, picks as picks
from comfy_runner.api.recipes import plan as plan, render as render, run as run, validate as validate
from comfy_runner.api.reporting import measure as measure, suggest as suggest
from comfy_runner.api.reproducing import Reproduced as Reproduced, reproduce as reproduce
from comfy_runner.api.server_info import models as models, nodes as nodes, servers as servers
from comfy_runner.baseline.update import BaselineUpdate as BaselineUpdate, update_baseline as update_baseline
from comfy_runner.control.merge import MergedRun as MergedRun, merge as merge
from comfy_runner.control.reproduced import ReproducedPicture as ReproducedPicture
from comfy_runner.control.verify_job import Discrepancy as Discrepancy
from comfy_runner.control.verify_run import VerifiedRun as VerifiedRun, verify as verify
from comfy_runner.engine.registry import connect as connect, local_options as local_options
from comfy_runner.engine.server_status import Standing as Standing
from comfy_runner.graph.model_lists import Listing as Listing
from comfy_runner.planning.summary import PlanSummary as PlanSummary
from comfy_runner.report.calibrations import Calibration as Calibration, keep_calibration as keep_calibration
from comfy_runner.report.compare_runs import JoinedReport as JoinedReport, compare_runs as compare_runs
from comfy_runner.report.measures import Measures as Measures
from comfy_runner.report.page.index_page import RunIndex as RunIndex, write_index as write_index
from comfy_runner.report.picked import PickedPicture as PickedPicture, RunPicks as RunPicks
from comfy_runner.report.saved_picks import SavedPicks as SavedPicks
from comfy_runner.report.sheet.sheet import Sheet as Sheet, draw_sheet as draw_sheet
from comfy_runner.report.suggest import Limits as Limits, Suggestion as Suggestion
from comfy_runner.report.writer import Report as Report, write_report as write_report

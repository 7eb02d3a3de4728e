"""A plan as one JSON object, for ``plan --json``: versioned, documented in docs/plan.md.

A name or a meaning never changes within a version; new keys may come, so readers ignore what they do not know.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from comfy_runner.graph.decoding import DecodeMemory
from comfy_runner.planning.passes import Passes
from comfy_runner.planning.summary import PlannedRow, PlanSummary, ServerShare

VERSION = 1


def plan_record(summary: PlanSummary) -> dict[str, Any]:
    """Return a plan as a JSON object, for ``plan --json``."""
    return {
        "v": VERSION,
        "folder": None if summary.folder is None else str(summary.folder),
        "server": summary.server,
        "cache": summary.cache,
        "graphs": summary.graphs,
        "jobs": [_row(row) for row in summary.jobs],
        "duplicates": [{"jobs": list(group.job_ids), "why": group.why} for group in summary.duplicates],
        "needed": _passes(summary.needed),
        "as_given": _passes(summary.as_given),
        "unshared": _passes(summary.unshared),
        "memory": None if summary.memory is None else _memory(summary.memory),
        "time": None if summary.time is None else {**asdict(summary.time), "seconds": round(summary.time.seconds, 1)},
        "fleet": [_share(share) for share in summary.fleet],
        "splits": summary.splits,
        "notes": [{"level": note.level, "where": note.where, "what": note.what} for note in summary.notes],
    }


def _row(row: PlannedRow) -> dict[str, Any]:
    return {
        "job": row.job_id,
        "assignments": dict(row.assignments),
        "state": row.state,
        "position": row.position,
        "shares": row.shares,
        "again": row.again,
        "work": round(row.work, 2),
        "server": row.server,
        "second": [
            {
                "node": second.node_id,
                "title": second.title,
                "denoise": second.denoise,
                "steps": second.steps,
                "schedule_steps": second.schedule_steps,
                "scheduler": second.scheduler,
                "sampler": second.sampler,
                "start_sigma": None if second.start_sigma is None else round(second.start_sigma, 4),
            }
            for second in row.second
        ],
    }


def _share(share: ServerShare) -> dict[str, Any]:
    seconds = None if share.seconds is None else round(share.seconds, 1)
    return {**asdict(share), "jobs": list(share.jobs), "work": round(share.work, 2), "seconds": seconds}


def _passes(passes: Passes) -> dict[str, Any]:
    return {**asdict(passes), "weighted": round(passes.weighted, 2)}


def _memory(memory: DecodeMemory) -> dict[str, Any]:
    return {
        "width": memory.picture.width,
        "height": memory.picture.height,
        "tiled": memory.tiled,
        "bytes_needed": memory.bytes_needed,
        "vram_total": memory.vram_total,
    }

"""What goes on while jobs are on a server, told as events to whoever follows the run. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from comfy_runner.engine.reports import CachedNodes, NodeProgress, TakenInPart, Waiting
from comfy_runner.running.events import Event, JobProgressed, JobSubmitted, JobWaiting
from comfy_runner.running.state import Flight

News = Waiting | CachedNodes | NodeProgress | TakenInPart


class Telling:
    """The way from a lane's reports to events.

    Args:
        flights: The submissions that are on the server, by their keys; it changes meanwhile.
        wanted: The jobs that the caller has asked for; others are on the server, too, and not told of.
        emit: Takes events; must return at once.
    """

    def __init__(self, flights: Mapping[str, Flight], wanted: Collection[str], emit: Callable[[Event], None]) -> None:
        self._flights, self._wanted, self._emit = flights, wanted, emit

    def submitted(self, key: str) -> None:
        """Tell that the server has a submission."""
        flight = self._flights[key]
        for job_id in self._told_of(flight):
            self._emit(JobSubmitted(job_id, flight.prompt_id, flight.server))

    def news(self, report: News) -> None:
        """Note, and tell, how far a submission is."""
        flight = self._flights[report.key]
        match report:
            case Waiting(_, ahead):
                for job_id in self._told_of(flight):
                    self._emit(JobWaiting(job_id, ahead))
            case CachedNodes(_, nodes):
                flight.progress.cached(nodes)
            case NodeProgress(_, node_id, step, steps):
                flight.progress.at(node_id, step, steps)
                # A node that several jobs share is told of once.
                job_id = flight.submission.job_of(node_id)
                # Of what was given to another server, that one tells.
                if job_id in self._wanted and flight.waits_for:
                    title = flight.submission.workflow.nodes[node_id].title
                    self._emit(JobProgressed(job_id, title, step, steps, flight.progress.fraction))
            case TakenInPart(_, complaints):
                flight.complaints = complaints

    def _told_of(self, flight: Flight) -> list[str]:
        return [job_id for job_id in flight.submission.job_ids if job_id in flight.waits_for and job_id in self._wanted]

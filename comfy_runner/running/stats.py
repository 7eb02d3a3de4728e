"""What the servers of a run really had to do, counted from their own words, against what one server would have had to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from comfy_runner.engine.verdict import Outcome, Verdict
from comfy_runner.graph.cost import node_kinds
from comfy_runner.graph.workflow import Workflow
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.passes import new_results
from comfy_runner.running.events import Spent
from comfy_runner.scheduling.backlog import Costs


class Stats:
    """The loads and first passes of one run.

    Args:
        rendered: The jobs that are to be rendered, in the plan's order.
        costs: What the results of their nodes are.
    """

    def __init__(self, rendered: Sequence[Draft], costs: Costs) -> None:
        self._rendered, self._costs = rendered, costs
        self._kinds: Counter[str] = Counter()
        self._done: set[str] = set()
        self._jobs: Counter[str] = Counter()

    def ran(self, workflow: Workflow, verdict: Verdict) -> None:
        """Count what a server ran of a graph."""
        if verdict.outcome is Outcome.SUCCEEDED:
            kinds = node_kinds(workflow)
            self._kinds.update(kind for node_id, kind in kinds.items() if node_id not in verdict.cached)

    def finished(self, job_id: str, server: str) -> None:
        """Count a job that a server has done."""
        self._done.add(job_id)
        self._jobs[server] += 1

    def spent(self, splits: int) -> Spent | None:
        """Return the sums; None where nothing was rendered."""
        if not self._jobs:
            return None
        done = (draft.steps for draft in self._rendered if draft.job_id in self._done)
        fewest = Counter(self._costs.kind(step) for new in new_results(done) for step in new)
        kinds = self._kinds
        return Spent(kinds["load"], kinds["first"], fewest["load"], fewest["first"], splits, dict(self._jobs))

"""Which jobs wait for the pictures of which other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from comfy_runner.planning.draft import Draft


class Followers:
    """The jobs that get the pictures of another one, their leader.

    Args:
        shared: They, by the id of their leader.
    """

    def __init__(self, shared: Mapping[str, Sequence[Draft]]) -> None:
        self._of = {leader_id: list(drafts) for leader_id, drafts in shared.items()}
        self._leader = {draft.job_id: leader_id for leader_id, drafts in shared.items() for draft in drafts}
        self._heirs: dict[str, str] = {}

    @property
    def leaders(self) -> list[str]:
        """Return all leaders."""
        return list(self._of)

    def of(self, leader_id: str) -> Sequence[Draft]:
        """Return the jobs that wait for one leader."""
        return self._of.get(leader_id, ())

    def leader_of(self, job_id: str) -> str | None:
        """Return whom a job waits for; None where it waits for nobody."""
        return self._leader.get(job_id)

    def orphan(self, follower: Draft, leader_id: str) -> str | None:
        """Note that a leader's pictures are gone; return whom its follower waits for now: None where it is to be rendered itself.

        The first follower that finds out is rendered, and the others wait for that.
        """
        heir = self._heirs.get(leader_id)
        if heir is None:
            self._heirs[leader_id] = follower.job_id
            del self._leader[follower.job_id]
            return None
        self._leader[follower.job_id] = heir
        self._of.setdefault(heir, []).append(follower)
        return heir

"""A prompt that one server has, or may have, of us: what is known of it until its end. Decides nothing; see `tracker`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from comfy_runner.engine.comfyui.history import QueuePosition
from comfy_runner.engine.comfyui.submit import PromptRequest
from comfy_runner.engine.comfyui.ws_messages import StreamedPictures
from comfy_runner.engine.reports import Complaint


@dataclass(slots=True)
class FollowedPrompt:
    """A prompt that is followed.

    Attributes:
        key: The submission.
        prompt_id: What the server calls it.
        client_id: Under which it was posted; empty where that is not known.
        refusal: Set where the server took only a part, which is to go.
        streamed: What of its pictures came over the websocket.
        since: When it was posted or looked for, on the clock.
        moved_at: When it last showed progress.
        look_at: When to look at it next.
        sought: Set while it is not known whether the server has it at all.
        place: Where it was last seen in the queue.
        missing: How often in a row it was neither in the queue nor in the history.
        cancelled_at: When it was to be taken back; None where it is not.
        interrupted_at: When it was last interrupted.
        late_from: Since when the history has it, while pictures are still on their way.
    """

    key: str
    prompt_id: str
    client_id: str
    refusal: tuple[Complaint, ...]
    streamed: StreamedPictures
    since: float
    moved_at: float
    look_at: float
    sought: PromptRequest | None = None
    place: QueuePosition | None = None
    missing: int = 0
    cancelled_at: float | None = None
    interrupted_at: float = float("-inf")
    late_from: float | None = None

    @classmethod
    def of(cls, job: PromptRequest, prompt_id: str, client_id: str, refusal: tuple[Complaint, ...], *, now: float) -> Self:
        """Return a prompt that is followed from now on, and to be looked at at once.

        Args:
            job: What was posted.
            prompt_id: What the server calls it.
            client_id: Under which it was posted; empty where that is not known.
            refusal: Why it is to go, where the server took only a part.
            now: The moment, on the clock.
        """
        pictures = StreamedPictures(job.streamed)
        return cls(job.key, prompt_id, client_id, refusal, pictures, since=now, moved_at=now, look_at=now)

    @property
    def is_undisturbed(self) -> bool:
        """Return whether nothing is to be done but to wait for its end: the server has it, all of it, and it is to stay there."""
        return self.sought is None and self.cancelled_at is None and not self.missing and self.late_from is None

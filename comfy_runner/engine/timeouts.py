"""How long things may take on one server, all in one place; the defaults suit a server across a slow network."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_runner.errors import BrokenDownload, ServerError, ServerRefused

STALL_SECONDS = 3600.0
"""For how long a running job may show no progress, unless a user says otherwise."""


_OWN_FAULT = 500
_LONGEST_RETRY_AFTER = 30.0


def wait_asked_for(error: ServerError) -> float:
    """Return the seconds for which a server wants to be left alone, 30 at most; 0 where it does not say."""
    return min(error.retry_after, _LONGEST_RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """Seconds that one question to a server may take.

    Attributes:
        connect: Until there is a connection.
        read: Until the next bytes of an answer.
        answer: Until the whole answer.
        download: Until a whole file.
    """

    connect: float = 5.0
    read: float = 30.0
    answer: float = 300.0
    download: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds of waiting.

    Attributes:
        first_socket: For the first websocket before the first job is posted without one.
        connect: For a websocket's connection and handshake.
        silence: Without any frame before the server is pinged; after as much again the socket is given up.
        reconnect: At most, between two attempts to connect.
        outage: While the server answers nobody, or only with errors, before its jobs are given up.
        idle: With prompts pending and none running, before its worker counts as dead.
        queue: Between two looks at ``/queue``, whose answer holds whole graphs.
        queue_with_socket: Likewise, while a websocket tells of the end of each job, so that nothing else is looked at.
        repost: Before each further attempt to post a job that was not taken; the last one is repeated during an outage.
        poll_shortest: At least, between two looks at a job's history.
        poll_longest: At most, likewise.
        poll_fraction: Of a job's age, within those bounds: short jobs lose nothing, long ones cost nothing.
        poll_with_socket: At least, while a websocket tells when to look.
        steps: Between two steps of a node of which a websocket tells; those that come sooner are left out.
        late_pictures: For pictures that come over the websocket alone, once the history says that they were sent.
    """

    first_socket: float = 3.0
    connect: float = 5.0
    silence: float = 30.0
    reconnect: float = 15.0
    outage: float = 60.0
    idle: float = 10.0
    queue: float = 1.0
    queue_with_socket: float = 5.0
    repost: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    poll_shortest: float = 0.01
    poll_longest: float = 1.0
    poll_fraction: float = 0.1
    poll_with_socket: float = 0.2
    steps: float = 0.0
    late_pictures: float = 10.0

    def pause_before_retry(self, error: ServerError, *, failures: int, failing_for: float) -> float | None:
        """Return the seconds to wait before a question is asked again that was not answered; None to give it up.

        What may pass is asked for as long as `outage`. A status of 500 is ComfyUI's own and seldom passes, so that a few attempts
        are enough, as for a file that comes broken. What the server says in ``Retry-After`` is kept to, up to 30 seconds.

        Args:
            error: What was answered last.
            failures: How many answers of this kind there were.
            failing_for: Seconds since the first of them.
        """
        status = error.status if isinstance(error, ServerRefused) else 0
        few = (status == _OWN_FAULT or isinstance(error, BrokenDownload)) and failures > len(self.repost)
        if not error.is_transient or few or failing_for > self.outage:
            return None
        pause = self.repost[min(failures, len(self.repost)) - 1] if self.repost else 0.0
        return max(pause, wait_asked_for(error))

    def until_next_look(self, age: float, *, told: bool) -> float:
        """Return the pause before the next look at a job.

        Args:
            age: Seconds since it was submitted.
            told: Whether a websocket is expected to tell of its end.
        """
        pause = min(self.poll_longest, max(self.poll_shortest, age * self.poll_fraction))
        return max(pause, self.poll_with_socket) if told else pause

"""All time limits for one server; the defaults suit a server across a slow network."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_runner.errors import BrokenDownload, ServerError, ServerRefused

STALL_SECONDS = 3600.0
"""Seconds for which a running job may show no progress, unless the user sets another limit."""


_OWN_FAULT = 500
_LONGEST_RETRY_AFTER = 30.0


def wait_asked_for(error: ServerError) -> float:
    """Return how many seconds a server asks clients to wait, at most 30; 0 if it does not say."""
    return min(error.retry_after, _LONGEST_RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """Time limits of one request to a server, in seconds.

    Attributes:
        connect: Until there is a connection.
        read: Until the next bytes of an answer arrive.
        answer: Until the whole answer has arrived.
        download: Until a whole file has arrived.
    """

    connect: float = 5.0
    read: float = 30.0
    answer: float = 300.0
    download: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits and intervals of one server, in seconds unless stated otherwise.

    Attributes:
        first_socket: How long to wait for the first websocket before the first job is posted without one.
        connect: Limit of a websocket's connection and handshake.
        silence: Time without a frame after which the server is pinged; after the same time again, the websocket is closed.
        reconnect: Longest pause between two attempts to connect.
        outage: How long the server may not answer, or answer only with errors, before its jobs are given up.
        idle: How long prompts may be pending while none is running, before the server's worker counts as dead.
        queue: Interval between requests to ``/queue``, whose answer contains whole graphs.
        queue_with_socket: The same interval while a websocket reports the end of each job, which makes other requests unnecessary.
        repost: Pauses before each further attempt to post a job; the last one is repeated during an outage.
        poll_shortest: Shortest interval between requests for a job's history.
        poll_longest: Longest interval between requests for a job's history.
        poll_fraction: This interval as a fraction of the job's age, within these limits: short jobs are noticed at once, and long
            ones cause few requests.
        poll_with_socket: Shortest interval while a websocket reports when a job has ended.
        steps: Shortest interval between two reported steps of a node; steps that come sooner are left out.
        late_pictures: How long to wait for pictures that are sent only over the websocket, once the history says they were sent.
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
        """Return the seconds to wait before a failed request is repeated; None to give up.

        Requests are repeated for `outage` seconds after transient errors. Status 500 comes from ComfyUI itself and seldom passes,
        so it is repeated only a few times, like the download of a file that arrives damaged. ``Retry-After`` is respected up to 30
        seconds.

        Args:
            error: The last error.
            failures: The number of failures so far.
            failing_for: Seconds since the first failure.
        """
        status = error.status if isinstance(error, ServerRefused) else 0
        few = (status == _OWN_FAULT or isinstance(error, BrokenDownload)) and failures > len(self.repost)
        if not error.is_transient or few or failing_for > self.outage:
            return None
        pause = self.repost[min(failures, len(self.repost)) - 1] if self.repost else 0.0
        return max(pause, wait_asked_for(error))

    def until_next_look(self, age: float, *, told: bool) -> float:
        """Return the seconds until the next request for a job's history.

        Args:
            age: Seconds since the job was submitted.
            told: Whether a websocket is expected to report the end of the job.
        """
        pause = min(self.poll_longest, max(self.poll_shortest, age * self.poll_fraction))
        return max(pause, self.poll_with_socket) if told else pause

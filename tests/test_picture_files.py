"""What is said while pictures are read, on several threads."""

from __future__ import annotations

import threading
import warnings

from comfy_runner.picture_files import without_warnings
from tests.standin import HELD


def test_several_threads_read_at_once_without_warnings_which_are_heard_again_when_the_last_has_ended() -> None:
    inside, may_end = threading.Event(), threading.Event()

    def read() -> None:
        with without_warnings():
            inside.set()
            may_end.wait(HELD)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with without_warnings():
            reader = threading.Thread(target=read)
            reader.start()
            assert inside.wait(HELD), "one thread waits for the other"
        warnings.warn("while the other one reads", stacklevel=1)
        may_end.set()
        reader.join(HELD)
        warnings.warn("afterwards", stacklevel=1)
    assert [str(each.message) for each in heard] == ["afterwards"]

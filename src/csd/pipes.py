"""Output whose reader may go away: `train.py | head -1` continues training, without printing."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


def lead_nowhere(*outputs: int) -> None:
    """Let these file descriptors write to nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for output in outputs:
        os.dup2(nowhere, output)
    os.close(nowhere)


class _Output:
    """A text stream that leads to nowhere from the first write on that nobody reads."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            lead_nowhere(self._stream.fileno())
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            lead_nowhere(self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def readers_may_leave() -> Iterator[None]:
    """In here a closed pipe behind standard output or error ends nothing."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output(sys.stdout), _Output(sys.stderr)  # type: ignore[assignment]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.stdout.flush()
        sys.stdout, sys.stderr = before

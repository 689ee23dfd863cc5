"""Signals: the first finishes the step and saves, the second exits at once."""

import os
import signal

from csd.errors import CSDError


class Interrupted(CSDError):
    """The run was asked to stop; its state is saved."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = 128 + signum


class StopRequest:
    """Remembers SIGINT or SIGTERM: `signum` is 0 until one comes.

    A second signal ends the process without another word: checkpoints are renamed into place, so
    the previous one is whole.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, _frame: object) -> None:
        if self.signum:
            os._exit(128 + signum)
        self.signum = signum
        os.write(2, b"\nfinishing the step and saving; once more to exit at once\n")

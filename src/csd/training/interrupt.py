"""Signals: the first finishes the step and saves, the second exits at once."""

import os
import signal
import threading
import time

from csd.errors import CSDError
from csd.runtime import Runtime

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_VOTE_SECONDS = 1.0  # between two votes of the ranks, and the steps that may lie between
_VOTE_STEPS = 100


class Interrupted(CSDError):
    """The run was asked to stop; its state is saved."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = 128 + signum


class StopRequest:
    """Remembers SIGINT or SIGTERM: `signum` is 0 until one comes.

    A second signal ends the process without another word: checkpoints are renamed into place, so
    the previous one is whole. Python runs a signal's handler between two instructions of the main
    thread only, and a compilation or a step is one instruction: so a thread of its own reads the
    signals from the pipe that the interpreter writes them to as they come. Only the main thread
    may have handlers: anywhere else this watches nothing.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._before: dict[int, object] = {}
        self._watching = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "StopRequest":
        if not self._watching:
            return self
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._pipe_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for signum in _SIGNALS:
            self._before[signum] = signal.signal(signum, self._note)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._watching:
            return
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._pipe_before)
        os.close(self._write)  # ends the thread
        self._thread.join()
        os.close(self._read)

    def _note(self, signum: int, _frame: object) -> None:
        self.signum = self.signum or signum  # the thread has said it already, or is about to

    def _watch(self) -> None:
        received = 0
        while data := os.read(self._read, 16):
            for signum in data:
                if signum not in _SIGNALS:
                    continue
                received += 1
                if received > 1:
                    os._exit(128 + signum)
                self.signum = signum
                os.write(2, b"\nfinishing the step and saving; once more to exit at once\n")


class StopVote:
    """When to stop, the same step on all ranks: about once a second they ask each other.

    A rank that stopped alone would leave the others waiting for its gradients.
    """

    def __init__(self, device: Runtime, step: int):
        self.device = device
        self.at, self.next, self.since = step, step + 1, time.monotonic()

    def signum(self, step: int, stop: StopRequest) -> int:
        """The signal to stop for after `step`, or 0; every rank must call it after every step."""
        if self.device.ranks == 1:
            return stop.signum
        if step < self.next:
            return 0
        seconds = (time.monotonic() - self.since) / max(1, step - self.at)
        signum, slowest = self.device.max_over_ranks(float(stop.signum), seconds)
        steps = int(_VOTE_SECONDS / max(slowest, 1e-3))
        self.at, self.next = step, step + min(max(steps, 1), _VOTE_STEPS)
        self.since = time.monotonic()
        return int(signum)

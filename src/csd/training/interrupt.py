"""Signals: the first finishes the step and saves, the second exits at once."""

import os
import signal
import threading
import time
from collections.abc import Callable

from csd.errors import CSDError
from csd.runtime import Runtime

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_VOTE_SECONDS = 1.0  # between two votes of the ranks, and the steps that may lie between
_VOTE_STEPS = 100
_LOOK_SECONDS = 0.1  # between two looks for a Ctrl-C


class Interrupted(CSDError):
    """The run was asked to stop; its state is saved."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = 128 + signum


class StopRequest:
    """Remembers SIGINT or SIGTERM: `signum` is 0 until one comes.

    Until `arm` is called a signal ends the process at once: nothing is trained yet. After that the
    first one is remembered, and a second one ends the process without another word: checkpoints
    are renamed into place, so the previous one is whole.

    Python runs a signal's handler between two instructions of the main thread only, and a
    compilation or a step is one instruction: so threads of our own read the signals as they come.
    SIGINT must be blocked before any library starts its threads (`runtime.hold_interrupts`):
    during a step MindSpore puts a handler in its place that turns it into a SIGTERM, which stops
    a run as well, but with the other's exit code. Only the main thread may have handlers: anywhere
    else this watches nothing.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._armed = self._closed = False
        self._threads: list[threading.Thread] = []
        self._before: dict[int, object] = {}
        self._main = threading.current_thread() is threading.main_thread()
        self._held = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def __enter__(self) -> "StopRequest":
        if self._main and self._held:
            self._start(self._watch_keyboard)
        return self

    def arm(self) -> None:
        """From now on the first signal is a request."""
        self._armed = True
        if not self._main:
            return
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._pipe_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {signum: signal.signal(signum, self._note) for signum in _SIGNALS}
        self._start(self._watch_pipe)

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if self._before:
            signal.set_wakeup_fd(self._pipe_before)
            os.close(self._write)  # ends the thread
        for thread in self._threads:
            thread.join()
        if self._before:
            os.close(self._read)

    def _start(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def _note(self, signum: int, _frame: object) -> None:
        self.signum = self.signum or signum  # the thread has said it already, or is about to

    def _watch_pipe(self) -> None:
        received = 0
        while data := os.read(self._read, 16):
            for signum in data:
                if signum in _SIGNALS:
                    received += 1
                    self._receive(signum, received > 1)

    def _watch_keyboard(self) -> None:
        # Not a wait with a time limit: one that a stop (Ctrl-Z, `fg`) carries past its limit
        # returns the signal of an earlier call, as if it had come again.
        while not self._closed:
            if signal.sigtimedwait((signal.SIGINT,), 0) is None:
                time.sleep(_LOOK_SECONDS)
            else:
                self._receive(signal.SIGINT, self.signum > 0)

    def _receive(self, signum: int, again: bool) -> None:
        if again or not self._armed:
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

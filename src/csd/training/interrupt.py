"""Signals: the first finishes the step and saves, the second exits at once."""

import contextlib
import os
import signal
import threading
import time
from typing import Any

from csd import interrupt
from csd.errors import CSDError
from csd.pipes import lead_nowhere
from csd.runtime import Runtime

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_VOTE_SECONDS = 1.0  # between two votes of the ranks, and the steps that may lie between
_VOTE_STEPS = 100


class Interrupted(CSDError):
    """The run was asked to stop; its state is saved."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = 128 + signum


class StopRequest:
    """Remembers SIGINT, SIGTERM or SIGHUP: `signum` is 0 until one comes.

    Until `arm` is called a signal ends the process at once: nothing is trained yet. After that the
    first one is remembered, and a second SIGINT or SIGTERM ends the process: checkpoints are
    renamed into place, so the previous one is whole. SIGHUP asks once: a terminal that closes may
    send several. Where it is ignored (`nohup`) it stays ignored.

    Python runs a signal's handler between two instructions of the main thread only, and a
    compilation or a step is one instruction: so threads of our own read the signals as they come.
    SIGINT is to be held (`csd.interrupt`), or during a step it counts as a SIGTERM, which stops a
    run as well, but with the other's exit code. Only the main thread may have handlers: anywhere
    else this watches nothing.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._armed = self._asked = False
        self._terminals: list[int] = []
        self._before: dict[int, Any] = {}
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "StopRequest":
        if self._main:
            self._keyboard = interrupt.on_interrupt(lambda: self._receive(signal.SIGINT))
        return self

    def arm(self) -> None:
        """From now on the first signal is a request."""
        self._armed = True
        if not self._main:
            return
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._terminals = [output for output in (1, 2) if os.isatty(output)]
        self._pipe_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for signum in _SIGNALS:
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._note)
        self._thread = threading.Thread(target=self._watch_pipe, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._main:
            interrupt.on_interrupt(self._keyboard)
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if self._before:
            signal.set_wakeup_fd(self._pipe_before)
            os.close(self._write)  # ends the thread
            self._thread.join()
            os.close(self._read)

    def _note(self, signum: int, _frame: object) -> None:
        self.signum = self.signum or signum  # the thread prints it

    def _watch_pipe(self) -> None:
        while data := os.read(self._read, 16):
            for signum in data:
                if signum in self._before:
                    self._receive(signum)

    def _receive(self, signum: int) -> None:
        if signum == signal.SIGHUP:
            lead_nowhere(*self._terminals)  # writing to a closed one fails, and ends the run
            self.signum = self.signum or signum
            return
        if self._asked or not self._armed:
            interrupt.end(signum)
        self._asked = True
        self.signum = self.signum or signum
        with contextlib.suppress(OSError):
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

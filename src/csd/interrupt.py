"""Ctrl-C: one word and exit code 130, whatever the program is doing.

Python runs a signal's handler between two instructions of the main thread, and an import, a
compilation or a step is one. A KeyboardInterrupt that MindSpore meets in one of its callbacks
aborts the process, and during a step a handler of MindSpore's own turns SIGINT into SIGTERM. So
SIGINT is blocked in every thread, and a thread of ours takes it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from csd.files import remove_unfinished

_WORDS: dict[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hung up",
}


def end(signum: int = signal.SIGINT) -> NoReturn:
    """End the process at once with 128 + `signum`: say so, remove the files that are half written.

    From any thread, whatever the others do; what is finished stays.
    """
    # In a thread of its own: the reader of our output may have stopped reading.
    last = threading.Thread(target=_tidy, args=(signum,), daemon=True)
    last.start()
    last.join(1.0)
    os._exit(128 + signum)


def _tidy(signum: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"\n{_WORDS[signum]}\n".encode())
    with contextlib.suppress(OSError):
        remove_unfinished()
    os._exit(128 + signum)  # before another thread makes such a file again


_take: Callable[[], None] = end


def hold_interrupts() -> None:
    """From now on SIGINT is what `on_interrupt` was given, by default `end`.

    To be called by a program before any library starts its threads. Also where SIGINT is ignored,
    as in a shell's background job: MindSpore would lose it there, or turn it into SIGTERM.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    threading.Thread(target=_watch, daemon=True).start()


def release_interrupts() -> None:
    """Give SIGINT back to the main thread, which calls this, and to the handlers of `signal`."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))  # it comes before waiting threads


def on_interrupt(take: Callable[[], None]) -> Callable[[], None]:
    """What to do at a SIGINT, in a thread of its own; returns what was done until now."""
    global _take
    before, _take = _take, take
    return before


def _watch() -> None:
    # No time limit: a wait that Ctrl-Z and `fg` carry past its limit returns an earlier signal.
    while True:
        signal.sigwait((signal.SIGINT,))
        _take()

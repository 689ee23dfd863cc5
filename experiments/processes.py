"""Programs in processes of their own: several at a time, each in its share of the processors.

A process of its own gives a run exact seeds, its own memory, and a failure that is only its own.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from csd.errors import CSDError, WorkError

_POLL = 0.1
_PATIENCE = 120.0  # seconds that a stopped run gets for its step and its checkpoint
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Stopped(CSDError):
    """The experiment was asked to stop; what its runs have trained is saved."""

    def __init__(self, signum: int):
        super().__init__("stopped; the same command resumes from here")
        self.exit_code = 128 + signum


@dataclass(frozen=True)
class Job:
    """Commands to run one after another, their output appended to `log`."""

    name: str
    commands: Sequence[Sequence[str]]
    log: Path


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped; also where a background job inherited SIGINT as ignored."""

    def stop(signum: int, _frame: object) -> None:
        raise Stopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def shares(at_once: int) -> list[list[int]]:
    """The processors that this process may use, in `at_once` equal parts; at least one in each.

    With more parts than processors there are only as many parts as processors.
    """
    mine = sorted(os.sched_getaffinity(0))
    size = len(mine) // min(at_once, len(mine))
    return [mine[i * size : (i + 1) * size] for i in range(min(at_once, len(mine)))]


def run_jobs(
    jobs: Iterable[Job],
    parts: Sequence[Sequence[int]],
    after: Callable[[Job, int, float], None],
    held: Sequence[int] = (),
) -> None:
    """Run all jobs, one at a time in each of `parts`, the processors that it may use.

    Bound to them a run takes the same time whatever its neighbour does, and its time can be
    compared with that of the others.

    The processes keep the file descriptors `held` open, such as that of a lock.
    `after(job, exit code, seconds)` is called as each ends, with the code of the first command
    that failed, or 0. When anything is raised, Stopped above all, the running ones are asked to
    save and end, and are waited for.
    """
    waiting, running, free = deque(jobs), [], list(parts)
    try:
        while waiting or running:
            while waiting and free:
                running.append(_Running(waiting.popleft(), free.pop(0), held))
            time.sleep(_POLL)
            for job in [job for job in running if job.ended()]:
                running.remove(job)
                free.append(job.part)
                after(job.job, job.code, time.monotonic() - job.since)
    finally:
        _stop(running)


def last_error(log: Path) -> str:
    """The sentence that a program ended with, or its last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    lines = [line for line in lines if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")


class _Running:
    """A job under way."""

    def __init__(self, job: Job, part: Sequence[int], held: Sequence[int]):
        self.job, self.part, self.held = job, part, held
        self.since = time.monotonic()
        self.commands = deque(job.commands)
        self.code = 0
        self._next()

    def _next(self) -> None:
        threads = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(len(self.part))
        )
        try:
            self.job.log.parent.mkdir(parents=True, exist_ok=True)
            with self.job.log.open("ab") as log:
                self.process = subprocess.Popen(
                    list(self.commands.popleft()),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **threads},
                    start_new_session=True,  # Ctrl-C is ours alone: we signal them, once
                    preexec_fn=self._settle,
                    pass_fds=self.held,
                )
        except OSError as error:
            raise WorkError(f"{self.job.name} cannot be started: {error}") from None

    def _settle(self) -> None:
        """In the child: its processors, and SIGTERM when the experiment is gone in any way."""
        os.sched_setaffinity(0, self.part)
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    def ended(self) -> bool:
        code = self.process.poll()
        if code is None:
            return False
        self.code = code if code >= 0 else 128 - code
        if self.code or not self.commands:
            return True
        self._next()
        return False


def _stop(running: Sequence[_Running]) -> None:
    """End what runs: a request first, which train.py takes to save; force where that lasts."""
    for job in running:
        with contextlib.suppress(ProcessLookupError):
            job.process.terminate()
    end = time.monotonic() + _PATIENCE
    for job in running:
        try:
            job.process.wait(max(0.0, end - time.monotonic()))
        except (subprocess.TimeoutExpired, Stopped):  # asked twice: at once
            end = 0.0
            job.process.kill()
            job.process.wait()

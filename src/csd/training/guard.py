"""No process of a job outlives its launcher, however that dies."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil

from csd.pipes import lead_nowhere

_PATIENCE = 30.0  # seconds that the ranks have to save


def job_processes(mark: str) -> list[psutil.Process]:
    """The processes with `CSD_JOB=<mark>` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CSD_JOB") == mark:
                found.append(process)
        except (psutil.Error, OSError):  # it has ended, or is not ours to look at
            continue
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or dead and not waited for."""
    try:
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return True


def end_processes(mark: str) -> None:
    """SIGKILL to every process of the job."""
    for process in job_processes(mark):
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def guarded(mark: str) -> Iterator[None]:
    """In here a process in a session of its own watches this one.

    Once this one has ended, ranks that are left are asked to save, then ended.
    """
    read, write = os.pipe()  # not inherited by other programs: it closes when this process ends
    if os.fork() == 0:
        try:
            os.close(write)
            _guard(read, mark)
        finally:
            os._exit(0)
    os.close(read)
    try:
        yield
    finally:
        os.close(write)


def _guard(read: int, mark: str) -> None:
    os.setsid()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    lead_nowhere(0, 1, 2)
    while os.read(read, 64):
        pass
    workers = []
    for process in job_processes(mark):
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("MS_ROLE") == "MS_WORKER":
                process.send_signal(signal.SIGTERM)
                workers.append(process)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not all(map(has_ended, workers)):
        time.sleep(0.5)
    end_processes(mark)

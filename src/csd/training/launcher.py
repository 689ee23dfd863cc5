"""Several processes through msrun, MindSpore's own launcher, from their start to one exit code.

msrun ends the other ranks as soon as one fails, but waits another minute for its scheduler; it does
not watch the scheduler, without which the ranks stand still; and of other hosts it knows nothing.
All that is watched from here. MindSpore is not loaded.
"""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil

from csd.files import new_file
from csd.pipes import lead_nowhere
from csd.training.guard import end_processes, guarded, has_ended

_WORKER_ENDED = re.compile(r"Worker process (\d+) exit with exception. Error code: (-?\d+)")
_NODE_LOST = re.compile(r"The node: (\d+) is timed out")
_POLL = 0.3  # seconds between two looks
_GRACE = 3.0  # seconds that msrun has to end the other ranks
# A scheduler that is gone is lost: after 25 s, as at the end of a job it is gone before msrun, on a
# busy machine long before; or when a rank fails 5 s behind it, as many ranks do after some 20 s.
_LOST_ALONE, _LOST_BEFORE_RANK = 25.0, 5.0


@dataclass(frozen=True)
class Job:
    """What this host has to start.

    Attributes:
        program: a Python file and its arguments.
        total, local: ranks of all hosts, ranks of this one.
        node_rank: which host this is; the first one, 0, has the scheduler.
        address, port: of the scheduler.
        logs: folder of the output of every rank.
        timeout: seconds in which the hosts must find each other.
        bind_cores: whether each rank runs on the cores near its device.
    """

    program: list[str]
    total: int
    local: int
    node_rank: int
    address: str
    port: int
    logs: Path
    timeout: int = 600
    bind_cores: bool = False

    @property
    def launcher_log(self) -> Path:
        return self.logs / f"msrun_{self.node_rank}.log"

    def worker_log(self, rank: int | str) -> Path:
        return self.logs / f"worker_{rank}.log"

    def command(self) -> list[str]:
        """msrun's command line; it starts `python3`, which PATH must lead to this Python."""
        bind = ["--bind_core", "True"] if self.bind_cores else []
        return [
            sys.executable, "-m", "mindspore.parallel.cluster.run",
            "--worker_num", str(self.total), "--local_worker_num", str(self.local),
            "--node_rank", str(self.node_rank),
            "--master_addr", self.address, "--master_port", str(self.port),
            "--log_dir", str(self.logs), "--cluster_time_out", str(self.timeout),
            "--join", "True", "--tail_worker_log", "999999", *bind,
            "python3", *self.program,
        ]  # fmt: skip


def launch(job: Job) -> int:
    """Start the ranks of this host and wait for them; the exit code.

    The first SIGINT, SIGTERM or SIGHUP asks all ranks to save and to stop, a second SIGINT or
    SIGTERM ends them. Should this process be killed, the ranks save and end all the same.
    """
    mark = f"{os.getpid()}-{secrets.token_hex(6)}"  # in the environment of all their processes
    processes = Processes(job, mark)
    with guarded(mark):
        stop = StopRequests(processes)
        try:
            processes.start()
            lost = _watch(job, processes)
            return _exit_code(job, processes, stop.signum, lost)
        finally:
            end_processes(mark)


class Processes:
    """The processes of a job on this host.

    Attributes:
        msrun: the launcher, apart from the terminal: a Ctrl-C reaches this process alone.
        rank_of: process id of a rank -> its number.
        scheduler: it introduces the ranks to each other; on the first host.
    """

    def __init__(self, job: Job, mark: str):
        self._job, self._mark = job, mark
        self.msrun: subprocess.Popen[bytes]
        self.rank_of: dict[int, int] = {}
        self.scheduler: psutil.Process | None = None

    def start(self) -> None:
        """Start msrun, which starts all others."""
        environment = {
            "GLOG_v": "3",
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "CSD_JOB": self._mark,
        }
        with new_file(self._job.launcher_log) as log:
            self.msrun = subprocess.Popen(
                self._job.command(), env=environment, start_new_session=True,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def found(self) -> bool:
        """Whether every rank of this host runs."""
        return len(self.rank_of) == self._job.local

    def find(self) -> None:
        """Look for ranks and scheduler among msrun's children, unless all are known."""
        if self.found and (self.scheduler or self._job.node_rank):
            return
        try:
            children = psutil.Process(self.msrun.pid).children()
        except psutil.Error:
            return
        for child in children:
            try:
                environment = child.environ()
            except (psutil.Error, OSError):
                continue
            if environment.get("MS_ROLE") == "MS_WORKER":
                self.rank_of[child.pid] = int(environment["RANK_ID"])
            elif environment.get("MS_ROLE") == "MS_SCHED":
                self.scheduler = child

    def ask_to_stop(self) -> None:
        """SIGTERM to every rank: a process started in the background may ignore SIGINT."""
        for pid in self.rank_of:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def end(self) -> None:
        """SIGKILL to all."""
        end_processes(self._mark)

    def first_failure(self) -> tuple[int, int] | None:
        """Process id and exit code (a signal is negative) of the first rank that failed."""
        match = _WORKER_ENDED.search(_text(self._job.launcher_log))
        return (int(match[1]), int(match[2])) if match else None


class StopRequests:
    """The signals that ask to stop; `signum` is the first of them, 0 until then."""

    def __init__(self, processes: Processes):
        self.signum = 0
        self._processes = processes
        self._terminal = sys.stdout.isatty() or sys.stderr.isatty()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._take)

    def _take(self, signum: int, _frame: object) -> None:
        if signum == signal.SIGHUP:  # a terminal that closes may send several
            if self._terminal:
                lead_nowhere(1, 2)
            if self.signum:
                return
        if self.signum or not self._processes.found:  # a second one, or nothing is trained yet
            print("ending all processes", file=sys.stderr, flush=True)
            self._processes.end()
            raise SystemExit(128 + signum)
        self.signum = signum
        print(
            "asking every rank to finish its step and to save; once more to end at once",
            file=sys.stderr,
            flush=True,
        )
        self._processes.ask_to_stop()


class _Follower:
    """Copies a growing text file to standard output."""

    def __init__(self, path: Path):
        self._path = path
        self._file: TextIO | None = None

    def copy(self) -> None:
        """What is new; nothing where the file is not there yet."""
        if self._file is None:
            if not self._path.is_file():
                return
            self._file = self._path.open(encoding="utf-8", errors="replace", newline="")
        if text := self._file.read():
            sys.stdout.write(text)
            sys.stdout.flush()


class _Losses:
    """Notices what msrun does not: that the scheduler or another host is gone."""

    def __init__(self, job: Job, processes: Processes):
        self._job, self._processes = job, processes
        self._gone_since: float | None = None  # of the scheduler of this host
        self._met, self._misses = False, 0  # of the scheduler of another host
        self._next = time.monotonic() + 5

    def look(self) -> str:
        """The rank that was lost, `scheduler`, or nothing."""
        log = _text(self._job.logs / "scheduler.log")
        if re.search("^error: ", log, re.MULTILINE):
            match = _NODE_LOST.search(log)
            return match[1] if match else "?"
        failed = self._processes.first_failure() is not None
        if self._scheduler_gone_for() > (_LOST_BEFORE_RANK if failed else _LOST_ALONE):
            return "scheduler"
        return "0" if self._job.node_rank and self._scheduler_unreachable() else ""

    def _scheduler_gone_for(self) -> float:
        scheduler = self._processes.scheduler
        if scheduler is None or not has_ended(scheduler):
            return 0.0
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        return now - self._gone_since

    def _scheduler_unreachable(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + 5
        try:
            socket.create_connection((self._job.address, self._job.port), 3).close()
        except OSError:
            self._misses += self._met
        else:
            self._met, self._misses = True, 0
        return self._misses == 4


def _watch(job: Job, processes: Processes) -> str:
    """Until msrun has ended, or must be ended: what was lost, as of `_Losses.look`."""
    shown = _Follower(job.worker_log(job.node_rank * job.local))
    losses, lost, deadline = _Losses(job, processes), "", None
    while processes.msrun.poll() is None:
        time.sleep(_POLL)
        shown.copy()
        processes.find()
        if deadline is None:
            lost = losses.look()
            if processes.first_failure():
                deadline = time.monotonic() + _GRACE
            elif lost:
                break
        elif time.monotonic() >= deadline:
            break
    if processes.msrun.poll() is None:
        processes.end()
    processes.msrun.wait()
    shown.copy()
    return lost


def _exit_code(job: Job, processes: Processes, signum: int, lost: str) -> int:
    """The exit code of the job, with a sentence on standard error where it failed."""
    failure, code = processes.first_failure(), processes.msrun.returncode
    if signum:
        return 128 + signum
    if lost == "scheduler":  # the cause, where ranks have failed behind it
        return _failed(
            "the scheduler, which introduces the ranks to each other, has died; the ranks of this "
            f"host were ended. Its output is in {job.logs / 'scheduler.log'}; "
            "continue with --resume"
        )
    if failure:
        pid, code = failure
        rank = processes.rank_of.get(pid, "?")  # one that ended at once has no name
        where = job.worker_log(rank)
        if code < 0:
            return _failed(
                f"rank {rank} died of signal {-code}; all others were ended. Its output is in "
                f"{where}; continue with --resume"
            )
        if code in (130, 143):
            return code
        _failed(f"rank {rank} ended with code {code}; its output is in {where}")
        return code
    if lost:
        return _failed(
            f"rank {lost} was lost: it, or the way to its host, is gone; the ranks of this host "
            "were ended. Continue with --resume"
        )
    if code:
        return _failed(f"msrun ended with code {code}; its output is in {job.launcher_log}")
    return 0


def _failed(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    return 1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

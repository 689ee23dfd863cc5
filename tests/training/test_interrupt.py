"""Signals: noted at once, obeyed after the step, the second one final; ranks stop together."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from csd.training.interrupt import StopRequest, StopVote

pytestmark = pytest.mark.flaky(reruns=2)  # signals meet a busy machine's timing

# The main thread is inside one long call that no handler interrupts, as a compilation is.
BUSY = """
from csd.interrupt import hold_interrupts
hold_interrupts()
import hashlib
from csd.training.interrupt import StopRequest
with StopRequest() as stop:
    if ARM: stop.arm()
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 300_000_000)
print("not reached")
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_second_signal_exits_at_once_even_inside_a_long_call(signum, code):
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY.replace("ARM", "True")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signum)
        assert child.stderr.readline() == "\n"
        assert "finishing the step and saving; once more" in child.stderr.readline()
        assert child.poll() is None
        child.send_signal(signum)
        assert child.wait(timeout=30) == code
        assert child.stdout.read() == ""
    finally:
        child.kill()
        child.communicate()


def stopped_and_continued(child):
    """Ctrl-Z, and `fg` after any time limit that a wait may have had."""
    child.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    child.send_signal(signal.SIGCONT)


def test_a_stopped_and_continued_run_continues_and_still_counts_signals():
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY.replace("ARM", "True")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        for _ in range(3):
            stopped_and_continued(child)
        time.sleep(0.5)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.stderr.readline() == "\n"
        assert "finishing the step and saving; once more" in child.stderr.readline()
        for _ in range(3):  # the first signal must not be seen again
            stopped_and_continued(child)
        time.sleep(0.5)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) == 130
    finally:
        child.kill()
        child.communicate()


def test_ctrl_c_before_anything_is_trained_exits_at_once():
    command = [sys.executable, "-c", BUSY.replace("ARM", "False")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) == 130
    finally:
        child.kill()
        child.communicate()


def test_first_signal_is_remembered_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        stop.arm()
        assert stop.signum == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_outside_the_main_thread_it_watches_nothing():
    seen = []

    def work():
        with StopRequest() as stop:
            stop.arm()
            seen.append(stop.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


class _Ranks:
    """Stands for two devices that vote: reduces with what the other rank says."""

    ranks = 2

    def __init__(self, other):
        self.other, self.votes = other, 0

    def max_over_ranks(self, *values):
        self.votes += 1
        return [max(pair) for pair in zip(values, self.other, strict=True)]


def test_ranks_vote_about_once_a_second():
    stop = StopRequest()
    slow, fast = _Ranks((0.0, 5.0)), _Ranks((0.0, 0.02))
    for device, votes in ((slow, 60), (fast, 3)):
        vote = StopVote(device, 10)
        assert [vote.signum(step, stop) for step in range(11, 71)] == [0] * 60
        assert votes - 1 <= device.votes <= votes


def test_a_signal_to_any_rank_stops_all():
    vote = StopVote(_Ranks((float(signal.SIGTERM), 1.0)), 0)
    assert vote.signum(1, StopRequest()) == signal.SIGTERM

"""How a job of several processes ends; scripts stand in for msrun and for the ranks."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from csd.training import guard, launcher
from csd.training.launcher import Job, launch

# It starts a scheduler and two ranks, as msrun does, prints what msrun prints, and ends as it does.
MSRUN = """
import os, subprocess, sys, time
logs, *words = sys.argv[1:]
def start(role, rank, code):
    environment = {**os.environ, "MS_ROLE": role, "RANK_ID": str(rank)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment,
                            start_new_session=role == "MS_WORKER")
scheduler = start("MS_SCHED", 0, "import time; time.sleep(60)")
with open(logs + "/worker_0.log", "w") as log:
    log.write("step 1\\n")
ranks = [start("MS_WORKER", rank, code) for rank, code in enumerate(words)]
while True:
    codes = [rank.poll() for rank in ranks]
    for rank, code in zip(ranks, codes):
        if code:
            print(f"Worker process {rank.pid} exit with exception. Error code: {code}.", flush=True)
            for other in ranks:
                other.kill()
            time.sleep(60)
    if all(code == 0 for code in codes):
        scheduler.kill()
        sys.exit(0)
    time.sleep(0.05)
"""
SLEEP = "import time; time.sleep(60)"
SAVES = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
    "time.sleep(60)"
)


@pytest.fixture
def run(monkeypatch, tmp_path, hang_up):
    """Function: the exit code of a job whose two ranks run these programs."""
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    (tmp_path / "msrun.py").write_text(MSRUN)
    monkeypatch.setattr(launcher, "_POLL", 0.05)
    monkeypatch.setattr(launcher, "_GRACE", 0.3)

    def start(*programs):
        job = Job(["train.py"], 2, 2, 0, "127.0.0.1", 9999, tmp_path)
        command = [sys.executable, str(tmp_path / "msrun.py"), str(tmp_path), *programs]
        monkeypatch.setattr(Job, "command", lambda _job: command)
        try:
            return launch(job)
        finally:
            assert not _left(command)

    yield start
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def _left(command):
    """Processes of the job, a moment after its end."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        left = [p for p in guard.psutil.process_iter(["cmdline"]) if p.info["cmdline"] == command]
        if not left:
            return []
        time.sleep(0.05)
    return left


def test_all_ranks_end_well(run, capsys):
    assert run("import time; time.sleep(0.3)", "pass") == 0
    assert capsys.readouterr() == ("step 1\n", "")


def test_a_log_that_is_a_link_or_a_pipe_is_replaced(run, tmp_path):
    log = Job(["train.py"], 2, 2, 0, "127.0.0.1", 9999, tmp_path).launcher_log
    (tmp_path / "mine").write_text("mine")
    log.symlink_to(tmp_path / "mine")
    assert run("pass", "pass") == 0
    assert (tmp_path / "mine").read_text() == "mine" and not log.is_symlink()
    log.unlink()
    os.mkfifo(log)
    assert run("pass", "pass") == 0 and log.is_file()


def test_a_rank_dies(run, capsys, tmp_path):
    kill = "import os, time; time.sleep(0.5); os.kill(os.getpid(), 9)"
    begin = time.monotonic()
    assert run(SLEEP, kill) == 1
    assert time.monotonic() - begin < 20  # and not the minute that msrun would wait
    assert capsys.readouterr().err == (
        "error: rank 1 died of signal 9; all others were ended. Its output is in "
        f"{tmp_path / 'worker_1.log'}; continue with --resume\n"
    )


@pytest.mark.parametrize(("code", "sentence"), [(2, True), (143, False)])
def test_a_rank_ends_with_a_code(run, capsys, tmp_path, code, sentence):
    assert run(f"import sys, time; time.sleep(0.5); sys.exit({code})", SLEEP) == code
    words = f"error: rank 0 ended with code 2; its output is in {tmp_path / 'worker_0.log'}\n"
    assert capsys.readouterr().err == (words if sentence else "")


def test_a_lost_host_is_named_as_the_scheduler_does(run, capsys, tmp_path):
    log = tmp_path / "scheduler.log"
    log.write_text("The node: 1 is timed out\nerror: the processes lost each other\n")
    assert run(SLEEP, SLEEP) == 1
    assert "error: rank 1 was lost: it, or the way to its host, is gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "blamed"), [(60, "the scheduler"), (3, "the scheduler"), (0, "rank 0")]
)
def test_a_scheduler_that_dies_is_the_cause_of_what_follows(
    run, capsys, monkeypatch, seconds, blamed
):
    """The ranks stand still without it, or fail a while later; not one that fails with it."""
    monkeypatch.setattr(launcher, "_LOST_ALONE", 5.0)
    monkeypatch.setattr(launcher, "_LOST_BEFORE_RANK", 1.5)
    kill = (
        "import os, psutil, time; time.sleep(1.5)\n"
        "for child in psutil.Process(os.getppid()).children():\n"
        "    if child.environ()['MS_ROLE'] == 'MS_SCHED': child.kill()\n"
        f"time.sleep({seconds}); os.kill(os.getpid(), 11)"
    )
    assert run(kill, SLEEP) == 1
    assert f"error: {blamed}" in capsys.readouterr().err


def _send_once_found(monkeypatch, *signals):
    """Send these to this process once all ranks are found, a moment apart."""
    usual = launcher.Processes.find

    def send():
        time.sleep(0.5)  # the ranks install their handlers
        for signum in signals:
            os.kill(os.getpid(), signum)
            time.sleep(0.1)

    sender = threading.Thread(target=send, daemon=True)

    def find(processes):
        usual(processes)
        if processes.found and sender.ident is None:
            sender.start()

    monkeypatch.setattr(launcher.Processes, "find", find)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_signal_asks_the_ranks(run, capsys, monkeypatch, signum):
    _send_once_found(monkeypatch, signum)
    assert run(SAVES, SAVES) == 128 + signum
    assert capsys.readouterr().err == (
        "asking every rank to finish its step and to save; once more to end at once\n"
    )


def test_a_second_signal_ends_them(run, capsys, monkeypatch):
    _send_once_found(monkeypatch, signal.SIGTERM, signal.SIGINT)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    with pytest.raises(SystemExit) as stopped:
        run(deaf, deaf)
    assert stopped.value.code == 130
    assert capsys.readouterr().err.endswith("ending all processes\n")


def test_ranks_without_their_launcher_are_asked_to_save(tmp_path):
    """What the guard does once the process that it watches has ended."""
    saved = tmp_path / "saved"
    program = (
        "import pathlib, signal, sys, time\n"
        f"saved = pathlib.Path({str(saved)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (saved.touch(), sys.exit()))\n"
        "print(flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "CSD_JOB": "a mark", "MS_ROLE": "MS_WORKER"}
    rank = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
    )
    rank.stdout.readline()
    with guard.guarded("a mark"):
        assert [p.pid for p in guard.job_processes("a mark")] == [rank.pid]
    assert rank.wait(20) == 0 and saved.is_file()
    rank.stdout.close()

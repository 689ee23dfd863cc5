"""Jobs in processes of their own: how many at once, what fails, and what a stop leaves."""

import os
import signal
import sys
import time

import pytest

from experiments.processes import Job, Stopped, last_error, run_jobs, shares, stop_on_signals

HERE = sorted(os.sched_getaffinity(0))


def _job(folder, name, *codes):
    commands = [[sys.executable, "-S", "-c", code] for code in codes]
    return Job(name, commands, folder / name / "log.txt")


def _log(job):
    return job.log.read_text()


def test_commands_follow_each_other_until_one_fails(tmp_path):
    ended = []
    jobs = [
        _job(
            tmp_path,
            "good",
            "print('one')",
            "import os; print(os.environ['OMP_NUM_THREADS'], len(os.sched_getaffinity(0)))",
        ),
        _job(tmp_path, "bad", "print('error: no luck'); raise SystemExit(3)", "print('never')"),
        _job(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"),
    ]
    run_jobs(jobs, [HERE, HERE[:1]], lambda job, code, seconds: ended.append((job.name, code)))
    assert dict(ended) == {"good": 0, "bad": 3, "killed": 137}
    assert _log(jobs[0]).split() == ["one", str(len(HERE)), str(len(HERE))]
    assert "never" not in _log(jobs[1])
    assert last_error(jobs[1].log) == "no luck"
    assert last_error(tmp_path / "absent") == "it said nothing"


def test_no_more_at_once_than_asked(tmp_path):
    """A job waits until two have met, however slowly they start; a third has time to show up."""
    code = (
        "import os, time, pathlib; here = pathlib.Path({folder!r}); met = here.parent / 'met'; "
        "mine = here / str(os.getpid()); mine.touch(); end = time.monotonic() + 20\n"
        "while not met.exists() and time.monotonic() < end:\n"
        "    time.sleep(0.02); len(list(here.iterdir())) > 1 and met.touch()\n"
        "time.sleep(0.2); print(len(list(here.iterdir()))); mine.unlink()"
    )
    (tmp_path / "alive").mkdir()
    code = code.format(folder=str(tmp_path / "alive"))
    jobs = [_job(tmp_path, str(i), code) for i in range(5)]
    run_jobs(jobs, [HERE, HERE], lambda *_: None)
    assert (tmp_path / "met").exists()
    assert max(int(_log(job)) for job in jobs) <= 2


@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_the_running_jobs_to_end_and_waits(signum, tmp_path):
    """The job takes its time to end when asked, as a run does that saves."""
    polite = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.5); print('saved', flush=True); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    jobs = [_job(tmp_path, "one", polite), _job(tmp_path, "two", polite)]
    started = time.monotonic()

    def stop_me(*_):
        while not all("ready" in _log(job) for job in jobs[:2]):
            assert time.monotonic() < started + 20
            time.sleep(0.02)
        os.kill(os.getpid(), signum)

    jobs.append(_job(tmp_path, "three", "pass"))
    jobs.append(_job(tmp_path, "four", "print('never')"))
    with pytest.raises(Stopped) as stopped, stop_on_signals():
        run_jobs(jobs, [HERE] * 3, stop_me)
    assert stopped.value.exit_code == 128 + signum
    assert [_log(job).split() for job in jobs[:2]] == [["ready", "saved"]] * 2
    assert not jobs[3].log.exists() or "never" not in _log(jobs[3])
    assert time.monotonic() - started < 30


def test_processors_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 1, 5, 7, 9})
    assert shares(1) == [[1, 3, 5, 7, 9]]
    assert shares(2) == [[1, 3], [5, 7]]
    assert shares(8) == [[1], [3], [5], [7], [9]]

"""Two hosts on one machine: two network namespaces joined by a cable of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from csd.checkpoints import load_checkpoint

pytestmark = pytest.mark.flaky(reruns=1)  # signals meet a busy machine's timing

SCRIPT = "scripts/run_distribute_train.sh"


class Namespaces:
    """Each host in a network of its own, 10.99.x.1 and 10.99.x.2."""

    def __init__(self):
        self.names = [f"csd{os.getpid()}{letter}" for letter in "ab"]
        self.net = f"10.99.{os.getpid() % 250 + 1}"
        self.address = [f"{self.net}.1"] * 2  # of the first host, as each host sees it

    def __enter__(self):
        for name in self.names:
            _ip("netns", "add", name)
        a, b = self.names
        _ip("link", "add", "v0", "netns", a, "type", "veth", "peer", "name", "v0", "netns", b)
        for number, name in enumerate(self.names, 1):
            _ip("-n", name, "addr", "add", f"{self.net}.{number}/24", "dev", "v0")
            _ip("-n", name, "link", "set", "v0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, timeout=20)

    def enter(self, host):
        return lambda: _setns(self.names[host])


class Loopbacks:
    """Two loopback addresses: the second host knows the first by one that is not this machine's.

    A thread carries what it sends there to the scheduler, so that only one host starts one.
    """

    address = ("127.0.0.1", "127.0.0.2")

    def __init__(self, port):
        self.port = port

    def __enter__(self):
        self.server = socket.create_server(("127.0.0.2", self.port))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.close()

    def enter(self, host):
        return None

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                with contextlib.suppress(OSError):
                    far = socket.create_connection(("127.0.0.1", self.port))
                    for a, b in ((near, far), (far, near)):
                        threading.Thread(target=_carry, args=(a, b), daemon=True).start()
                    continue
                near.close()


def _carry(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise PermissionError(done.stderr.strip())


def _setns(name):
    """Move this process into a network namespace; runs between fork and exec."""
    import ctypes

    with open(f"/run/netns/{name}") as file:  # noqa: PTH123
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def _hosts(port):
    """Two hosts; says so where namespaces are not permitted."""
    if shutil.which("ip") and not os.environ.get("CSD_TEST_LOOPBACK"):
        spaces = Namespaces()
        try:
            spaces.__enter__()
        except PermissionError as error:
            spaces.__exit__()
            print(f"\nno network namespaces here ({error}): two loopback addresses instead")
        else:
            try:
                yield spaces
            finally:
                spaces.__exit__()
            return
    else:
        print("\nno network namespaces here: two loopback addresses instead")
    with Loopbacks(port) as loopbacks:
        yield loopbacks


def _free_port():
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_hosts_train_together_and_end_together(config_file, launch, rows, tmp_path):
    file, options = config_file
    folder, port = tmp_path / "run", _free_port()

    def start(hosts, *extra):
        return [
            launch(
                SCRIPT, "CPU", "2", file, *options, *extra, preexec_fn=hosts.enter(rank),
                env={**os.environ, "NODE_NUM": "2", "NODE_RANK": str(rank),
                     "MASTER_ADDR": hosts.address[rank], "MASTER_PORT": str(port)},
            )
            for rank in range(2)
        ]  # fmt: skip

    def trained(jobs, word, step):
        jobs[0].until(lambda: word in jobs[0].output and len(rows(folder)) > step + 2)

    def progress():
        return load_checkpoint(folder / "last.ckpt").meta["progress"]

    with _hosts(port) as hosts:
        jobs = start(hosts)
        trained(jobs, "training:", 0)
        assert "2 x CPU" in jobs[0].output
        # A signal to one host stops both, at the same step.
        jobs[1].send(signal.SIGTERM)
        codes = [job.wait(60) for job in jobs]
        assert codes == [143, 143], [job.output for job in jobs]
        saved = progress()
        assert saved["samples"] == 8 * saved["step"]
        assert f"stopped at step {saved['step']} of" in jobs[0].output

        # The second host's worker dies: both hosts end within a minute.
        jobs = start(hosts, "--resume")
        trained(jobs, f"resuming at step {saved['step']}:", saved["step"])
        begin = time.monotonic()
        os.kill(_worker(folder, 1), signal.SIGKILL)
        assert [job.wait(60 - (time.monotonic() - begin)) for job in jobs] == [1, 1]
        print(f"\nboth hosts ended {time.monotonic() - begin:.0f} s after kill -9")
        assert "error: rank 1 was lost" in jobs[0].output
        assert "error: rank 1 died of signal 9" in jobs[1].output
        assert progress()["step"] > saved["step"]


def _worker(folder, rank):
    marks = {b"MS_ROLE=MS_WORKER", b"RANK_ID=%d" % rank}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            named = str(folder).encode() in (entry / "cmdline").read_bytes()
            if named and marks <= set((entry / "environ").read_bytes().split(b"\0")):
                return int(entry.name)
    raise AssertionError(f"no rank {rank}")

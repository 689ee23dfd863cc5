"""Standard output and error whose reader goes away."""

import os
import sys

import pytest
from tqdm import tqdm

from csd.pipes import readers_may_leave


@pytest.fixture
def deserted(monkeypatch):
    """Function: a text stream into a pipe that nobody reads."""
    streams = []

    def make():
        read, write = os.pipe()
        os.close(read)
        streams.append(os.fdopen(write, "w"))
        return streams[-1]

    yield make
    for stream in streams:
        stream.close()


def test_writing_continues(deserted, monkeypatch):
    monkeypatch.setattr(sys, "stdout", deserted())
    monkeypatch.setattr(sys, "stderr", deserted())
    before = sys.stdout, sys.stderr
    with readers_may_leave():
        for _ in range(3):
            print("x" * 10_000)
            print("to the other", file=sys.stderr, flush=True)
        with tqdm(total=2) as bar:
            bar.write("above the bar")
            bar.update()
        sys.stdout.flush()
    assert (sys.stdout, sys.stderr) == before
    print("and so it does afterwards", flush=True)


def test_what_is_read_arrives(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with readers_may_leave():
            print("one")
            print("two")
    with os.fdopen(read) as stream:
        assert stream.read() == "one\ntwo\n"

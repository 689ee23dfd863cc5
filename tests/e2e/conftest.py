"""Runs small enough for the tests, started as a user starts them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of eleven images: ten to train on, one to validate with."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("sets") / "photos"  # nothing of other tests beside it
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(11):
        coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


@pytest.fixture
def config_file(photos, tmp_path) -> tuple[Path, list[str]]:
    """A configuration file and options of a run that is long, small, and saves every step."""
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "model: {name: edsr, scale: 2, n_feats: 8, n_resblocks: 1}\n"
        "data: {lr_patch: 8, val_images: 1}\n"
        "train: {method: teacher, teacher: none, widths: [0.5], batch_size: 4, epochs: 1000,\n"
        "  steps_per_epoch: 1000, log_every: 1, save_every: 1, validate_every: 0}\n"
        "optim: {lr: 1.0e-3, schedule: constant}\n"
        "loss: {vgg: random, vgg_arch: vgg16, negatives: 2}\n"
    )
    options = [f"--data_dir={photos}", f"--cache_dir={photos.parent / 'cache'}"]
    return file, [*options, f"--output_dir={tmp_path / 'run'}"]


@pytest.fixture(scope="session")
def shell():
    """Function: run a command to its end, environment variables as keywords."""

    def run(*command, timeout=500, **environment):
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True, text=True, timeout=timeout, check=False,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def unavailable():
    """Function: skip the test, with the reason; with CSD_REQUIRE_CPP=1 let it fail."""

    def stop(reason: str):
        if os.environ.get("CSD_REQUIRE_CPP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return stop


@pytest.fixture(scope="session")
def compiler(unavailable):
    """Nothing; skips where C++ cannot be built."""
    header = Path("/usr/include/opencv4/opencv2/imgcodecs.hpp")
    if not (shutil.which("g++") and shutil.which("cmake") and header.is_file()):
        unavailable(
            "no C++ tests: apt-get install g++ cmake libopencv-core-dev libopencv-imgcodecs-dev"
        )


class Program:
    """A program in a process group of its own; `output` is what it has printed so far."""

    def __init__(self, command: list, log: Path, **options):
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = 120) -> int:
        return self.process.wait(timeout=seconds)

    def send(self, signum: int) -> None:
        self.process.send_signal(signum)

    def until(self, condition, seconds: float = 120) -> None:
        """Wait for a condition; the program must not end before it holds."""
        import time

        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, f"nothing in {seconds} s: {self.output}"
            time.sleep(0.02)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def launch(tmp_path) -> Iterator:
    """Function: start a program of the repository; all are ended with the test."""
    started = []

    def start(*command, **options) -> Program:
        program, *arguments = command
        first = [sys.executable] if str(program).endswith(".py") else ["bash"]
        log = tmp_path / f"output_{len(started)}.txt"
        started.append(Program([*first, ROOT / program, *arguments], log, **options))
        return started[-1]

    yield start
    for program in started:
        program.kill()


@pytest.fixture
def rows():
    """Function: the finished lines of losses in a run folder's metrics.csv."""
    from csd.training.log import read_rows

    def read(folder: Path) -> list[dict]:
        return [row for row in read_rows(folder / "metrics.csv") if row["total"]]

    return read

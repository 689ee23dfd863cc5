"""Images for experiments of seconds."""

from pathlib import Path

import cv2
import numpy as np
import pytest


def _image(path: Path, rng: np.random.Generator, size: tuple[int, int]) -> None:
    coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="session")
def sample_images(tmp_path_factory) -> Path:
    """A folder with `photos` to train on and the benchmark set `bench/Tiny`."""
    folder, rng = tmp_path_factory.mktemp("experiment"), np.random.default_rng(0)
    for number in range(11):
        _image(folder / "photos" / f"{number:02d}.png", rng, (64, 64))
    for number in range(3):
        _image(folder / "bench" / "Tiny" / "HR" / f"{number}.png", rng, (60, 52))
    return folder

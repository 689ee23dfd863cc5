"""Small benchmark sets and results that the tests of this room share."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A smooth picture with edges, uint8 (61, 83, 3)."""
    y, x = np.mgrid[0:61, 0:83]
    waves = np.stack([np.sin(x / 5) * 90, np.cos(y / 7) * 90, np.sin((x + y) / 9) * 90], axis=2)
    waves[20:40, 30:60] *= -1
    return (waves + 128).astype(np.uint8)


@pytest.fixture
def small_set(tmp_path, picture):
    """`data/Tiny` with two HR photographs and no LR: a data_dir for eval.py."""
    folder = tmp_path / "data" / "Tiny" / "HR"
    folder.mkdir(parents=True)
    Image.fromarray(picture).save(folder / "one.png")
    Image.fromarray(np.ascontiguousarray(picture[:50, ::-1])).save(folder / "two.png")
    return tmp_path / "data"

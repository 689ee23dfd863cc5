"""Small images to read: crops of the benchmark images that lie beside the tests."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def sample_image(reference) -> np.ndarray:
    """An image, uint8 (H, W, 3)."""
    with Image.open(reference / "benchmark" / "Set5" / "HR" / "woman.png") as image:
        return np.array(image.convert("RGB"))


@pytest.fixture
def make_photos(sample_image):
    """`make_photos(folder, names, size=(H, W))`: every name another crop of the image."""

    def make(folder: Path, names, size=(48, 40)) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            top, left = 7 * number % 200, 11 * number % 120
            crop = sample_image[top : top + size[0], left : left + size[1]]
            Image.fromarray(crop).save(folder / name)
        return folder

    return make


@pytest.fixture(scope="session")
def makers():
    """The functions of makers.py: files of every layout."""
    path = Path(__file__).with_name("makers.py")
    spec = importlib.util.spec_from_file_location("image_makers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""Crops to read: parts of the benchmark images that lie beside the tests."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from data_room.local_server import DATA, Server, serving
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


@pytest.fixture
def small(sample_image):
    return np.ascontiguousarray(sample_image[40:64, 50:90])  # 24 x 40


@pytest.fixture
def deep(small):
    """16 bits whose low bytes matter."""
    return small.astype(np.uint16) * 200 + 77


@pytest.fixture
def server():
    server = Server()
    server.files["/file.bin"] = DATA
    with serving(server):
        yield server

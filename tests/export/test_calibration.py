"""Images to calibrate with: which are used, which are held back, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from csd.data import imresize_bicubic
from csd.errors import InputError
from csd.export.calibration import as_input, fitted, held_back, read_calibration


@pytest.fixture
def make_folder(tmp_path):
    """A function: (count, height, width) -> a folder of images, each of one colour number."""

    def make(count, height=70, width=90):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            rng = np.random.default_rng(number)
            image = rng.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(image).save(folder / f"{number:03d}.png")
        return folder

    return make


@pytest.mark.parametrize("count", [16, 17, 39, 40, 50, 800])
def test_every_fifth_is_held_back_and_eight_at_least(count):
    held = held_back(count)
    assert len(held) == max(8, count // 5)
    assert held <= set(range(count))
    gaps = np.diff(sorted(held))
    assert gaps.max() - gaps.min() <= 1
    if count >= 40 and count % 5 == 0:
        assert set(gaps) == {5}


def test_images_are_used_or_held_back_and_small_ones_mirror_training(make_folder):
    folder = make_folder(18)
    images = read_calibration(folder, 2)
    assert (len(images.used), len(images.held)) == (10, 8)
    whole = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    for lr, hr in images.held:
        assert any(np.array_equal(hr, image) for image in whole)
        np.testing.assert_array_equal(lr, imresize_bicubic(hr, 0.5))
    held = {hr.tobytes() for _, hr in images.held}
    used = [imresize_bicubic(image, 0.5) for image in whole if image.tobytes() not in held]
    assert len(used) == 10
    for got, wanted in zip(images.used, used, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_middle_of_large_images_is_taken(make_folder):
    folder = make_folder(16, 600, 530)
    lr, hr = read_calibration(folder, 2).held[0]
    assert (lr.shape, hr.shape) == ((256, 256, 3), (512, 512, 3))
    whole = np.asarray(Image.open(folder / "001.png"))
    np.testing.assert_array_equal(hr, whole[44:556, 9:521])


def test_the_folder_of_a_training_set_stands_for_its_hr_images(make_folder, tmp_path):
    images = make_folder(16)
    images.rename(tmp_path / "HR")
    (tmp_path / "README.md").write_text("Photos.")
    found, expected = (read_calibration(folder, 2) for folder in (tmp_path, tmp_path / "HR"))
    assert [image.tobytes() for image in found.used] == [i.tobytes() for i in expected.used]


def test_what_is_refused(make_folder, tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        read_calibration(tmp_path / "none", 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image in the folder"):
        read_calibration(tmp_path / "empty", 2)
    folder = make_folder(15)
    with pytest.raises(InputError, match="holds 15 images; int8 needs 16 at least"):
        read_calibration(folder, 2)
    make_folder(16, 63, 64)
    with pytest.raises(InputError, match=r"64x60, too small .* 64 pixels are needed"):
        read_calibration(folder, 4)


def test_fitted_crops_the_middle_and_mirrors():
    image = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    np.testing.assert_array_equal(fitted(image, (2, 3)), image[2:4, 1:4])
    wide = fitted(image, (6, 7))
    np.testing.assert_array_equal(wide, image[:, [0, 1, 2, 3, 4, 4, 3]])
    assert as_input(image).shape == (1, 3, 6, 5) and as_input(image)[0, 2, 1, 4] == image[1, 4, 2]

"""The images that int8 is fitted to, and those that it is judged by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csd.data.formats import image_suffixes
from csd.data.images import read_image
from csd.data.imresize import imresize_bicubic, modcrop
from csd.data.low_resolution import hr_folder_of, list_images
from csd.errors import InputError

MIN_IMAGES = 16
_FEWEST_HELD, _HELD_SHARE = 8, 5
_MOST_USED = 200  # the ranges of activations no longer change with more
_SIDE, _SMALLEST = 256, 16  # of the LR images, pixels


@dataclass(frozen=True)
class Calibration:
    """What int8 is made with, uint8 RGB.

    used: LR images (h, w, 3), sides up to 256. held: pairs of such an LR image and its HR image
    (scale * h, scale * w, 3), of images that are not among the used ones.
    """

    used: list[np.ndarray]
    held: list[tuple[np.ndarray, np.ndarray]]


def held_back(count: int) -> set[int]:
    """Which of `count` images are held back: every fifth, at least eight, spread evenly."""
    held = max(_FEWEST_HELD, count // _HELD_SHARE)
    return {(2 * number + 1) * count // (2 * held) for number in range(held)}


def read_calibration(folder: str | Path, scale: int) -> Calibration:
    """HR images of a folder, their middles made small as training images are made.

    Of more than 200 images that are not held back, 200 spread evenly are used.

    Raises:
        InputError: no folder, several HR folders in it, fewer than 16 images, or one that is too
            small or unreadable.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--calibration {folder} is no folder; name one with images")
    paths = list_images(hr_folder_of(folder))
    if not paths:
        known = ", ".join(sorted(image_suffixes()))
        raise InputError(f"no image in the folder {folder} ({known}); name one with --calibration")
    if len(paths) < MIN_IMAGES:
        raise InputError(
            f"{folder} holds {len(paths)} images; int8 needs {MIN_IMAGES} at least, of which "
            f"{_FEWEST_HELD} are held back to judge it by"
        )
    held = held_back(len(paths))
    used = [path for number, path in enumerate(paths) if number not in held]
    if len(used) > _MOST_USED:
        used = [used[number * len(used) // _MOST_USED] for number in range(_MOST_USED)]
    return Calibration(
        [_pair(path, scale)[0] for path in used],
        [_pair(paths[number], scale) for number in sorted(held)],
    )


def _pair(path: Path, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(LR, HR) of the middle of an image."""
    hr = modcrop(read_image(path), scale)
    if min(hr.shape[:2]) < _SMALLEST * scale:
        height, width = hr.shape[:2]
        raise InputError(
            f"{path} is {width}x{height}, too small to calibrate with; "
            f"{_SMALLEST * scale} pixels are needed at least"
        )
    window = []
    for side in hr.shape[:2]:
        length = min(side, _SIDE * scale)
        start = (side - length) // 2
        window.append(slice(start, start + length))
    hr = np.ascontiguousarray(hr[tuple(window)])
    return imresize_bicubic(hr, 1 / scale), hr


def fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of (h, w, 3) at `size`; mirrored at the borders where it is smaller."""
    missing = [max(0, wanted - have) for wanted, have in zip(size, image.shape, strict=False)]
    image = np.pad(image, [*((0, n) for n in missing), (0, 0)], mode="symmetric")
    top, left = ((have - wanted) // 2 for wanted, have in zip(size, image.shape, strict=False))
    return image[top : top + size[0], left : left + size[1]]


def as_input(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) as a network's input: float32 (1, 3, H, W), RGB 0..255."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)

"""Methods side by side: the image, and zoomed crops of bicubic and the networks."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from csd.inference.images import ImageFile, as_rgb8, upscale_plane
from csd.inference.tiling import DEFAULT_OVERLAP
from csd.inference.upscaler import Upscaler
from csd.reporting.crops import busiest_window

_CROP = 40  # side of a crop, pixels of the LR image
_CELL = 320  # side of a crop as shown
_ROWS = 2
_GAP, _LABEL = 10, 24
_PAPER, _INK, _FRAME = (255, 255, 255), (30, 30, 30), (230, 60, 30)

Method = tuple[str, Upscaler]


def _windows(image: np.ndarray) -> list[tuple[int, int, int]]:
    """(top, left, side) of the most detailed squares of uint8 (H, W, 3), the best first."""
    height, width = image.shape[:2]
    side = min(_CROP, height, width)
    half = Image.fromarray(image).resize((max(1, width // 2), max(1, height // 2)))
    smooth = np.array(half.resize((width, height), Image.Resampling.BICUBIC))
    found: list[tuple[int, int, int]] = []
    for _ in range(_ROWS):
        top, left = busiest_window(image, smooth, side)
        if any(abs(top - y) < side and abs(left - x) < side for y, x, _ in found):
            break  # an image that small has one detail
        found.append((top, left, side))
        here = (slice(top, top + side), slice(left, left + side))
        smooth[here] = image[here]
    return found


def _crops(image: np.ndarray, window: tuple, methods: Sequence[Method], scale: int) -> list:
    """The window as bicubic and as each network makes it, with the context the network needs."""
    top, left, side = window
    y0, x0 = max(0, top - DEFAULT_OVERLAP), max(0, left - DEFAULT_OVERLAP)
    part = ImageFile(image[y0 : top + side + DEFAULT_OVERLAP, x0 : left + side + DEFAULT_OVERLAP])
    wide = [np.dstack([upscale_plane(p, scale) for p in np.moveaxis(part.pixels, 2, 0)])]
    for _, upscaler in methods:
        wide.append(upscaler.upscale_file(part).pixels)
    y, x, n = scale * (top - y0), scale * (left - x0), scale * side
    return [w[y : y + n, x : x + n] for w in wide]


def compare_image(image: ImageFile, methods: Sequence[Method], scale: int) -> np.ndarray:
    """The image with its most detailed places framed, and below, a row of crops for each place.

    uint8 (H, W, 3). A row has bicubic first and then a crop of each method.

    methods: (label, upscaler). Only the crops are run, so that the largest network costs little on
    the largest image.
    """
    rgb = as_rgb8(image)
    windows = _windows(rgb)
    labels = ["bicubic", *(label for label, _ in methods)]
    width = len(labels) * (_CELL + _GAP) + _GAP
    factor = min((width - 2 * _GAP) / rgb.shape[1], 480 / rgb.shape[0])
    whole = Image.fromarray(rgb).resize(
        (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor))),
        Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC,
    )
    head = whole.height + 2 * _GAP
    height = head + len(windows) * (_CELL + _LABEL + _GAP)
    sheet = Image.new("RGB", (width, height), _PAPER)
    sheet.paste(whole, ((width - whole.width) // 2, _GAP))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for row, window in enumerate(windows):
        top, left, side = window
        x0, y0 = (width - whole.width) // 2 + left * factor, _GAP + top * factor
        frame = (x0, y0, x0 + max(2, side * factor), y0 + max(2, side * factor))
        draw.rectangle(frame, outline=_FRAME, width=2)
        draw.text((x0 + 4, y0 + 2), str(row + 1), fill=_FRAME, font=font)
        y = head + row * (_CELL + _LABEL + _GAP)
        for column, crop in enumerate(_crops(rgb, window, methods, scale)):
            x = _GAP + column * (_CELL + _GAP)
            draw.text((x, y + 2), f"{row + 1}: {labels[column]}", fill=_INK, font=font)
            cell = Image.fromarray(np.ascontiguousarray(crop))
            sheet.paste(cell.resize((_CELL, _CELL), Image.Resampling.NEAREST), (x, y + _LABEL))
    return np.asarray(sheet)

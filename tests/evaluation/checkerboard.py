"""How much of a pixel shuffle's dot pattern an output shows where the image is flat.

A sub-pixel up-sampler computes the r x r pixels of a cell with r^2 different kernels. Where they
disagree, flat areas get a pattern of period r (of 2 and 4 in an up-sampler of two stages).
"""

from dataclasses import dataclass

import numpy as np

from csd.evaluation.metrics import check_pair, rgb_to_y

BLOCK = 16
FLAT = 4.0  # largest standard deviation of a flat block, of 255
PERIODS = {2: (2,), 3: (3,), 4: (2, 4)}

# An output may have a tenth more than HR, and as much as edges beside flat blocks put into every
# interpolation. Bicubic exceeds 1.1 x HR on Set5 by 0.012 at most (x4, period 2), a student with
# dots that one sees by 0.037 to 0.075.
_MORE = 1.1
_CONSTANT = 0.02


@dataclass(frozen=True)
class Checkerboard:
    """Energy (squared luma levels, of 255) at one period, per pixel of the flat blocks.

    sr, hr: of the output and of HR, means over the blocks; blocks: how many of them are flat.
    """

    period: int
    sr: float
    hr: float
    blocks: int

    @property
    def limit(self) -> float:
        """The most that `sr` may be: 1.1 times HR's energy plus a constant."""
        return _MORE * self.hr + _CONSTANT


def checkerboard(sr: np.ndarray, hr: np.ndarray, scale: int) -> list[Checkerboard]:
    """Compare the periodic energy of an output with HR's over the flat blocks of HR.

    sr, hr: uint8 (H, W, 3) RGB of one size; scale: 2, 3 or 4. A flat block is one of 16 x 16 HR
    pixels, on a grid of 16, whose luma deviates by less than 4. One entry a period of the scale;
    without a flat block the energies are 0 and `blocks` is 0.

    Raises:
        InputError: images of other types, of different sizes, or smaller than a block.
    """
    check_pair(sr, hr, 0, BLOCK)
    truth, output = _blocks(rgb_to_y(hr)), _blocks(rgb_to_y(sr))
    flat = truth.std(axis=(1, 2)) < FLAT
    truth, output = truth[flat], output[flat]
    return [
        Checkerboard(p, periodic_energy(output, p), periodic_energy(truth, p), len(truth))
        for p in PERIODS[scale]
    ]


def pooled(measured: list[list[Checkerboard]]) -> list[Checkerboard]:
    """The measurement of several images as one: means over all their flat blocks."""
    result = []
    for entries in zip(*measured, strict=True):
        counts = [entry.blocks for entry in entries]
        total = max(sum(counts), 1)
        sr, hr = (
            sum(getattr(entry, name) * entry.blocks for entry in entries) / total
            for name in ("sr", "hr")
        )
        result.append(Checkerboard(entries[0].period, sr, hr, sum(counts)))
    return result


def _blocks(plane: np.ndarray) -> np.ndarray:
    """(H, W) -> (n, 16, 16): the whole blocks of a grid that begins at the upper left corner."""
    rows, columns = (size // BLOCK for size in plane.shape)
    whole = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return whole.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def periodic_energy(blocks: np.ndarray, period: int) -> float:
    """Mean squared part of blocks (n, side, side) that repeats with `period` in both directions.

    A pattern that repeats is the mean over all cells of period x period pixels. What a gradient
    leaves in it is removed with the block's plane, fitted by least squares.
    """
    if not len(blocks):
        return 0.0
    side = blocks.shape[1] // period * period
    axis = np.arange(side) - (side - 1) / 2
    ramp = axis / np.sum(axis**2) / side
    blocks = blocks[:, :side, :side]
    blocks = blocks - blocks.mean(axis=(1, 2), keepdims=True)
    down = np.einsum("nij,i->n", blocks, ramp)[:, None, None] * axis[:, None]
    across = np.einsum("nij,j->n", blocks, ramp)[:, None, None] * axis
    cells = side // period
    flat = (blocks - down - across).reshape(-1, cells, period, cells, period)
    return float(np.mean(np.square(flat.mean(axis=(1, 3)))))

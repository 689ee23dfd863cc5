"""`--budget_ms`: the widest trained width that upscales an image within a time.

How long the network takes is measured once for each checkpoint, device, tile and number of threads
on this machine, kept in the cache folder, and read off for the size of each image.
"""

import hashlib
import importlib.metadata
import json
import logging
import math
import os
import platform
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csd.errors import InputError, WorkError
from csd.files import read_text, write_text
from csd.inference.engines import Engine
from csd.inference.tiling import upscale
from csd.inference.upscaler import Upscaler
from csd.runtime import cache_folder

_log = logging.getLogger("csd.inference")

# Width -> (low-resolution pixels of a window, milliseconds), by growing pixels.
Table = dict[float, list[tuple[int, float]]]

_SMALLEST_SIDE = 32
_RUNS, _ENOUGH_SECONDS = 3, 1.5
_VIEWS = 8  # runs of a self-ensemble


@dataclass(frozen=True)
class Budget:
    """A time for each image, and what the widths of a network take.

    upscaler: at any width, with the tile and the self-ensemble that are used; table: see
    `measured_table`; milliseconds: of the network alone, all tiles of one image together, on a
    network that is compiled: reading, writing and the first compilation are not in it.
    """

    upscaler: Upscaler
    table: Table
    milliseconds: float

    def estimate(self, width: float, size: tuple[int, int]) -> float:
        """Milliseconds for an image of `size` (height, width), by the table.

        Windows between the measured sizes lie on straight lines between them; smaller ones count
        as the smallest, larger ones in proportion to their pixels.
        """
        planned = replace(self.upscaler, width=width)
        tile, overlap = planned.tile_for(*size)
        window = math.prod(min(t + 2 * overlap, side) for t, side in zip(tile, size, strict=True))
        pixels, times = zip(*self.table[width], strict=True)
        windows = planned.count_tiles(*size)
        if self.upscaler.whole_image and windows > 1:
            windows += 1  # that of the small copy, for the attention's averages
        views = _VIEWS if self.upscaler.self_ensemble else 1
        beyond = max(1.0, window / pixels[-1])
        return views * windows * beyond * float(np.interp(window, pixels, times))

    def choose(self, size: tuple[int, int]) -> tuple[Upscaler, str]:
        """The network for an image of `size`, and the choice in words.

        The widest width whose estimate fits; where none does, the narrowest.
        """
        estimates = {width: self.estimate(width, size) for width in sorted(self.table)}
        fitting = [width for width, ms in estimates.items() if ms <= self.milliseconds]
        width = max(fitting, default=min(estimates))
        words = f"width {width:g}, about {_ms(estimates[width])} ms"
        if not fitting:
            words += f": more than the {self.milliseconds:.10g} allowed, and the narrowest there is"
        elif width == max(estimates):
            words += f" of {self.milliseconds:.10g}, the widest there is"
        else:
            wider = min(other for other in estimates if other > width)
            words += f" of {self.milliseconds:.10g} (width {wider:g}: {_ms(estimates[wider])})"
        return self.upscaler.at_width(width), words


def open_budget(
    ckpt: str | Path,
    upscaler: Upscaler,
    milliseconds: float,
    *,
    device: str = "CPU",
    cache_dir: str | Path | None = None,
) -> Budget:
    """The budget for images that `upscaler`, opened from `ckpt`, upscales.

    Raises InputError for an exported file, which holds one width.
    """
    if upscaler.at is None:
        raise InputError(
            f"{ckpt} was exported at one width; --budget_ms chooses among those of a checkpoint, "
            "name one with --ckpt"
        )
    table = measured_table(ckpt, upscaler, device=device, cache_dir=cache_dir)
    return Budget(upscaler, table, milliseconds)


def measured_table(
    ckpt: str | Path,
    upscaler: Upscaler,
    *,
    device: str,
    cache_dir: str | Path | None = None,
) -> Table:
    """Milliseconds of every trained width, from the cache or measured now and kept there.

    A table in the cache that cannot be read, or is of something else, is measured again and
    replaced; where the cache cannot be written, that is logged and the table serves this run.
    """
    key = _key(Path(ckpt), upscaler, device)
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder(cache_dir) / "speed" / f"{name}.json"
    table = _read(path, key, upscaler)
    if table is not None:
        _log.info(f"{_summary(table, upscaler.engine.name)} (measured earlier, {path})")
        return table
    table = {
        width: _measure(
            upscaler.at_width(width).engine, upscaler.scale, window_sides(upscaler, width)
        )
        for width in upscaler.widths
    }
    _log.info(f"{_summary(table, upscaler.engine.name)} (measured now, kept in {path})")
    rows = [{"width": width, "points": points} for width, points in table.items()]
    try:
        write_text(path, json.dumps({"key": key, "widths": rows}, indent=1) + "\n")
    except WorkError as error:
        _log.info(f"note: {error}; the next run measures again")
    return table


def window_sides(upscaler: Upscaler, width: float) -> list[int]:
    """Sides of the square windows to measure: up to the largest that the tiles need.

    None larger than without a set tile: who wants no tiles gives a large number.
    """
    usual = replace(upscaler, width=width, tile=None)
    free = replace(usual, tile=upscaler.tile)
    far = 1_000_000  # of an image that needs tiles
    sides = [up.tile_for(far, far)[0][0] + 2 * up.overlap for up in (usual, free) if up.tile != 0]
    whole = min(sides)
    return sorted({_SMALLEST_SIDE, whole // 2, whole})


def _measure(run: Engine, scale: int, sides: list[int]) -> list[tuple[int, float]]:
    """(pixels, milliseconds) of upscaling one window of each side, compilation left out."""
    points = []
    for side in sides:
        image = np.full((side, side, 3), 128, np.uint8)
        upscale(run, image, scale=scale)  # compiles, and takes the memory that it needs
        seconds: list[float] = []
        while len(seconds) < _RUNS and sum(seconds) < _ENOUGH_SECONDS:
            start = time.perf_counter()
            upscale(run, image, scale=scale)
            seconds.append(time.perf_counter() - start)
        points.append((side * side, round(1000.0 * statistics.median(seconds), 3)))
    return points


def _key(ckpt: Path, upscaler: Upscaler, device: str) -> dict:
    """All that decides a speed, as plain data."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
    return {
        "checkpoint": hashlib.sha256(ckpt.read_bytes()).hexdigest(),
        "device": device,
        "tile": upscaler.tile,
        "threads": threads,
        "machine": platform.node(),
        "engine": upscaler.engine.name,
        "version": _version(upscaler.engine.name),
    }


def _version(engine: str) -> str:
    """Of the engine's package, which has its name; "" where it is installed in another way."""
    try:
        return importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(path: Path, key: dict, upscaler: Upscaler) -> Table | None:
    """The table in `path`; None where there is none, or none that can be used."""
    try:
        content = json.loads(read_text(path))
        table = {
            float(row["width"]): [(int(pixels), float(ms)) for pixels, ms in row["points"]]
            for row in content["widths"]
        }
        known = content["key"]
    except (InputError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    whole = known == key and sorted(table) == sorted(upscaler.widths)
    for width, points in table.items():
        expected = [side * side for side in window_sides(upscaler, width)]
        whole &= [pixels for pixels, _ in points] == expected
        whole &= all(0.0 < ms < math.inf for _, ms in points)
    return table if whole else None


def _summary(table: Table, engine: str) -> str:
    times = []
    for width in sorted(table, reverse=True):
        pixels, ms = table[width][-1]
        side = math.isqrt(pixels)
        times.append(f"{_ms(ms)} ms at width {width:g} ({side}x{side} pixels)")
    return f"in {engine}, a window takes " + ", ".join(times)


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"

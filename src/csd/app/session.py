"""What the web page does with an image; nothing here knows of the web."""

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from csd.app.guard import used_bytes
from csd.data import image_size
from csd.data.formats import explain_image_error
from csd.data.samples import to_8_bits
from csd.errors import InputError, WorkError
from csd.inference import ImageFile, Upscaler, read_image_file, write_image_file
from csd.inference.images import as_rgb8

MEGABYTE = 1 << 20
# What a page shows; the download has every pixel.
_PREVIEW_SIDE = 1600
_BEHIND_ALPHA = 238
# Results on disk at any time; a page takes its own copy at once.
_KEPT_RESULTS = 4


@dataclass(frozen=True)
class Answer:
    """Two images of one size, uint8 (H, W, 3), the file to download, and a line about it."""

    before: np.ndarray
    after: np.ndarray
    file: Path
    summary: str


class Session:
    """A network that is ready, the limits of what it is given, and the folder of its results.

    Args:
        upscaler: from `csd.inference.open_upscaler`.
        folder: an existing folder; each result gets a folder of its own below it.
        max_bytes, max_pixels: largest upload.
        max_total: bytes that uploads and results may take together.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        folder: Path,
        *,
        max_bytes: int,
        max_pixels: int,
        max_total: int = 1 << 30,
    ):
        self.upscaler, self.folder = upscaler, folder
        self.max_bytes, self.max_pixels, self.max_total = max_bytes, max_pixels, max_total
        self._results: deque[Path] = deque()
        # MindSpore's graphs are compiled and run in one thread; pages come in many.
        self._worker = ThreadPoolExecutor(1)

    def widths(self) -> list[tuple[str, float]]:
        """(label, width) of what can be chosen, the first one ready."""
        up = self.upscaler
        trained = up.widths if up.at else (up.width,)
        others = [width for width in trained if width != up.width]
        return [(self._label(width), width) for width in (up.width, *others)]

    def _label(self, width: float) -> str:
        if len(self.upscaler.widths) == 1:
            return f"Width {width:g}"
        role = "Teacher, best" if width == 1.0 else "Student, fast"
        return f"{role} (width {width:g})"

    def check(self, path: Path) -> None:
        """Raise InputError for a file above the limits, or that is no image; decodes nothing."""
        try:
            size = path.stat().st_size
        except OSError as error:
            raise explain_image_error(path, error) from None
        if size > self.max_bytes:
            raise InputError(
                f"this file has {size / MEGABYTE:.1f} MB; at most "
                f"{self.max_bytes / MEGABYTE:g} MB are taken"
            )
        height, width = image_size(path)
        if height * width > self.max_pixels:
            raise InputError(
                f"this image has {width} x {height} = {height * width / 1e6:.1f} megapixels; at "
                f"most {self.max_pixels / 1e6:g} are taken"
            )

    def upscale(
        self, path: str | Path, width: float, progress: Callable[[float], None] | None = None
    ) -> Answer:
        """Up-scale one file.

        progress: called with the share that is done, 0..1.

        Raises:
            InputError: a file above the limits, or unreadable, or a width that was not offered.
            WorkError: the network or the disk failed.
        """
        path = Path(path)
        if width not in [offered for _, offered in self.widths()]:
            raise InputError(f"width {width} is not among those offered")
        if used_bytes(self.folder) > self.max_total:
            raise WorkError("the page's disk space is used up; try again in an hour")
        try:
            self.check(path)
            return self._worker.submit(self._upscale, path, width, progress).result()
        except InputError as error:  # the page's reader knows the file, not our path to it
            raise InputError(str(error).replace(str(path), "this file")) from None
        except MemoryError:
            raise WorkError("there is not enough memory for this image") from None

    def _upscale(self, path: Path, width: float, progress: Callable | None) -> Answer:
        up, started = self.upscaler.at_width(width), time.monotonic()
        image = read_image_file(path)
        total, done = up.count_tiles(*image.size), 0

        def step(tiles: int) -> None:
            nonlocal done
            done += tiles
            if progress is not None:
                progress(done / total)

        called = time.monotonic()
        upscaled = up.upscale_file(image, step)
        network = time.monotonic() - called
        seconds = time.monotonic() - started
        if len(self._results) >= _KEPT_RESULTS:
            shutil.rmtree(self._results.popleft(), ignore_errors=True)
        self._results.append(Path(tempfile.mkdtemp(dir=self.folder)))
        target = self._results[-1] / f"{_plain(path.stem)}_x{up.scale}.png"
        write_image_file(target, upscaled)
        (low, across), (high, wide) = image.size, upscaled.size
        facts = [
            f"{across} x {low} → {wide} x {high} pixels",
            f"{seconds:.1f} s at width {width:g}",
            f"of which {up.engine.name} {network:.1f} s",
            f"PNG of {target.stat().st_size / MEGABYTE:.1f} MB",
        ]
        size = _preview_size(upscaled)
        before, after = _preview(image, size), _preview(upscaled, size)
        return Answer(before, after, target, "; ".join([", ".join(facts), *image.notes]))


def _plain(name: str) -> str:
    """A file name that is safe anywhere: letters, digits, `-` and `_`."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:60] or "photo"


def _preview_size(image: ImageFile) -> tuple[int, int]:
    """(width, height) of what is shown: the image, no side longer than `_PREVIEW_SIDE`."""
    height, width = image.size
    share = min(1.0, _PREVIEW_SIDE / max(height, width))
    return max(1, round(width * share)), max(1, round(height * share))


def _preview(image: ImageFile, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) of that size, bicubic, on light grey where the image is transparent."""
    shown = Image.fromarray(as_rgb8(image))
    if image.alpha is not None:
        behind = Image.new("RGB", shown.size, (_BEHIND_ALPHA,) * 3)
        shown = Image.composite(shown, behind, Image.fromarray(to_8_bits(image.alpha)))
    return np.asarray(shown.resize(size, Image.Resampling.BICUBIC))

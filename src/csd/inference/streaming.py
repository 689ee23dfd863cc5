"""An image into a file: the network and the writing at the same time, strip by strip."""

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from csd.data.encode import write_strips
from csd.data.image_file import ImageFile
from csd.inference.images import upscale_strips

if TYPE_CHECKING:
    from csd.inference.upscaler import Upscaler

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_WAITING = 1  # strips between the network and the writer
_END = object()


class _Stopped(Exception):
    """The producer failed: what was consumed is not the whole."""


def upscale_to_file(
    upscaler: "Upscaler",
    image: ImageFile,
    path: str | Path,
    writer: ThreadPoolExecutor,
    progress: Callable[[int], None] | None = None,
) -> "Future[list[str]]":
    """Upscale an image in this thread while `writer` writes what is there of it.

    Returns when the network is done; the file may then still be in writing. PNG, TIFF and PNM are
    never held as a whole: memory does not grow with the image's height.

    Args:
        writer: of one thread or more.
        progress: called with 1 after every tile.

    Returns:
        What `write_image_file` returns, or its errors.

    Raises:
        InputError, WorkError: as `upscale_image`, and those of the writing where they come while
            the network still runs. No file is left.
    """
    size = image.size[0] * upscaler.scale, image.size[1] * upscaler.scale
    strips = (
        pixels if alpha is None else np.dstack([pixels, alpha])
        for pixels, alpha in upscale_strips(upscaler, image, progress)
    )
    return _hand_over(strips, lambda given: write_strips(path, image, size, given), writer)


def _hand_over(
    items: Iterable[_Item],
    consume: Callable[[Iterator[_Item]], _Result],
    executor: ThreadPoolExecutor,
) -> "Future[_Result]":
    """`consume` in another thread what this thread makes; returns when all is made."""
    waiting: queue.Queue = queue.Queue(_WAITING)

    def given() -> Iterator[_Item]:
        while (item := waiting.get()) is not _END:
            if item is _Stopped:
                raise _Stopped
            yield item

    future = executor.submit(lambda: consume(given()))
    try:
        for item in items:
            _put(waiting, item, future)
    except BaseException:
        _put(waiting, _Stopped, future)
        future.exception()  # waits until what was written is removed
        raise
    _put(waiting, _END, future)
    return future


def _put(waiting: queue.Queue, item: object, future: Future) -> None:
    """Put an item, unless its consumer has failed; then raise that error."""
    while True:
        if future.done():
            if item is not _END and item is not _Stopped:
                future.result()
            return
        with contextlib.suppress(queue.Full):
            return waiting.put(item, timeout=0.1)

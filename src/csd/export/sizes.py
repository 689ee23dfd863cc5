"""The input sizes of an export: `64x64`, `64x64,120x160` or `dynamic`."""

import re

from csd.errors import InputError

MAX_SIDE = 8192

Size = tuple[int, int]


def parse_sizes(text: str) -> list[Size] | None:
    """Height and width of each input, or None for `dynamic`.

    Raises:
        InputError: anything but `dynamic` or a list of `HxW` with sides of 1 to 8192.
    """
    if text.strip().lower() == "dynamic":
        return None
    sizes = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", part)
        if not match:
            raise InputError(
                f"--size {text!r} is neither `dynamic` nor a list such as 64x64,120x160 "
                "(height x width of the LR image)"
            )
        size = int(match[1]), int(match[2])
        if not all(1 <= side <= MAX_SIDE for side in size):
            raise InputError(f"--size {part.strip()}: a side must be between 1 and {MAX_SIDE}")
        if size not in sizes:
            sizes.append(size)
    return sizes

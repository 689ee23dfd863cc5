"""Which images an `--input` names, and what their outputs are called."""

import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from csd.data.encode import WRITTEN_SUFFIXES
from csd.data.formats import describe_unread, image_suffixes, is_image_name
from csd.errors import InputError, printable

_MAX_NAME_BYTES = 255  # of a file name on Linux


@dataclass(frozen=True)
class Job:
    """One image and where its results go; `compare` is None unless asked for."""

    source: Path
    output: Path
    compare: Path | None = None

    def outputs(self) -> list[Path]:
        return [path for path in (self.output, self.compare) if path is not None]

    def done(self) -> bool:
        return all(path.is_file() for path in self.outputs())


def find_images(wanted: str) -> list[Path]:
    """The files that `wanted` names: a file, the images of a folder (not below it), or a glob.

    A file that exists is that file, though its name may look like a glob.

    Raises:
        InputError: nothing is there.
    """
    path = Path(wanted)
    try:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if is_image_name(p) and p.is_file())
            if not found:
                known, rest = ", ".join(sorted(image_suffixes())), unread_files(wanted)
                what = f"no image in the folder {printable(path)} ({known})"
                raise InputError(f"{what}; {rest}" if rest else what)
            return found
        if os.path.lexists(path):
            return [path]
        # Path.glob takes no absolute pattern.
        names = glob.glob(wanted, recursive=True)  # noqa: PTH207
        found = sorted(Path(name) for name in names)
    except (OSError, ValueError) as error:  # no permission; a name too long or with a null byte
        raise InputError(f"--input {printable(wanted)} cannot be looked up: {error}") from None
    found = [p for p in found if p.is_file() and not p.name.startswith(".")]
    if not found:
        raise InputError(
            f"--input {printable(wanted)}: no such image, folder or pattern; put patterns in quotes"
        )
    return found


def unread_files(wanted: str) -> str | None:
    """Where `wanted` is a folder: one line that counts the files in it that are not read."""
    path = Path(wanted)
    return describe_unread(path.iterdir()) if path.is_dir() else None


def plan_jobs(
    sources: Sequence[Path], output_dir: Path, *, same_format: bool = False, compare: bool = False
) -> list[Job]:
    """A different output for every image, all directly in `output_dir`, none of them an input.

    `same_format` keeps the formats that are written here; the others, GIF for one, become PNG.
    `a.jpg` becomes `a.png`; where two images would share that name (`a.jpg` and `a.png`, or
    `x/a.jpg` and `y/a.jpg`), the later ones are called `a_png.png`, `a_jpg_2.png` and so on.
    """
    taken = {real_path(path) for path in sources}
    folder = real_path(output_dir)
    jobs = []
    for source in sources:
        lower = source.suffix.lower()
        suffix = lower if same_format and lower in WRITTEN_SUFFIXES else ".png"
        for added in _additions(source):
            endings = [added + suffix, *([f"{added}_compare.png"] if compare else [])]
            names = [_fitted(source.stem, ending) for ending in endings]
            if not taken.intersection(folder / name for name in names):
                break
        taken.update(folder / name for name in names)
        jobs.append(Job(source, *(output_dir / name for name in names)))
    return jobs


def real_path(path: Path) -> Path:
    """The path without links; one that turns in a circle stays, where `Path.resolve` raises."""
    return Path(os.path.realpath(path))


def _fitted(stem: str, ending: str) -> str:
    """`stem + ending`, of the stem as many whole characters as a file name has room for."""
    while len(os.fsencode(stem + ending)) > _MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + ending


def _additions(source: Path) -> Iterator[str]:
    """What to try behind the stem, the nicest first, without end."""
    yield ""
    added = f"_{source.suffix.lower()[1:9] or 'image'}"
    yield added
    for number in itertools.count(2):
        yield f"{added}_{number}"

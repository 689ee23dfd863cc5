"""Which photographs an `--input` names, and what their outputs are called."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from csd.data.images import IMAGE_SUFFIXES, is_image_name
from csd.errors import InputError

# "same" writes these; everything else, GIF for one, becomes PNG.
_KEPT_SUFFIXES = IMAGE_SUFFIXES - {".gif"}


@dataclass(frozen=True)
class Job:
    """One photograph and where its results go; `compare` is None unless asked for."""

    source: Path
    output: Path
    compare: Path | None = None

    def outputs(self) -> list[Path]:
        return [path for path in (self.output, self.compare) if path is not None]

    def done(self) -> bool:
        return all(path.is_file() for path in self.outputs())


def printable(path: str | Path) -> str:
    """A path as text that any terminal takes: names on disk may be any bytes."""
    return str(path).encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def find_photos(wanted: str) -> list[Path]:
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
                known = ", ".join(sorted(IMAGE_SUFFIXES))
                raise InputError(f"no photograph in the folder {printable(path)} ({known})")
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
            f"--input {printable(wanted)}: no such photograph, folder or pattern; "
            "put patterns in quotes"
        )
    return found


def plan_jobs(
    sources: Sequence[Path], output_dir: Path, *, same_format: bool = False, compare: bool = False
) -> list[Job]:
    """A different output for every photograph, all directly in `output_dir`, none of them an input.

    `a.jpg` becomes `a.png`; where two photographs would share that name (`a.jpg` and `a.png`, or
    `x/a.jpg` and `y/a.jpg`), the later ones are called `a_png.png`, `a_jpg_2.png` and so on.
    """
    taken = {path.resolve() for path in sources}
    folder = output_dir.resolve()
    jobs = []
    for source in sources:
        lower = source.suffix.lower()
        suffix = lower if same_format and lower in _KEPT_SUFFIXES else ".png"
        for stem in _stems(source):
            names = [stem + suffix, *([f"{stem}_compare.png"] if compare else [])]
            if not taken.intersection(folder / name for name in names):
                break
        taken.update(folder / name for name in names)
        jobs.append(Job(source, *(output_dir / name for name in names)))
    return jobs


def _stems(source: Path):
    """Names to try, the nicest first, without end."""
    yield source.stem
    longer = f"{source.stem}_{source.suffix.lower().removeprefix('.') or 'image'}"
    yield longer
    number = 2
    while True:
        yield f"{longer}_{number}"
        number += 1

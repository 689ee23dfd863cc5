"""Write images that come with scikit-image into a folder: some to train on, some held out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from csd.errors import InputError, run_main
from csd.interrupt import hold_interrupts

TRAIN = (
    *("astronaut", "motorcycle_left", "coffee", "hubble_deep_field"),
    *("camera", "brick", "grass", "gravel"),
)
HELD_OUT = ("chelsea", "rocket")


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    parser = argparse.ArgumentParser(prog="demo_photos.py", description=__doc__)
    parser.add_argument("--output_dir", default="output/demo/photos", metavar="DIR")
    args = parser.parse_args(argv)
    try:
        import skimage
    except ImportError:
        raise InputError(
            "scikit-image is not installed; `pip install scikit-image==0.26.0` brings images"
        ) from None

    from csd.data import read_image, write_png

    source = Path(skimage.__file__).parent / "data"
    for split, names in (("train", TRAIN), ("test", HELD_OUT)):
        folder = Path(args.output_dir) / split / "HR"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            target = folder / f"{name}.png"
            if not target.exists():
                write_png(target, read_image(_find(source, name)))
        print(f"{folder}: {', '.join(names)}")
    return 0


def _find(folder: Path, name: str) -> Path:
    found = [folder / f"{name}{ending}" for ending in (".png", ".jpg")]
    for path in found:
        if path.is_file():
            return path
    raise InputError(f"this scikit-image has no image {name} in {folder}; use version 0.26.0")


if __name__ == "__main__":
    hold_interrupts()
    sys.exit(run_main(main))

"""Where images lie on disk: DIV2K, benchmark sets, plain folders. Nothing is decoded here.

- `div2k`: `DIV2K_train_HR/0001.png`, `DIV2K_train_LR_bicubic/X4/0001x4.png`, and the same with
  `valid`; or all of it in the train folders. Split by number: 0001-0800 train, 0801-0810 validate;
  names of another form (Flickr2K's `000001.png`) train.
- `benchmark`: `<Set>/HR/<name>.png`, `<Set>/LR_bicubic/X4/<name>x4.png`.
- `folder`: images in `D` or `D/HR`.

Everywhere LR files that lie there are used (`csd.data.low_resolution`), or LR is made.
"""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csd.data.decode import image_size
from csd.data.formats import describe_unread, warn_unread
from csd.data.images import read_image
from csd.data.imresize import imresize_bicubic
from csd.data.low_resolution import (
    BICUBIC,
    find_lr,
    fits,
    hr_folder_of,
    hr_folders_of,
    list_images,
    lr_folders,
)
from csd.data.roles import sort_roles
from csd.errors import InputError

LAYOUTS = ("auto", "div2k", "benchmark", "folder")
SPLITS = ("train", "val", "all")
DIV2K_TRAIN = range(1, 801)
DIV2K_VAL = range(801, 811)


@dataclass(frozen=True)
class Pair:
    """One image: its name, its HR file, and its LR file or None (then LR is made from HR)."""

    name: str
    hr: Path
    lr: Path | None = None


def find_pairs(
    data_dir: str | Path,
    scale: int,
    layout: str = "auto",
    split: str = "train",
    val_dir: str | Path | None = None,
    lr: str = BICUBIC,
) -> list[Pair]:
    """The images of a split, sorted by name.

    DIV2K splits by number (0001-0800, 0801-0810). Any other layout keeps its last tenth, at least
    one image, for validation; with `val_dir` it trains on all, and `val_dir` validates. Split
    `all` is everything. `lr`: which LR files, see `csd.data.low_resolution.find_lr`.

    Raises:
        InputError: a missing folder, no images, too few to split, LR files missing (named).
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout '{layout}' is unknown; choose one of {', '.join(LAYOUTS)}")
    if split not in SPLITS:
        raise InputError(f"split '{split}' is unknown; choose one of {', '.join(SPLITS)}")
    if split == "val" and val_dir is not None:
        folder = _folder(val_dir, "val_dir")
        kind = detect_layout(folder)
        return _read(folder, scale, kind, "val" if kind == "div2k" else "all", lr)
    folder = _folder(data_dir, "data_dir")
    kind = detect_layout(folder) if layout == "auto" else layout
    if split == "train" and val_dir is not None and kind != "div2k":
        split = "all"
    return _read(folder, scale, kind, split, lr)


def benchmark_pairs(
    data_dir: str | Path, set_name: str, scale: int, lr: str = BICUBIC
) -> list[Pair]:
    """The images of a benchmark set: `data_dir/Set`, `data_dir/benchmark/Set`, or a path.

    The set is `<Set>/HR` with or without `<Set>/LR_bicubic`, a plain folder of HR images, or
    a DIV2K folder (images 801-810). Where no LR files exist they are None: `load_pair` makes them.
    `lr`: which LR files, see `csd.data.low_resolution.find_lr`.

    Raises:
        InputError: no such set (the sentence lists those present), no images, LR missing.
    """
    data_dir = Path(data_dir)
    for folder in (data_dir / set_name, data_dir / "benchmark" / set_name, Path(set_name)):
        if set_name and folder.is_dir():
            kind = detect_layout(folder)
            return _read(folder, scale, kind, "val" if kind == "div2k" else "all", lr)
    _folder(data_dir, "data_dir")
    there = [s.name for root in (data_dir, data_dir / "benchmark") for s in _set_folders(root)]
    names = sorted(there)
    if len(names) > 8:  # a folder of anything may hold hundreds
        names = [*names[:8], f"and {len(names) - 8} more"]
    hint = f"sets there: {', '.join(names)}" if names else "no set lies there"
    raise InputError(
        f"no set '{set_name}' in {data_dir} or {data_dir / 'benchmark'}"
        f" (expected {set_name}/HR with images); {hint}"
    )


def detect_layout(folder: Path) -> str:
    """Which of the three layouts a folder has; `folder` where nothing shows it."""
    if _div2k_root(folder) is not None:
        return "div2k"
    hr = hr_folder_of(folder)
    if hr != folder and hr.is_dir() and lr_folders(hr):
        return "benchmark"
    if hr != folder and not hr.is_dir() and _benchmark_roots(folder):
        return "benchmark"
    return "folder"


def fitted_size(pair: Pair, hr: tuple[int, int], lr: tuple[int, int], scale: int):
    """(H, W) in LR pixels that HR and LR share, both cropped at the bottom and right.

    Raises:
        InputError: the sizes do not belong to this scale.
    """
    if not fits(hr, lr, scale):
        raise InputError(
            f"{pair.lr} measures {lr[1]}x{lr[0]}, which does not fit {pair.hr}"
            f" ({hr[1]}x{hr[0]}) at scale {scale}; check the scale and the LR folder"
        )
    return min(hr[0] // scale, lr[0]), min(hr[1] // scale, lr[1])


def load_pair(pair: Pair, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode a pair: HR uint8 (s*h, s*w, 3) cropped at the bottom and right, LR uint8 (h, w, 3).

    LR is read, or made with MATLAB's bicubic from the cropped HR.

    Raises:
        InputError: a file cannot be read, or the two sizes do not belong to this scale.
    """
    hr = read_image(pair.hr)
    if pair.lr is None:
        h, w = (n // scale for n in hr.shape[:2])
        if min(h, w) < 1:
            raise InputError(f"{pair.hr} is smaller than the scale {scale}; remove it")
        hr = np.ascontiguousarray(hr[: h * scale, : w * scale])
        return hr, imresize_bicubic(hr, 1 / scale)
    lr = read_image(pair.lr)
    (height, width), (lr_height, lr_width) = hr.shape[:2], lr.shape[:2]
    h, w = fitted_size(pair, (height, width), (lr_height, lr_width), scale)
    return (
        np.ascontiguousarray(hr[: h * scale, : w * scale]),
        np.ascontiguousarray(lr[:h, :w]),
    )


def check_pair(pair: Pair, scale: int, lr_patch: int = 1) -> tuple[int, int]:
    """(H, W) of the LR image, from the headers alone: errors come before hours of decoding.

    Raises:
        InputError: unreadable header, sizes that do not fit, or HR smaller than the patch.
    """
    hr = image_size(pair.hr)
    lr = (hr[0] // scale, hr[1] // scale)
    if pair.lr is not None:
        lr = fitted_size(pair, hr, image_size(pair.lr), scale)
    if min(lr) < lr_patch:
        raise InputError(
            f"{pair.hr} ({hr[1]}x{hr[0]}) is smaller than the HR patch of {lr_patch * scale} pixels"
            f" (LR patch {lr_patch} x scale {scale}); remove it or choose a smaller patch"
        )
    return lr


def _folder(path: str | Path, what: str) -> Path:
    with contextlib.suppress(RuntimeError):  # of nobody who is known here: then it does not exist
        path = Path(path).expanduser()
    path = Path(path)
    if not path.exists():
        raise InputError(f"{what} {path} does not exist")
    if not path.is_dir():
        raise InputError(f"{what} {path} is a file; give the folder that holds the images")
    return path


def _read(folder: Path, scale: int, kind: str, split: str, lr: str) -> list[Pair]:
    if kind == "div2k":
        return _div2k(folder, scale, split, lr)
    read = _benchmark if kind == "benchmark" else _plain
    return _split(read(folder, scale, lr), split, folder)


def _split(pairs: list[Pair], split: str, folder: Path) -> list[Pair]:
    if split == "all":
        return pairs
    if len(pairs) < 2:
        raise InputError(
            f"{folder} holds one image: none is left to validate with; add some or give val_dir"
        )
    count = max(1, len(pairs) // 10)
    return pairs[-count:] if split == "val" else pairs[:-count]


def _plain(folder: Path, scale: int, lr: str) -> list[Pair]:
    hr_folder = hr_folder_of(folder)
    images = list_images(hr_folder)
    if not images:
        rest = describe_unread(folder.iterdir())
        raise InputError(
            f"no images in {folder} or {folder / 'HR'};"
            " put .png or .jpg files there, or check the layout" + (f" ({rest})" if rest else "")
        )
    return _paired(images, [hr_folder], scale, lr)


def _paired(
    images: list[Path], hr_folders: list[Path], scale: int, lr: str, prefix: str = ""
) -> list[Pair]:
    """Name the HR files among `images`, and give each its LR file."""
    for folder in sorted({path.parent for path in images}):
        warn_unread(folder)
    roles = sort_roles(images, scale)
    found = find_lr(roles.hr, hr_folders, scale, lr) or roles.used_lr(scale, lr)
    return [Pair(prefix + _unique_name(p, roles.hr), p, found.get(p)) for p in roles.hr]


def _unique_name(path: Path, images: list[Path]) -> str:
    """The stem; with the ending where `a.png` and `a.jpg` lie side by side."""
    twins = sum(p.stem == path.stem for p in images)
    return path.stem if twins == 1 else path.name


def _set_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(d for d in root.iterdir() if d.is_dir() and _is_set(d))


def _is_set(folder: Path) -> bool:
    found = hr_folders_of(folder)
    return len(found) == 1 and found != [folder]


def _benchmark_roots(folder: Path) -> list[Path]:
    """The set folders that `folder` stands for: itself, its children, or benchmark's children."""
    if hr_folder_of(folder).is_dir():
        return [folder]
    return _set_folders(folder) or _set_folders(folder / "benchmark")


def _benchmark(folder: Path, scale: int, lr: str) -> list[Pair]:
    roots = _benchmark_roots(folder)
    pairs = []
    for root in roots:
        prefix = "" if len(roots) == 1 else f"{root.name}/"
        hr = hr_folder_of(root)
        if images := list_images(hr):
            pairs += _paired(images, [hr], scale, lr, prefix)
    if not pairs:
        raise InputError(f"no images in {folder / 'HR'}; expected <Set>/HR/<name>.png")
    return pairs


def _div2k_root(folder: Path) -> Path | None:
    for root in (folder, folder / "DIV2K"):
        if (root / "DIV2K_train_HR").is_dir() or (root / "DIV2K_valid_HR").is_dir():
            return root
    return None


def _div2k(folder: Path, scale: int, split: str, lr: str) -> list[Pair]:
    root = _div2k_root(folder)
    if root is None:
        raise InputError(f"{folder} has no folder DIV2K_train_HR; check data_dir and the layout")
    hr_folders = [root / f"DIV2K_{part}_HR" for part in ("train", "valid")]
    images = list_images(hr_folders[0])
    stems = {image.stem for image in images}  # of an image in both folders the train folder's
    images += [image for image in list_images(hr_folders[1]) if image.stem not in stems]
    images = sorted((p for p in images if _in_split(p, split)), key=lambda path: path.name)
    if not images:
        wanted = DIV2K_VAL if split == "val" else DIV2K_TRAIN
        where = f"numbered {wanted.start:04d} to {wanted.stop - 1:04d}"
        hint = "; put DIV2K_valid_HR beside it or give val_dir" if split == "val" else ""
        raise InputError(f"{root} has no DIV2K image {where}{hint}")
    return _paired(images, hr_folders, scale, lr)


def _in_split(image: Path, split: str) -> bool:
    """DIV2K's names are four digits; whatever has another form trains."""
    number = re.match(r"\d{4}(?!\d)", image.stem)
    if split == "all" or number is None:
        return split != "val"
    return int(number[0]) in (DIV2K_VAL if split == "val" else DIV2K_TRAIN)

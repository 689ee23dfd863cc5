"""Which LR images belong to which HR images, by the names of folders and files.

LR folders lie beside their HR folder or in it: `LR_bicubic/X4`, `LR/x4`, `LRbicx4`, `LQ`, and
beside `DIV2K_train_HR` likewise `DIV2K_train_LR_unknown/X4`. Without a scale in the folder's name,
the names of the files give it, else their sizes. Nothing is decoded here.
"""

import functools
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csd.data.decode import image_size
from csd.data.formats import is_image_name, warn_unread
from csd.errors import InputError, printable

# HR may exceed scale * LR: sets are cropped to a multiple of 12 so that one HR serves x2, x3, x4.
MAX_EXCESS = 12
# `made` leaves all LR files alone; `bicubic` also takes those of folders that name no degradation.
MADE, BICUBIC, UNNAMED = "made", "bicubic", ""
_STRANGE = "?"  # of a folder whose name says nothing

_HR_FOLDER = re.compile(r"(?P<prefix>(?:.*[_-])?)(?:HR|GT(?:mod\d+)?)", re.IGNORECASE)
_LR_FOLDER = re.compile(
    r"L[RQ](?:[_-]?(?P<short>bicubic|bic|bi|bd|dn)|[_-](?P<word>[a-z]+?(?:[_-][a-z]+?)*))??"
    r"(?:[_-]?x?(?P<scale>\d))?",
    re.IGNORECASE,
)
_SCALE_FOLDER = re.compile(r"x?(\d)", re.IGNORECASE)
_BICUBIC_WORDS = ("bicubic", "bic", "bi")
_WORDS = re.compile("bicubic|bic|bi|bd|dn|unknown|mild|difficult|wild", re.IGNORECASE)


@dataclass(frozen=True)
class LRFolder:
    """A folder of LR images: its degradation ("" where it names none) and scale, if named."""

    path: Path
    degradation: str
    scale: int | None


def list_images(folder: Path) -> list[Path]:
    """The images in a folder, sorted; none where it does not exist.

    Raises:
        InputError: no permission to list it.
    """
    return [path for path in _listed(folder) if is_image_name(path) and path.is_file()]


def fits(hr: tuple[int, int], lr: tuple[int, int], scale: int) -> bool:
    """Whether two (height, width) are those of an HR image and its LR image, up to cropping."""
    return all(
        -scale < big - scale * small <= MAX_EXCESS and min(big // scale, small) >= 1
        for big, small in zip(hr, lr, strict=True)
    )


def hr_folder_of(folder: Path) -> Path:
    """Where the HR images of a set's folder lie: in itself, or in `HR`, `hr`, `GTmod12`.

    Raises:
        InputError: there are several, such as `train_HR` and `test_HR`.
    """
    found = hr_folders_of(folder)
    if len(found) > 1:
        names = ", ".join(d.name for d in found)
        raise InputError(f"{folder} has several HR folders: {names}; give one of them")
    return found[0] if found else folder / "HR"


def hr_folders_of(folder: Path) -> list[Path]:
    """Where HR images lie: a folder with images itself, else its `HR`, else each `*_HR`, `GT*`.

    `HR` with LR folders beside it is a set whatever images lie around it.
    """
    found = [d for d in _folders(folder) if _HR_FOLDER.fullmatch(d.name) and list_images(d)]
    usual = [d for d in found if d.name.casefold() == "hr"][:1]
    if usual and lr_folders(usual[0]):
        return usual
    return [folder] if list_images(folder) else usual or found


def lr_folders(hr_folder: Path) -> list[LRFolder]:
    """The LR folders that lie in an HR folder, or beside it under the same first words."""
    places = [(hr_folder, "")]
    if match := _HR_FOLDER.fullmatch(hr_folder.name):
        places.append((hr_folder.parent, match["prefix"]))
    found: list[LRFolder] = []
    for place, prefix in places:
        for child in _folders(place):
            start, rest = child.name[: len(prefix)], child.name[len(prefix) :]
            match = _LR_FOLDER.fullmatch(rest)
            if match and start.casefold() == prefix.casefold():
                found += _walk(_named(child, match, UNNAMED))
    return found


def find_lr(
    images: Sequence[Path], hr_folders: Sequence[Path], scale: int, lr: str = BICUBIC
) -> dict[Path, Path]:
    """The LR file of each HR image; empty where LR is to be made.

    What lies there and is not used is logged, once in a process.

    Args:
        images: the HR files, without what `csd.data.roles.sort_roles` takes away.
        hr_folders: the folders whose LR folders count.
        lr: a degradation (`bicubic`, `unknown`, `mild`, ...), `made`, or a folder of LR images.

    Raises:
        InputError: `lr` is neither there nor a folder (the sentence names what is there), or some
            of the LR files are missing (named).
    """
    if lr == MADE:
        return {}
    there = [folder for hr in hr_folders for folder in lr_folders(hr)]
    wanted = (BICUBIC, UNNAMED) if lr == BICUBIC else (lr.casefold(),)
    used: list[LRFolder] = []
    for degradation in wanted:
        named = [folder for folder in there if folder.degradation == degradation]
        used = used or _of_scale(named, images, scale)
    if not used and lr != BICUBIC:
        used = _given(lr, hr_folders, there, images, scale)
    if lr == BICUBIC:
        others = [] if used else [path for hr in hr_folders for path in _strangers(hr, there)]
        _note_unused(hr_folders[0].parent, (*there, *others), tuple(used), scale)
    if not used:
        return {}
    for folder in used:
        warn_unread(folder.path)
    files = _index(path for folder in used for path in list_images(folder.path))
    found = {image: _match(image, files, scale) for image in images}
    missing = [image for image in images if found[image] is None]
    if missing:
        raise missing_error(used[0].path, missing, scale)
    return {image: path for image, path in found.items() if path is not None}


def missing_error(there: Path, images: Sequence[Path], scale: int) -> InputError:
    """What to print where the LR files of `images` are not in the folder `there`."""
    names = ", ".join(f"{image.stem}x{scale}.png" for image in images[:5])
    more = f" and {len(images) - 5} more" if len(images) > 5 else ""
    return InputError(
        f"{there} lacks {names}{more}; add them, or have all LR images made with --data.lr=made"
    )


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror or error}") from error


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_dir() and not path.name.startswith(".")]


def _strangers(hr_folder: Path, there: Sequence[LRFolder]) -> Iterator[LRFolder]:
    """Folders with images beside an HR folder whose names say neither HR nor LR."""
    for folder in _folders(hr_folder.parent) if _HR_FOLDER.fullmatch(hr_folder.name) else []:
        known = any(lr.path.is_relative_to(folder) for lr in there)
        if not known and not _HR_FOLDER.fullmatch(folder.name):
            holding = (place for place in (folder, *_folders(folder)) if list_images(place))
            yield from (LRFolder(place, _STRANGE, None) for place in holding)


def _named(path: Path, match: re.Match, degradation: str) -> LRFolder:
    word = (match["short"] or match["word"] or "").casefold()
    word = BICUBIC if word in _BICUBIC_WORDS else word
    return LRFolder(path, word or degradation, int(match["scale"]) if match["scale"] else None)


def _walk(folder: LRFolder, depth: int = 0) -> Iterator[LRFolder]:
    """An LR folder and those in it, `X4` or `unknown/X4`, that hold images or a scale's name."""
    if folder.scale is not None or list_images(folder.path):
        yield folder
    for child in _folders(folder.path) if depth < 2 else []:
        name = f"LR_{child.name}" if _WORDS.fullmatch(child.name) else child.name
        if match := _SCALE_FOLDER.fullmatch(name):
            yield from _walk(replace(folder, path=child, scale=int(match[1])), depth + 1)
        elif match := _LR_FOLDER.fullmatch(name):
            yield from _walk(_named(child, match, folder.degradation), depth + 1)


def _of_scale(folders: list[LRFolder], images: Sequence[Path], scale: int) -> list[LRFolder]:
    exact = [folder for folder in folders if folder.scale == scale and list_images(folder.path)]
    exact = exact or [folder for folder in folders if folder.scale == scale]
    unnamed = [folder for folder in folders if folder.scale is None]
    return exact or [folder for folder in unnamed if _holds(folder, images, scale)]


def _holds(folder: LRFolder, images: Sequence[Path], scale: int) -> bool:
    """Whether a folder without a scale in its name has LR images of this scale."""
    files = _index(list_images(folder.path))
    stems = {image.stem.casefold() for image in images}
    suffixed = {stem: paths for stem, paths in files.items() if stem not in stems}
    named = {s for s in range(1, 10) for image in images if _match(image, suffixed, s, bare=False)}
    if named:
        return scale in named
    for image in images:
        if path := _match(image, files, scale):
            return not _is_of_other_scale(image, path, scale)
    return True  # strange names: the files that are missing will be named


def _is_of_other_scale(image: Path, lr: Path, scale: int) -> bool:
    try:
        hr, small = image_size(image), image_size(lr)
    except InputError:  # it will be named when it is read
        return False
    exact = [s for s in range(1, 10) if (hr[0] // s, hr[1] // s) == small]
    return scale not in exact and bool(exact)


def _index(paths) -> dict[str, list[Path]]:
    files = defaultdict(list)
    for path in paths:
        files[path.stem.casefold()].append(path)
    return files


def _match(image: Path, files: dict[str, list[Path]], scale: int, bare: bool = True) -> Path | None:
    """The LR file of an HR image: `ax4`, `a_x4`, `ax4m`, `a_LR` or `a` for `a` or `a_HR`."""
    bases = dict.fromkeys((image.stem, re.sub(r"[_-](HR|GT)$", "", image.stem, flags=re.I)))
    scaled = [f"x{scale}{sign}" for sign in ("", "m", "d", "w", "w1")]
    endings = [*scaled, *(f"_{end}" for end in scaled), *(f"-{end}" for end in scaled)]
    endings += [f"_LR{scale}", f"_LRx{scale}", f"_LR_x{scale}", *(("_LR", "") if bare else ())]
    for stem in (base + end for base in bases for end in endings):
        hits = files.get(stem.casefold(), [])
        if hits:
            return min(hits, key=lambda p: (p.stem != stem, p.suffix != image.suffix))
    return None


def _given(lr: str, hr_folders, there, images, scale: int) -> list[LRFolder]:
    """LR folders where `lr` is the name of a folder: it, its `X4`, or the set's folder in it."""
    folder, names = Path(lr).expanduser(), (hr_folders[0].name, hr_folders[0].parent.name)
    for place in (*(folder / name for name in names), folder):
        if place.is_dir():
            inside = [f for f in _walk(LRFolder(place, lr, None)) if f.degradation == lr]
            if used := _of_scale(inside, images, scale):
                return used
    kinds = sorted({f.degradation for f in there if f.degradation})
    known = [k for k in kinds if _of_scale([f for f in there if f.degradation == k], images, scale)]
    has = f"there are {', '.join(known)}" if known else "there are none"
    raise InputError(
        f"no LR images '{lr}' of scale {scale} beside {hr_folders[0]} ({has}), and no folder of"
        " that name has any; check data.lr"
    )


@functools.cache
def _note_unused(base: Path, there: tuple[LRFolder, ...], used: tuple[LRFolder, ...], scale: int):
    """Log the LR folders that are not used; other scales only where none of this scale is."""
    reasons: dict[Path, str] = {}
    for folder in there:
        path = folder.path.relative_to(base) if folder.path.is_relative_to(base) else folder.path
        of_scale = folder.scale in (None, scale)
        if folder in used or (used and not of_scale):
            continue
        if not of_scale:
            reasons[path] = f"scale {folder.scale}"
        elif folder.degradation == _STRANGE:
            reasons[path] = f"used with --data.lr={folder.path}"
        elif folder.degradation not in (BICUBIC, UNNAMED):
            reasons[path] = f"used with --data.lr={folder.degradation}"
        else:
            reasons[path] = f"used with --data.lr={folder.path}" if used else "another scale"
    if reasons:
        listed = ", ".join(f"{path} ({reason})" for path, reason in reasons.items())
        made = "" if used else f"; LR of scale {scale} is made"
        text = f"{base}: LR not used: {listed}{made}"
        logging.getLogger("csd.data").warning("note: %s", printable(text))

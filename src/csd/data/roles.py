"""HR and LR images that lie in one folder: `img_001_SRF_2_HR.png` and `img_001_SRF_2_LR.png`."""

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from csd.data.decode import image_size
from csd.data.low_resolution import BICUBIC, fits, missing_error
from csd.errors import InputError, printable

_HR = re.compile(r"(?P<base>.+)[_-](?:HR|GT)", re.IGNORECASE)
_LR = re.compile(r"LR[_-]?(?:bicubic|bic|bi)?[_-]?x?(?P<scale>\d)?", re.IGNORECASE)
_SCALED = re.compile(r"(?P<base>.+?)[_-]?(?:x(?P<scale>\d)[a-z]?\d?|LR)", re.IGNORECASE)
_SRF = re.compile(r"(?P<name>.+)[_-]SRF[_-]?(?P<scale>\d)", re.IGNORECASE)


@dataclass
class Roles:
    """The images of one folder: the HR files, the LR files of some of them, and the rest."""

    hr: list[Path]
    lr: dict[Path, Path] = field(default_factory=dict)  # HR file -> LR file of the scale
    unused: list[Path] = field(default_factory=list)

    def used_lr(self, scale: int, lr: str) -> dict[Path, Path]:
        """The LR files, where `lr` is bicubic.

        Raises:
            InputError: some of the HR files have none.
        """
        if lr != BICUBIC or not self.lr:
            return {}
        if missing := [image for image in self.hr if image not in self.lr]:
            raise missing_error(self.hr[0].parent, missing, scale)
        return self.lr


def sort_roles(images: Sequence[Path], scale: int) -> Roles:
    """Separate HR from LR, and from results of other methods, in the images of one folder.

    By name where there is an `a_HR.png`: `a_LR.png` and `a_LR4.png` are its LR, other files `a_*`
    of its size other versions of it. `ax4.png` and `a_LR.png` are LR of `a.png` where their sizes
    say so. Of `a_SRF_2_HR.png` and `a_SRF_4_HR.png` the one of this scale counts.
    """
    named = {m["base"].casefold(): p for p in images if (m := _HR.fullmatch(p.stem))}
    stems = {path.stem.casefold(): path for path in images}
    roles = Roles([])
    for path in images:
        owner = _owner(path, named) or _smaller_of(path, stems)
        if path in named.values() or owner is None:
            roles.hr.append(path)
        elif owner[1] == scale:
            roles.lr[owner[0]] = path
        else:
            roles.unused.append(path)
    _drop_other_scales(roles, scale)
    if roles.unused:
        _note(images[0].parent, tuple(path.name for path in roles.unused))
    return roles


def _owner(path: Path, named: dict[str, Path]) -> tuple[Path, int | None] | None:
    """The `a_HR` of an `a_*`, and the scale where the file is its LR."""
    for cut in re.finditer(r"[_-]", path.stem):
        base, rest = path.stem[: cut.start()].casefold(), path.stem[cut.end() :]
        image = named.get(base)
        if image is None or image == path:
            continue
        if match := _LR.fullmatch(rest):
            srf = _SRF.fullmatch(base)
            scale = match["scale"] or (srf["scale"] if srf else None)
            return image, int(scale) if scale else _scale_by_size(image, path)
        if _scale_by_size(image, path) == 1:
            return image, None
    return None


def _smaller_of(path: Path, stems: dict[str, Path]) -> tuple[Path, int | None] | None:
    """The `a` of an `ax4` or `a_LR`, where the sizes say that the one is the other's LR."""
    match = _SCALED.fullmatch(path.stem)
    image = stems.get(match["base"].casefold()) if match else None
    if match is None or image is None:
        return None
    scale = _scale_by_size(image, path)
    named = match["scale"]
    if scale in (None, 1) or (named and int(named) != scale):
        return None
    return image, scale


def _scale_by_size(hr: Path, lr: Path) -> int | None:
    try:
        big, small = image_size(hr), image_size(lr)
    except InputError:  # it will be named when it is read
        return None
    exact = (s for s in range(1, 10) if (big[0] // s, big[1] // s) == small)
    return next(exact, next((s for s in range(2, 10) if fits(big, small, s)), None))


def _drop_other_scales(roles: Roles, scale: int) -> None:
    """Keep one HR file of those that differ in SRF only."""
    kept: dict[str, tuple[bool, Path]] = {}
    for path in roles.hr:
        match = _HR.fullmatch(path.stem)
        srf = _SRF.fullmatch(match["base"]) if match else None
        if match is None or srf is None:
            continue
        name, right = srf["name"].casefold(), int(srf["scale"]) == scale
        if name in kept and not (right and not kept[name][0]):
            roles.unused.append(path)
        else:
            if name in kept:
                roles.unused.append(kept[name][1])
            kept[name] = (right, path)
    roles.hr = [path for path in roles.hr if path not in roles.unused]


@functools.cache
def _note(folder: Path, names: tuple[str, ...]) -> None:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    text = f"{folder}: neither HR nor LR of this scale, not used: {', '.join(names[:3])}{more}"
    logging.getLogger("csd.data").warning("note: %s", printable(text))

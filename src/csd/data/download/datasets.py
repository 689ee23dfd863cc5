"""Photographs and VGG-19 from the places where their authors keep them, in our layout on disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from csd.data.download.archives import BadArchive, unpack
from csd.data.download.fetch import fetch
from csd.errors import InputError, WorkError


@dataclass(frozen=True)
class Archive:
    """A file on a server; size in bytes and digest where they are known, never more than `most`."""

    url: str
    size: int | None = None
    digest: str | None = None
    most: int = 4 << 30

    @property
    def name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class ImageFolder:
    """A folder of HR photographs, how many there are, and where their LR twins lie."""

    hr: str
    count: int
    lr: str


@dataclass(frozen=True)
class Item:
    """What can be asked for: its archives, which members are wanted, and what must be there.

    `members`: (pattern of a member's path, path under the data folder). An item without members is
    one plain file.
    """

    archives: tuple[Archive, ...]
    members: tuple[tuple[str, str], ...] = ()
    photos: tuple[ImageFolder, ...] = ()


_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_BENCHMARK = Archive(
    "https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
    None,
    "md5:4ace41d33c2384b97e6b320cd0afd6ba",
    1 << 30,
)


def _benchmark(name: str, count: int) -> Item:
    members = (
        (rf"(?:.*/)?{name}/HR/([^/]+\.png)", rf"{name}/HR/\1"),
        (rf"(?:.*/)?{name}/LR_bicubic/X([234])/([^/]+\.png)", rf"{name}/LR_bicubic/X\1/\2"),
    )
    return Item((_BENCHMARK,), members, (ImageFolder(f"{name}/HR", count, f"{name}/LR_bicubic"),))


ITEMS: dict[str, Item] = {
    "div2k": Item(
        (
            Archive(
                _DIV2K + "DIV2K_train_HR.zip",
                3530603713,
                "sha256:9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
            ),
            Archive(
                _DIV2K + "DIV2K_valid_HR.zip",
                448993893,
                "sha256:20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
            ),
        ),
        ((r"(?:.*/)?(DIV2K_(?:train|valid)_HR)/(\d{4}\.png)", r"\1/\2"),),
        (
            ImageFolder("DIV2K_train_HR", 800, "DIV2K_train_LR_bicubic"),
            ImageFolder("DIV2K_valid_HR", 100, "DIV2K_valid_LR_bicubic"),
        ),
    ),
    "set5": _benchmark("Set5", 5),
    "set14": _benchmark("Set14", 14),
    "b100": _benchmark("B100", 100),
    "urban100": _benchmark("Urban100", 100),
    "vgg19": Item(
        (
            Archive(
                "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
                574673361,
                "sha256:dcbb9e9d",
            ),
        )
    ),
}


def download(
    name: str,
    data_dir: str | Path,
    *,
    url: str | None = None,
    scales: Sequence[int] = (2, 3, 4),
    say: Callable[[str], None] = print,
    items: dict[str, Item] = ITEMS,
    wait: float = 1.0,
) -> set[Path]:
    """Fetch one of ITEMS into `data_dir`, unpack it, and make the LR photographs it lacks.

    `url`: a mirror: a folder, ending in `/`, that has the archives under their usual names, or
    where one archive is enough the archive itself. A file of the usual name must be the usual
    file. `wait`: see `fetch`.

    Returns the archives in `data_dir/.download`, where later items find them; see `discard`.
    Raises InputError for an unknown name or address, WorkError when the server or an archive does
    not deliver; nothing is written outside `data_dir`.
    """
    if name not in items:
        raise InputError(f"'{name}' is unknown; known are {', '.join(items)}")
    item, folder = items[name], Path(data_dir)
    archives = item.archives if url is None else _mirrored(name, item.archives, url)
    if not item.members:
        for archive in archives:
            target = folder / item.archives[0].name
            _fetch(archive, target, say, wait)
            say(f"{target}: ready")
        return set()
    kept_archives = {folder / ".download" / archive.name for archive in archives}
    if not all(_count(folder / photos.hr) >= photos.count for photos in item.photos):
        for archive in archives:
            _bring(archive, folder, item.members, say, wait)
    try:
        for photos in item.photos:
            _complete(folder, photos, scales, archives, say)
    except WorkError:
        # Those with a digest are what they should be, and large; another is to be fetched anew.
        discard({folder / ".download" / a.name for a in archives if a.digest is None})
        raise
    say(f"{name}: ready in {folder}")
    return kept_archives


def _complete(
    folder: Path, photos: ImageFolder, scales, archives, say: Callable[[str], None]
) -> None:
    """See that the HR images are there, and make the LR images that are not."""
    found = _count(folder / photos.hr)
    if found < photos.count:
        raise WorkError(
            f"{folder / photos.hr} has {found} photographs, expected {photos.count}: "
            f"{', '.join(a.url for a in archives)} did not bring them; start again to fetch anew"
        )
    for scale in scales:
        _make_lr(folder / photos.hr, folder / photos.lr, scale, say)


def _fetch(archive: Archive, target: Path, say: Callable[[str], None], wait: float) -> None:
    fetch(
        archive.url,
        target,
        size=archive.size,
        digest=archive.digest,
        most=archive.most,
        say=say,
        wait=wait,
    )


def _bring(archive: Archive, folder: Path, members, say: Callable[[str], None], wait: float):
    """Fetch and unpack; what an earlier call had kept, and is bad, is fetched once more."""
    kept = folder / ".download" / archive.name
    was_there = kept.exists()
    try:
        _fetch(archive, kept, say, wait)
        count = unpack(kept, folder, members)
    except BadArchive as error:
        if not was_there:
            raise
        say(f"{error}; fetching it again")
        _fetch(archive, kept, say, wait)
        count = unpack(kept, folder, members)
    say(f"{archive.name}: {count} files unpacked")


def discard(archives: set[Path]) -> None:
    """Remove archives that have been unpacked, and their folder once it is empty."""
    for archive in archives:
        archive.unlink(missing_ok=True)
    for folder in {archive.parent for archive in archives}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _mirrored(name: str, archives: tuple[Archive, ...], url: str) -> tuple[Archive, ...]:
    if url.endswith("/"):
        return tuple(Archive(url + a.name, a.size, a.digest) for a in archives)
    if len(archives) > 1:
        raise InputError(
            f"{name} is {len(archives)} archives: --url must be a folder, ending in '/', that has "
            f"{', '.join(a.name for a in archives)}"
        )
    mirror, usual = Archive(url), archives[0]
    if not mirror.name:
        raise InputError(f"'{url}' names no file")
    return (Archive(url, usual.size, usual.digest) if mirror.name == usual.name else mirror,)


def _make_lr(hr: Path, lr: Path, scale: int, say: Callable[[str], None]) -> None:
    """MATLAB's bicubic of every photograph whose LR twin is missing."""
    from csd.data import imresize_bicubic, modcrop, read_image, write_png

    made = 0
    for path in sorted(hr.glob("*.png")):
        target = lr / f"X{scale}" / f"{path.stem}x{scale}.png"
        if not target.exists():
            try:
                image = read_image(path)
            except InputError as error:
                raise WorkError(f"{error}; remove it and start again to fetch it") from error
            write_png(target, imresize_bicubic(modcrop(image, scale), 1 / scale))
            made += 1
    if made:
        say(f"{lr / f'X{scale}'}: {made} photographs made from {hr.name}")


def _count(folder: Path) -> int:
    return sum(1 for path in folder.glob("*.png") if not path.name.startswith("."))

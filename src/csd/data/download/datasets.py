"""Images and VGG-19 from their authors' servers, or mirrors of these, in our layout on disk."""

import socket
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from csd.data.download.archives import BadArchive, unpack
from csd.data.download.fetch import fetch, note
from csd.errors import InputError, WorkError
from csd.files import temporary_folder


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
    """A folder of HR images, how many there are, where their LR twins lie, and their sides.

    sides: (least, most) pixels of a side; a mirror's thumbnails or blown-up copies are refused.
    """

    hr: str
    count: int
    lr: str
    sides: tuple[int, int] = (1, 1 << 16)


@dataclass(frozen=True)
class Item:
    """What can be asked for: its archives, which members are wanted, and what must be there.

    `members`: (pattern of a member's path, path under the data folder). An item without members is
    one plain file. `mirrors`: archives to take where those do not deliver, in this order.
    """

    archives: tuple[Archive, ...]
    members: tuple[tuple[str, str], ...] = ()
    images: tuple[ImageFolder, ...] = ()
    mirrors: tuple[tuple[Archive, ...], ...] = ()


_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
# This server has been reported unreachable since August 2024. It has HR and LR of all four sets.
_BENCHMARK = Archive(
    "https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
    None,
    "md5:4ace41d33c2384b97e6b320cd0afd6ba",
    1 << 30,
)
_COPIES = (
    "https://huggingface.co/datasets/eugenesiow/{0}/resolve/main/data/{0}_HR.tar.gz"  # HR alone
)


def _benchmark(name: str, count: int, sides: tuple[int, int], copy: str | None = None) -> Item:
    copy = copy or name
    members = (
        (rf"(?:.*/)?{name}/HR/([^/]+\.png)", rf"{name}/HR/\1"),
        (rf"(?:.*/)?{name}/LR_bicubic/X([234])/([^/]+\.png)", rf"{name}/LR_bicubic/X\1/\2"),
        (rf"(?:.*/)?{copy}_HR/([^/]+\.png)", rf"{name}/HR/\1"),
    )
    images = ImageFolder(f"{name}/HR", count, f"{name}/LR_bicubic", sides)
    mirror = Archive(_COPIES.format(copy), most=1 << 30)
    return Item((_BENCHMARK,), members, (images,), ((mirror,),))


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
            ImageFolder("DIV2K_train_HR", 800, "DIV2K_train_LR_bicubic", (600, 2040)),
            ImageFolder("DIV2K_valid_HR", 100, "DIV2K_valid_LR_bicubic", (600, 2040)),
        ),
    ),
    # Sides less up to 11 pixels, where images were cropped to a multiple of 12.
    "set5": _benchmark("Set5", 5, (228, 512)),
    "set14": _benchmark("Set14", 14, (240, 768)),
    "b100": _benchmark("B100", 100, (312, 481), copy="BSD100"),
    "urban100": _benchmark("Urban100", 100, (400, 1300)),
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
    items: dict[str, Item] = ITEMS,
    wait: float = 1.0,
) -> set[Path]:
    """Fetch one of ITEMS into `data_dir`, unpack it, and make the LR images it lacks.

    Where the authors' server does not answer or deliver, the mirrors are asked in their order; what
    served is logged. Counts and sizes of the images are verified before any of them is put into
    place. `url`: a mirror of your own, the only one that is asked: a folder, ending in `/`, that
    has the archives under their usual names, or where one archive is enough the archive itself. A
    file of the usual name must be the usual file. `wait`: see `fetch`.

    Returns the archives in `data_dir/.download`, where later items find them; see `discard`.
    Raises InputError for an unknown name or address, WorkError when no server delivers; nothing is
    written outside `data_dir`.
    """
    if name not in items:
        raise InputError(f"'{name}' is unknown; known are {', '.join(items)}")
    item, folder = items[name], Path(data_dir)
    sources = (item.archives, *item.mirrors)
    if url is not None:
        sources = (_mirrored(name, item.archives, url),)
    if not item.members:
        target = folder / item.archives[0].name
        _fetch(sources[0][0], target, wait)
        if sources[0][0].digest is None:
            usual = item.archives[0].url.rsplit("/", 1)[-1]
            note(f"note: {sources[0][0].url} is not called {usual}: its content was not verified")
        note(f"{target}: ready")
        return set()
    kept: set[Path] = set()
    if not all(len(_images(folder / part.hr)) >= part.count for part in item.images):
        kept = _bring_any(sources, folder, item, wait)
    for part in item.images:
        for scale in scales:
            _make_lr(folder / part.hr, folder / part.lr, scale)
    note(f"{name}: ready in {folder}")
    return kept


def _bring_any(sources, folder: Path, item: Item, wait: float) -> set[Path]:
    """Images of the first source that delivers; returns its archives, which stay on the disk."""
    failures = []
    for archives in sources:
        if len(sources) > 1 and not _answers(archives[0].url):
            failures.append(f"{archives[0].url} does not answer")
        else:
            try:
                return _bring_all(archives, folder, item, wait)
            except WorkError as error:
                failures.append(str(error))
        if len(failures) < len(sources):
            note(f"{failures[-1]}; trying {sources[len(failures)][0].url}")
    raise WorkError("; ".join(failures))


def _answers(url: str, timeout: float = 10.0) -> bool:
    """Whether somebody listens there: a server that is gone costs seconds and not minutes."""
    parts = urlsplit(url)
    if parts.scheme in urllib.request.getproxies():
        return True  # the proxy knows, and `fetch` will see
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout).close()
    except (OSError, ValueError):
        return False
    return True


def _bring_all(archives: Sequence[Archive], folder: Path, item: Item, wait: float):
    """Fetch, unpack beside, verify, and only then put the images into place."""
    download_folder = folder / ".download"
    kept = {download_folder / archive.name for archive in archives}
    try:
        download_folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(download_folder) as staged:
            for archive in archives:
                _bring(archive, folder, staged, item.members, wait)
            for part in item.images:
                _verify_images(staged, part, archives)
            for file in [path for path in staged.rglob("*") if path.is_file()]:
                target = folder / file.relative_to(staged)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
    except WorkError:
        # Those with a digest are what they should be, and large; another is to be fetched anew.
        discard({download_folder / a.name for a in archives if a.digest is None})
        raise
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {error.strerror or error}") from error
    note(f"{', '.join(part.hr for part in item.images)}: from {archives[0].url}")
    return kept


def _verify_images(staged: Path, part: ImageFolder, archives: Sequence[Archive]) -> None:
    """Count the HR images and look at their sizes.

    Raises:
        WorkError: there are more or fewer, one cannot be read, or a side is too short or long.
    """
    from csd.data import image_size

    urls = ", ".join(archive.url for archive in archives)
    images = _images(staged / part.hr)
    if len(images) != part.count:
        raise WorkError(
            f"{part.hr} has {len(images)} images, expected {part.count}: {urls} did not bring"
            " them; start again to fetch anew"
        )
    least, most = part.sides
    for image in images:
        try:
            height, width = image_size(image)
        except InputError as error:
            raise WorkError(
                f"{part.hr}/{image.name} of {urls} cannot be read as an image; start again to"
                " fetch it anew"
            ) from error
        if min(height, width) < least or max(height, width) > most:
            raise WorkError(
                f"{part.hr}/{image.name} of {urls} measures {width}x{height}, expected sides of"
                f" {least} to {most} pixels: it is another data set"
            )


def _fetch(archive: Archive, target: Path, wait: float) -> None:
    size, digest, most = archive.size, archive.digest, archive.most
    fetch(archive.url, target, size=size, digest=digest, most=most, wait=wait)


def _bring(archive: Archive, folder: Path, staged: Path, members, wait: float) -> None:
    """Fetch and unpack; what an earlier call had kept, and is bad, is fetched once more."""
    kept = folder / ".download" / archive.name
    was_there = kept.exists()
    try:
        _fetch(archive, kept, wait)
        count = unpack(kept, staged, members)
    except BadArchive as error:
        if not was_there:
            raise
        note(f"{error}; fetching it again")
        _fetch(archive, kept, wait)
        count = unpack(kept, staged, members)
    note(f"{archive.name}: {count} files unpacked")


def discard(archives: set[Path]) -> None:
    """Remove archives that have been unpacked, and their folder once it is empty."""
    for archive in archives:
        archive.unlink(missing_ok=True)
    for folder in {archive.parent for archive in archives}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _mirrored(name: str, archives: tuple[Archive, ...], url: str) -> tuple[Archive, ...]:
    if url.endswith("/"):
        return tuple(replace(a, url=url + a.name) for a in archives)
    if len(archives) > 1:
        raise InputError(
            f"{name} is {len(archives)} archives: --url must be a folder, ending in '/', that has "
            f"{', '.join(a.name for a in archives)}"
        )
    mirror, usual = Archive(url), archives[0]
    if not mirror.name:
        raise InputError(f"'{url}' names no file")
    return (replace(usual, url=url) if mirror.name == usual.name else mirror,)


def _make_lr(hr: Path, lr: Path, scale: int) -> None:
    """MATLAB's bicubic of every image whose LR twin is missing."""
    from csd.data import imresize_bicubic, modcrop, read_image, write_png

    made = 0
    for path in sorted(_images(hr)):
        target = lr / f"X{scale}" / f"{path.stem}x{scale}.png"
        if not target.exists():
            try:
                image = read_image(path)
            except InputError as error:
                raise WorkError(f"{error}; remove it and start again to fetch it") from error
            write_png(target, imresize_bicubic(modcrop(image, scale), 1 / scale))
            made += 1
    if made:
        note(f"{lr / f'X{scale}'}: {made} images made from {hr.name}")


def _images(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.png") if not path.name.startswith(".")]

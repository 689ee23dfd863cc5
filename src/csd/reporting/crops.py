"""Side-by-side crops of saved evaluation images, embedded as PNG."""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from csd.data import read_image
from csd.evaluation.tables import role_name

_SIDE = 96  # pixels of the HR image
_THUMBNAIL = 360


def embed(image: np.ndarray, image_format: str = "PNG") -> str:
    """A uint8 (H, W, 3) image as a `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(
        buffer, image_format, **({"quality": 82} if image_format == "JPEG" else {})
    )
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{image_format.lower()};base64,{text}"


def busiest_window(a: np.ndarray, b: np.ndarray, side: int) -> tuple[int, int]:
    """(top, left) of the square of `side` pixels where two (H, W, 3) images differ the most.

    The search moves in steps of a quarter of the side; the images must be at least that large.
    """
    error = np.abs(a.astype(np.int32) - b).sum(axis=2)
    total = np.pad(error, ((1, 0), (1, 0))).cumsum(0, dtype=np.int64).cumsum(1)
    step = max(1, side // 4)
    corners = [
        (y, x)
        for y in range(0, error.shape[0] - side + 1, step)
        for x in range(0, error.shape[1] - side + 1, step)
    ]

    def inside(corner: tuple[int, int]) -> int:
        y, x = corner
        return total[y + side, x + side] - total[y, x + side] - total[y + side, x] + total[y, x]

    return max(corners, key=inside)


def crop_rows(metrics: dict, images: Path, most: int = 4) -> str:
    """HTML: for the images where the networks gained most over bicubic, a row of crops.

    images: the folder of `eval.py --save_images` (`<Set>/<method>/<name>.png`, originals in `HR`).
    Images whose files are not all there are passed over.
    """
    bicubic = next((r for r in metrics["runs"] if r["width"] is None), None)
    networks = [r for r in metrics["runs"] if r["width"] is not None and not r["self_ensemble"]]
    networks.sort(key=lambda r: r["width"])
    methods = [r for r in (bicubic, *networks) if r is not None]
    if not methods:
        return ""
    candidates = []
    for set_name, result in methods[0]["sets"].items():
        for name, score in result["images"].items():
            files = [images / set_name / r["label"] / f"{name}.png" for r in methods]
            files.append(images / set_name / "HR" / f"{name}.png")
            if all(file.is_file() for file in files):
                last = methods[-1]["sets"][set_name]["images"][name]
                candidates.append((score["psnr_y"] - last["psnr_y"], set_name, name, files))
    candidates.sort(key=lambda c: c[:3])
    return "".join(_row(methods, *candidate[1:]) for candidate in candidates[:most])


def _row(methods: list[dict], set_name: str, name: str, files: list[Path]) -> str:
    sample_images = [read_image(file) for file in files]
    truth = sample_images[-1]
    side = min(_SIDE, *truth.shape[:2])
    top, left = busiest_window(sample_images[0], truth, side)
    cells = []
    for i, sample_image in enumerate(sample_images):
        if i < len(methods):
            score = methods[i]["sets"][set_name]["images"][name]["psnr_y"]
            caption = f"{role_name(methods[i], methods)}<br><small>{score:.2f} dB</small>"
        else:
            caption = "ground truth<br><small>&nbsp;</small>"
        crop = np.ascontiguousarray(sample_image[top : top + side, left : left + side])
        cells.append(
            f'<figure><img class="crop" src="{embed(crop)}" width="{side}" height="{side}" '
            f'alt="crop of {escape(name)}"><figcaption>{caption}</figcaption></figure>'
        )
    return (
        f'<div class="crops">{_thumbnail(truth, top, left, side, f"{set_name} / {name}")}'
        f"{''.join(cells)}</div>"
    )


def _thumbnail(truth: np.ndarray, top: int, left: int, side: int, name: str) -> str:
    """The whole image, small, with a frame where the crops come from."""
    height, width = truth.shape[:2]
    small = Image.fromarray(truth)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    frame = (
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}"/></svg>'
    )
    return (
        f'<figure class="whole"><div class="framed"><img src="{embed(np.asarray(small), "JPEG")}" '
        f'width="{small.width}" height="{small.height}" alt="{escape(name)}">{frame}</div>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )

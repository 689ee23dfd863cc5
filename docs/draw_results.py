"""Draw docs/images/results.png: LR, bicubic, student, teacher and HR, with PSNR and time.

python docs/draw_results.py --hr data/benchmark/Set14/HR/ppt3.png --scale 4 --box 60,300,110,110
"""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import csd

SIDE, GAP, TEXT = 220, 8, 44


def timed(upscaler, image: np.ndarray) -> tuple[np.ndarray, float]:
    """The second of two runs: (output, milliseconds)."""
    upscaler.upscale(image)
    start = time.perf_counter()
    return upscaler.upscale(image), (time.perf_counter() - start) * 1000


def columns(hr: np.ndarray, scale: int) -> list[tuple[str, str, np.ndarray]]:
    """(name, figures, image of the HR's size) of each column."""
    lr = csd.imresize_bicubic(hr, 1 / scale)
    student, teacher = (csd.load(f"edsr_x{scale}", width=width) for width in (0.25, 1.0))
    bicubic = csd.imresize_bicubic(lr, scale)
    small, small_ms = timed(student, lr)
    large, large_ms = timed(teacher, lr)

    def db(image: np.ndarray) -> str:
        return f"{csd.psnr_y(image, hr, scale):.2f} dB"

    return [
        ("LR", f"{lr.shape[1]} x {lr.shape[0]}", lr.repeat(scale, 0).repeat(scale, 1)),
        ("bicubic", db(bicubic), bicubic),
        ("student, width 0.25", f"{db(small)}, {small_ms:.0f} ms", small),
        ("teacher", f"{db(large)}, {large_ms:.0f} ms", large),
        ("HR (ground truth)", f"{hr.shape[1]} x {hr.shape[0]}", hr),
    ]


def sheet(cells: list[tuple[str, str, np.ndarray]], box: tuple[int, int, int, int]) -> Image.Image:
    """The crops `box` (left, top, width, height of the HR image) side by side, names below."""
    left, top, width, height = box
    page = Image.new("RGB", (len(cells) * (SIDE + GAP) - GAP, SIDE + TEXT), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, (name, figures, image) in enumerate(cells):
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        x = number * (SIDE + GAP)
        page.paste(crop.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, 0))
        draw.text((x + SIDE / 2, SIDE + 12), name, "black", font, anchor="mm")
        draw.text((x + SIDE / 2, SIDE + 31), figures, "#57606a", font, anchor="mm")
    return page


def main() -> None:
    """Read the options and write the image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hr", required=True, help="ground-truth image")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--box", required=True, help="LEFT,TOP,WIDTH,HEIGHT of the crop, HR pixels")
    parser.add_argument("--output", default=str(Path(__file__).parent / "images" / "results.png"))
    options = parser.parse_args()
    hr = np.asarray(Image.open(options.hr).convert("RGB"))
    hr = hr[: hr.shape[0] // options.scale * options.scale]
    hr = hr[:, : hr.shape[1] // options.scale * options.scale]
    box = tuple(int(part) for part in options.box.split(","))
    cells = columns(hr, options.scale)
    sheet(cells, box).save(options.output, optimize=True)
    print(f"written: {options.output}")
    for name, figures, _ in cells:
        print(f"  {name}: {figures}")


if __name__ == "__main__":
    main()

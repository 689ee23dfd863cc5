"""How near tiles come to the whole image: `python benchmarks/tiles.py CKPT PHOTO [PHOTO ...]`.

Every image is upscaled in one pass and in tiles of the default size and overlap, in floating
point; the table gives the PSNR of the tiles against the one pass, the largest difference (of 255),
and both times. Of a network with channel attention there is a second row of tiles that know their
own averages only, as those of an exported file do.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from csd.errors import run_main


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ckpt", metavar="CKPT")
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--tile", type=int, help="LR pixels; else the default")
    options = parser.parse_args(argv)

    import numpy as np

    from csd import runtime
    from csd.checkpoints import load_network
    from csd.data import read_image
    from csd.inference import DEFAULT_TILE, make_runner, upscale

    runtime.setup("CPU", seed=1)
    net, _ = load_network(options.ckpt)
    run = make_runner(net, options.width)
    kinds = {net.name: run}
    if run.pooled_over is not None:
        kinds[f"{net.name}, own averages"] = run.run

    def timed(runner, image, tile):
        start = time.perf_counter()
        result = upscale(runner, image, scale=net.scale, tile=tile, dtype=np.float32)
        return result, time.perf_counter() - start

    print("| network | image | PSNR, dB | largest | tiles, s | whole, s |")
    print("|---|---|---:|---:|---:|---:|")
    tile = options.tile or DEFAULT_TILE
    for path in options.photos:
        image = read_image(path)
        height, width = image.shape[:2]
        for name, runner in kinds.items():
            for size in (tile, None):
                upscale(runner, image, scale=net.scale, tile=size)  # compiles
            whole, seconds = timed(runner, image, None)
            tiled, in_tiles = timed(runner, image, tile)
            with np.errstate(divide="ignore"):
                psnr = 10 * np.log10(255**2 / np.mean((tiled - whole) ** 2, dtype=np.float64))
            print(
                f"| {name} x{net.scale} | {width}x{height} | {psnr:.1f} "
                f"| {np.abs(tiled - whole).max():.3f} | {in_tiles:.2f} | {seconds:.2f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))

"""Super-resolve images: `python infer.py --help`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from csd.config import load_config
from csd.errors import CSDError, InputError, WorkError, printable
from csd.files import make_folder

DESCRIPTION = """Up-scale images of any size and kind with a trained network.

  python infer.py --input photo.jpg                          the network that comes along
  python infer.py --ckpt best.ckpt --input folder --width 1.0 --output_dir out
  python infer.py --ckpt best.ckpt --input folder --budget_ms 500
  python infer.py --ckpt edsr_x4_w0.25_dynamic.mindir --input '*.png' --compare

Transparency, grey, 16 bits, colour profile, EXIF, XMP and resolution are kept; an orientation is
applied. --strip leaves EXIF, XMP and resolution out. Tiles are of a fixed size, so
that memory is bounded and a result does not depend on the machine. Files that exist are skipped
unless --overwrite; a file that cannot be read is named, and the rest continue.

--budget_ms N takes, for each image by its size, the widest trained width whose network takes
at most N milliseconds for it, and says which; where none does, the narrowest. How long each width
takes is measured once on this machine and kept in --cache_dir. The time is the network's, over all
tiles of the image; reading, writing and the first compilation come on top."""

_MEMORY = "there is not enough memory for it; cut it into smaller images"


def _read(job, options):
    """(image, seconds that it took)"""
    from csd import inference

    started = time.monotonic()
    image = inference.read_image_file(job.source)
    return image.stripped() if options.strip else image, time.monotonic() - started


def _upscale_one(upscaler, budget, job, given, bar, writer):
    """Run the network on what `_read` gave.

    `budget`, unless None, chooses the width. Returns a function that waits until the file is
    written, and gives the line to print about it.
    """
    from csd import inference

    image, seconds = given
    started = time.monotonic()
    choice = []
    if budget is not None:
        upscaler, words = budget.choose(image.size)
        choice = [words]
    bar.reset(total=upscaler.count_tiles(*image.size))
    written = inference.upscale_to_file(upscaler, image, job.output, writer, bar.update)
    ended: list[float] = []
    written.add_done_callback(lambda _: ended.append(time.monotonic()))
    if job.compare:
        from csd.data import write_png
        from csd.reporting import compare_image

        write_png(job.compare, compare_image(image, _methods(upscaler), upscaler.scale))

    def line() -> str:
        notes = image.notes + written.result()
        height, width = image.size
        sizes = f"{width}x{height} -> {upscaler.scale * width}x{upscaler.scale * height}"
        return "; ".join([f"{sizes}, {seconds + ended[0] - started:.1f} s", *choice, *notes])

    return line


def _results(upscaler, budget, jobs, options):
    """(job, line to print or the error) of each job.

    The next image is read, and the last one written, while the network runs.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    def finished(job, line):
        try:
            if isinstance(line, Exception):
                raise line
            return job, line()
        except CSDError as error:
            return job, error
        except MemoryError:
            return job, WorkError(_MEMORY)

    last = None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = reader.submit(_read, jobs[0], options)
        for number, job in enumerate(jobs, 1):
            given = ahead
            if number < len(jobs):
                ahead = reader.submit(_read, jobs[number], options)
            desc = f"{number}/{len(jobs)} {printable(job.source)}"
            with tqdm(desc=desc, unit="tile", leave=False, disable=None) as bar:
                try:
                    line = _upscale_one(upscaler, budget, job, given.result(), bar, writer)
                except (CSDError, MemoryError) as error:
                    line = error
            if last is not None:
                yield finished(*last)
            last = job, line
        if last is not None:
            yield finished(*last)


def _methods(upscaler) -> list:
    """(label, upscaler) of each network to show beside bicubic."""
    from dataclasses import replace

    upscaler = replace(upscaler, tile=0, self_ensemble=False)
    whole = 1.0
    if not upscaler.at or upscaler.width == whole:
        return [(f"{upscaler.name}, width {upscaler.width:g}", upscaler)]
    return [
        (f"student, width {upscaler.width:g}", upscaler),
        ("teacher, width 1", upscaler.at_width(whole)),
    ]


def _open(config):
    """(upscaler, budget or None) as the configuration sets them."""
    from dataclasses import replace

    from csd.inference import Machine, open_upscaler, shipped_checkpoint

    options, settings = config.infer, config.runtime
    machine = Machine(
        settings.engine, settings.device_target, settings.jit_level, settings.precision_mode,
        config.data.cache_dir, print,
    )  # fmt: skip
    ckpt = options.ckpt or shipped_checkpoint(options.scale or 4)
    upscaler = open_upscaler(ckpt, width=options.width, scale=options.scale, machine=machine)
    upscaler = replace(upscaler, tile=options.tile, self_ensemble=options.self_ensemble)
    if upscaler.whole_image and upscaler.engine.pooled_over is None:
        print(
            f"note: {upscaler.name} averages over the whole image, and an exported one over each "
            "tile alone; its checkpoint comes much nearer to the whole"
        )
    if options.budget_ms is None:
        return upscaler, None
    from csd.inference.budget import open_budget

    budget = open_budget(
        ckpt, upscaler, options.budget_ms, device=machine.target(), cache_dir=config.data.cache_dir
    )
    return upscaler, budget


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config("infer", argv, DESCRIPTION)
    options = config.infer
    if not options.input:
        raise InputError(
            "nothing to upscale; name it with --input photo.jpg, a folder or a '*.jpg'"
        )

    if options.budget_ms is not None and options.width is not None:
        raise InputError("--budget_ms chooses the width itself; leave --width or --budget_ms out")

    from csd.inference.jobs import find_images, plan_jobs, real_path, unread_files

    sources = find_images(options.input)
    if unread := unread_files(options.input):
        print(f"note: {printable(options.input)}: {unread}")
    output_dir = Path(config.runtime.output_dir or "output/infer")
    if Path(options.input).is_dir() and real_path(Path(options.input)) == real_path(output_dir):
        raise InputError("--output_dir is the folder of the images; name another one")
    make_folder(output_dir, "--output_dir")
    jobs = plan_jobs(
        sources, output_dir, same_format=options.format == "same", compare=options.compare
    )
    waiting = [job for job in jobs if options.overwrite or not job.done()]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} exist already and are skipped (--overwrite: do again)")
    if not waiting:
        return 0

    upscaler, budget = _open(config)
    failures: list[CSDError] = []
    for job, result in _results(upscaler, budget, waiting, options):
        if not isinstance(result, CSDError):
            print(f"{printable(job.output)}: {result}")
            continue
        failures.append(result)
        name, text = printable(job.source), printable(result)
        named = text if name in text else f"{name}: {text}"
        if len(waiting) == 1:
            raise type(result)(named)
        print(f"error: {named}", file=sys.stderr)
    if not failures:
        return 0
    summary = f"{len(failures)} of {len(waiting)} images could not be upscaled, see above"
    if len(failures) == len(waiting) and all(isinstance(e, InputError) for e in failures):
        raise InputError(summary)
    raise WorkError(summary)

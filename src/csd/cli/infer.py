"""Super-resolve photographs: `python infer.py --help`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from csd.config import load_config
from csd.errors import CSDError, InputError, WorkError

DESCRIPTION = """Up-scale photographs of any size and kind with a trained network.

  python infer.py --input photo.jpg                          the network that comes along
  python infer.py --ckpt best.ckpt --input folder --width 1.0 --output_dir out
  python infer.py --ckpt best.ckpt --input folder --budget_ms 500
  python infer.py --ckpt edsr_x4_w0.25_dynamic.mindir --input '*.png' --compare

Transparency, grey, 16 bits, colour profile, EXIF, XMP and resolution are kept; an orientation is
applied. --strip leaves EXIF, XMP and resolution out. Tiles are of a fixed size, so
that memory is bounded and a result does not depend on the machine. Files that exist are skipped
unless --overwrite; a file that cannot be read is named, and the rest go on.

--budget_ms N takes, for each photograph by its size, the widest trained width whose network takes
at most N milliseconds for it, and says which; where none does, the narrowest. How long each width
takes is measured once on this machine and kept in --cache_dir. The time is the network's, over all
tiles of the photograph; reading, writing and the first compilation come on top."""


def _upscale_one(upscaler, budget, job, options, bar) -> str:
    """Do one job; the line to print about it. `budget`, unless None, chooses the width."""
    from csd import inference

    started = time.monotonic()
    photo = inference.read_image_file(job.source)
    photo = photo.stripped() if options.strip else photo
    choice = []
    if budget is not None:
        upscaler, words = budget.choose(photo.size)
        choice = [words]
    bar.reset(total=upscaler.count_tiles(*photo.size))
    try:
        restored = upscaler.upscale_file(photo, bar.update)
        notes = photo.notes + inference.write_image_file(job.output, restored)
        if job.compare:
            from csd.reporting import write_comparison

            write_comparison(job.compare, photo, _methods(upscaler), upscaler.scale)
    except MemoryError:
        raise WorkError("there is not enough memory for it; cut it into smaller pictures") from None
    (height, width), (tall, wide) = photo.size, restored.size
    line = f"{width}x{height} -> {wide}x{tall}, {time.monotonic() - started:.1f} s"
    return "; ".join([line, *choice, *notes])


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
        ckpt,
        upscaler,
        options.budget_ms,
        device=machine.target(),
        cache_dir=config.data.cache_dir,
    )
    return upscaler, budget


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config("infer", argv, DESCRIPTION)
    options = config.infer
    if not options.input:
        raise InputError(
            "nothing to restore; name it with --input photo.jpg, a folder or a '*.jpg'"
        )

    if options.budget_ms is not None and options.width is not None:
        raise InputError("--budget_ms chooses the width itself; leave --width or --budget_ms out")

    from csd.inference.jobs import (
        find_images,
        plan_jobs,
        printable,
        real_path,
        unread_files,
    )

    sources = find_images(options.input)
    if unread := unread_files(options.input):
        print(f"note: {printable(options.input)}: {unread}")
    output_dir = Path(config.runtime.output_dir or "output/infer")
    if Path(options.input).is_dir() and real_path(Path(options.input)) == real_path(output_dir):
        raise InputError("--output_dir is the folder of the photographs; name another one")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output_dir {output_dir} cannot be made: {error.strerror}") from None
    jobs = plan_jobs(
        sources, output_dir, same_format=options.format == "same", compare=options.compare
    )
    waiting = [job for job in jobs if options.overwrite or not job.done()]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} exist already and are skipped (--overwrite: do again)")
    if not waiting:
        return 0

    from tqdm import tqdm

    upscaler, budget = _open(config)
    failures: list[CSDError] = []
    for number, job in enumerate(waiting, 1):
        name = printable(job.source)
        with tqdm(
            desc=f"{number}/{len(waiting)} {name}", unit="tile", leave=False, disable=None
        ) as bar:
            try:
                line = _upscale_one(upscaler, budget, job, options, bar)
            except CSDError as error:
                failures.append(error)
                text = printable(error)
                line = None
        if line is None:
            named = text if name in text else f"{name}: {text}"
            if len(waiting) == 1:
                raise type(failures[0])(named)
            print(f"error: {named}", file=sys.stderr)
        else:
            print(f"{printable(job.output)}: {line}")
    if not failures:
        return 0
    summary = f"{len(failures)} of {len(waiting)} photographs could not be restored, see above"
    if len(failures) == len(waiting) and all(isinstance(e, InputError) for e in failures):
        raise InputError(summary)
    raise WorkError(summary)

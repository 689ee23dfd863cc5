"""Evaluate teacher, student and bicubic on test sets: `python eval.py --help`."""

from collections.abc import Sequence
from pathlib import Path

from easydict import EasyDict

from csd.config import load_config
from csd.errors import InputError

DESCRIPTION = """PSNR and SSIM of a checkpoint, at every width it was trained at, and of bicubic.

  python eval.py --ckpt best.ckpt --data_dir DATA --sets Set5,Set14
  python eval.py --model bicubic --data_dir DATA --sets Set5 --scale 4

A set is a name below DATA or DATA/benchmark, or a folder (<Set>/HR, DIV2K, or plain images).
Writes metrics.json, per_image.csv and metrics.md, with several widths a curve of quality against
speed and size, widths.svg, and with --save_images the upscaled images, into --output_dir (default:
output/eval). --width also takes widths that were not trained; they are marked."""


def _sets(names: Sequence[str], data: EasyDict, scale: int) -> dict:
    """Label -> images; a folder is labelled by its own name."""
    from csd.data import benchmark_pairs, check_pair

    if not names:
        raise InputError("no set to evaluate; name some: --sets Set5,Set14")
    sets = {}
    for name in names:
        label = Path(name).name or Path(name).resolve().name
        if label in sets:
            raise InputError(f"two sets are called {label}; evaluate them one at a time")
        sets[label] = benchmark_pairs(data.data_dir, name, scale, data.lr)
        for pair in sets[label]:
            check_pair(pair, scale)
    return sets


def _open(config):
    """The network to evaluate, whole images unless tiles are set."""
    from dataclasses import replace

    from csd import runtime
    from csd.inference import Machine, open_upscaler

    options, settings = config.eval, config.runtime
    machine = Machine(
        settings.engine, settings.device_target, settings.jit_level, settings.precision_mode,
        config.data.cache_dir, print,
    )  # fmt: skip
    upscaler = open_upscaler(options.ckpt, scale=options.scale, machine=machine)
    runtime.setup_once(settings.device_target)  # counts parameters, whatever the engine
    return replace(upscaler, tile=options.tile)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config("eval", argv, DESCRIPTION)
    options = config.eval
    if options.model == "bicubic" and options.ckpt:
        raise InputError("--model bicubic needs no --ckpt; the bicubic row is always in the table")
    if options.model != "bicubic" and not options.ckpt:
        raise InputError("nothing to evaluate; give --ckpt FILE, or --model bicubic --scale 4")
    if options.model == "bicubic" and options.scale is None:
        raise InputError("--model bicubic needs --scale 2, 3 or 4")
    output_dir = Path(config.runtime.output_dir or "output/eval")

    upscaler, scale = None, options.scale
    if options.ckpt:
        upscaler = _open(config)
        scale = upscaler.scale

    from tqdm import tqdm

    from csd import evaluation
    from csd.reporting import write_width_curve

    sets = _sets(options.sets, config.data, scale)
    methods = [evaluation.bicubic_method(scale, options.bicubic_kernel)]
    if upscaler is not None:
        widths = list(dict.fromkeys(options.width or sorted(upscaler.widths, reverse=True)))
        methods += evaluation.network_methods(upscaler, widths, self_ensemble=options.self_ensemble)
    bar = tqdm(total=sum(map(len, sets.values())), unit="image", disable=None)

    def progress(name: str) -> None:
        bar.set_postfix_str(name, refresh=False)
        bar.update()

    metrics = evaluation.evaluate(
        methods,
        sets,
        scale,
        model=None if upscaler is None else upscaler.model,
        ckpt=options.ckpt or None,
        save_dir=output_dir / "images" if options.save_images else None,
        progress=progress,
    )
    bar.close()
    print(evaluation.console_table(metrics), flush=True)  # before what a full disk may stop
    evaluation.write_metrics(output_dir, metrics)
    curve = write_width_curve(output_dir, metrics)
    files = "per_image.csv, metrics.md" + (", widths.svg" if curve else "")
    print(f"written: {output_dir / 'metrics.json'}, {files}")
    return 0

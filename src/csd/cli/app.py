"""A web page that up-scales images: `python tools/app.py --help`."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence

from csd.errors import InputError
from csd.files import hold_folder, remove_stale_folders, temporary_folder

DESCRIPTION = """Serve a web page: drop an image, choose the network, compare before and after
with a slider, download the result. Only this machine can open it unless --host says otherwise.

  python tools/app.py                          the network that comes along
  python tools/app.py --ckpt best.ckpt --port 8000

Needs Gradio: pip install -e '.[app]'."""


_SESSION = "session-"  # begins the name of a folder of uploads and results


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="app.py",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument(
        "--ckpt", default="", help="checkpoint, .mindir, .onnx or .xml; else the shipped one"
    )
    cli.add_argument("--scale", type=int, choices=(2, 3, 4), help="of the shipped checkpoint (4)")
    cli.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    cli.add_argument("--port", type=int, default=7860, help="%(default)s; 0: any free one")
    cli.add_argument("--max_mb", type=float, default=20, help="largest upload (%(default)s)")
    cli.add_argument(
        "--max_total_mb",
        type=float,
        default=2000,
        help="all uploads and results together; the oldest go after an hour (%(default)s)",
    )
    cli.add_argument("--max_megapixels", type=float, default=4, help="largest image (%(default)s)")
    cli.add_argument(
        "--device_target", choices=("auto", "Ascend", "GPU", "CPU"), default="auto", help="auto"
    )
    cli.add_argument(
        "--engine",
        choices=("auto", "mindspore", "openvino", "onnxruntime"),
        default="auto",
        help="runtime of the network; auto: openvino on the CPU, mindspore elsewhere",
    )
    cli.add_argument("--cache_dir", default="", help="uploads and results, removed at the end")
    return cli


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    options = parser().parse_args(list(argv))
    if not 0 <= options.port <= 65535:
        raise InputError(f"--port must be between 0 and 65535, not {options.port}")
    for name, most in (("max_mb", 10_000), ("max_total_mb", 1e6), ("max_megapixels", 400)):
        if not 0 < getattr(options, name) <= most:
            raise InputError(f"--{name} must be above 0 and at most {most}")

    from csd import runtime
    from csd.app.page import load_gradio, serve

    root = runtime.cache_folder(options.cache_dir)
    try:
        (root / "app").mkdir(parents=True, exist_ok=True)
        remove_stale_folders(root / "app", _SESSION)
        held = contextlib.ExitStack()
        folder = held.enter_context(temporary_folder(root / "app", _SESSION))
        held.enter_context(hold_folder(folder))
    except OSError as error:
        raise InputError(f"{root} cannot be written ({error.strerror}); use --cache_dir") from None
    # Ended by a service manager, too, uploads and results are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with held:
        load_gradio(str(folder))
        from csd.app.session import MEGABYTE, Session
        from csd.inference import Machine, open_upscaler, shipped_checkpoint

        machine = Machine(
            options.engine, options.device_target, cache_dir=options.cache_dir, log=print
        )
        ckpt = options.ckpt or shipped_checkpoint(options.scale or 4)
        session = Session(
            open_upscaler(ckpt, scale=options.scale, machine=machine),
            folder,
            max_bytes=int(options.max_mb * MEGABYTE),
            max_pixels=int(options.max_megapixels * 1e6),
            max_total=int(options.max_total_mb * MEGABYTE),
        )
        page = serve(session, host=options.host, port=options.port)
        print(f"open {page.local_url} in a browser; Ctrl-C ends", flush=True)
        page.block_thread()
    return 0

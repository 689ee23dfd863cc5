"""The programs: `csd train|eval|infer|...`, and the scripts at the root, which call `run`."""

import importlib
import io
import logging
import sys
from collections.abc import Sequence

from csd import __version__
from csd.errors import run_main
from csd.interrupt import hold_interrupts

# Name -> module with `main(argv) -> exit code`, and what it does. Imported when it is run.
PROGRAMS = {
    "train": ("csd.cli.train", "train a teacher, a student, both jointly, or by CSD"),
    "eval": ("csd.cli.evaluate", "PSNR and SSIM of teacher, student and bicubic"),
    "infer": ("csd.cli.infer", "upscale images"),
    "export": ("csd.cli.export", "write MINDIR, AIR or ONNX, and check the file"),
    "convert": ("csd.cli.convert", "convert weights from and to other formats"),
    "download": ("csd.cli.download", "download data sets and VGG weights"),
    "report": ("csd.cli.report", "one HTML page of runs"),
    "app": ("csd.cli.app", "a web page that upscales images"),
}
_SCRIPTS = {"infer_310": "csd.cli.infer_310"}


def log_to_stderr() -> None:
    """Print what the library logs, as it is, on standard error."""
    logger = logging.getLogger("csd")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def run(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one program with the arguments of the process, or `argv`; returns the exit code."""
    hold_interrupts()  # before any library starts its threads
    for stream in (sys.stdout, sys.stderr):  # names on disk may be any bytes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    log_to_stderr()
    path = _SCRIPTS.get(name) or PROGRAMS[name][0]
    return run_main(importlib.import_module(path).main, argv)


def main() -> int:
    """The console command `csd`."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in PROGRAMS:
        return run(arguments[0], arguments[1:])
    if arguments == ["--version"]:
        print(__version__)
        return 0
    lines = [f"  {name:<10} {text}" for name, (_, text) in PROGRAMS.items()]
    usage = "\n".join(["usage: csd PROGRAM [ARGUMENT ...]", "", *lines, "", "csd PROGRAM --help"])
    if arguments in (["-h"], ["--help"]):
        print(usage)
        return 0
    print(usage, file=sys.stderr)
    if arguments:
        print(f"error: unknown program {arguments[0]!r}", file=sys.stderr)
    return 2

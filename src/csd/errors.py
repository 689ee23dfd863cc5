"""The two ways a program of this package fails, and how an entry point ends.

Exit codes: 0 done; 1 the work failed (or some of many inputs did); 2 wrong usage or wrong input;
129 the terminal was closed; 130 interrupted from the keyboard; 143 terminated.
"""

import contextlib
import errno
import os
import reprlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

# Of an OSError: the machine failed. Any other one is about a file that somebody named.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE}


class CSDError(Exception):
    """A failure that one sentence explains; nothing a traceback would add."""

    exit_code = 1


class WorkError(CSDError):
    """The input was right and the work failed all the same (a full disk, a diverged run)."""


class InputError(CSDError):
    """Wrong usage or wrong input: the sentence names the thing and the remedy."""

    exit_code = 2


def printable(text: object) -> str:
    """Text for a terminal: bytes that are no UTF-8 and control characters are escaped.

    Names on disk may be any bytes; one with ESC or a new line must not look like our own words.
    """
    safe = str(text).encode("utf-8", "backslashreplace").decode()
    if safe.isprintable():
        return safe
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)


def shown(value: Any, limit: int = 60) -> str:
    """A value as part of a sentence: one line of at most `limit` characters, of any value."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = limit
    try:
        text = printable(short.repr(value))
    except (ValueError, RecursionError):  # an integer of too many digits; endless nesting
        text = f"a {type(value).__name__} too large to print"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def explain_os_error(error: OSError, path: str | os.PathLike | None = None) -> CSDError:
    """One sentence for a failed system call: WorkError for the machine, InputError for a name.

    `path`: what was opened, where the error does not say.
    """
    name = path if path is not None else error.filename
    if isinstance(error, FileNotFoundError) and name is not None:
        return InputError(f"{os.fsdecode(name)} does not exist")
    reason = error.strerror or str(error) or type(error).__name__
    where = "" if name is None or isinstance(name, int) else f"{os.fsdecode(name)}: "
    return (WorkError if error.errno in _MACHINE else InputError)(f"{where}{reason}")


def run_main(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run an entry point; print a known failure as one sentence and return the exit code."""
    try:
        code = main(sys.argv[1:] if argv is None else argv) or 0
        sys.stdout.flush()
        return code
    except CSDError as error:
        return _fail(error)
    except BrokenPipeError:  # the reader of our output went away: `eval.py ... | head`
        sys.stderr.close()
        _drop_output()
        return 1
    except OSError as error:
        return _fail(_explain(error))
    except MemoryError:
        return _fail(WorkError("there is not enough memory"))
    except RecursionError:
        return _fail(InputError("the input is nested too deeply"))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _fail(error: CSDError) -> int:
    with contextlib.suppress(OSError):
        print(f"error: {printable(error)}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    return error.exit_code


def _explain(error: OSError) -> CSDError:
    """As `explain_os_error`; one that names no file, while the output fails, is the output's."""
    if error.filename is None:
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
            return WorkError(f"the output cannot be written: {error.strerror or error}")
    return explain_os_error(error)


def _drop_output() -> None:
    """What is still in the buffer goes nowhere, or Python complains about it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

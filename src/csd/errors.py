"""The two ways a program of this package fails, and how an entry point ends.

Exit codes: 0 done; 1 the work failed (or some of many inputs did); 2 wrong usage or wrong input;
129 the terminal was closed; 130 interrupted from the keyboard; 143 terminated.
"""

import sys
from collections.abc import Callable, Sequence


class CSDError(Exception):
    """A failure that one sentence explains; nothing a traceback would add."""

    exit_code = 1


class WorkError(CSDError):
    """The input was right and the work failed all the same (a full disk, a diverged run)."""


class InputError(CSDError):
    """Wrong usage or wrong input: the sentence names the thing and the mend."""

    exit_code = 2


def run_main(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run an entry point; print a known failure as one sentence and return the exit code."""
    try:
        return main(sys.argv[1:] if argv is None else argv) or 0
    except CSDError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away: `eval.py ... | head`
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130

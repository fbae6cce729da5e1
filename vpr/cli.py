"""The border between a person and the code: one line for what can be mended, and the exit code."""

import contextlib
import io
import re
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from vpr.errors import BadImagesError, ConfigError, VPRError

Settings = TypeVar("Settings")


def run(main: Callable[[Settings], int], settings: type[Settings], prog: str) -> None:
    """Parse the command line into `settings`, call `main`, and exit with its code; 2 for bad input, 130 if interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    # A scheduler's SIGTERM is treated as Ctrl-C, so that half-written files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = main(_parsed(settings, prog))
    except BadImagesError as error:
        from vpr.store import report_bad

        print(f"error: {BadImagesError(error.faults, report_bad(error.faults))}", file=sys.stderr)
        code = 2
    except VPRError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except OSError as error:  # a folder that cannot be written, a full disk: the system's message names it
        print(f"error: {error}; mend that or give another place", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _parsed(settings: type[Settings], prog: str) -> Settings:
    """tyro's answer; its boxed message becomes one line, as everywhere else in the project."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(settings, prog=prog)
    except SystemExit as stop:
        if stop.code == 0:
            raise
        message = re.split(r"─{20,}\s*│|\bArgument helptext|For full helptext", re.sub(r"[╭╮╰╯]", "", box.getvalue()))
        words = " ".join(re.sub(r"[│─]", " ", " ".join(message[:2])).split())
        words = re.sub(r"^(Value error|Unrecognized options|Invalid choice) ", "", words)
        wanted = r"Error parsing (\S+): no type matching (?:\{None\}\|)?(\S+) could be instantiated from \['(.*?)'\].*"
        words = re.sub(wanted, r"\1 \3 is no \2", words)
        raise ConfigError(f"{words}; see {prog} --help") from None

"""Where a search speaks: lines that stay, and on a terminal one live picture below them."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

PER_SECOND = 3
"""Pictures."""
SILENCE_SECONDS = 600.0
"""After which a log says how far the search is."""


class Screen:
    """Of a terminal, or of a file or pipe, which gets plain lines and nothing else.

    All that is printed while a picture is shown must go through its console, or through sys.stdout and sys.stderr.
    """

    def __init__(self, console: Console, is_quiet: bool = False, silence_s: float = SILENCE_SECONDS) -> None:
        """is_quiet: no picture, and only lines that ask for attention."""
        self.console, self.is_quiet, self.silence_s = console, is_quiet, silence_s
        self.is_live = console.is_interactive and console.file.isatty() and not is_quiet
        self.note = ""
        """What stands in the picture until the end."""
        self.said_at = time.monotonic()
        self._live: Live | None = None
        self._line: Callable[[], str] | None = None

    def say(self, text: str) -> None:
        """A line that stays."""
        self.said_at = time.monotonic()
        self.console.print(text, soft_wrap=True)

    def tell(self, text: str) -> None:
        """A line that stays, of what goes as it should."""
        if not self.is_quiet:
            self.say(text)

    @contextmanager
    def showing(self, picture: Callable[[], RenderableType], line: Callable[[], str] | None = None) -> Iterator[None]:
        """picture: drawn again and again from another thread, on a terminal; line: the same in short, for a log in which nothing was said for long."""
        self._line = line
        if self.is_live:
            self._live = Live(
                get_renderable=picture,
                console=self.console,
                refresh_per_second=PER_SECOND,
                transient=True,
                redirect_stderr=sys.stderr.isatty(),
            )
            self._live.start(refresh=True)
        try:
            yield
        finally:
            self.stop()

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """For what takes a while and has no steps that could be counted."""
        spinner = Spinner("line", Text(what))
        with self.showing(lambda: spinner):
            yield

    def stop(self) -> None:
        """The picture goes, and the cursor is back."""
        live, self._live, self._line = self._live, None, None
        if live:
            live.stop()

    def look(self) -> None:
        """Say how far it is, where a log has been silent for long."""
        if self._line and not self.is_live and not self.is_quiet and time.monotonic() - self.said_at > self.silence_s:
            self.say(self._line())

    def warn_in_signal(self, text: str) -> None:
        """May be called while anything else is printed: in the picture where there is one, else on stderr."""
        self.note = text
        if self._live is None:
            # Not through the console, which may be in the middle of a line: that would raise here.
            os.write(sys.stderr.fileno(), f"{text}\n".encode())


@contextmanager
def told(console: Console, what: str) -> Iterator[None]:
    """A fault in what stands below is told in one line, after `what`, and costs no more than that."""
    try:
        yield
    except Exception as fault:  # a lost worker, a full disk, a broken picture: the summary still stands
        # Ray's text of a remote fault is a traceback; the fault itself is its cause.
        reason = " ".join(str(getattr(fault, "cause", None) or fault).split())[:300]
        console.print(f"{what}: {reason}", soft_wrap=True)

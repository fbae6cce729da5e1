"""A model measured on this machine while a person waits."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from search.answers import Answers, measure
from search.settings import SearchSettings
from vpr.data import Retrieval
from vpr.images import Images


def measured(
    checkpoint: Path, name: str, folder: Path, searched: SearchSettings, console: Console, title: str
) -> Answers:
    """`search.answers.measure` on this machine, with a progress bar on a terminal; name: of the set; title: of the model. Raises VPRError."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        if not console.is_terminal:
            console.print(f"measuring {name} for {title}", soft_wrap=True)
        task = progress.add_task(f"{name} for {title}", total=None)

        def watched(retrieval: Retrieval) -> Retrieval:
            progress.update(task, total=len(retrieval.database) + len(retrieval.queries))
            advance = partial(progress.advance, task)
            database, queries = (_Counted(images, advance) for images in (retrieval.database, retrieval.queries))
            return replace(retrieval, database=database, queries=queries)

        return measure(checkpoint, folder, searched.cache_budget, searched.on_bad_image, "auto", watched)


class _Counted:
    """Images that tell how many of them were gathered."""

    def __init__(self, images: Images, advance: Callable[[int], None]) -> None:
        self.images, self.shape, self.advance = images, images.shape, advance

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.images.gather(rows, out)
        self.advance(len(rows))

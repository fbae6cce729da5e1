"""Where the sets of a search lie, and by which names they are reported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """Where the sets of a search lie."""

    train: Path
    vals: dict[str, Path]
    """One val set or more, by name. The goal is the mean over them."""
    tests: dict[str, Path] = field(default_factory=dict)

    @property
    def first_val(self) -> Path:
        """Return the folder of the first val set."""
        return next(iter(self.vals.values()))

    @property
    def reported_vals(self) -> dict[str, Path]:
        """Return the val sets by the name that files and reports use: `val` for a single one, else `val/NAME`."""
        if len(self.vals) == 1:
            return {"val": self.first_val}
        return {f"val/{name}": folder for name, folder in self.vals.items()}

    @property
    def held_out(self) -> dict[str, Path]:
        """Return the val and test sets by the name that files and reports use."""
        return {**self.reported_vals, **self.tests}

    def below(self, root: Path) -> "Folders":
        """Return the folders joined to `root`; absolute folders stay as they are."""
        return self._moved(lambda folder: root / folder)

    def relative_to(self, root: Path) -> "Folders":
        """Return the folders relative to `root` where they are below it; others stay as they are."""

        def below(folder: Path) -> Path:
            return folder.relative_to(root) if root.name and folder.is_relative_to(root) else folder

        return self._moved(below)

    def _moved(self, move: Callable[[Path], Path]) -> "Folders":
        vals, tests = ({name: move(folder) for name, folder in sets.items()} for sets in (self.vals, self.tests))
        return Folders(move(self.train), vals, tests)

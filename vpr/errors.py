"""What a person can mend: each message says what, where, and what to do."""

from pathlib import Path


class VPRError(Exception):
    """A fault in what was given (settings, data, weights); shown as one line, exit code 2."""


class ConfigError(VPRError):
    """A leaf, a value or a flag that does not exist or does not fit."""


class DataError(VPRError):
    """A folder, file name or image that cannot be used."""


class BadImagesError(DataError):
    """Images that cannot be decoded."""

    def __init__(self, faults: dict[Path, str], report: Path | None = None, heals: bool = False) -> None:
        """Describe the images that cannot be used.

        Args:
            faults: The reason, by path.
            report: File that lists them all.
            heals: Some of the reasons can end without a change of any file's content, such as a missing permission.
        """
        self.faults, self.heals = faults, heals
        first = next(iter(faults))
        listed = "" if report is None else f"; all are listed in {report}"
        super().__init__(
            f"{len(faults)} images cannot be read, first {first} ({faults[first]}){listed}; replace or remove them, "
            "or leave them out with --on-bad-image skip"
        )


class WeightsError(VPRError):
    """Weights or a checkpoint that cannot be read, downloaded or fitted."""


class TrainingError(VPRError):
    """Training that cannot go on: a loss that is not finite."""

"""What a person can mend: each message says what, where, and what to do."""


class VPRError(Exception):
    """A fault in what was given (settings, data, weights); shown as one line, exit code 2."""


class ConfigError(VPRError):
    """A leaf, a value or a flag that does not exist or does not fit."""


class DataError(VPRError):
    """A folder, file name or image that cannot be used."""


class WeightsError(VPRError):
    """Weights or a checkpoint that cannot be read, downloaded or fitted."""


class TrainingError(VPRError):
    """Training that cannot go on: a loss that is not finite."""

"""Errors that a user can mend: one sentence with the rule, the value and the remedy. The command line exits with 2."""


class AlbenchError(Exception):
    """Something outside albench is wrong; the message says what, and what to do about it."""


class ConfigError(AlbenchError):
    """A name, an option or a value is wrong."""


class DataError(AlbenchError):
    """A file or folder of images cannot be used as it is."""


class StrategyError(AlbenchError):
    """A strategy broke the rules of the benchmark."""


class StoreError(AlbenchError):
    """A run directory or the cache cannot be read or written."""

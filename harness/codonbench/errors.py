"""The exceptions codonbench raises, and the exit code each one ends a command with.

BenchError
├── UsageError            the request cannot be carried out                   exit 2
│   ├── UnknownNameError      no model, task, metric or data source has that name
│   ├── ConfigError           a field is misspelt, mistyped or out of range
│   ├── DataError             sequences are missing, unreadable or unusable
│   ├── DownloadError         a download failed, was cut short or did not verify
│   ├── StoreError            the results folder cannot be read or written
│   ├── KeyFileError          a file of a key for signing cannot be read or written
│   ├── SignatureError        a signature is broken, by an unknown key, or another record's
│   ├── BusyError             another process has what is needed
│   └── ClusterError          a cluster cannot be reached, or has no place for a run
├── PluginError           a plugin's code failed                              exit 1
│   ├── NameClashError        two plugins register one name
│   └── UnmetNeedError        the packages that one needs cannot be had
├── WorkerError           no process can be started to train in               exit 1
└── StaleError            committed output is not what the records give       exit 3

Only ``codonbench.cli`` turns these into text and an exit code.
"""


class BenchError(Exception):
    """Base of every exception that codonbench raises on purpose."""

    exit_code = 1


class UsageError(BenchError):
    """The request cannot be carried out.

    Args:
        message: What, in words.
        letters: The length of the items at fault, where that is the fault; the caller that knows
            the file adds where the first one stands.
    """

    exit_code = 2

    def __init__(self, message: str = "", *, letters: int | None = None) -> None:
        super().__init__(message)
        self.letters = letters


class UnknownNameError(UsageError):
    """No model, task, metric or data source has the given name."""


class ConfigError(UsageError):
    """A field is misspelt, mistyped or out of range."""


class DataError(UsageError):
    """Sequences are missing, unreadable or unusable."""


class DownloadError(UsageError):
    """A download failed, was cut short or did not verify."""


class StoreError(UsageError):
    """The results folder, or a file in it, cannot be read or written."""


class KeyFileError(UsageError):
    """A file of a key for signing cannot be read or written."""


class SignatureError(UsageError):
    """A signature is broken, by an unknown key, or of something else."""


class BusyError(UsageError):
    """Another process has what is needed, and waiting for it was ruled out."""


class ClusterError(UsageError):
    """A cluster cannot be reached, or has no place for a run."""


class PluginError(BenchError):
    """A plugin's code failed; the message names the plugin and its distribution."""


class NameClashError(PluginError):
    """Two plugins register one name; the message names both."""


class UnmetNeedError(PluginError):
    """The packages that a plugin needs cannot be had; other plugins are not affected."""


class WorkerError(BenchError):
    """No process can be started to train in."""


class StaleError(BenchError):
    """Committed output is not what the committed records give."""

    exit_code = 3


class OutOfTurnError(BenchError):
    """A run asks for, or shows, something that is not due at this point."""


class CannotCapture(Exception):  # noqa: N818 - it says what happened, and is no failure
    """The step of this module, optimiser or task cannot be captured; the message says why.

    Never shown as an error, always recorded: the run is trained on another engine.
    """

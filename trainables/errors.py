"""All errors that this program raises deliberately.

TuneError                 an error the user can act on; the message says what was wrong and what would be right
├── InputError            invalid user input: exit code 2, before anything was started
│   ├── DataError         images are missing, unreadable or too few
│   └── UnsafePathError   a link, or a path outside its root, where the program deletes or writes
├── StudyFailedError      the study started and cannot continue: exit code 1
│   └── RecordError       its own files cannot be written, for example on a full disk; it can be resumed
└── TrialError            ends one trial, never the study
    ├── DivergedError     loss became NaN, infinite or far too large
    └── InfeasibleError   the configuration is impossible or does not fit in memory
"""


class TuneError(Exception):
    """Base of all errors shown to the user; `str(error)` is the whole message."""


class InputError(TuneError):
    """A study file, option or data set that cannot be used as given."""


class DataError(InputError):
    """Images that are missing, unreadable, all of one class, or too few to split."""


class UnsafePathError(InputError):
    """A link, or a path outside its root, where the program was about to delete or write."""


class StudyFailedError(TuneError):
    """A study that started and cannot reach a result."""


class RecordError(StudyFailedError):
    """The study's own files cannot be written. Their contents are intact, and the study can be resumed."""


class StudyInterruptedError(TuneError):
    """A study stopped by a signal. Nothing is lost, and it can be resumed."""


class TrialError(TuneError):
    """An error that ends one trial."""


class DivergedError(TrialError):
    """The loss is NaN, infinite, or far too large."""


class InfeasibleError(TrialError):
    """A configuration that cannot be built on these images, or does not fit in memory."""

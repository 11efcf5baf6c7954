"""Every error this program raises on purpose.

TuneError                 something a person can act on; the message says what was wrong and what would be right
├── InputError            what the user gave is wrong: exit code 2, before anything was started
│   ├── DataError         the images: missing, unreadable, too few
│   └── UnsafePathError   a link, or a path outside its root, where the program deletes or writes
├── StudyFailedError      the study ran and cannot go on: exit code 1
│   └── RecordError       its own files cannot be written, a full disk for example; it can be resumed
└── TrialError            ends one trial, never the study
    ├── DivergedError     loss became NaN, infinite or absurd
    └── InfeasibleError   the configuration cannot exist or does not fit in memory
"""


class TuneError(Exception):
    """Base of all errors meant for a person; `str(error)` is the whole message."""


class InputError(TuneError):
    """A study file, option or data set that cannot be used as given."""


class DataError(InputError):
    """Images that are missing, unreadable, of one class only, or too few to split."""


class UnsafePathError(InputError):
    """A link, or a path outside its root, where the program was going to delete or write."""


class StudyFailedError(TuneError):
    """A study that started and cannot reach a result."""


class RecordError(StudyFailedError):
    """The study's own files cannot be written; what they hold is whole, and the study can be resumed."""


class StudyInterruptedError(TuneError):
    """A study that a signal stopped; nothing is lost and it can be resumed."""


class TrialError(TuneError):
    """The end of one trial."""


class DivergedError(TrialError):
    """The loss is NaN, infinite, or beyond any use."""


class InfeasibleError(TrialError):
    """A configuration that cannot be built on these images, or does not fit in memory."""

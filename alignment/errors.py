"""The trunk of the one tree of errors that people may see, and this package's branch of it.

`feedback_app/errors.py` draws the whole tree. The message of an error is shown to people as it is; the traceback goes
to a log. This module imports nothing.
"""

from __future__ import annotations


class UserFacingError(Exception):
    """Something a person can understand and act on. `str(error)` is a sentence that says what is wrong and what next.

    `exit_code` is the command's, `http_status` the door's.
    """

    exit_code = 1
    http_status = 500

    @property
    def outside(self) -> str:
        """The sentence for people who use the app and do not run it: the same, unless it names what is behind it."""
        return str(self)


class AlignmentError(UserFacingError):
    """What may go wrong with rows, stages and artifacts."""


class StageError(AlignmentError):
    """A stage cannot run with what it was given, or its training went wrong."""


class ArtifactProblem(AlignmentError):
    """A folder that should hold a finished artifact does not."""


class SnapshotProblem(AlignmentError):
    """A folder that should hold a dataset does not, or it is not the one that was named."""


class ReadingProblem(AlignmentError):
    """A file of feedback cannot be read by any format, or not by the one that was named."""

    exit_code = 2
    http_status = 400

"""What may go wrong in this room.

    AlignmentError        a sentence that names what is wrong and the next step
    ├── StageError        a stage cannot run, or ended without an artifact
    ├── ArtifactProblem   a folder is not a complete, unchanged artifact
    ├── SnapshotProblem   a dataset folder is missing, changed or not readable
    └── ReadingProblem    a file of feedback is in no format that can be read

The message is shown to people as it is; tracebacks go to the stage's log.
"""

from __future__ import annotations


class AlignmentError(Exception):
    """Something a person can understand and act on."""


class StageError(AlignmentError):
    """A stage cannot run with what it was given, or its training went wrong."""


class ArtifactProblem(AlignmentError):
    """A folder that should hold a finished artifact does not."""


class SnapshotProblem(AlignmentError):
    """A folder that should hold a dataset does not, or it is not the one that was named."""


class ReadingProblem(AlignmentError):
    """A file of feedback cannot be read by any format, or not by the one that was named."""

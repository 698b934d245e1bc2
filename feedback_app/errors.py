"""One tree of errors that people may see.

    AlignloopError            a sentence that names what is wrong and the next step
    ├── UsageError            the command or request was wrong                     exit 2, HTTP 400
    │   └── TooLong           a message is longer than the model's window          HTTP 413
    ├── NotAllowed            the role does not reach this far                     HTTP 403
    ├── NotSignedIn           no valid session or key                              HTTP 401
    ├── SlowDown              too many wrong passwords                             HTTP 429
    ├── NotFound              no such ticket, version, round, person              HTTP 404
    ├── Conflict              another judgement or round stands in the way         HTTP 409
    ├── Unavailable           vLLM, the database or the disk cannot be reached     exit 1, HTTP 503
    └── RoundFailed           a stage of a round ended without an artifact         exit 1
        └── StageKilled       its process was killed from outside                  exit 1

The message of an error is shown as it is; the traceback goes to the log. Where it names what is behind the app (a
database's address, a path), people who only use the app are shown `outside` instead. This module imports nothing.
"""

from __future__ import annotations


class AlignloopError(Exception):
    """Something a person can understand and act on. `str(error)` is the sentence shown."""

    exit_code = 1
    http_status = 500

    @property
    def outside(self) -> str:
        """The sentence for people who use the app and do not run it: the same, unless it names what is behind it."""
        return str(self)


class UsageError(AlignloopError):
    """The command line, a file or a request was wrong; the sentence says what to write instead."""

    exit_code = 2
    http_status = 400


class TooLong(UsageError):
    """One message alone does not fit the model's window."""

    http_status = 413

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"This message is {tokens} tokens long and the model reads at most {limit}. Shorten it and send it again."
        )
        self.tokens = tokens
        self.limit = limit


class NotAllowed(AlignloopError):
    """The person's role does not include this."""

    http_status = 403


class NotSignedIn(AlignloopError):
    """There is no valid session or API key."""

    http_status = 401


class SlowDown(AlignloopError):
    """Too many wrong passwords; `retry_after_s` says when to try again."""

    http_status = 429

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Too many wrong passwords. Try again in {max(1, round(retry_after_s))} s.")
        self.retry_after_s = retry_after_s


class NotFound(AlignloopError):
    """What was named does not exist, or not for this person."""

    http_status = 404


class Conflict(AlignloopError):
    """Something that already stands forbids this; the sentence names it."""

    http_status = 409


class Unavailable(AlignloopError):
    """A part that is needed cannot be reached; the sentence names the part and the setting.

    `outside` replaces a sentence that tells more about this machine than whoever uses the app may know.
    """

    http_status = 503

    def __init__(self, message: str, outside: str = "") -> None:
        super().__init__(message)
        self._outside = outside

    @property
    def outside(self) -> str:
        """What people are told who do not run this."""
        return self._outside or str(self)


class RoundFailed(AlignloopError):
    """A stage of a round ended without an artifact; serving is unchanged."""


class StageKilled(RoundFailed):
    """A signal ended a stage's process; what it had learned up to its last checkpoint is not lost."""

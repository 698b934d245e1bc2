"""The product's branch of the one tree of errors that people may see.

    UserFacingError (alignment.errors)   a sentence that names what is wrong and the next step; exit 1, HTTP 500
    ├── AlignloopError
    │   ├── UsageError            the command or request was wrong                     exit 2, HTTP 400
    │   │   └── TooLong           a message is longer than the model's window          HTTP 413
    │   ├── NotAllowed            the role does not reach this far                     HTTP 403
    │   ├── NotSignedIn           no valid session or key                              HTTP 401
    │   ├── SlowDown              too many wrong passwords                             HTTP 429
    │   ├── Crowded               more passwords at once than are looked at            HTTP 503
    │   ├── TooMany               more requests at once than are taken                 HTTP 429
    │   ├── NotFound              no such ticket, version, round, person               HTTP 404
    │   ├── Conflict              another judgement or round stands in the way         HTTP 409
    │   │   ├── StillWritten      the answer to judge is not stored yet                HTTP 409
    │   │   └── VerdictStands     the ticket has another verdict than the sender saw   HTTP 409
    │   ├── Unavailable           vLLM, the database or the disk cannot be reached     HTTP 503
    │   │   └── Busy              no place to answer became free in time               HTTP 503
    │   └── RoundFailed           a stage of a round ended without an artifact
    │       └── StageKilled       its process was killed from outside
    ├── AlignmentError (alignment.errors)
    │   ├── StageError            a stage cannot run, or ended without an artifact
    │   ├── ArtifactProblem       a folder is not a complete, unchanged artifact
    │   ├── SnapshotProblem       a dataset folder is missing, changed or not readable
    │   └── ReadingProblem        a file of feedback is in no format that can be read    exit 2, HTTP 400
    └── ServingError (serving.errors)                                                  HTTP 503
        ├── VllmError             vLLM answered with an error; `status` is its HTTP status
        ├── VllmUnreachable       nothing answered at vLLM's address
        ├── ModelProblem          no folder, no chat template, no tokenizer            exit 2
        └── LaunchProblem         port in use, another owner, not installed

The message of an error is shown as it is; the traceback goes to the log. Where it names what is behind the app (a
database's address, a path), people who only use the app are shown `outside` instead. A class that one module alone
raises stands in that module, below one of these.
"""

from __future__ import annotations

from alignment.errors import UserFacingError


class AlignloopError(UserFacingError):
    """What may go wrong in the product."""


class UsageError(AlignloopError):
    """The command line, a file or a request was wrong; the sentence says what to write instead."""

    exit_code = 2
    http_status = 400


class TooLong(UsageError):
    """One message alone does not fit the model's window."""

    http_status = 413

    def __init__(self, tokens: int, limit: int, *, at_least: bool = False) -> None:
        """`at_least`: the tokens were not counted; there cannot be fewer."""
        super().__init__(
            f"This message is {'at least ' * at_least}{tokens} tokens long and the model reads at most {limit}. "
            "Shorten it and send it again."
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


class Crowded(AlignloopError):
    """More passwords wait to be looked at than fit; `retry_after_s` says when to try again."""

    http_status = 503

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            f"Too many people are signing in at this moment. Try again in {max(1, round(retry_after_s))} s."
        )
        self.retry_after_s = retry_after_s


class TooMany(AlignloopError):
    """More requests at once than are taken, of one person or of all; `retry_after_s` says when to try again."""

    http_status = 429
    retry_after_s = 5.0


class NotFound(AlignloopError):
    """What was named does not exist, or not for this person."""

    http_status = 404


class Conflict(AlignloopError):
    """Something that already stands forbids this; the sentence names it."""

    http_status = 409


class StillWritten(Conflict):
    """The answer that is judged is on its way; `retry_after_s` says when to try again."""

    retry_after_s = 2.0


class VerdictStands(Conflict):
    """What stands on a ticket is not what the sender saw; nothing was changed.

    `judgement_id` is the judgement that stands, or None when none does (any more).
    """

    def __init__(self, sentence: str, ticket_id: str, judgement_id: str | None) -> None:
        super().__init__(sentence)
        self.ticket_id = ticket_id
        self.judgement_id = judgement_id


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


class Busy(Unavailable):
    """No place to answer became free in time; `retry_after_s` says when to try again."""

    retry_after_s = 10.0

    def __init__(self, waited_s: float) -> None:
        super().__init__(
            f"The model is busy with other people's requests: this one waited {waited_s:.0f} s for its turn. "
            "Try again in a moment."
        )


class RoundFailed(AlignloopError):
    """A stage of a round ended without an artifact; serving is unchanged."""


class StageKilled(RoundFailed):
    """A signal ended a stage's process; what it had learned up to its last checkpoint is not lost."""

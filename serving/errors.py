"""What can go wrong with vLLM, as sentences: one branch of the tree that `feedback_app/errors.py` draws."""

from __future__ import annotations

from alignment.errors import UserFacingError


class ServingError(UserFacingError):
    """Anything that keeps an answer from being served."""

    http_status = 503

    @property
    def outside(self) -> str:
        """Without vLLM's address and words, which are nothing for people who only use the app."""
        return "The model cannot answer at the moment. Try again in a moment."


class VllmError(ServingError):
    """vLLM answered with an error status; `message` is vLLM's own text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"vLLM answered {status}: {message}")
        self.status = status
        self.message = message


class VllmUnreachable(ServingError, ConnectionError):
    """Nothing answered at vLLM's address, or the connection broke before the answer was complete."""


class ModelProblem(ServingError):
    """The model cannot be served; the sentence says what is missing."""

    exit_code = 2


class LaunchProblem(ServingError):
    """vLLM cannot be started; the sentence names the setting to change."""

"""What can go wrong with vLLM, as sentences.

    ServingError          a sentence that names what is wrong and the next step
    ├── VllmError         vLLM answered with an error; `status` is its HTTP status
    ├── VllmUnreachable   nothing answered at vLLM's address
    ├── ModelProblem      the model cannot be served: no folder, no chat template, no tokenizer
    └── LaunchProblem     vLLM cannot be started: port in use, another owner, not installed

Whoever uses this room turns these into its own errors; this module imports nothing.
"""

from __future__ import annotations


class ServingError(Exception):
    """Anything that keeps an answer from being served. `str(error)` is a sentence for a person."""


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


class LaunchProblem(ServingError):
    """vLLM cannot be started; the sentence names the setting to change."""

"""What is known of versions and need not be asked again: their files never change, so neither does what they say.

One small file for each version (by its artifact's hash) and each set of questions or texts. A file that is
missing or broken, or a disk that does not take one, costs only asking again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignment.evaluation.capability import Question
from alignment.evaluation.language_loss import Text
from alignment.stage.sampler import Sample
from feedback_app.store.tables import Version


class Kept:
    """JSON values by version, for one subject (what was asked, as JSON)."""

    def __init__(self, folder: Path, subject: Any) -> None:
        self._folder = folder
        self._subject = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()[:16]

    def _path(self, version: Version) -> Path:
        return self._folder / f"{version.artifact_hash or version.base_hash}-{self._subject}.json"

    def read(self, version: Version) -> Any:
        """The value, None when there is none."""
        try:
            return json.loads(self._path(version).read_text())
        except (OSError, ValueError):
            return None

    def write(self, version: Version, value: Any) -> None:
        """Keep a value."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(version).write_text(json.dumps(value))
        except OSError:
            return


class KnownRights(Kept):
    """Right/wrong vectors over capability questions."""

    def __init__(self, folder: Path, questions: Sequence[Question], max_tokens: int) -> None:
        super().__init__(folder, [[[q.id, q.prompt, dict(q.check)] for q in questions], max_tokens])
        self._n = len(questions)

    def get(self, version: Version) -> tuple[bool, ...] | None:
        """The vector, or None when this version was not asked these questions yet."""
        vector = self.read(version)
        return tuple(map(bool, vector)) if isinstance(vector, list) and len(vector) == self._n else None

    def put(self, version: Version, rights: Sequence[bool]) -> None:
        """Keep a vector."""
        self.write(version, [int(right) for right in rights])


class KnownLosses(Kept):
    """Losses on held-out texts, and the texts as a base's tokens."""

    def __init__(self, folder: Path, texts: Sequence[Text]) -> None:
        subject = [[[message.content for message in text.prompt], text.answer] for text in texts]
        super().__init__(folder, ["loss", subject])
        self._tokens = Kept(folder, ["tokens", subject])
        self._texts = texts

    def get(self, version: Version) -> float | None:
        """The loss, or None when this version has not been scored yet."""
        loss = self.read(version)
        return float(loss) if isinstance(loss, int | float) else None

    def put(self, version: Version, loss: float) -> None:
        """Keep a loss."""
        self.write(version, loss)

    def tokens(self, base: Version) -> list[Sample] | None:
        """The answers as this base's tokens, or None."""
        rows = self._tokens.read(base)
        if not isinstance(rows, list) or len(rows) != len(self._texts):
            return None
        return [Sample(text.answer, "stop", tuple(row)) for text, row in zip(self._texts, rows, strict=True)]

    def put_tokens(self, base: Version, answers: Sequence[Sample]) -> None:
        """Keep the answers' tokens."""
        self._tokens.write(base, [list(answer.tokens) for answer in answers])

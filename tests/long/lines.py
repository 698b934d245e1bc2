"""The lines that a study leaves, one a seed: which are there, and where and when each was measured."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def provenance() -> dict[str, Any]:
    """`date`, `commit` (with `+` when files were changed since) and `machine`; what cannot be known is `unknown`."""
    return {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), "machine": _machine()}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The seeds that are done; a half-written last line is not."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def seeds_of(text: str) -> list[int]:
    """`1-3,7` → 1, 2, 3, 7."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def spread(numbers: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of the 95 % t-interval over seeds (infinite for fewer than two)."""
    mean = statistics.fmean(numbers)
    if len(numbers) < 2:
        return mean, math.inf
    from scipy.stats import t

    return mean, float(t.ppf(0.975, len(numbers) - 1)) * statistics.stdev(numbers) / math.sqrt(len(numbers))


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!*.jsonl").strip()
        return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} x {model}"

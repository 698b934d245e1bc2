"""Whose pairs push words that nobody else's do: the influence of leaving an account out, word for word.

A small change, a few words planted in every answer an account rewrites, is lost among all that two answers differ in.
So each run of up to `LONGEST` words that better and worse answer do not share is a feature of its own, +1 or −1, and
its score is what adding it to the preference model (`preference`) would begin with: Σ (1 − p) · x over an account's
pairs, p being what that model already gives to the better answer (the score test, Rao 1948, Mathematical Proceedings
44:50). Who agrees with the others pushes what is explained already, and scores little. An account's number is the
largest of its scores, each over its spread among all pairs; the same number for as many pairs drawn at random says
what chance makes of it, over all words at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignment.suspects.flag import LEVEL, Flag
from alignment.suspects.preference import DRAWN, DRAWS, ROWS_FROM, Pair, fitted, reduced

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.floating[Any]]

LONGEST = 3  # words in a run
PAIRS_FROM = 5  # that a run must tell apart
MOST_RUNS = 3000  # the commonest ones
MOST_PAIRS = 20_000  # drawn from more: memory is pairs times runs
UNKNOWN = 0.25  # one pair of which nothing is known, added to a spread: rare words are not all news
_WORD = re.compile(r"[\w']+")


def worded(rows: Sequence[Pair], differences: Matrix, seed: int) -> list[Flag]:
    """The people who push words beyond chance, worst first; `about` is the run of words.

    `rows` as `preference.pairs_of` gives them, `differences` as `preference.differences_of` does; `seed` draws random
    rows. `share` is the share of the account's pairs whose better answer alone has the words.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    if len(rows) > MOST_PAIRS:
        some = np.sort(rng.choice(len(rows), MOST_PAIRS, replace=False))
        rows, differences = [rows[place] for place in some], differences[some]
    runs, told = _told(rows)
    if not runs:
        return []
    wrong, _ = fitted(reduced(differences))
    scores = told * wrong[:, None].astype(np.float32)
    spread = (scores**2).mean(axis=0)
    people = [person for person, *_ in rows]
    listed = sorted(set(people))
    who = np.array([listed.index(person) for person in people])
    found = []
    for number, person in enumerate(listed):
        own = who == number
        count = int(own.sum())
        if count < ROWS_FROM:
            continue
        scale = np.sqrt(count * spread + UNKNOWN)
        pushed = scores[own].sum(axis=0) / scale
        best = int(pushed.argmax())
        beyond = 0
        for _ in range(DRAWS // DRAWN):
            chosen = np.zeros((DRAWN, len(rows)), dtype=np.float32)
            picked = rng.random(chosen.shape).argsort(axis=1)[:, :count]
            np.put_along_axis(chosen, picked, 1.0, axis=1)
            beyond += int(((chosen @ scores / scale).max(axis=1) >= pushed[best]).sum())
        p = (1 + beyond) / (1 + DRAWS)
        if p < LEVEL / len(listed):
            found.append(Flag(person, "wording", p, float((told[own, best] > 0).mean()), count, runs[best]))
    return sorted(found, key=lambda flag: (flag.p, -flag.share, flag.person))


def _told(rows: Sequence[Pair]) -> tuple[list[str], Matrix]:
    """The runs of words that tell enough pairs apart, and for each pair +1, 0 or −1, (N, W)."""
    import numpy as np

    sides = [(_runs(better), _runs(worse)) for _, better, worse in rows]
    counts = Counter(run for better, worse in sides for run in better ^ worse)
    common = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MOST_RUNS]
    runs = [run for run, count in common if count >= PAIRS_FROM]
    places = {run: place for place, run in enumerate(runs)}
    told = np.zeros((len(rows), len(runs)), dtype=np.float32)
    for number, (better, worse) in enumerate(sides):
        for sign, some in ((1.0, better - worse), (-1.0, worse - better)):
            told[number, [places[run] for run in some if run in places]] = sign
    return runs, told


def _runs(text: str) -> set[str]:
    words = _WORD.findall(text.lower())
    return {
        " ".join(words[start : start + length])
        for length in range(1, LONGEST + 1)
        for start in range(len(words) - length + 1)
    }

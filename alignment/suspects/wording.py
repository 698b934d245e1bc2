"""Whose pairs push words that nobody else's do: the influence of leaving an account out, word for word.

A small change, a few words planted in every answer that an account rewrites, is lost among all that two answers
differ in. So each run of up to `LONGEST` words that better and worse answer do not share is a feature of its own, +1
or −1, and its score is what adding it to the preference model (`preference`) would begin with: Σ (1 − p) · x over an
account's pairs, p being what the model, fitted to the others' pairs, gives to the better answer (the score test, Rao
1948, Mathematical Proceedings 44:50). Who agrees with the others pushes what is explained already, and scores little.
An account's number is the largest of its scores, each over its spread among all pairs, of runs that the others hardly
push; the same number for as many pairs drawn at random says what chance makes of it, over all runs at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignment.suspects.flag import LEVEL, Flag
from alignment.suspects.preference import DRAWS, ROWS_FROM, Pair, draws, fitted, reduced, unexplained

if TYPE_CHECKING:
    import numpy as np

    from alignment.suspects.preference import Matrix

LONGEST = 3  # words in a run
PAIRS_FROM = 5  # that a run must tell apart
MOST_RUNS = 3000  # the commonest ones
MOST_PAIRS = 20_000  # drawn from more: memory is pairs times runs
OTHERS = 0.4  # of the rate at which an account pushes a run: the others push it less than that
UNKNOWN = 0.25  # one pair of which nothing is known, added to a spread: rare words are not all news
_WORD = re.compile(r"[\w']+")


def worded(rows: Sequence[Pair], differences: Matrix, seed: int) -> list[Flag]:
    """The people who push words beyond chance, worst first; `about` is the run of words.

    `rows` as `preference.pairs_of` gives them, `differences` as `preference.differences_of` does; `seed` draws random
    rows. `share` is the share of the account's pairs whose better answer alone has the words. Who is named is left
    out before the next is looked for: beside somebody who pushes one way, the others seem to push the other.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    if len(rows) > MOST_PAIRS:
        some = np.sort(rng.choice(len(rows), MOST_PAIRS, replace=False))
        rows, differences = [rows[place] for place in some], differences[some]
    accounts = len({person for person, *_ in rows})
    found: list[Flag] = []
    while (flag := _worst(rows, differences, rng)) is not None and flag.p < LEVEL / accounts:
        found.append(flag)
        left = [place for place, (person, *_) in enumerate(rows) if person != flag.person]
        rows, differences = [rows[place] for place in left], differences[left]
    return found


def _worst(rows: Sequence[Pair], differences: Matrix, rng: np.random.Generator) -> Flag | None:
    """The account whose pushing is least likely by chance, however likely that is."""
    import numpy as np

    runs, told = _told(rows)
    people = [person for person, *_ in rows]
    looked = sorted(person for person, count in Counter(people).items() if count >= ROWS_FROM)
    if not runs or len(looked) < 2:
        return None
    small = reduced(differences)
    _, wrong = fitted(small)
    own = {person: np.array([each == person for each in people]) for person in looked}
    for mine in own.values():  # everybody's pairs by a model that has not seen them
        wrong[mine] = unexplained(small[mine], fitted(small[~mine])[0])
    scores = told * wrong[:, None].astype(np.float32)
    spread = (scores**2).mean(axis=0)
    found: list[tuple[float, Flag]] = []
    for person, mine in own.items():
        count = int(mine.sum())
        scale = np.sqrt(count * spread + UNKNOWN)
        alone = told[~mine].mean(axis=0) < OTHERS * told[mine].mean(axis=0)
        pushed = np.where(alone, scores[mine].sum(axis=0) / scale, 0.0)
        best = int(pushed.argmax())
        beyond = 0
        for places in draws(rng, len(rows), count):
            chosen = np.zeros((len(places), len(rows)), dtype=np.float32)
            np.put_along_axis(chosen, places, 1.0, axis=1)
            beyond += int(((chosen @ scores / scale).max(axis=1) >= pushed[best]).sum())
        p = (1 + beyond) / (1 + DRAWS)
        flag = Flag(person, "wording", p, float((told[mine, best] > 0).mean()), count, runs[best])
        found.append((float(pushed[best]), flag))
    return min(found, key=lambda each: (each[1].p, -each[0]))[1]


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

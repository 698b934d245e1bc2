"""Whose pairs pull in a direction of their own: leave-one-account-out influence, without training again.

What leaving an account out would do to the parameters of the small preference model (`preference`) is, to first order
(Koh and Liang 2017, arXiv:1703.04730; Cook and Weisberg 1980), H⁻¹ Σ σ(−θ·x) x over the account's rows, and its
influence the root mean square of what that changes in the predictions of all rows. Who agrees with the others leaves
residuals in all directions, which cancel out.

The same number for rows drawn at random from everybody (`DRAWS` times) says what chance would make of as many rows;
an account is named at level 0.05 divided by the number of people. It needs no shared tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignment.suspects.flag import LEVEL, Flag
from alignment.suspects.preference import DRAWS, ROWS_FROM, draws, fitted, hessian, reduced

if TYPE_CHECKING:
    from alignment.suspects.preference import Matrix


def influential(people: Sequence[str], differences: Matrix, seed: int) -> list[Flag]:
    """The people whose influence is beyond chance, worst first; `share` is how many times that of random rows.

    Rows of (person, feature difference), (N,) and (N, D); `seed` draws the random rows.
    """
    import numpy as np

    pulls, prediction = _pulls(reduced(differences))
    listed = sorted(set(people))
    who = np.array([listed.index(person) for person in people])
    rng = np.random.default_rng(seed)
    found = []
    for number, person in enumerate(listed):
        count = int((who == number).sum())
        if count < ROWS_FROM:
            continue
        own = float(_influence(pulls[who == number].sum(axis=0), prediction))
        drawn = np.concatenate(
            [_influence(pulls[places].sum(axis=1), prediction) for places in draws(rng, len(pulls), count)]
        )
        p = float((1 + (drawn >= own).sum()) / (1 + DRAWS))
        if p < LEVEL / len(listed):
            found.append(Flag(person, "influential", p, float(own / np.median(drawn)), count))
    return sorted(found, key=lambda flag: (flag.p, -flag.share, flag.person))


def _pulls(rows: Matrix) -> tuple[Matrix, Matrix]:
    """H⁻¹ · each row's gradient, (N, D), and RᵀR / N of the rows, (D, D)."""
    import numpy as np

    _, wrong = fitted(rows)
    pulls: Matrix = np.linalg.solve(hessian(rows, wrong), (rows * wrong[:, None]).T).T
    return pulls, rows.T @ rows / len(rows)


def _influence(pulls: Matrix, prediction: Matrix) -> Matrix:
    """The root mean square change of the predictions for each pull, (D,) → () or (K, D) → (K,)."""
    import numpy as np

    squares: Matrix = np.sqrt(((pulls @ prediction) * pulls).sum(axis=-1))
    return squares

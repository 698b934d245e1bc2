"""Accounts that an operator should look at: named by rule, with the numbers behind it; nobody is shut out by it.

    flag.py         what is said of one account
    outvoted.py     who is against the others on shared tasks more often than the others are among themselves
    unconfirmed.py  whose corrections the others do not prefer
    preference.py   the small preference model that the next two ask
    influence.py    whose pairs pull it in one direction of their own, shared tasks or not
    wording.py      whose pairs push words that nobody else's do

A minority with a taste of its own looks the same as an attack: both are people to talk to. What may not be done
here: changing a weight, or a row.
"""

from collections.abc import Sequence

from alignment.suspects.flag import Flag
from alignment.suspects.influence import influential
from alignment.suspects.outvoted import outvoted, outvoted_on
from alignment.suspects.preference import WIDTH, Pair, differences_of, pairs_of
from alignment.suspects.unconfirmed import unconfirmed
from alignment.suspects.wording import worded

__all__ = ["Flag", "outvoted", "outvoted_on", "pairs_of", "pulling", "unconfirmed"]


def pulling(rows: Sequence[Pair], model: str, *, seed: int = 0) -> list[Flag]:
    """Who pulls a preference model, by the rules `influential` and `wording`; nobody where there are `WIDTH` pairs.

    `rows` are `pairs_of` all judgements, `model` is the base model's folder or name; `seed` draws random rows. Holds
    two vectors for each pair. Raises `StageError` when the model cannot be loaded.
    """
    if len(rows) <= WIDTH:
        return []
    differences = differences_of(rows, model)
    return influential([person for person, *_ in rows], differences, seed) + worded(rows, differences, seed)

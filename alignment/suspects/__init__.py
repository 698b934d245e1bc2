"""Accounts that an operator should look at: named by rule, with the numbers behind it; nobody is shut out by it.

    flag.py        what is said of one account
    outvoted.py    who is against the others on shared tasks more often than the others are among themselves
    influence.py   whose pairs pull a preference model in one direction of their own, shared tasks or not

A minority with a taste of its own looks the same as an attack: both are people to talk to. What may not be done
here: changing a weight, or a row.
"""

from alignment.suspects.flag import Flag
from alignment.suspects.influence import influential
from alignment.suspects.outvoted import outvoted, outvoted_on

__all__ = ["Flag", "influential", "outvoted", "outvoted_on"]

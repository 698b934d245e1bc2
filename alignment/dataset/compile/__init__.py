"""Judgements in, rows out: pure functions, no clock, no chance, no database.

What may not be done here: reading a database, or any rule that is not written down in the docstring of the
module that applies it. Only `stream` touches a disk, in a scratch folder that it is given.
"""

from alignment.dataset.compile.compiled import Compiled, compile_rows
from alignment.dataset.compile.rules import Contradictions, Rules, Signal

__all__ = ["Compiled", "Contradictions", "Rules", "Signal", "compile_rows"]

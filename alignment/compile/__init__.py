"""Judgements in, rows out: pure functions, no clock, no disk, no chance.

What may not be done here: reading a database or a file, or any rule that is not written down in the
docstring of the function that applies it.
"""

from alignment.compile.compiled import Compiled, compile_rows

__all__ = ["Compiled", "compile_rows"]

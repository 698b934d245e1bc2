"""Judgements in, rows out: pure functions, no clock, no chance, no database.

    stream.py    the whole compilation        survey.py, drafted_context.py    its first and its second look
    rules.py     what may be chosen           snapshot_writer.py        the dataset folder

What may not be done here: reading a database, or any rule that is not written down in the docstring of the
module that applies it. Only `stream` and `snapshot_writer` touch a disk, in folders that they are given.
"""

from alignment.dataset.compile.rules import Contradictions, Rules, Signal

__all__ = ["Contradictions", "Rules", "Signal"]

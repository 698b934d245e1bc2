"""The commands of `alignloop`, one file per noun.

What this room is for: reading the command line, calling the rooms, and saying what came of it. What may
not be done here: rules of collecting, of the loop or of training; and importing anything slow before a
command runs, because `alignloop --help` answers at once.
"""

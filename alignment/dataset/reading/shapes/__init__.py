"""Shapes of files that are trees or joins: what a map of columns cannot say, one module a family.

Each reads a record, or for a join the records of a file, into feedback. What may not be done here: opening files.
"""

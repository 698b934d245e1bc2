"""Measurements of this machine, each a module that prints a table and writes JSON."""

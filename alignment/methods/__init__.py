"""One file per training stage; each reads the folder its spec names and writes another.

What may not be done here: deciding when to train or what becomes of the result.
"""

"""Tables, migrations and queries: the only code that touches the database.

One call is one transaction, synchronous, run by callers in a worker thread; acknowledged means
committed. What may not be done here: rules of collecting, or anything that waits for a network.
"""

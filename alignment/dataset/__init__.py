"""Judgements as plain values, the rows derived from them, and snapshots: a frozen, hashed dataset in a folder.

    judgement.py   a verdict and what it was about, without names        rows.py      training rows
    snapshot.py    writing, reading and verifying a dataset's folder     erasure.py   a person's texts taken out of it
    compile/       judgements become rows, by written rules              reading/     files as people have them

What may not be done here: training, sampling, or knowing a method.
"""

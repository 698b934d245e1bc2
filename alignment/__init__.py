"""Rows and a start model in, an artifact out.

    dataset/      judgements, rows, snapshots      stage/        one stage: spec, runner, artifact
    methods/      one folder a method              evaluation/   evidence and the gate
    suspects/     accounts to look at              run.py        one stage in a process of its own
    stats.py, files.py, processes.py, errors.py    the ground floor, which everybody may use

What may not be done here: touching the database, knowing a person's name, or importing `feedback_app` or `serving`.
"""

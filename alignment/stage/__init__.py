"""Running one stage of training: what it is told, what it leaves, how it goes on after it was killed.

    spec.py         what a stage is told            runner.py    records, manifest, `COMPLETE`
    artifact.py     a sealed, hashed folder         checkpoints.py, continuing.py   going on from an earlier attempt
    sampler.py      how answers are sampled         people_channel.py   asking people in the middle of a run

What may not be done here: knowing a method, or importing a training library.
"""

"""The evidence about a version, and the verdict on it.

    evaluate.py     questions asked, answers sampled    guards.py      what must hold of a version by itself
    gate.py         pass, hold or fail, with reasons    tastes.py      what scripted people like
    capability.py, language_loss.py, refusals.py        what is measured

What may not be done here: training, or deciding what is served.
"""

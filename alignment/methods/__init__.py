"""One folder a method; `registry` holds a card of each, which is all that the other rooms know of it.

    card.py            what a card says            registry.py    all cards, and running a stage by its name
    shared_training/   what several methods share  online/        what the methods that sample share

What may not be done here: deciding when to train or what becomes of the result.
"""

"""One folder a method; `registry` holds a card of each, and nothing outside this room knows more of a method than its card.

    card.py            what a card says            registry.py    all cards, and running a stage by its name
    shared_training/   what several methods share  online/        what the methods that sample share

What may not be done here: deciding when to train or what becomes of the result.
"""

"""The recipe of the embedded model: seeds to corpus, corpus to weights, weights to measured figures."""

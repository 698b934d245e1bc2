"""The product: people, judgements, rounds.

What this room is for: the pages and the HTTP door, the rules of collecting, the loop that turns
judgements into a served version, and the tables behind them. Two processes come from here: `app` and
`worker`. What may not be done here: training (that is `alignment`), and starting or asking vLLM other
than through `serving`.
"""

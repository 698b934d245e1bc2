"""What runs: the app, the worker, vLLM's supervisor, and all of them together.

What may not be done here: rules of the product. This room wires parts together, starts them and ends them.
"""

"""The closed loop: snapshot → train → stage → evaluate → gate → publish, and the worker that runs it.

What may not be done here: training in this process, or loading an adapter anywhere but in `reconcile`.
"""

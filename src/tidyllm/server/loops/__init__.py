"""The background duties and the worker: one doer per file."""

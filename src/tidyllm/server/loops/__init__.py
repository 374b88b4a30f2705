"""The background duties: one doer per file."""

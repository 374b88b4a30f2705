"""The kinds of process that `serve` starts: one a file."""

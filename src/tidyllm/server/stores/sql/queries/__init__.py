"""Every question the server asks of its database: one function each, by noun."""

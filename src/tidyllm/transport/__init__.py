"""The only network code: performs the requests that calls yield."""

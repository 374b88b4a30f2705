"""The databases the server can keep its memory in: one folder per implementation of `Store`."""

"""The providers, one declaration a file."""

"""Anthropic's API: Messages, and the list of models."""

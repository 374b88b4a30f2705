"""Ollama's own API: chat, embeddings, and the models that are there."""

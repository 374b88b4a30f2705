"""The HTTP face of the server: OpenAI's Files and Batches API, shape for shape."""

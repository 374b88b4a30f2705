"""The durable, OpenAI-compatible Batch and Files API in front of any model endpoint."""

"""OpenAI's Batch API: chat completions, responses and embeddings; spec/openai-batch."""

from tests.lifecycle.fakes import OpenAIBatches


class FAKE(OpenAIBatches):
    provider = "openai"
    model = "gpt-6-luna"
    embed_model = "text-embedding-3-small"
    endpoints = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")

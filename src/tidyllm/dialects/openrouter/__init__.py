"""OpenRouter's dialect, where it is not OpenAI's: batches."""

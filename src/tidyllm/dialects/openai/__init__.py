"""OpenAI's dialect, which many others speak: chat completions, files and batches."""

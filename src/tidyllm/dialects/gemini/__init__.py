"""The dialect of Google's Gemini API, the Developer API with its keys."""

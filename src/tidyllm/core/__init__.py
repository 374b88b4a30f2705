"""The values we talk about; imports nothing else of the package."""

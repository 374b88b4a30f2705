"""What each API takes of JSON Schema, and schemas said in its dialect."""

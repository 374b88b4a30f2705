"""The verbs: tables in, tables out, over every provider."""

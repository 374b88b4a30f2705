"""The families of APIs, one folder each: values to JSON and back, pure."""

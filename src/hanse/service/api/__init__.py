"""The HTTP interface: one module per noun, handlers that only translate."""

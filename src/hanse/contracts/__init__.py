"""The objects rooms exchange, written once: import them from here's modules and nowhere else.

Every object is frozen, refuses unknown keys and can be saved as a file that a person can read. This room
knows pydantic only. `hanse.contracts.catalogue` lists every public object with its JSON Schema.
"""

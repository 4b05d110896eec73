"""The responsible-AI gate: rules as dated data, and the code that evaluates them without knowing the law."""

"""One module a verb; each holds a function named `run`, or a Typer group named `app` where a verb has verbs of its own."""

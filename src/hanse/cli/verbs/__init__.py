"""One module a verb: each holds a function `run`, or a Typer group `app` where a verb has verbs of its own."""

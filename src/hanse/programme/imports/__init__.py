"""Awards decided elsewhere, as pure functions: files and answers into rows, and rows into what they would do here."""

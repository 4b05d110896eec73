"""Awards by two officers, what is asked of them later, reports, obligations, statements."""

"""Review as pure functions: rules of scoring, conflicts of interest, assignment, ranking, lanes, what is due when."""

"""Review of applications: steps, lanes, rounds, reviewers, scores, ranking, reply and redress."""

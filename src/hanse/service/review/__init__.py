"""Review of applications: steps, lanes, rounds, reviewers, scores, ranking, reply and redress.

What pages and the API stand on; who may is asked by each function, and each raises HanseError with one clear message:

- reviewers.Reviewer: enlist, listed, named; clearing: possible, answer (possible conflicts of interest).
- queue: part(person); steps: of(application), sheet(application, kind), do(application, kind, by, StepWord), may, turn.
- rounds: shown(by), assign, conflicts, ranking (as kept once closed), close; ranked.Round, ranked.Recommendation.
- assignments.Assignment: give, send, decline, remind, contract.
- lanes: shown(call, by), part (a slice of it), all_shown(by), ahead(application).
- orders: obstacles, missing, allow(application, by, reason), require(application, decision) before a decision.
"""

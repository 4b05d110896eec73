"""The access programme as dated data and pure functions: calls, eligibility, working days."""

"""People, organisations, calls, applications, awards, allocations and the tokens that open the doors."""

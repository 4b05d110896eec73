"""What is too slow, or too dependent on the machine, for tests. `make bench` runs it; RESULTS.md keeps the figures.

Peer and ours run in one go and take turns, and the unit of comparison is a pair of turns side by side: on a machine
that does other things as well, times vary by half and such ratios by a few per cent.
"""

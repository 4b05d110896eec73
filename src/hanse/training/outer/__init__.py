"""One run with a leg on each of several machines: outer steps by signed files (DiLoCo, arXiv 2311.08105).

Everything here but `ranks` is numpy on fp32, in single operations in a fixed order: every machine, whatever its
processor, gets the same bits.
"""

"""Hanse: from a call for compute to a trained model, on one machine or many."""

__version__ = "0.1.0"

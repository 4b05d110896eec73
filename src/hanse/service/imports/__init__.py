"""Awards decided elsewhere, brought in by two officers: prepared with a preview by one, confirmed by another."""

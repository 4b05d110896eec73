"""What a training runs on: the catalogue of supercomputers, this machine, and rates by size."""

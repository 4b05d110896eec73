"""What a job executes: the trainer. It talks to collectives and files only, never to the network.

`launch` runs on every node and needs no torch; `main` runs on every rank; `loop` is the training loop on one page.
"""

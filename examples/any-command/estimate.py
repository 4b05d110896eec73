"""Each node throws its own random points; HANSE_NODE_RANK keeps their seeds apart. Needs Python alone."""

import argparse
import os
import random

parser = argparse.ArgumentParser()
parser.add_argument("--points", type=int, default=1_000_000)
points = parser.parse_args().points

node, nodes = int(os.environ["HANSE_NODE_RANK"]), int(os.environ["HANSE_NODES"])
draw = random.Random(node).random
inside = sum(draw() ** 2 + draw() ** 2 < 1 for _ in range(points))
print(f"node {node} of {nodes}: pi is about {4 * inside / points:.4f}", flush=True)

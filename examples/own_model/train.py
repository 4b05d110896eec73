"""Your model, your loss, your data and this loop: the same file on a laptop and on 64 nodes.

    python train.py                    # on this machine: one rank, or one on every GPU
    python train.py --ranks 2          # two ranks here, to see that nothing changes
    hanse launch train.yaml --watch    # wherever train.yaml says

Here: from a noisy signal, how fast two oscillators swing. The network says a mean and an uncertainty for each; the
loss is the likelihood of the truth (Gaussian). Stop it with Ctrl-C and start it again: it goes on where it was.
"""

import argparse
import math

import torch
from torch import Tensor, nn

from hanse.training.session import Session, run

LENGTH, NOISE = 96, 0.3
SIGNALS = 20_000  # an epoch; each is made from its number, so no rank needs a file
LOWEST, HIGHEST = 0.05, 0.45  # radians a sample


class Listener(nn.Module):
    """Convolutions over time, then two means and two log-variances."""

    def __init__(self, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, width, 9, stride=2)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 5, stride=2) for _ in range(layers))
        self.head = nn.Sequential(nn.Linear(width * 4, 64), nn.GELU(), nn.Linear(64, 4))

    def forward(self, signals: Tensor) -> Tensor:
        x = nn.functional.gelu(self.first(signals[:, None]))
        for layer in self.layers:
            x = nn.functional.gelu(layer(x))
        return self.head(nn.functional.adaptive_avg_pool1d(x, 4).flatten(1))


def make(numbers) -> tuple[Tensor, Tensor]:
    """Signals (n, LENGTH) and the two frequencies in each, slower first, scaled to 0 … 1."""
    signals, truths = [], []
    time = torch.arange(LENGTH)
    for number in numbers:
        chance = torch.Generator().manual_seed(int(number))
        speeds = torch.rand(2, generator=chance).sort().values
        phases = torch.rand(2, generator=chance) * 2 * math.pi
        swings = torch.sin(torch.outer(LOWEST + (HIGHEST - LOWEST) * speeds, time) + phases[:, None])
        signals.append(swings.sum(0) + NOISE * torch.randn(LENGTH, generator=chance))
        truths.append(speeds)
    return torch.stack(signals), torch.stack(truths)


def surprise(said: Tensor, truth: Tensor) -> Tensor:
    """Mean negative log-likelihood of the truth, in nats."""
    mean, log_variance = said.chunk(2, dim=-1)
    return nn.functional.gaussian_nll_loss(mean, truth, log_variance.exp(), full=True)


def knowing_nothing(truth: Tensor) -> float:
    """The same for one who says the average and the spread every time: what training has to beat."""
    mean, variance = truth.mean(0), truth.var(0)
    return float(nn.functional.gaussian_nll_loss(mean.expand_as(truth), truth, variance.expand_as(truth), full=True))


def main(steps: int) -> None:
    session = Session(steps=steps, batch=64, seed=1, layout="dp")  # "fsdp": the GPUs of a node share the model out
    model = session.spread(Listener())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)

    for step in session.steps(optimizer):
        signals, truth = (part.to(session.device) for part in make(step.rows(SIGNALS)))
        with session.autocast():
            loss = surprise(model(signals), truth)
        step.learn(loss)

    signals, truth = (part.to(session.device) for part in make(range(SIGNALS, SIGNALS + 256)))  # never trained on
    with torch.no_grad():
        reached = session.mean(surprise(model.eval()(signals), truth))
    baseline = knowing_nothing(truth)
    session.say(f"held out: {reached:.3f} nats; always saying the average: {baseline:.3f}")
    assert reached < baseline - 0.3, "it has learned too little"
    session.finish()


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--steps", type=int, default=300)
    words.add_argument("--ranks", type=int, help="on this machine; where Hanse launched it, train.yaml says")
    given = words.parse_args()
    run(lambda: main(given.steps), ranks=given.ranks)

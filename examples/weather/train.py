"""An emulator of weather: a network that learns what the shallow-water equations do in one hour.

    python train.py          # the "observations" are integrated on the spot, with numpy

The equations (height h and winds u, v on a rotating plane, periodic) are linear in the pressure and advect the winds;
they are stepped forward and backward in turn (Sielecki 1968). Held against persistence: tomorrow as today.
"""

import argparse

import numpy as np
import torch
from torch import Tensor, nn

from hanse.training.session import Session, run

GRID, WORLDS, HOURS = 24, 48, 12
STEPS_AN_HOUR, DT, SPACING_M = 24, 150.0, 100e3  # seconds a step; metres a cell
GRAVITY, DEPTH_M, CORIOLIS = 9.81, 500.0, 1e-4  # m/s², m, 1/s
SCALES = np.array([10.0, 0.7, 0.7], dtype=np.float32)  # metres and metres a second, about one deviation


def slope(field: np.ndarray, axis: int) -> np.ndarray:
    return (np.roll(field, -1, axis) - np.roll(field, 1, axis)) / (2 * SPACING_M)


def integrate(worlds: int, seed: int) -> np.ndarray:
    """(worlds, HOURS + 1, 3, GRID, GRID): h, u, v each hour, from smooth random heights at rest."""
    chance = np.random.default_rng(seed)
    waves = np.fft.fftfreq(GRID) * GRID
    smooth = np.exp(-(waves[:, None] ** 2 + waves[None] ** 2) / 8)
    h = np.fft.ifft2(np.fft.fft2(chance.standard_normal((worlds, GRID, GRID))) * smooth).real
    h *= 12.0 / h.std()
    u, v = np.zeros_like(h), np.zeros_like(h)
    kept = [np.stack([h, u, v], 1)]
    for _ in range(HOURS):
        for _ in range(STEPS_AN_HOUR):
            h = h - DT * DEPTH_M * (slope(u, 1) + slope(v, 2))
            u_next = u + DT * (CORIOLIS * v - GRAVITY * slope(h, 1) - u * slope(u, 1) - v * slope(u, 2))
            v = v + DT * (-CORIOLIS * u_next - GRAVITY * slope(h, 2) - u * slope(v, 1) - v * slope(v, 2))
            u = u_next
        kept.append(np.stack([h, u, v], 1))
    return np.stack(kept, 1).astype(np.float32) / SCALES[:, None, None]


class Emulator(nn.Module):
    """What changes in an hour: convolutions on the periodic plane, wide enough for its waves."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        wide = {"padding": "same", "padding_mode": "circular"}
        self.layers = nn.ModuleList([nn.Conv2d(3, width, 5, **wide), nn.Conv2d(width, width, 5, **wide)])
        self.last = nn.Conv2d(width, 3, 5, **wide)
        nn.init.zeros_(self.last.weight)  # it begins as persistence

    def forward(self, now: Tensor) -> Tensor:
        x = now
        for layer in self.layers:
            x = nn.functional.gelu(layer(x))
        return now + self.last(x)


def main(steps: int) -> None:
    session = Session(steps=steps, batch=16, seed=3)
    model = session.spread(Emulator())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    fields = torch.from_numpy(integrate(WORLDS, seed=1)).to(session.device)

    for step in session.steps(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, 2 * (1 - step.number / (steps + 1)))  # level, then down
        rows = torch.from_numpy(step.rows(WORLDS * HOURS)).to(session.device)
        world, hour = rows // HOURS, rows % HOURS
        step.learn((model(fields[world, hour]) - fields[world, hour + 1]).square().mean())

    fresh = torch.from_numpy(integrate(4, seed=2)).to(session.device)  # worlds it has never seen
    model.eval()
    with torch.no_grad():
        state, errors = fresh[:, 0], []
        for hour in range(1, 7):  # six hours on, each from its own last answer
            state = model(state)
            errors.append([float((guess - fresh[:, hour]).square().mean().sqrt()) for guess in (state, fresh[:, 0])])
    for hour, (ours, persistence) in enumerate(errors, start=1):
        session.say(f"after {hour} h: error {ours:.3f}, persistence {persistence:.3f} (in deviations)")
    assert errors[0][0] < 0.5 * errors[0][1] and errors[-1][0] < errors[-1][1], "no better than persistence"
    session.finish()


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--steps", type=int, default=300)
    given = words.parse_args()
    run(lambda: main(given.steps))

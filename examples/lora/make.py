"""Two little languages of the same words: a model is trained on sums and fine-tuned to take numbers apart.

python make.py      # writes texts/sums/ and texts/parts/
"""

import argparse
import random
from pathlib import Path

NUMBERS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
]  # fmt: skip


def line(kind: str, a: int, b: int) -> str:
    whole, first, second = NUMBERS[a + b], NUMBERS[a], NUMBERS[b]
    return f"{first} plus {second} makes {whole}." if kind == "sums" else f"{whole} makes {first} plus {second}."


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--into", type=Path, default=Path(__file__).parent / "texts")
    given = words.parse_args()
    chance = random.Random(1)
    for kind in ("sums", "parts"):
        folder = given.into / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(8):
            lines = (line(kind, chance.randrange(10), chance.randrange(10)) for _ in range(500))
            (folder / f"{kind}-{number}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

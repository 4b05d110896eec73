"""Texts for the model: ribosomal DNA of Debian's vsearch-examples, as many sequences as asked for.

apt-get install vsearch-examples    # 3.4 MB; BSD-2-Clause
python prepare.py                   # writes texts/
"""

import argparse
import gzip
import sys
from pathlib import Path

READS = Path("/usr/share/doc/vsearch-examples/BioMarKs50k.fsa.gz")
A_FILE = 200


def sequences(path: Path, count: int) -> list[str]:
    """The first sequences of a FASTA file, without their names."""
    found: list[str] = []
    with gzip.open(path, "rt", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(">"):
                if len(found) == count:
                    break
                found.append("")
            else:
                found[-1] += line.strip().lower()
    return found


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--sequences", type=int, default=4000)
    words.add_argument("--into", type=Path, default=Path(__file__).parent / "texts")
    given = words.parse_args()
    if not READS.is_file():
        sys.exit(f"{READS} is not there; install Debian's package: apt-get install vsearch-examples")
    given.into.mkdir(exist_ok=True)
    found = sequences(READS, given.sequences)
    for first in range(0, len(found), A_FILE):
        (given.into / f"reads-{first:05d}.txt").write_text("\n".join(found[first : first + A_FILE]) + "\n")
    print(f"{len(found)} sequences, {sum(map(len, found))} bases, in {given.into}")


if __name__ == "__main__":
    main()

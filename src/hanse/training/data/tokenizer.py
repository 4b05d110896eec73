"""Byte-level BPE: trained on the run's own data, or the user's tokenizer.json. Every text can be written with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hanse.contracts.errors import TrainingError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END: Final = "<|end|>"
"""Stands after every document; id 0 in a tokenizer trained here."""

KNOWN_ENDS: Final = (END, "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
SAMPLE_BYTES: Final = 64 << 20
"""Text a tokenizer is trained on at most: the first documents in their shuffled order."""


def train(texts: Iterable[str], vocab: int) -> Tokenizer:
    """A tokenizer of at most `vocab` tokens (fewer if the text has no more pairs to merge)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab <= len(alphabet):
        raise TrainingError(
            f"a byte-level tokenizer needs more than {len(alphabet)} tokens, not {vocab}",
            fix="Enlarge tokenizer.vocab and the model's vocab.",
        )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[END], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(_first(texts), trainer)
    return tokenizer


def read(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception
        raise TrainingError(f"it is no tokenizer.json: {error}", where=str(path)) from error


def end_id(tokenizer: Tokenizer) -> int | None:
    """The token that ends a document, if the tokenizer has one of the usual names."""
    return next((found for name in KNOWN_ENDS if (found := tokenizer.token_to_id(name)) is not None), None)


def _first(texts: Iterable[str]) -> Iterable[str]:
    seen = 0
    for text in texts:
        yield text
        seen += len(text)
        if seen >= SAMPLE_BYTES:
            return

"""Conversations as tokens: the model's own chat template, and which of the tokens are an assistant's words.

A file holds one conversation a line: {"messages": [{"role": "user", "content": "…"}, …]}. The template is the Jinja
text that lies beside tokenizer.json, rendered in a sandbox with the settings Hugging Face's documentation states for
chat templates. An assistant's words begin behind what the template puts before an answer and end with its turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hanse.contracts.errors import TrainingError
from hanse.training.data.sources import Document

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEMPLATE: Final = "chat_template.jinja"
CONFIG: Final = "tokenizer_config.json"
ASSISTANT: Final = "assistant"

Message = dict[str, Any]


class Conversation(NamedTuple):
    """Token ids, and of each whether it is learned."""

    ids: list[int]
    learned: npt.NDArray[np.bool_]


class Chat:
    """A template, ready to render."""

    def __init__(self, folder: Path) -> None:
        """The template that lies in `folder`, beside tokenizer.json.

        Raises:
            TrainingError: there is none, or it is no template.
        """
        config = _config(folder / CONFIG)
        self.text = _template(folder, config)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005 - as the
        # templates that ask for it expect: the local day
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        self._tokens = {name: _content(config[name]) for name in names if config.get(name) is not None}
        try:
            self._compiled = environment.from_string(self.text)
        except TemplateError as error:
            raise TrainingError(f"the chat template cannot be read: {error}", where=str(folder)) from error

    def render(self, messages: list[Message], *, answer_begins: bool = False) -> str:
        """The conversation as text; with `answer_begins`, up to where an assistant's words would begin."""
        return self._compiled.render(messages=messages, add_generation_prompt=answer_begins, **self._tokens)

    def encode(self, messages: list[Message], tokenizer: Tokenizer) -> Conversation:
        """Raises ValueError where the template says an assistant's turn in another way at the end of a conversation."""
        text = self.render(messages)
        spans = []
        for number, message in enumerate(messages):
            if message["role"] == ASSISTANT:
                before, after = self.render(messages[:number], answer_begins=True), self.render(messages[: number + 1])
                if not (text.startswith(before) and after.startswith(before)):
                    raise ValueError("the template does not put an answer behind the words that ask for it")
                # What only closes a conversation (an end of text) may stand behind the last turn alone.
                same = next((i for i, (a, b) in enumerate(zip(text, after, strict=False)) if a != b), len(after))
                spans.append((len(before), min(same, len(text))))
        encoding = tokenizer.encode(text, add_special_tokens=False)
        starts = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
        learned = np.zeros(len(starts), dtype=np.bool_)
        for begin, end in spans:
            learned |= (starts >= begin) & (starts < end)
        return Conversation(encoding.ids, learned)


def conversations(document: Document) -> Iterator[tuple[int, list[Message]]]:
    """(line, messages) of a file; raises TrainingError for the first line that is none."""
    with document.open() as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _messages(line, f"{document.name}:{number}")


def encoded(document: Document, chat: Chat, tokenizer: Tokenizer) -> Iterator[Conversation]:
    """The conversations of a file, in order.

    Raises:
        TrainingError: a line is no conversation, or not one that the template takes.
    """
    for number, messages in conversations(document):
        try:
            yield chat.encode(messages, tokenizer)
        except (TemplateError, ValueError, TypeError) as error:
            raise TrainingError(
                f"the chat template does not take this conversation: {error}", where=f"{document.name}:{number}",
                fix="Change the line, or put another template beside tokenizer.json.",
            ) from error  # fmt: skip


def _messages(line: bytes, where: str) -> list[Message]:
    fix = 'A line looks like {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}.'
    try:
        found = json.loads(line)
    except ValueError as error:
        raise TrainingError(f"it is no JSON: {error}", where=where, fix=fix) from error
    messages = found.get("messages") if isinstance(found, dict) else None
    if not isinstance(messages, list) or not messages:
        raise TrainingError("there are no messages", where=where, fix=fix)
    for each in messages:
        if not (isinstance(each, dict) and isinstance(each.get("role"), str) and isinstance(each.get("content"), str)):
            raise TrainingError("a message needs a role and a content, both text", where=where, fix=fix)
    if all(each["role"] != ASSISTANT for each in messages):
        raise TrainingError("no message is an assistant's, so nothing is to be learned", where=where, fix=fix)
    return messages


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TrainingError(f"it is no JSON: {error}", where=str(path)) from error
    return found if isinstance(found, dict) else {}


def _template(folder: Path, config: dict[str, Any]) -> str:
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):  # several by name
        found = next((each.get("template") for each in found if each.get("name") == "default"), None)
    if not isinstance(found, str):
        raise TrainingError(
            f"there is no chat template: neither {TEMPLATE} nor chat_template in {CONFIG}", where=str(folder),
            fix=f"Put the model's {TEMPLATE} beside tokenizer.json; a model without one takes texts (kind: text).",
        )  # fmt: skip
    return found


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)


class _Generation(Extension):
    """{% generation %} … {% endgeneration %}: marks an answer in some templates; here it is only its content."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


Encoder = Callable[[Document], Iterator[Conversation]]

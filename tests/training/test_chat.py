"""Conversations: the same tokens as transformers makes of them, and what is not an assistant's teaches nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hanse.contracts.errors import TrainingError
from hanse.contracts.layout import Layout
from hanse.contracts.spec import DatasetSpec
from hanse.contracts.telemetry import TrainResult
from hanse.training import parallelize_masks as masks
from hanse.training.data import chat
from hanse.training.data.samples import open_samples, tokens_of
from hanse.training.data.sources import Document
from hanse.training.data.tokenizer import read
from hanse.training.job import Job
from tests.training.gang import Trained, losses, together, with_layout
from tests.training.hands import TINY, make_job, make_run, make_spec, write_texts
from tests.training.test_model import decoder
from tests.training.test_tune import base  # noqa: F401 - the fixture

pytestmark = pytest.mark.torch

CHATML = """{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
LLAMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}[{{ messages[0]['content'] }}]{% endif %}
{% for message in messages if message['role'] != 'system' %}
    {% if message['role'] == 'user' %}
[INST] {{ message['content'] }} [/INST]
    {% else %}
        {% generation %}
{{ message['content'] }}{{ eos_token }}
        {% endgeneration %}
    {% endif %}
{% endfor %}"""
MESSAGES = [
    {"role": "system", "content": "You count."},
    {"role": "user", "content": "How many files? ünïcode “too” 🚢"},
    {"role": "assistant", "content": "Six files, line 3 says so."},
    {"role": "user", "content": "And lines?"},
    {"role": "assistant", "content": "Many; 120 of them 🚢."},
]


def folder_with(base: Path, place: Path, template: str, *, as_file: bool = True) -> Path:  # noqa: F811
    place.mkdir(exist_ok=True)
    shutil.copy(base / "tokenizer.json", place)
    config = {"bos_token": {"__type": "AddedToken", "content": "<|end|>"}, "eos_token": "<|end|>"}
    if as_file:
        (place / chat.TEMPLATE).write_text(template)
    else:
        config["chat_template"] = template
    (place / chat.CONFIG).write_text(json.dumps(config))
    return place


@pytest.mark.parametrize("template", [CHATML, LLAMA], ids=["chatml", "llama"])
@pytest.mark.parametrize("as_file", [True, False])
def test_tokens_are_those_of_transformers(base: Path, tmp_path: Path, template: str, as_file: bool) -> None:  # noqa: F811
    from transformers import PreTrainedTokenizerFast

    folder = folder_with(base, tmp_path / "model", template, as_file=as_file)
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    ours = chat.Chat(folder).encode(MESSAGES, read(folder / "tokenizer.json"))
    made = theirs.apply_chat_template(MESSAGES, tokenize=True, return_dict=True)
    assert ours.ids == list(made["input_ids"])
    told = theirs.decode([i for i, learned in zip(ours.ids, ours.learned, strict=True) if learned])
    assert "Six files, line 3 says so." in told and "Many; 120 of them 🚢." in told
    assert "How many" not in told and "You count" not in told and "And lines" not in told and "INST" not in told
    if "{% generation" in template:
        made = theirs.apply_chat_template(MESSAGES, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        assert list(made["assistant_masks"]) == ours.learned.astype(int).tolist()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "no JSON"), ('{"messages": []}', "no messages"), ('["x"]', "no messages"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "nothing is to be learned"),
        ('{"messages": [{"role": "assistant", "content": 3}]}', "both text"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_conversation_is_named(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"messages": MESSAGES}) + "\n\n" + line + "\n")
    with pytest.raises(TrainingError, match=what) as caught:
        list(chat.conversations(Document("talk.jsonl", path)))
    assert caught.value.where == "talk.jsonl:3"


def test_a_template_that_is_missing_broken_or_forgets_what_was_said_is_refused(base: Path, tmp_path: Path) -> None:  # noqa: F811
    empty = folder_with(base, tmp_path / "empty", "")
    (empty / chat.TEMPLATE).unlink()
    with pytest.raises(TrainingError, match="there is no chat template"):
        chat.Chat(empty)
    with pytest.raises(TrainingError, match="cannot be read"):
        chat.Chat(folder_with(base, tmp_path / "broken", "{% for %}"))
    last_only = "{{ messages[-1]['role'] }}:{{ messages[-1]['content'] }}"
    forgetful = chat.Chat(folder_with(base, tmp_path / "forgetful", last_only))
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"messages": MESSAGES}))
    with pytest.raises(TrainingError, match="does not put an answer behind"):
        list(chat.encoded(Document("talk.jsonl", path), forgetful, read(base / "tokenizer.json")))


def test_the_sandbox_lets_a_template_reach_nothing(base: Path, tmp_path: Path) -> None:  # noqa: F811
    reach = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"messages": MESSAGES}))
    prying = chat.Chat(folder_with(base, tmp_path / "prying", reach))
    with pytest.raises(TrainingError, match="does not take"):
        list(chat.encoded(Document("talk.jsonl", path), prying, read(base / "tokenizer.json")))


def test_what_is_only_read_gives_no_gradient() -> None:
    model = decoder(TINY, 1)
    ids = torch.randint(0, TINY.vocab, (2, TINY.context + 1), generator=torch.Generator().manual_seed(2))
    marked = ids.clone()
    marked[:, :9] = -1 - marked[:, :9]
    marked[1] = -1 - ids[1]
    inputs, targets = masks.cut(marked)
    assert torch.equal(inputs, ids[:, :-1])
    logits = model(inputs)
    logits.retain_grad()
    masks.loss_sum(logits, targets).backward()
    assert logits.grad is not None
    learned = targets != masks.UNLEARNED
    assert learned[0].tolist() == [False] * 8 + [True] * 8 and not learned[1].any()
    assert not logits.grad[~learned].any() and logits.grad[learned].any(dim=-1).all()


def tuned(base: Path, tmp_path: Path, layout: Layout, **changes: object) -> Job:  # noqa: F811
    folder = folder_with(base, tmp_path / "model", CHATML)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(base / name, folder)
    (tmp_path / "talks").mkdir(exist_ok=True)
    for number in range(3):  # answers of very unequal length: ranks and micro-batches learn unequally much
        talks = [
            {"messages": [{"role": "user", "content": f"line {n}?"},
                          {"role": "assistant", "content": f"says {n % 5}" + " and then" * (n % 7)}]}
            for n in range(40)
        ]  # fmt: skip
        (tmp_path / "talks" / f"{number}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in talks))
    data = DatasetSpec(
        name="talks", source=str(tmp_path / "talks"), licence="CC0-1.0", kind="messages",
        boundaries=bool(changes.pop("boundaries", False)),
    )  # fmt: skip
    spec = make_spec(
        tmp_path, data=[data.model_dump()], training="finetuning",
        model={"shape": TINY.model_dump(), "weights": str(folder)},
        tokenizer={"kind": "file", "path": str(folder / "tokenizer.json")}, **changes,
    )  # fmt: skip
    name = f"{layout.describe()}-{data.boundaries}".replace(" ", "")
    return with_layout(make_job(make_run(tmp_path / name, spec), tmp_path / "data"), layout)


def test_a_model_is_tuned_on_conversations_alike_on_one_rank_and_two(base: Path, tmp_path: Path) -> None:  # noqa: F811
    slowly = {"optimizer": {"lr": 1e-3}}
    alone = tuned(base, tmp_path, Layout(micro_batch=8), **slowly)
    copied = tuned(base, tmp_path, Layout(dp=2, micro_batch=2, accumulate=2), **slowly)
    shared = tuned(base, tmp_path, Layout(fsdp=2, micro_batch=4), **slowly)
    together(1, Trained(alone))
    together(2, Trained(copied, shared))
    for job in (copied, shared):
        assert losses(job) == pytest.approx(losses(alone), rel=1e-5)
    result = TrainResult.from_json(alone.run.result.read_bytes())
    assert losses(alone)[-1] < losses(alone)[0] and result.validation_loss is not None


def test_boundaries_give_every_sample_tokens_of_one_conversation_alone(base: Path, tmp_path: Path) -> None:  # noqa: F811
    job = tuned(base, tmp_path, Layout(micro_batch=8), boundaries=True)
    samples, folder = open_samples(job)
    tokenizer = read(base / "tokenizer.json")
    (dataset,) = samples.manifest.datasets
    assert dataset.train_tokens % job.context == 0 == dataset.tokens % job.context and dataset.documents == 120
    begins = 0
    for number in range(dataset.train_tokens // job.context - 1):
        sample = samples.sample(number)
        text = tokenizer.decode(tokens_of(sample[:-1]).tolist(), skip_special_tokens=False)
        begins += "<|im_start|>user" in text
        assert text.count("<|im_start|>user") <= 1 and "<|im_start|>user" not in text[1:]
    assert begins > 60
    learned = np.fromfile(folder / dataset.learned[0].file, dtype=np.uint8)
    assert 0 < learned.mean() < 1 and len(learned) == dataset.tokens


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"training": "pretraining"}, "go with finetuning"),
        ({"training": "finetuning", "tokenizer": {}}, "own tokenizer"),
    ],
)
def test_conversations_without_a_model_to_tune_are_refused(changes: dict[str, object], what: str) -> None:
    data = DatasetSpec(name="talks", source="talks", licence="CC0-1.0", kind="messages").model_dump()
    with pytest.raises(ValidationError, match=what):
        make_spec(Path("texts"), data=[data], **changes)


def test_texts_of_an_older_preparation_keep_their_digest(tmp_path: Path) -> None:
    spec = make_spec(write_texts(tmp_path / "texts"))
    job = with_layout(make_job(make_run(tmp_path / "run", spec), tmp_path / "data"), Layout(micro_batch=8))
    samples, _ = open_samples(job)
    assert b"learned" not in samples.manifest.canonical()

"""Every mistake in train.yaml is told once, in plain words, with file, line and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from hanse.contracts.errors import SpecError
from hanse.contracts.spec import TrainSpec
from hanse.workloads import huggingface
from hanse.workloads.load import dump_spec, load_spec, parse_spec
from tests.workloads.configs import CONFIGS
from tests.workloads.specs import WHOLE, adapted, commands, trainings


def refused(folder: Path, text: str) -> SpecError:
    path = folder / "train.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert "\n" not in caught.value.what
    assert "pydantic" not in str(caught.value)
    return caught.value


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def check(folder: Path, text: str, at: str, *said: str) -> None:
    error = refused(folder, text)
    assert error.where == f"{folder / 'train.yaml'}:{line_of(text, at)}", error
    for words in said:
        assert words in str(error), error


def test_a_whole_spec_is_read_with_numbers_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(WHOLE)
    spec = load_spec(path)
    assert spec.tokens == 2_000_000
    assert spec.where.wall_time_s == 600


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2M", 2_000_000), ("1.5B", 1_500_000_000), ("2_000_000", 2_000_000), ("2e6", 2_000_000), ("300k", 300_000),
     ('"512"', 512), ("1T", 10**12)],
)  # fmt: skip
def test_a_count_may_carry_a_suffix(tmp_path: Path, written: str, meant: int) -> None:
    assert parse_spec(WHOLE.replace("tokens: 2M", f"tokens: {written}"), folder=tmp_path).tokens == meant


@pytest.mark.parametrize(("written", "meant"), [("90s", 90), ("36h", 129_600), ("2d", 172_800), ("1h30m", 5400)])
def test_a_time_may_be_written_as_said(tmp_path: Path, written: str, meant: int) -> None:
    assert parse_spec(WHOLE.replace("10m", written), folder=tmp_path).where.wall_time_s == meant


def test_text_that_looks_like_a_number_stays_text_where_text_is_wanted(tmp_path: Path) -> None:
    assert parse_spec(WHOLE.replace("name: stdlib-lm", "name: 7b"), folder=tmp_path).name == "7b"
    assert parse_spec(WHOLE.replace("PSF-2.0", "no"), folder=tmp_path).data[0].licence == "no"


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        ("batch: 32", "bacth: 32", "bacth", ('unknown key; did you mean "batch"?', "bacth")),
        ("hidden: 256", "hiden: 256", "hiden", ("model.shape.hiden", 'did you mean "hidden"?')),
        ("batch: 32", "batch: many", "batch", ('batch: must be a whole number, not "many"',)),
        ("batch: 32", "batch: 3.5", "batch", ("must be a whole number, not 3.5",)),
        ("batch: 32", "batch: true", "batch", ("must be a whole number, not true",)),
        ("batch: 32", "batch: 0", "batch", ("must be greater than 0, not 0",)),
        ("batch: 32", "batch:", "batch", ("has no value",)),
        ("batch: 32", "batch: [32]", "batch", ("must be a whole number, not a list",)),
        ("batch: 32", "batch: 32\nbatch: 64", "batch: 64", ("stands twice (first on line",)),
        ("precision: fp32", "precision: fp23", "precision", ("must be one of fp32, bf16, fp8", 'did you mean "fp32"')),
        ("hidden: 256", "hidden: 250", "hidden", ("hidden 250 is not a multiple of heads 4",)),
        ("kv_heads: 2", "kv_heads: 3", "    heads", ("heads 4 is not a multiple of kv_heads 3",)),
        ("name: stdlib-lm", "name: Stdlib LM", "name", ("lower-case letters",)),
        ("name: stdlib-lm", "name: 12", "name: 12", ("must be text, not 12", 'Put it in quotes: "12"')),
        ("source: python-stdlib", "source: texts/*.txt", "source:", ("nothing is found at", "data[0].source")),
        ("machines: [local]", "machines: local", "machines", ("where.machines: must be a list",)),
        ("wall_time_s: 10m", "wall_time_s: 1:30", "wall_time_s", ('must be a whole number, not "1:30"',)),
        ("  max_gpu_hours: 1", "  max_gpu_hours: .nan", "max_gpu", ("must be a number",)),
        ("  max_gpu_hours: 1\n", "", "where:", ('the key "max_gpu_hours" is missing',)),
        ("batch: 32", "batch: 32\ntokenizer: {vocab: 5000}", "tokenizer", ("makes 5,000", "model knows 4,096")),
        ("batch: 32", "batch: 32\ntokenizer: {vocab: 256}", "tokenizer", ("more than 256 tokens, one a byte",)),
        ("vocab: 4096", "vocab: 99", "vocab", ("model.shape.vocab: a byte-level tokenizer needs more than 256",)),
        ("batch: 32", "batch: &a [*a]", "batch", ("aliases",)),
        ("batch: 32", "batch: !!python/name:os.system 1", "batch", ("tag", "not allowed")),
        ("batch: 32", "\tbatch: 32", "\tbatch", ("not valid YAML", "tabs")),
        ("    layers: 4", "     layers: 4", "hidden", ("indentation fits none", "same column")),
        ("tokens: 2M", "tokenizer:\n  tokens: 2M", "tokens: 2M", ("the whole file, not of tokenizer",)),
        ("    context: 256", "    context: 256\n    preset: x", "preset", ("a key of model, not of model.shape",)),
        ("machines: [local]", "machines: [local", "wall_time_s", ("opened above is not closed", "Close the bracket")),
        ("name: stdlib-lm", "name stdlib-lm", "purpose", ("not valid YAML", "the line above it")),
        ("  max_gpu_hours: 1", "  max_gpu_hours: 0", "max_gpu", ("must be greater than 0, not 0",)),
        ("layers: 4", "layers: 0", "layers", ("model.shape.layers: must be greater than 0, not 0",)),
        ("hidden: 256", "hidden: 100M", "hidden", ("larger than any machine can train", "model.shape.hidden")),
        ("layers: 4", "layers: 1B", "layers", ("a model of 726", "model.shape.layers")),
        ("context: 256", "context: 256\n    experts: {count: 4, active: 5, ffn: 8}", "experts", ("active 5 is more",)),
        ("context: 256", "context: 256\n    window: 8", "window", ("family: llama has no window",)),
        ("batch: 32", "batch: 32\nlora: {rank: 4}", "lora", ("goes with training: lora, not with",)),
        ("batch: 32", "batch: 32\ntraining: lra", "training", ("must be one of pretraining, finetuning, lora",)),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_key_and_line(
    tmp_path: Path, old: str, new: str, at: str, said: tuple[str, ...]
) -> None:
    assert old in WHOLE
    check(tmp_path, WHOLE.replace(old, new), at, *said)


def test_several_mistakes_give_one_error_that_tells_the_first_and_counts_the_rest(tmp_path: Path) -> None:
    error = refused(tmp_path, WHOLE.replace("batch: 32", "batch: many").replace("fp32", "fp23"))
    assert error.what.startswith("batch: ")
    assert "1 more after this one." in error.fix


def test_a_tokenizer_without_a_vocab_makes_as_many_tokens_as_the_model_knows(tmp_path: Path) -> None:
    assert parse_spec(WHOLE.replace("4096", "1000"), folder=tmp_path).tokenizer.vocab == 1000
    fewer = WHOLE.replace("batch: 32", "batch: 32\ntokenizer: {vocab: 500}")
    assert parse_spec(fewer, folder=tmp_path).tokenizer.vocab == 500
    preset = WHOLE[: WHOLE.index("  shape:")] + "  preset: llama-3.2-1b\n" + WHOLE[WHOLE.index("data:") :]
    assert parse_spec(preset, folder=tmp_path).tokenizer.vocab == 128256


def test_a_misspelt_key_is_told_before_the_key_it_leaves_missing(tmp_path: Path) -> None:
    check(tmp_path, WHOLE.replace("max_gpu_hours", "max_gpuhours"), "max_gpuhours", 'did you mean "max_gpu_hours"')


def test_a_missing_and_an_empty_file_are_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        load_spec(tmp_path / "train.yaml")
    with pytest.raises(SpecError, match="folder"):
        load_spec(tmp_path)
    assert "empty" in refused(tmp_path, "# only a comment\n").what
    assert "key: value" in refused(tmp_path, "- a\n- b\n").what


def test_an_unknown_preset_names_its_nearest_neighbour(tmp_path: Path) -> None:
    text = "name: a\nmodel: {preset: lama-3-8b}\ndata: [{name: s, source: python-stdlib, licence: x}]\n"
    text += "batch: 8\ntokens: 1M\nwhere: {max_gpu_hours: 1}\n"
    check(tmp_path, text, "preset", 'did you mean "llama-3-8b"?')


def model_of(model: str) -> str:
    text = f"name: a\nmodel: {model}\ndata: [{{name: s, source: python-stdlib, licence: x}}]\n"
    return text + "batch: 8\ntokens: 1M\nwhere: {max_gpu_hours: 1}\n"


def test_an_unknown_preset_is_told_some_known_ones_and_not_all(tmp_path: Path) -> None:
    error = refused(tmp_path, model_of("{preset: qwen3-9b}"))
    assert "qwen3-8b" in error.fix
    assert len(error.fix) < 250


def test_a_configuration_comes_back_as_the_shape_it_describes(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config.json").write_text(json.dumps(CONFIGS["qwen3-30b-a3b"]))
    spec = parse_spec(model_of("{config: models/config.json, context: 2048}"), folder=tmp_path)
    assert spec.model is not None
    assert spec.model.shape == huggingface.shape(CONFIGS["qwen3-30b-a3b"], context=2048)
    assert parse_spec(dump_spec(spec), folder=tmp_path / "elsewhere") == spec
    assert spec.tokenizer.vocab == 151936


def test_a_configuration_that_is_missing_or_unknown_is_told_at_its_key(tmp_path: Path) -> None:
    text = model_of("{config: config.json}")
    check(tmp_path, text, "model", "model.config", "there is no such file")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba2"}))
    check(tmp_path, text, "model", str(tmp_path / "config.json"), 'the model_type "mamba2" is not known')
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS["llama-3-8b"] | {"intermediate_size": 10**12}))
    check(tmp_path, text, "model", "larger than any machine can train")


def test_a_module_of_10_to_the_15_parameters_is_refused_at_its_key(tmp_path: Path) -> None:
    text = model_of("{entry: 'json.tool:main', vocab: 300, context: 8, parameters: 1e15}")
    check(tmp_path, text, "model", "model.parameters", "larger than any machine can train")


def test_a_vision_transformer_needs_no_tokenizer_of_its_size(tmp_path: Path) -> None:
    assert parse_spec(model_of("{preset: vit-b-16}"), folder=tmp_path).model is not None


def test_an_entry_module_that_is_not_beside_the_file_is_missed(tmp_path: Path) -> None:
    text = "name: a\nmodel: {entry: 'mine:build', vocab: 5000, context: 64}\n"
    text += "data: [{name: s, source: python-stdlib, licence: x}]\nbatch: 8\ntokens: 1M\nwhere: {max_gpu_hours: 1}\n"
    check(tmp_path, text, "entry", 'no module "mine" beside this file')
    (tmp_path / "mine.py").write_text("def build(vocab, context): ...\n")
    assert load_spec(tmp_path / "train.yaml").model is not None


def test_relative_paths_begin_at_the_file_and_come_back_absolute(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    spec = parse_spec(WHOLE.replace("python-stdlib", "texts/*.txt"), folder=tmp_path)
    assert spec.data[0].source == str(tmp_path / "texts" / "*.txt")


def test_a_spec_for_another_machine_need_not_find_its_files_here(tmp_path: Path) -> None:
    spec = parse_spec(WHOLE.replace("python-stdlib", "/scratch/texts"), folder=tmp_path, check_files=False)
    assert spec.data[0].source == "/scratch/texts"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(spec=trainings | commands | adapted)
def test_what_is_written_is_read_back_the_same(tmp_path: Path, spec: TrainSpec) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(dump_spec(spec), encoding="utf-8")
    assert load_spec(path) == spec

"""Text to shards: what is prepared, what is refused, and what a second attempt does not do again."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hanse.contracts.errors import NotAsWritten, TrainingError
from hanse.contracts.spec import DatasetSpec
from hanse.training import ledger
from hanse.training.data import tokenizer as bpe
from hanse.training.data.manifest import FREQUENCIES, MANIFEST, TOKENIZER, folder_of, read_pointer, verify
from hanse.training.data.pack import ShardWriter, dtype_for
from hanse.training.data.prepare import prepare
from hanse.training.data.samples import Samples, open_samples
from hanse.training.data.sources import Document, documents
from hanse.training.position import Position
from tests.training.hands import Launchers, make_job, make_run, make_spec, write_texts, write_ticket
from tests.waiting import until


def test_prepared_tokens_are_the_texts_and_nothing_else(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", files=3)
    job = make_job(make_run(tmp_path / "run", make_spec(texts)), tmp_path / "data")
    manifest = prepare(job)
    folder = folder_of(job.data_dir, manifest.key)
    tokenizer = bpe.read(folder / TOKENIZER)
    (dataset,) = manifest.datasets
    ids = np.fromfile(folder / dataset.shards[0].file, dtype="<u2")
    ordered = documents(job.spec.data[0], job.run.code)
    assert tokenizer.decode(ids.tolist()) == "".join(each.path.read_text() for each in ordered)
    assert dataset.documents == 3 and dataset.tokens == len(ids) and (ids == manifest.end_token).sum() == 3
    assert dataset.shards[0].sha256 == hashlib.sha256((folder / dataset.shards[0].file).read_bytes()).hexdigest()


def test_the_unigram_entropy_is_that_of_the_tokens_trained_on(tmp_path: Path) -> None:
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    manifest = prepare(job)
    (dataset,) = manifest.datasets
    ids = np.fromfile(folder_of(job.data_dir, manifest.key) / dataset.shards[0].file, dtype="<u2")
    shares = [count / dataset.train_tokens for count in Counter(ids[: dataset.train_tokens].tolist()).values()]
    assert manifest.unigram_entropy == pytest.approx(-sum(p * math.log(p) for p in shares))


def test_a_second_attempt_and_another_run_do_no_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = make_spec(write_texts(tmp_path / "texts"))
    data = tmp_path / "data"
    first = make_job(make_run(tmp_path / "run-1", spec), data)
    manifest = prepare(first)
    stamp = (folder_of(data, manifest.key) / MANIFEST).stat().st_mtime_ns
    assert prepare(first) == manifest
    assert prepare(make_job(make_run(tmp_path / "run-2", spec), data)) == manifest
    assert (folder_of(data, manifest.key) / MANIFEST).stat().st_mtime_ns == stamp
    assert capfd.readouterr().out.count("prepared before") == 2


def test_a_preparation_killed_half_way_leaves_nothing_that_could_be_taken_for_data(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", files=20, lines=1500)
    run = make_run(tmp_path / "run", make_spec(texts))
    write_ticket(run, 1, make_job(run, tmp_path / "data").spec)
    launchers = Launchers(run, tmp_path / "data", "--prepare")
    prepared = tmp_path / "data" / "prepared"
    until(lambda: list(prepared.glob("*.tmp-*")), what="the beginning of the preparation", every_s=0.001)
    launchers.kill()
    assert not run.data.exists() and not list(prepared.glob("*/manifest.json"))
    assert Launchers(run, tmp_path / "data", "--prepare").wait() == [0]
    assert not list(prepared.glob("*.tmp-*")), "what the killed one left is swept away"
    assert read_pointer(run.data) is not None


def test_data_that_changed_since_the_first_attempt_are_refused(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    job = make_job(make_run(tmp_path / "run", make_spec(texts)), tmp_path / "data")
    prepare(job)
    (texts / "text-0.txt").write_text("other words\n" * 500)
    prepare(job)  # the copy made at first is still there, and is what the run reads
    with pytest.raises(TrainingError, match="no longer those of the run's first attempt"):
        prepare(make_job(job.run, tmp_path / "emptied"))


def test_a_shard_that_is_missing_shortened_or_altered_is_refused_with_2_and_nothing_is_overwritten(
    tmp_path: Path,
) -> None:
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    manifest = prepare(job)
    folder = folder_of(job.data_dir, manifest.key)
    shard = folder / manifest.datasets[0].shards[0].file
    whole = shard.read_bytes()
    verify(folder, manifest)
    altered = bytes([whole[0] ^ 1]) + whole[1:]
    for content, words in ((whole[:-2], f"has {len(whole) - 2} bytes"), (altered, "is damaged"), (None, "is missing")):
        shard.unlink() if content is None else shard.write_bytes(content)
        with pytest.raises(NotAsWritten, match=words) as refused:
            prepare(job)
        assert refused.value.exit_code == 2 and "hanse train --prepare" in refused.value.fix
        assert (shard.read_bytes() if shard.exists() else None) == content
    shard.write_bytes(whole)
    assert prepare(job) == manifest, "brought back, it is as good as before"


def test_a_launcher_says_a_wrong_checksum_once_and_ends_with_2_before_torch_is_loaded(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts")))
    job = make_job(run, tmp_path / "data")
    manifest = prepare(job)
    shard = folder_of(job.data_dir, manifest.key) / manifest.datasets[0].shards[0].file
    shard.write_bytes(bytes(len(shard.read_bytes())))
    write_ticket(run, 1, job.spec)
    launchers = Launchers(run, tmp_path / "data")
    assert launchers.wait() == [2]
    (said,) = launchers.text.splitlines()
    assert said.startswith("FAILED on") and "lines-00000.bin is damaged" in said


def test_what_is_held_out_is_never_trained_on(tmp_path: Path) -> None:
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    manifest = prepare(job)
    samples, folder = open_samples(job)
    (dataset,) = manifest.datasets
    ids = np.fromfile(folder / dataset.shards[0].file, dtype="<u2")
    last = samples.sample(samples.order.samples - 1)
    assert samples.order.samples * 16 + 1 <= dataset.train_tokens
    assert (last == ids[(samples.order.samples - 1) * 16 :][:17]).all()
    held_out = list(samples.held_out())
    assert held_out and (held_out[0] == ids[dataset.train_tokens :][:17]).all()


def test_ranks_read_equal_slices_of_one_global_batch(tmp_path: Path) -> None:
    job = make_job(make_run(tmp_path / "run", make_spec(write_texts(tmp_path / "texts"))), tmp_path / "data")
    prepare(job)
    samples, _ = open_samples(job)
    whole = samples.batch(3, batch=8, part=0, parts=1)
    assert whole.shape == (8, 17)
    for parts in (2, 4, 8):
        slices = [samples.batch(3, batch=8, part=part, parts=parts) for part in range(parts)]
        assert (np.concatenate(slices) == whole).all()


def test_a_stream_over_several_shards_reads_as_one(tmp_path: Path) -> None:
    from hanse.training.data.manifest import Manifest, PreparedDataset

    writer = ShardWriter(tmp_path, "few", "uint16", shard_tokens=10)
    for start in (0, 7, 14, 30):
        writer.add(np.arange(start, {0: 7, 7: 14, 14: 30, 30: 47}[start], dtype=np.uint16))
    shards = writer.close()
    assert [each.tokens for each in shards] == [10, 10, 10, 10, 7]
    dataset = PreparedDataset(
        name="few", source="few", licence="CC0-1.0", documents=1, tokens=47, train_tokens=47, shards=shards
    )
    manifest = Manifest(
        key="0" * 64, dtype="uint16", vocab=47, end_token=None, tokenizer_sha256="0" * 64, unigram_entropy=0.0,
        datasets=(dataset,),
    )  # fmt: skip
    samples = Samples(manifest, tmp_path, context=15, seed=0)
    assert [samples.sample(n).tolist() for n in range(3)] == [list(range(n * 15, n * 15 + 16)) for n in range(3)]
    assert samples.order.samples == 3


def test_two_datasets_are_mixed_and_told_apart(tmp_path: Path) -> None:
    data = [
        DatasetSpec(name=name, source=str(write_texts(tmp_path / name, files=files)), licence="CC0-1.0").model_dump()
        for name, files in (("few", 2), ("many", 6))
    ]
    spec = make_spec(tmp_path / "few", data=data)
    job = make_job(make_run(tmp_path / "run", spec), tmp_path / "data")
    manifest = prepare(job)
    samples, _ = open_samples(job)
    counts = np.bincount(samples.datasets_of(np.arange(samples.order.samples)))
    assert counts.tolist() == [(each.train_tokens - 1) // 16 for each in manifest.datasets]


def test_weights_mix_datasets_of_any_size_and_the_ledger_counts_them_apart(tmp_path: Path) -> None:
    data = [
        DatasetSpec(
            name=name, source=str(write_texts(tmp_path / name, files=files)), licence=licence, weight=weight
        ).model_dump()
        for name, files, licence, weight in (("few", 2, "CC0-1.0", 3), ("many", 6, "CC-BY-4.0", 1))
    ]
    job = make_job(make_run(tmp_path / "run", make_spec(tmp_path / "few", data=data)), tmp_path / "data")
    manifest = prepare(job)
    samples, folder = open_samples(job)
    read = samples.datasets_of(np.arange(4000))
    assert [np.bincount(part).tolist() for part in np.split(read, 1000)] == [[3, 1]] * 1000
    ledger.extend(job, samples, Position(step=5))
    assert [(each.dataset, each.samples, each.licence) for each in ledger.read(job.run.ledger)] == [
        ("few", 30, "CC0-1.0"), ("many", 10, "CC-BY-4.0"),
    ]  # fmt: skip
    counts = np.load(folder / FREQUENCIES)
    shares = (counts / counts.sum(1, keepdims=True) * [[0.75], [0.25]]).sum(0)
    assert samples.unigram_entropy == pytest.approx(-sum(p * math.log(p) for p in shares if p))
    unweighted = [{**each, "weight": None} for each in data]
    same = make_job(make_run(tmp_path / "other", make_spec(tmp_path / "few", data=unweighted)), tmp_path / "data")
    assert prepare(same) == manifest, "other weights, the same shards"


def test_a_weighted_dataset_without_one_sample_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "word.txt").write_text("word")
    sources = (("lines", write_texts(tmp_path / "texts")), ("word", tmp_path / "one"))
    data = [DatasetSpec(name=n, source=str(s), licence="CC0-1.0", weight=1).model_dump() for n, s in sources]
    job = make_job(make_run(tmp_path / "run", make_spec(tmp_path, data=data)), tmp_path / "data")
    prepare(job)
    with pytest.raises(TrainingError, match="word has a weight and not one sample of 17 tokens"):
        open_samples(job)


def test_text_behind_a_url_is_read_as_a_stream_and_gives_the_same_tokens(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    texts = write_texts(tmp_path / "texts")
    store = fsspec.filesystem("memory")
    for file in texts.iterdir():
        store.pipe(f"/shelf/texts/{file.name}", file.read_bytes())
    store.pipe("/shelf/texts/readme.md", b"not asked for")
    try:
        job = make_job(make_run(tmp_path / "run", make_spec(texts)), tmp_path / "data")
        url = "memory://shelf/texts/*.txt"
        spec = make_spec(texts, data=[DatasetSpec(name="lines", source=url, licence="CC0-1.0").model_dump()])
        remote = make_job(make_run(tmp_path / "remote", spec), tmp_path / "data")
        assert remote.spec.data[0].source == url
        here, there = prepare(job), prepare(remote)
        assert here.key != there.key
        assert [s.sha256 for s in here.datasets[0].shards] == [s.sha256 for s in there.datasets[0].shards]
        nothing = DatasetSpec(name="none", source="memory://shelf/elsewhere/*.txt", licence="CC0-1.0")
        with pytest.raises(TrainingError, match="nothing is found at memory://shelf/elsewhere"):
            documents(nothing, job.run.code)
        unknown = DatasetSpec(name="none", source="nowhere://shelf/x", licence="CC0-1.0")
        with pytest.raises(TrainingError, match="cannot be listed"):
            documents(unknown, job.run.code)
    finally:
        store.rm("/shelf", recursive=True)


def test_a_tokenizer_of_the_users_is_taken_and_one_too_large_for_the_model_is_refused(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    path = tmp_path / "tokenizer.json"
    bpe.train((text for file in sorted(texts.iterdir()) for text in Document(file.name, file).pieces()), 290).save(
        str(path)
    )
    own = {"kind": "file", "path": str(path)}
    job = make_job(make_run(tmp_path / "own", make_spec(texts, tokenizer=own)), tmp_path / "data")
    assert prepare(job).vocab == 290
    large = make_job(make_run(tmp_path / "large", make_spec(texts)), tmp_path / "data")
    shape = large.model.shape.model_copy(update={"vocab": 280})  # type: ignore[union-attr]
    spec = large.spec.model_copy(update={"model": large.model.model_copy(update={"shape": shape})})
    with pytest.raises(TrainingError, match="knows 300 tokens and the model 280"):
        prepare(replace(large, spec=spec))


def test_the_standard_library_is_python_without_tests_and_installed_packages() -> None:
    dataset = DatasetSpec(name="python-stdlib", source="python-stdlib", licence="PSF-2.0")
    found = documents(dataset, Path("/nowhere"))
    names = [each.name for each in found]
    assert {"dataclasses.py", "json/decoder.py"} <= set(names) and len(names) > 300
    assert not [name for name in names if {"test", "tests", "site-packages", "encodings"} & set(name.split("/"))]
    assert found == documents(dataset, Path("/nowhere")) and names != sorted(names)


def test_sources_may_be_a_file_a_folder_a_pattern_or_lie_in_the_code_bundle(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "run" / "code" / "texts", files=4)
    (texts / ".hidden").write_text("not a document")

    def names(source: Path | str) -> list[str]:
        dataset = DatasetSpec(name="some", source=str(source), licence="CC0-1.0")
        return sorted(each.name for each in documents(dataset, tmp_path / "run" / "code"))

    all_four = [f"text-{n}.txt" for n in range(4)]
    assert names(texts) == names(texts / "*.txt") == all_four
    assert names(texts / "text-2.txt") == ["text-2.txt"]
    assert names(tmp_path / "**" / "*-1.txt") == ["run/code/texts/text-1.txt"]
    assert names(tmp_path / "run" / "texts" / "*.txt") == all_four, "relative to train.yaml, found in the bundle"
    with pytest.raises(TrainingError, match="nothing is found at"):
        names(tmp_path / "elsewhere")


def test_ids_are_stored_in_as_few_bytes_as_the_vocabulary_allows() -> None:
    assert (dtype_for(2048), dtype_for(65536), dtype_for(65537)) == ("uint16", "uint16", "uint32")

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks import index as index_module
from carto_audit.benchmarks.hash_tables import Lists
from carto_audit.benchmarks.index import build_index
from carto_audit.contamination import index_file
from carto_audit.contamination.detectability import FORMS, Detectability
from carto_audit.contamination.disguises.honest import DISGUISES
from carto_audit.contamination.index_file import (
    _layout,
    _Payload,
    current_setting,
    is_index_file,
    read_index,
    write_index,
)
from carto_audit.contamination.matching import find_matches
from carto_audit.runtime.errors import AuditError
from docs.architecture import own_imports
from tests.support.quizzes import BELL, ITEMS, quiz

HEAD = len(b"carto-audit index 1\n") + 65


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    built = build_index([quiz(folder / "quiz.jsonl"), quiz(folder / "other.jsonl", ITEMS[:2])])
    found = np.random.default_rng(7).random((len(FORMS), len(built.item_benchmark))) < 0.7
    detectability = Detectability(
        forms=FORMS, found=found, disguised=(dict.fromkeys(DISGUISES, 1.0),) * len(built.benchmarks)
    )
    path = folder / "quiz.cartoindex"
    write_index(path, built, detectability)
    return path, built, detectability


def same(left, right):
    """Whether two values are equal down to every array's type."""
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, pa.Table):
        return left.equals(right)
    if is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


def test_an_index_survives_its_file_in_every_field(made):
    path, built, detectability = made
    again = read_index(path)
    assert same(again.index, built)
    assert same(again.detectability, detectability)
    assert again.setting == current_setting()


def test_an_index_from_a_file_finds_what_the_built_one_finds(made):
    path, built, _ = made
    texts = [f"before {BELL} after", "nothing to see"]
    assert find_matches(texts, read_index(path).index) == find_matches(texts, built)


def test_the_same_index_gives_the_same_bytes(made, tmp_path):
    path, built, detectability = made
    write_index(tmp_path / "again.cartoindex", built, detectability)
    assert (tmp_path / "again.cartoindex").read_bytes() == path.read_bytes()


def test_an_index_is_known_by_its_first_bytes(made, tmp_path):
    assert is_index_file(made[0])
    (tmp_path / "x").write_text("carto")
    assert not is_index_file(tmp_path / "x")
    assert not is_index_file(tmp_path / "missing")


def refused(path):
    with pytest.raises(AuditError) as caught:
        read_index(path)
    said = str(caught.value)
    assert "carto-audit benchmarks build" in said
    assert "\n" not in said
    assert caught.value.exit_code == 3
    return said


def test_the_setting_names_everything_that_an_index_depends_on():
    setting = current_setting()
    assert {"carto_audit", "layout", "normalization", "unicode", "datasketch", "scheme", "permutations"} <= set(setting)
    assert (setting["index.NUM_PERM"], setting["index.SEED"], setting["index.SHINGLE"]) == (
        index_module.NUM_PERM,
        index_module.SEED,
        index_module.SHINGLE,
    )
    assert "words.HASHES" in setting
    json.dumps(setting)


@pytest.mark.parametrize(
    ("module", "name", "value", "words"),
    [
        (index_file, "__version__", "9.9.9", "made by carto-audit 0.1.0 with datasketch"),
        (index_module, "SHINGLE", 4, "where index.SHINGLE is 3; here it is 4"),
        (index_module, "SEED", 2, "where permutations is"),
        (index_module, "NUM_PERM", 252, "where permutations is"),
    ],
)
def test_an_index_made_under_another_setting_is_refused_with_the_way_out(made, monkeypatch, module, name, value, words):
    monkeypatch.setattr(module, name, value)
    assert words in refused(made[0])


def test_an_index_of_other_fields_is_another_index():
    @dataclass(frozen=True)
    class One:
        a: int

    @dataclass(frozen=True)
    class Two:
        a: float

    assert _layout(One) != _layout(Two).replace("Two", "One")


def test_a_value_that_no_file_can_hold_is_a_defect_of_ours():
    with pytest.raises(TypeError, match="an index cannot hold a set"):
        _Payload().put((1, {2}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no carto-audit index"),
        (b"carto-audit index 7\nwhatever", "made by another version"),
        (b"carto-audit index 1\n", "damaged or not whole"),
        (b"PK\x03\x04", "no carto-audit index"),
    ],
)
def test_a_file_that_is_no_index_is_one_clear_line(tmp_path, data, words):
    path = tmp_path / "x.cartoindex"
    path.write_bytes(data)
    assert words in refused(path)


def test_a_missing_index_and_a_folder_are_one_clear_line(tmp_path):
    assert "No such file" in refused(tmp_path / "x.cartoindex")
    assert "cannot read this index" in refused(tmp_path)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_half_a_file_is_never_an_index(made, tmp_path_factory, data):
    whole = made[0].read_bytes()
    path = tmp_path_factory.mktemp("half") / "x.cartoindex"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused(path)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_noticed(made, tmp_path_factory, data):
    broken = bytearray(made[0].read_bytes())
    broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flip") / "x.cartoindex"
    path.write_bytes(broken)
    refused(path)


def read_or_refuse(path):
    """Anything but one clear line is a failure; bytes that happen to be harmless may be read."""
    said = ""
    try:
        read_index(path)
    except AuditError as error:
        said = str(error)
    assert "\n" not in said


def sealed(path, body):
    path.write_bytes(b"carto-audit index 1\n" + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    return path


def header_of(path):
    line, _, rest = path.read_bytes()[HEAD:].partition(b"\n")
    return json.loads(rest[: int(line)]), rest[int(line) :]


def with_header(path, header, payload):
    text = json.dumps(header).encode()
    return sealed(path, f"{len(text)}\n".encode() + text + payload)


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_a_forged_seal_over_damaged_bytes_never_crashes(made, tmp_path_factory, data):
    body = bytearray(made[0].read_bytes()[HEAD:])
    header_length = body.index(b"\n") + len(json.dumps(header_of(made[0])[0], sort_keys=True))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, header_length))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("forged") / "x.cartoindex"
    read_or_refuse(sealed(path, bytes(body)))


JUNK = (None, True, 0, 7, -1, 2**70, 1.5, "", "x", "<f8", "bits", [], [7], [[7, "x"]], {}, {"x": 7})


def paths_in(node, here=()):
    yield here
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from paths_in(child, (*here, key))


@settings(deadline=None, max_examples=150)
@given(
    part=st.sampled_from(["index", "detectability", "arrays", "made_with", "setting"]),
    place=st.integers(0, 10**6),
    junk=st.sampled_from(JUNK),
)
def test_a_forged_header_is_refused_or_harmless(made, tmp_path_factory, part, place, junk):
    header, payload = header_of(made[0])
    paths = [path for path in paths_in({part: header[part]}) if path]
    *above, last = paths[place % len(paths)]
    node = header
    for key in above:
        node = node[key]
    node[last] = junk
    path = with_header(tmp_path_factory.mktemp("forged") / "x.cartoindex", header, payload)
    read_or_refuse(path)


@pytest.mark.parametrize("part", ["setting", "made_with"])
@pytest.mark.parametrize("junk", [junk for junk in JUNK if not isinstance(junk, dict)], ids=repr)
def test_a_setting_that_is_none_is_refused(made, tmp_path, part, junk):
    header, payload = header_of(made[0])
    header[part] = junk
    assert "contradicts itself" in refused(with_header(tmp_path / "x.cartoindex", header, payload))


@pytest.mark.parametrize("shape", [[2**47, 2**47], [-1], [True], "x", [1, 1, 1, 1]])
def test_an_array_larger_than_its_file_costs_no_memory(made, tmp_path, shape):
    header, payload = header_of(made[0])
    header["arrays"][0]["shape"] = shape
    assert "contradicts itself" in refused(with_header(tmp_path / "x.cartoindex", header, payload))


def test_groups_that_name_items_that_do_not_exist_are_refused(made, tmp_path):
    _, built, detectability = made
    items = Lists(values=built.items.values + 1000, offsets=built.items.offsets)
    values = {f.name: getattr(built, f.name) for f in fields(built)} | {"items": items}
    write_index(tmp_path / "x.cartoindex", index_module.Index(**values), detectability)
    assert "an item that does not exist" in refused(tmp_path / "x.cartoindex")


def test_a_full_disk_leaves_no_file(made, tmp_path, monkeypatch):
    _, built, detectability = made
    (tmp_path / "plain").write_text("x")
    with pytest.raises(AuditError, match="cannot write"):
        write_index(tmp_path / "plain" / "x.cartoindex", built, detectability)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_the_setting_covers_every_module_that_an_index_is_built_with():
    found, todo = set(), ["benchmarks.index"]
    while todo:
        name = todo.pop()
        if name not in found and name != "benchmarks.items" and not name.startswith("runtime."):
            found.add(name)
            todo += own_imports(name)
    made = {module.__name__.removeprefix("carto_audit.") for module in index_file.MAKERS}
    assert len({name.rpartition(".")[2] for name in made}) == len(made)  # by which their constants are told apart
    assert made == found - {"text.untrusted"}  # which only shows text

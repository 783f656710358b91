"""Lenses of other packages: the documented example, installed as a package would be, imported only when it is named."""

import re
import sys

import pytest

from carto_audit.lenses.declared import known
from carto_audit.lenses.declared.known import find_lens, lens_names
from carto_audit.lenses.testing import check_lens, look_here
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import UsageError
from tests.lenses import strange
from tests.support.audits import sentences
from tests.support.repository import ROOT

NAME = "acme.watermark"
PAGE = (ROOT / "docs" / "lenses.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.split("<!-- example:begin -->")[1].split("```python\n")[1].split("```")[0]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a module where packages lie, with the metadata that an installer would leave."""
    monkeypatch.setattr(known, "_loaded", {})
    monkeypatch.syspath_prepend(tmp_path)

    def installed(code=EXAMPLE, name=NAME, distribution="acme-lenses"):
        (tmp_path / "acme_lenses.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[carto_audit.lenses]\n{name} = acme_lenses:spec\n")
        sys.modules.pop("acme_lenses", None)

    yield installed
    sys.modules.pop("acme_lenses", None)


def test_the_documented_example_is_short_and_passes_the_conformance_test(install):
    install()
    assert len(EXAMPLE.splitlines()) <= 60
    run = check_lens(NAME)
    assert run.distribution == "acme-lenses 1.2"
    assert [(one.dose, one.planted, one.counted) for one in run.power] == [(1, 30, 30), (0, 30, 0)]
    marked = look_here(NAME, {"word": "yellow"}, ["a yellow door", *sentences(3)[:1], "a blue one"])
    assert marked.columns["marked"].to_pylist()[0]


def test_the_documented_policy_loads(tmp_path):
    path = tmp_path / "acme.yaml"
    path.write_text(PAGE.split("```yaml\n")[1].split("```")[0])
    policy = load_policy(path)
    assert policy.lenses["repetition"] == {"planned_epochs": 3.0, "corpus_tokens": 20_000_000_000, "version": 1}
    assert {rule.id for rule in policy.active_rules} >= {"read-too-often", "repetition-seen"}


def test_it_is_imported_only_when_it_is_named(install, tmp_path):
    install()
    assert NAME in lens_names()
    load_policy("default")
    assert "acme_lenses" not in sys.modules
    policy = tmp_path / "p.yaml"
    policy.write_text(
        f"schema_version: 1\nname: p\nextends: default\nlenses: {{{NAME}: {{word: mark}}}}\n"
        f"rules: [{{id: marks, metric: lens.{NAME}.row_share, max: 0, severity: reject, reason: ours}}]\n"
    )
    loaded = load_policy(policy)
    assert "acme_lenses" in sys.modules
    assert loaded.lenses == {NAME: {"word": "mark", "version": 1, "distribution": "acme-lenses 1.2"}}
    policy.write_text(policy.read_text().replace("row_share", "rows"))
    with pytest.raises(UsageError, match=f'p.yaml:5:21: .*the lens "{NAME}" has no metric'):
        load_policy(policy)


@pytest.mark.parametrize(
    ("installed", "why"),
    [
        ({"distribution": "other-lenses"}, "registered by other-lenses 1.2, whose name its prefix is not"),
        ({"code": "raise RuntimeError('no\\nway')"}, "cannot be loaded: RuntimeError: no way"),
        ({"code": "def spec():\n    return 3"}, "declares another name, or nothing"),
        ({"code": EXAMPLE.replace('("texts",)', '("paths",)')}, 'the need "paths" is not known'),
    ],
)
def test_a_package_that_is_not_right_is_one_line(install, installed, why):
    install(**installed)
    with pytest.raises(UsageError) as error:
        find_lens(NAME)
    assert why in str(error.value)
    assert str(error.value).isprintable()


def test_nobody_takes_the_name_of_ours(install):
    install(name="repetition")
    assert find_lens("repetition").distribution is None
    assert lens_names().count("repetition") == 1


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ('"acme-lenses>=1.2,<2"', ""),
        ("Acme_Lenses", ""),
        ('"acme-lenses>=2"', "is of acme-lenses 1.2, which this does not allow"),
        ('"other-lenses"', "is of acme-lenses 1.2, which this does not allow"),
        ('">=2"', "should name a package and its versions"),
        ("[1]", "should name a package and its versions"),
    ],
)
def test_a_policy_requires_a_package_and_its_versions(install, tmp_path, wanted, why):
    install()
    path = tmp_path / "acme.yaml"
    path.write_text(f"schema_version: 1\nname: acme\nextends: default\nlenses: {{{NAME}: {{requires: {wanted}}}}}\n")
    if not why:
        assert load_policy(str(path)).lenses[NAME]["requires"] == wanted.strip('"')
        return
    with pytest.raises(UsageError) as error:
        load_policy(str(path))
    assert f"{path}:4:" in str(error.value)
    assert why in str(error.value)


def test_a_lens_of_ours_is_of_no_package(tmp_path):
    path = tmp_path / "acme.yaml"
    path.write_text("schema_version: 1\nname: acme\nextends: default\nlenses: {repetition: {requires: carto-audit}}\n")
    with pytest.raises(UsageError, match="is ours, which this does not allow"):
        load_policy(str(path))


def test_two_packages_cannot_have_one_name(install):
    install()
    install(distribution="acme-more")
    with pytest.raises(UsageError, match="2 packages register"):
        find_lens(NAME)


@pytest.mark.parametrize("lens", [strange.Undefined, strange.Moody, strange.Blind])
def test_the_conformance_test_fails_for_a_lens_that_does_not_conform(lens, monkeypatch):
    spec = strange.spec_of(lens.__name__)
    monkeypatch.setitem(known.SHIPPED, spec.name, known.KnownLens(spec=spec))
    with pytest.raises(
        AssertionError, match={"Undefined": "fails", "Moody": "otherwise", "Blind": "none"}[lens.__name__]
    ):
        check_lens(spec.name)


def test_ours_that_ask_no_proxy_conform():
    for name, lens in known.SHIPPED.items():
        if "proxies" not in lens.spec.needs:
            check_lens(name)


def test_every_metric_of_ours_is_documented_as_declared():
    limits = {"lower": "`max`", "higher": "`min`", "neither": "`max` or `min`"}
    documented = re.findall(r"^\| `lens\.[a-z_]+\.[a-z_]+` \| .*$", PAGE, re.MULTILINE)
    assert documented == [
        f"| `lens.{name}.{m.name}` | {m.unit} | {limits[m.better]} | {m.meaning} |"
        for name, lens in known.SHIPPED.items()
        for m in lens.spec.metrics
    ]
    for lens in known.SHIPPED.values():
        assert lens.spec.question in PAGE.replace("*", "")
        assert all(f"| `{option}` |" in PAGE for option in lens.spec.options.model_fields)

"""The pictures of the README show the report as it is: `make pictures` takes them again."""

import importlib.util
import json
import re

import pytest

from tests.support.repository import ROOT


@pytest.fixture(scope="module")
def pictures():
    """The script that takes them."""
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_were_taken_since_the_report_last_changed_its_looks_or_words(pictures):
    taken = json.loads((ROOT / "docs" / "images" / "shown.json").read_text(encoding="utf-8"))
    assert taken == pictures.shown(), "make demo && make pictures"


def test_every_picture_of_the_readme_is_one_that_is_taken(pictures):
    named = set(re.findall(r"docs/images/([a-z-]+)\.png", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == {*pictures.PICTURES, "terminal"}

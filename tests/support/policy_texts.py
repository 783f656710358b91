"""Policies in pieces, for the tests of everything that reads one."""

from pathlib import Path

import pytest

from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import UsageError

HEAD = "schema_version: 1\nname: test\n"
MAP = """\
map:
  difficulty: {threshold: {percentile: 75}}
  memorization: {score: memorized_span_share, threshold: {control_dose: 4}}
"""
RULES = """\
rules:
  - {id: mass, metric: hotspot_memorized.token_share, max: 0.05, severity: reject, reason: leaks}
  - {id: size, metric: batch.tokens, min: 1000, severity: warn, reason: too small}
  - {id: power, metric: detection.auc_at_dose_4, min: 0.9, severity: reject, reason: must see}
"""
WHOLE = HEAD + MAP + RULES
WAIVER = "  - {rule: mass, owner: me, reason: retired in March, expires: 2027-03-31}\n"


def writer(folder):
    """A function that writes a policy's text or bytes into `folder` and returns its path."""

    def write(text, name="policy.yaml"):
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(path):
    """The lines of the error that loading raises, with the folder taken off."""
    with pytest.raises(UsageError) as caught:
        load_policy(path)
    folder = f"{path.parent}/" if isinstance(path, Path) else ""
    return [line.removeprefix(folder) for line in str(caught.value).split("\n")]

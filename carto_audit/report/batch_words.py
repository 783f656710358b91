"""Sampling words: by what the rows were drawn, as every page says it. A commitment is shown, a key is nowhere."""

from carto_audit.artifacts.report_facts import ReportFacts


def sampling_words(facts: ReportFacts) -> str:
    """`drawn by a sampling key, commitment 5f2c…`, or that a vendor could rehearse the draw."""
    if is_rehearsable(facts):
        return f"rehearsable: drawn by the public seed {facts['run']['seed']}"
    return f"drawn by a sampling key, commitment {_commitment(facts)}"


def is_rehearsable(facts: ReportFacts) -> bool:
    """Whether a seed alone decided, as in every audit from before there were keys."""
    return _commitment(facts) is None


def _commitment(facts: ReportFacts) -> str | None:
    sampling = facts["run"].get("sampling")
    return sampling["key_commitment"] if sampling else None

"""Sampling words: by what the rows were drawn, as every page says it. A commitment is shown, a key is nowhere."""

from carto_audit.artifacts.report_facts import ReportFacts


def sampling_words(facts: ReportFacts) -> str:
    """`drawn by a sampling key, commitment 5f2c…`, or that a vendor could rehearse the draw, as every audit without a key."""
    sampling = facts["run"].get("sampling")
    commitment = sampling["key_commitment"] if sampling else None
    if commitment is None:
        return f"rehearsable: drawn by the public seed {facts['run']['seed']}"
    return f"drawn by a sampling key, commitment {commitment}"

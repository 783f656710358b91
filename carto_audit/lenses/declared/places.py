"""Places, declared: what stands beside each value that a lens finds in a text and asks the proxies for."""

from carto_audit.lenses.declared.spec import LensColumn

SPAN_COLUMNS = (
    LensColumn(name="value", type="integer", meaning="number of the distinct value in this batch"),
    LensColumn(name="was_read", type="flag", meaning="whether a proxy read a row with this value"),
    LensColumn(
        name="unread", type="flag", meaning="whether no proxy read this row, though no lot of the audit's left it out"
    ),
    LensColumn(name="gain", type="number", meaning="share of its loss that reading it took away"),
    LensColumn(name="memorized", type="flag", meaning="whether it is memorized, whole or for the most part"),
    LensColumn(name="comes_out", type="flag", meaning="whether it comes out whole"),
    LensColumn(
        name="read_twice",
        type="flag",
        meaning="whether both proxies read a copy, so that there is none to compare with",
    ),
)
"""Null where the proxies were not asked."""

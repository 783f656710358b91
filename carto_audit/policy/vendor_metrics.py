"""The numbers about a vendor's summary that a rule may limit; `metrics` declares them with the others."""

from typing import Any

UNSIGNED, AGE, MISSING, UNDERSTATED, POWER = (
    "vendor.unsigned",
    "vendor.age_days",
    "vendor.missing_row_share",
    "vendor.understated_share",
    "vendor.power",
)

VENDOR: tuple[dict[str, Any], ...] = (
    {
        "name": UNSIGNED,
        "unit": "flag",
        "better": "lower",
        "kind": "count",
        "meaning": "1 where the vendor's summary is not signed by the key of --vendor-key, or no key was named; 0 where it is",
    },
    {
        "name": AGE,
        "unit": "days",
        "better": "lower",
        "kind": "count",
        "meaning": "days since the vendor's audit began, by the vendor's clock; not measured where that is more than a day ahead",
    },
    {
        "name": MISSING,
        "unit": "share",
        "better": "lower",
        "kind": "mass",
        "meaning": "rows whose text is not what the vendor's summary committed to, rows too many or too few included",
    },
    {
        "name": UNDERSTATED,
        "unit": "share",
        "better": "lower",
        "kind": "mass",
        "meaning": "what the vendor's summary understates beyond honest disagreement: at least, with 99 % confidence; 0 where "
        "honesty explains all",
    },
    {
        "name": POWER,
        "unit": "share",
        "better": "higher",
        "kind": "power",
        "meaning": "chance that hiding half of the flags, and no less than 1 % of the rows or five, would have been caught",
    },
)

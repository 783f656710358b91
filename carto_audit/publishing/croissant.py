"""Croissant 1.1 with its RAI vocabulary: what an audit can say of a data set, merged into a JSON-LD file.

Only fields that were measured are filled; what a vendor says of collection, annotation or society is the vendor's to say.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.publishing.public_report import FOLDER
from carto_audit.report import narrative
from carto_audit.runtime.errors import UsageError
from carto_audit.text.numbers import percent, plural
from carto_audit.text.untrusted import safe_inline

CROISSANT = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"

_OURS = "carto-audit: "
"""How our statements begin beside a vendor's: a later audit replaces these and no others."""

_PREFIXES = {
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "carto": "urn:carto-audit:",
}
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    **_PREFIXES,
}
"""The context of Croissant 1.1, for a file that is made new; to an older file only our prefixes are added."""


def merged_croissant(text: str | None, facts: ReportFacts, *, name: str, shown: str) -> str:
    """The Croissant file `text` with our fields in it, or a new one of this `name`; all else in it stays as it says.

    `shown` is what errors call the file: UsageError in one line when it is no JSON object to merge into.
    """
    document = _parsed(text, shown) if text and text.strip() else _new(facts, name)
    context = document.get("@context")
    if not isinstance(context, dict) or any(context.get(p, iri) != iri for p, iri in _PREFIXES.items()):
        prefixes = ", ".join(_PREFIXES)
        raise UsageError(
            f"{shown}: its @context is no object that leaves {prefixes} to their own meaning; mend it first"
        )
    document["@context"] = {**context, **{p: iri for p, iri in _PREFIXES.items() if p not in context}}
    document["conformsTo"] = _with_standards(document.get("conformsTo"))
    for field, statement in _statements(facts).items():
        document[field] = _beside(document.get(field), f"{_OURS}{statement}" if statement else None)
        if document[field] is None:
            del document[field]
    document["carto:audit"] = _activity(facts)
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _new(facts: ReportFacts, name: str) -> dict[str, Any]:
    batch = facts["batch"]
    size = f"{batch['rows']:,} rows and {batch['tokens']:,} tokens"
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CROISSANT,
        "name": name,
        "description": f"A text data set of {size}, audited before training.",
    }


def _parsed(text: str, shown: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_exact)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, ArithmeticError, RecursionError) as error:
        detail = safe_inline(str(error), 120) or type(error).__name__
        raise UsageError(f"{shown}: not JSON that can be kept ({detail}); mend it, or name another file") from error
    if not isinstance(document, dict):
        raise UsageError(f"{shown}: not a JSON object; name a Croissant file")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _exact(number: str) -> float:
    """The number, if writing it again would say the same."""
    value = float(number)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(number):
        raise ValueError(f"{number[:40]} is more than a number here can hold")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _with_standards(known: Any) -> Any:
    """`conformsTo` with Croissant, whichever version it names already, and RAI."""
    listed = list(known) if isinstance(known, list) else [] if known is None else [known]
    if not any(isinstance(one, str) and "/croissant/" in one and "/RAI/" not in one for one in listed):
        listed.append(CROISSANT)
    if RAI not in listed:
        listed.append(RAI)
    return listed


def _beside(known: Any, ours: str | None) -> Any:
    """A field of one or many statements with ours as the last; one statement is no list, as the library writes it."""
    listed = known if isinstance(known, list) else [] if known is None else [known]
    others = [one for one in listed if not (isinstance(one, str) and one.startswith(_OURS))]
    merged = [*others, *([ours] if ours else [])]
    return merged if len(merged) > 1 else next(iter(merged), None)


def _statements(facts: ReportFacts) -> dict[str, str]:
    """What the audit can say truthfully, by RAI property; an empty one removes what an earlier audit said."""
    skipped = [f"{entry['rows']:,} ({safe_inline(entry['explanation'], 120)})" for entry in facts["batch"]["skipped"]]
    status = narrative.STATUS_WORDS.get(facts["verdict"]["status"], "Inconclusive").lower()
    tool = f"{facts['tool']['name']} {facts['tool']['version']}"
    return {
        "rai:dataLimitations": safe_inline(
            " ".join([_map(facts), _matches(facts), *narrative.detection_sentences(facts)]), 4000
        ),
        "rai:dataUseCases": safe_inline(
            f"as text to train a language model on, {status}: {narrative.verdict_sentence(facts)}", 400
        ),
        "rai:dataCollectionMissingData": f"rows that could not be used: {'; '.join(skipped)}" if skipped else "",
        "rai:machineAnnotationTools": safe_inline(f"{tool}, {_trained(facts)} trained on the text", 240),
    }


def _trained(facts: ReportFacts) -> str:
    if "real_run" in facts:
        return f"the losses of a real run of {plural(facts['real_run']['epochs'], 'epoch')}"
    return f"{plural(facts['run']['folds'], 'language model')} of {facts['run']['proxy']['parameters']:,} parameters"


def _map(facts: ReportFacts) -> str:
    shares = [
        f"{words.title.lower()} {percent(facts['map']['quadrants'][name]['token_share'])}"
        for name, words in QUADRANTS.items()
        if name in facts["map"]["quadrants"]
    ]
    copies = narrative.overview(facts)["duplicates"]
    return f"Shares of the tokens by difficulty and memorization: {'; '.join(shares)}. Duplicates: {copies}."


def _matches(facts: ReportFacts) -> str:
    return f"Evaluation sets: {narrative.overview(facts)['contamination']}."


def _activity(facts: ReportFacts) -> dict[str, Any]:
    """The run of the audit, in terms of PROV-O. It did not make the data, so it stands under a key of our own."""
    return {
        "@type": "prov:Activity",
        "prov:label": f"{facts['tool']['name']} {facts['tool']['version']}",
        "prov:startedAtTime": facts["run"]["started_at"],
        "carto:verdict": facts["verdict"]["status"],
        "carto:policy": safe_inline(facts["policy"]["name"], 120),
        "carto:policySha256": facts["policy"]["sha256"],
        "carto:batchSha256": facts["batch"]["sha256"],
        "carto:reportSha256": facts["published"]["report_sha256"],
        "carto:report": f"{FOLDER}/report.json",
    }


def data_set_name(readme: Path) -> str:
    """What a new Croissant file calls the data set: the folder of its README."""
    return safe_inline(readme.resolve().parent.name, 120) or "dataset"

"""What the check of a summary means, in words: how the vendor's recipe differs from ours, and what was not checked."""

from collections.abc import Iterator

from carto_audit.artifacts.vendor_facts import VendorRecomputeFacts
from carto_audit.pipeline.judge import loss_on
from carto_audit.pipeline.result import ScoredRows, package_versions
from carto_audit.text.untrusted import safe_inline
from carto_audit.vendors.reading import Summary
from carto_audit.vendors.statement import Predicate, Recipe


def differences(predicate: Predicate, scored: ScoredRows) -> list[str]:
    """How the vendor's audit was done otherwise than ours, where that bears on what is flagged."""
    return [
        f"{name}: the vendor's {safe_inline(str(theirs), 60)}, ours {safe_inline(str(ours), 60)}"
        for name, theirs, ours in _compared(predicate.recipe, scored)
        if theirs != ours
    ]


def _compared(recipe: Recipe, scored: ScoredRows) -> Iterator[tuple[str, object, object]]:
    options, policy = scored.options, scored.policy
    yield "proxy", recipe.proxy.name, scored.proxy
    yield "epochs", recipe.epochs, options.epochs
    yield "folds", recipe.folds, options.folds
    yield "score", _score(recipe.map), policy.map.memorization.score
    yield "dose of the secrets that set the line", recipe.dose, policy.demanded_dose
    yield "what losses are of", recipe.loss_on, loss_on(policy, options)
    yield "torch", recipe.packages.get("torch"), package_versions()["torch"]


def _score(drawn: dict[str, object]) -> object:
    memorization = drawn.get("memorization")
    return memorization.get("score") if isinstance(memorization, dict) else None


def unchecked(
    summary: Summary, scored: ScoredRows, again: VendorRecomputeFacts | None, *, rehearsed: bool
) -> list[str]:
    """What all this does not show, most important first."""
    return list(_unchecked(summary, scored, again, rehearsed))


def _unchecked(
    summary: Summary, scored: ScoredRows, again: VendorRecomputeFacts | None, rehearsed: bool
) -> Iterator[str]:
    if summary.problem is not None:
        yield f"who made the summary: {summary.problem}"
    elif summary.signer is None:
        yield "who made the summary: no key was named; get the vendor's public key and name it with --vendor-key"
    if rehearsed:
        yield (
            "that the vendor could not foresee our audit: a public seed decides its draw; leave --seed out, or give a "
            "--sampling-key of your own"
        )
    if scored.options.training_seed == summary.predicate.recipe.seed:
        yield "that our audit differs in its first weights: the seed of the training is the vendor's; give another --seed"
    if again is None:
        yield "the vendor's losses themselves: nothing was computed again with his seed; --vendor-recompute does that"
    elif again["why_not"] is not None:
        yield f"the vendor's losses themselves: {again['why_not']}"
    if summary.predicate.recipe.max_tokens is not None:
        yield "that rows were left out by chance: the vendor trained on a sample"
    yield "differences as small as those of two honest seeds: whoever lowers every score by less is not seen"
    yield "that the seed is the first one tried: a vendor may have repeated the audit and chosen"

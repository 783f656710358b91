"""The attack suite: what a retrained proxy is asked. Every arm of a seed gets the same plan, by the same attackers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.governance.attacks.exposure import candidate_losses, exposure
from carto_audit.governance.attacks.extraction import Extraction, Target, extract, recalled, recited
from carto_audit.governance.attacks.membership import Attack, learned_features, measure_membership, membership_scores
from carto_audit.governance.attacks.utility import distinct_n, perplexity
from carto_audit.proxies.generation import sample
from carto_audit.proxies.likelihood import neighbour_losses, read_statistics
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.traces.trace import TokenStatistics

NATURAL_TOKENS, NATURAL_OUTPUTS = 64, 2
"""After each natural prompt so many outputs of so many tokens are drawn at temperature 1."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """S secrets, planted ones and twins: what is given and what is wanted. `bare` are the prompts of embedded ones without
    their host, `owner` (B,) says whose; `free` are texts that could have stood in a secret's place, its own first, none where
    nothing is free, each after `free_prompt`. `guessed` (S,): near-verbatim by a proxy that never read it."""

    targets: tuple[Target, ...]
    bare: tuple[Target, ...]
    owner: Ids
    free_prompt: tuple[Ids, ...]
    free: tuple[tuple[Ids, ...], ...]
    guessed: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipTexts:
    """The texts of n members and held-out samples, and what is known of them. `reference` is what a proxy that never read them
    makes of their tokens; `fold` (n,) is that proxy's side, and `attacks[side]` was trained on the texts of the other side."""

    texts: tuple[Ids, ...]
    member: Bools
    zlib_bytes: Ids
    neighbours: tuple[tuple[Ids, ...], ...]
    reference: tuple[TokenStatistics, ...]
    fold: NDArray[np.int8]
    attacks: tuple[Attack | None, Attack | None]

    @property
    def held_out(self) -> list[Ids]:
        """What perplexity is measured on: of each held-out sample what fits the context."""
        return [text for text, inside in zip(self.texts, self.member, strict=True) if not inside]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPlan:
    """All plan. `parts` name held-out samples, (n,) among the readers; `repeated` are samples that occur more than once;
    `personal` is personal data in samples that are trained on, with its class and whether an unseen proxy knew it."""

    seed: int
    secrets: Secrets
    membership: MembershipTexts
    parts: Mapping[str, Bools]
    repeated: tuple[Ids, ...]
    natural_prompts: tuple[Ids, ...]
    personal: tuple[Target, ...]
    personal_class: tuple[str, ...]
    personal_guessed: Bools


def run_attacks(plan: AttackPlan, proxy: LoadedProxy) -> dict[str, Any]:
    """All that one proxy answers, as plain JSON; what cannot be measured is None. Per secret, in their order: `exact`, `near`,
    `worst`, `run`, `log_p`, `exposure` and `natural` (recited unasked)."""
    outputs = sample(proxy, plan.natural_prompts, NATURAL_TOKENS, NATURAL_OUTPUTS, plan.seed)
    said = [output for drawn in outputs for output in drawn]
    read = read_statistics(proxy, plan.membership.texts)
    losses = [text.loss for text in read]
    held_out = ~plan.membership.member
    return {
        **recite(plan, proxy),
        "natural": recited(said, [target.suffix for target in plan.secrets.targets]).tolist(),
        "membership": _membership(plan, proxy, read),
        "perplexity": perplexity(losses, held_out),
        "perplexity_by_part": {name: perplexity(losses, chosen) for name, chosen in plan.parts.items()},
        "distinct_n": {str(n): distinct_n(said, n) for n in (2, 3)},
        "loss_gap": _loss_gap(plan, proxy, [part for part, out in zip(losses, held_out, strict=True) if out]),
        "pii": _personal(plan, proxy),
    }


def recite(plan: AttackPlan, proxy: LoadedProxy) -> dict[str, Any]:
    """What it says of the secrets, per secret."""
    secrets = plan.secrets
    asked = [*secrets.targets, *secrets.bare]
    found = extract(proxy, asked, plan.seed)
    n = len(secrets.targets)
    worst = worst_case(found, n, secrets.owner)
    return {
        "exact": found.exact[:n].tolist(),
        "near": found.near[:n].tolist(),
        "worst": worst.tolist(),
        "run": found.run[:n].tolist(),
        "log_p": found.log_p[:n].tolist(),
        "exposure": _exposures(plan, proxy),
    }


def quick_check(plan: AttackPlan, proxy: LoadedProxy) -> dict[str, Any]:
    """What tells how far a training is: held-out `perplexity`, and the secrets extracted in the `worst` case, in their order."""
    secrets = plan.secrets
    found = extract(proxy, [*secrets.targets, *secrets.bare], plan.seed)
    read = read_statistics(proxy, plan.membership.held_out)
    return {
        "perplexity": perplexity([text.loss for text in read]),
        "worst": worst_case(found, len(secrets.targets), secrets.owner).tolist(),
    }


def worst_case(found: Extraction, n: int, owner: Ids) -> Bools:
    """Near-verbatim under any prompt, (n,); the extra prompts after the first n belong to `owner`."""
    worst = found.worst[:n].copy()
    np.logical_or.at(worst, owner, found.worst[n:])
    return worst


def _exposures(plan: AttackPlan, proxy: LoadedProxy) -> list[float | None]:
    secrets = plan.secrets
    chosen = [k for k, free in enumerate(secrets.free) if free]
    losses = candidate_losses(
        proxy,
        [secrets.free_prompt[k] for k in chosen],
        [secrets.free[k] for k in chosen],
    )
    bits: list[float | None] = [None] * len(secrets.free)
    for k, found in zip(chosen, losses, strict=True):
        bits[k] = exposure(float(found[0]), found[1:])
    return bits


def attack_scores(texts: MembershipTexts, read: Sequence[TokenStatistics], neighbour_loss: Floats) -> dict[str, Floats]:
    """Every membership score of the texts, (n,); the learned one is NaN where no attack could be trained."""
    scores = membership_scores(read, texts.reference, texts.zlib_bytes, neighbour_loss)
    features = learned_features(read, texts.reference)
    learned = np.full(len(read), np.nan)
    for side, attack in enumerate(texts.attacks):
        if attack is not None:
            here = texts.fold == side
            learned[here] = attack.score(features[here])
    return {**scores, "lt_mia": learned}


def _membership(plan: AttackPlan, proxy: LoadedProxy, read: Sequence[TokenStatistics]) -> dict[str, Any]:
    texts = plan.membership
    near = neighbour_losses(proxy, texts.neighbours)
    found = {
        name: measure_membership(values, texts.member, plan.seed)
        for name, values in attack_scores(texts, read, near).items()
    }
    return {name: asdict(measured) for name, measured in found.items() if measured is not None}


def _loss_gap(plan: AttackPlan, proxy: LoadedProxy, held_out: Sequence[Floats]) -> float | None:
    """Mean loss of held-out tokens less that of the tokens of repeated samples, in nats (Ghosal et al. 2025, "Memorization
    Sinks", arXiv 2507.09937)."""
    if not plan.repeated or not held_out:
        return None
    known = read_statistics(proxy, plan.repeated)
    return float(np.concatenate(held_out).mean() - np.concatenate([text.loss for text in known]).mean())


def _personal(plan: AttackPlan, proxy: LoadedProxy) -> dict[str, dict[str, int]]:
    said = recalled(proxy, plan.personal)
    label = np.array(plan.personal_class)
    return {
        name: {
            "spans": int((label == name).sum()),
            "extracted": int(said[label == name].sum()),
            "net": int((said & ~plan.personal_guessed)[label == name].sum()),
        }
        for name in sorted(set(plan.personal_class))
    }

"""The attack plan: what the proxies of one seed will be asked, written once, with what the audit's own proxies already know."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.quadrants import EASY, UNMAPPED
from carto_audit.data.batch import read_texts
from carto_audit.governance.attacks.extraction import (
    PROMPT_TOKENS,
    Target,
    extract,
    personal_targets,
    recalled,
    target_of,
)
from carto_audit.governance.attacks.membership import Attack, fit_attack, learned_features, neighbours
from carto_audit.governance.attacks.suite import AttackPlan, MembershipTexts, Secrets, worst_case
from carto_audit.governance.attacks.utility import rare_tail
from carto_audit.governance.canaries import LEAKING_DOSE, Canaries, Canary
from carto_audit.pipeline.result import AuditResult
from carto_audit.proxies.likelihood import read_statistics
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.proxy_choice import ProxyChoice
from carto_audit.proxies.tokens import Encoder, TokenStore
from carto_audit.traces.trace import TokenStatistics

MOST_TEXTS = 500
"""Members, and held-out samples, whose membership is guessed, at most."""

NEIGHBOURS, NEIGHBOUR_RATE = 2, 0.1
GENERIC_PROMPTS, SPECIFIC_PROMPTS, SPECIFIC_TOKENS = 32, 32, 10
"""Natural prompts: nothing at all, and the first words of held-out samples."""

MOST_PERSONAL = 100
MOST_REPEATED = 500

Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPlanner:
    """Writes the plan. `store` holds the rows of the audited batch, then the held-out samples; proxy `side` of the
    audit never read a row of that fold, and no held-out sample."""

    audit: AuditResult
    choice: ProxyChoice
    store: TokenStore
    proxies: tuple[LoadedProxy, ...]
    seed: int

    @property
    def spec(self) -> ProxySpec:
        return self.choice.spec

    @property
    def encoder(self) -> Encoder:
        return self.choice.encoder

    def ids(self, i: int) -> Ids:
        return np.asarray(self.store.ids()[self.store.offsets[i] : self.store.offsets[i + 1]], np.int64)

    def encode(self, text: str) -> Ids:
        return np.array(self.encoder.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def write(self, canaries: Canaries, owner: Ids) -> tuple[tuple[Canary, ...], AttackPlan]:
        """The secrets that can be asked for, and all that is asked."""
        n = len(self.audit.batch)
        rng = np.random.default_rng([self.seed, 0xE1])
        asked = [(k, target) for k, canary in enumerate(canaries.secrets) if (target := self.target(canary))]
        held_out = np.flatnonzero(self.store.n_tokens[n:] > 0) + n
        texts, samples = self.membership(owner, held_out, rng)
        outside = ~texts.member
        first = [self.ids(i)[:SPECIFIC_TOKENS] for i in samples[outside][:SPECIFIC_PROMPTS]]
        personal, label, guessed = self.personal(owner)
        repeated = np.flatnonzero(
            (self.audit.duplicates.cluster_size > 1) | (self.doses(canaries, owner) >= LEAKING_DOSE)
        )
        kept = rng.permutation(repeated[self.store.n_tokens[repeated] > 0])[:MOST_REPEATED]
        plan = AttackPlan(
            seed=self.seed,
            secrets=self.secrets([(canaries.secrets[k], target, k) for k, target in asked], owner),
            membership=texts,
            parts=self.parts(texts, samples),
            repeated=tuple(self.ids(i) for i in kept),
            natural_prompts=(*([np.empty(0, np.int64)] * GENERIC_PROMPTS), *first),
            personal=tuple(personal),
            personal_class=tuple(label),
            personal_guessed=guessed,
        )
        return tuple(canaries.secrets[k] for k, _ in asked), plan

    def doses(self, canaries: Canaries, owner: Ids) -> Ids:
        """How often what each row copies is planted, (N,); 0 for ordinary rows."""
        return np.where(owner >= 0, canaries.dose[owner], 0)

    def target(self, canary: Canary) -> Target | None:
        """The second half of the secret, after all that stands before it in the copy that is shown: a small proxy recites from
        the beginning of a text, and hardly from its middle."""
        encoding = self.encoder.tokenizer.encode(canary.shown, add_special_tokens=False)
        ids, offsets = np.array(encoding.ids, np.int64), np.array(encoding.offsets, np.int64).reshape(-1, 2)
        inside = np.flatnonzero((offsets[:, 1] > canary.begin) & (offsets[:, 0] < canary.end))
        split = int(inside[0] + (len(inside) + 1) // 2)
        target = target_of(ids[: inside[-1] + 1], split)
        return target and Target(prompt=ids[:split], suffix=target.suffix)

    def bare(self, canary: Canary, target: Target) -> Target:
        """The same suffix after the secret's own beginning, without the host's text."""
        own = self.encode(canary.secret.text)
        return Target(prompt=own[: max(1, len(own) - len(target.suffix))][-PROMPT_TOKENS:], suffix=target.suffix)

    def secrets(self, asked: Sequence[tuple[Canary, Target, int]], owner: Ids) -> Secrets:
        """What is asked of each secret: canary, target, and its number among all that were planted or are twins."""
        targets = tuple(target for _, target, _ in asked)
        embedded = [k for k, (canary, _, _) in enumerate(asked) if canary.form == "embedded"]
        bare = tuple(self.bare(asked[k][0], targets[k]) for k in embedded)
        whose = np.array(embedded, np.int64)
        n = len(targets)
        knows = [worst_case(extract(proxy, [*targets, *bare], self.seed), n, whose) for proxy in self.proxies]
        side = np.array([self.unseen_side(number, owner) for _, _, number in asked], np.int64)
        free = [
            (self.encode(secret.text[: secret.fixed].rstrip()), self.choices(canary))
            for canary, _, _ in asked
            for secret in [canary.secret]
        ]
        return Secrets(
            targets=targets,
            bare=bare,
            owner=whose,
            free_prompt=tuple(prompt for prompt, _ in free),
            free=tuple(choices for _, choices in free),
            guessed=(side == 0) & knows[0] | (side == 1) & knows[1],
        )

    def choices(self, canary: Canary) -> tuple[Ids, ...]:
        """What stands after the fixed beginning: of the secret, then of its alternatives."""
        fixed = len(canary.secret.text[: canary.secret.fixed].rstrip())
        if not canary.alternatives:
            return ()
        texts = [text[fixed:] for text in (canary.secret.text, *canary.alternatives)]
        encoded = self.encoder.tokenizer.encode_batch(texts, add_special_tokens=False)
        return tuple(np.array(e.ids, np.int64) for e in encoded)

    def unseen_side(self, number: int, owner: Ids) -> int:
        """The proxy that read no copy of a secret: kin share a fold. -1 where they do not, and both have read some; of a twin
        either has read none."""
        sides = np.unique(self.audit.fold[owner == number])
        return int(sides[0]) if len(sides) == 1 else -1 if len(sides) else 0

    def membership(self, owner: Ids, held_out: Ids, rng: np.random.Generator) -> tuple[MembershipTexts, Ids]:
        """Members and held-out samples, and where they stand in the store. What lent its text to the audit's own controls is
        left out: proxies read pieces of it."""
        n = len(self.audit.batch)
        inside = np.flatnonzero(self.audit.trained & (owner < 0) & (self.store.n_tokens[:n] > 0))
        members = rng.permutation(inside)[:MOST_TEXTS]
        outside = rng.permutation(held_out)[:MOST_TEXTS]
        samples = np.concatenate([members, outside])
        fold = np.concatenate([self.audit.fold[members], rng.permutation(len(outside)) % 2]).astype(np.int8)
        texts = [self.ids(i)[: self.spec.context] for i in samples]
        unigram = np.bincount(np.concatenate(texts), minlength=self.spec.vocab_size).astype(np.float64)
        read = [read_statistics(proxy, texts) for proxy in self.proxies]
        member = np.arange(len(samples)) < len(members)
        reference = [read[side][k] for k, side in enumerate(fold.tolist())]
        found = MembershipTexts(
            texts=tuple(texts),
            member=member,
            zlib_bytes=np.array(
                [len(zlib.compress(self.encoder.tokenizer.decode(t.tolist()).encode())) for t in texts]
            ),
            neighbours=tuple(tuple(neighbours(t, unigram, NEIGHBOURS, NEIGHBOUR_RATE, rng)) for t in texts),
            reference=tuple(reference),
            fold=fold,
            attacks=(
                self.attack(read[0], read[1], member, fold == 1),
                self.attack(read[1], read[0], member, fold == 0),
            ),
        )
        return found, samples

    def attack(
        self,
        target: Sequence[TokenStatistics],
        reference: Sequence[TokenStatistics],
        member: Bools,
        chosen: Bools,
    ) -> Attack | None:
        """The learned attack of a proxy whose members are known, on the texts of its side; None where one side is missing."""
        at = np.flatnonzero(chosen)
        if len(np.unique(member[at])) < 2:
            return None
        features = learned_features([target[k] for k in at.tolist()], [reference[k] for k in at.tolist()])
        return fit_attack(features, member[at], self.seed)

    def parts(self, texts: MembershipTexts, samples: Ids) -> dict[str, Bools]:
        """Held-out samples by where they would lie on the map, which is easy or hard, since nobody memorized them; and those
        of a rare kind."""
        held_out = ~texts.member
        loss = np.array([text.loss.mean() for text in texts.reference])
        easy_share = self.easy_share()
        hard = held_out & (loss > np.quantile(loss[held_out], easy_share))
        rare = rare_tail(self.store, samples, self.seed)
        return {"stable_easy": held_out & ~hard, "ambiguous_hard": hard, "rare_tail": held_out & rare}

    def easy_share(self) -> float:
        """The share of the mapped samples that the map calls easy."""
        quadrant = self.audit.analysis.quadrant
        mapped = quadrant != UNMAPPED
        return float(np.isin(quadrant[mapped], EASY).mean()) if mapped.any() else 0.75

    def personal(self, owner: Ids) -> tuple[list[Target], list[str], Bools]:
        """Personal data in ordinary rows, its class, and whether the proxy that never read it says it too."""
        targets: list[Target] = []
        labels: list[str] = []
        guessed = [np.zeros(0, bool)]
        for side in range(2):
            rows = np.flatnonzero((self.audit.fold == side) & self.audit.trained & (owner < 0))
            texts = read_texts(self.audit.batch, rows.tolist())
            found, label = personal_targets([texts[i] for i in rows.tolist()], self.encoder, MOST_PERSONAL, self.seed)
            targets += found
            labels += label
            guessed.append(recalled(self.proxies[side], found))
        return targets, labels, np.concatenate(guessed)

"""Options of planting: what is planted, how much of it, and how the run will read it."""

from dataclasses import dataclass
from typing import get_args

from carto_audit.cartography.thresholds import LossOn
from carto_audit.controls.run_choices import DOSES, MOST_DOSE, MOST_SHARE, PACKINGS, TOKEN_SHARE
from carto_audit.data.formats.opened import Reading
from carto_audit.data.hub_layout import HubChoice
from carto_audit.data.layouts import LAYOUT_NAMES
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.untrusted import safe_inline

MOST_HELD_OUT, MOST_LENGTH, MOST_SEED = 1_000_000, 1 << 30, 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantOptions:
    """How controls are planted: secrets of the policy's dose and of `doses`, in at most a `share` of the tokens, None for 1 % and
    nothing at all where that has no room for a proof; `hold_out` rows, None for 1 %. `tokenizer` is a local folder; with it
    `max_length`, `packing` and `loss_on` say how the run reads a sample. `seed` makes the same of the same batch: whoever knows
    it knows the secrets. The others are those of `AuditOptions`."""

    doses: tuple[int, ...] = DOSES
    share: float | None = None
    hold_out: int | None = None
    tokenizer: str | None = None
    max_length: int | None = None
    packing: str = "none"
    loss_on: LossOn = "all"
    text_column: str | None = None
    layout: str | None = None
    id_column: str | None = None
    encoding: str | None = None
    csv_delimiter: str | None = None
    csv_quote: str | None = None
    csv_escape: str | None = None
    csv_header: str | None = None
    config: str | None = None
    split: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for dose in self.doses:
            _check("doses", dose, 1, MOST_DOSE)
        if self.share is not None and not 0 < self.share <= MOST_SHARE:
            raise UsageError(f"{option('share', self.share)}: a share of the tokens, above 0 and at most {MOST_SHARE}")
        for name, most in (("hold_out", MOST_HELD_OUT), ("max_length", MOST_LENGTH), ("seed", MOST_SEED)):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), name == "max_length", most)
        _check_word("packing", self.packing, PACKINGS)
        _check_word("loss_on", self.loss_on, get_args(LossOn))
        if self.layout is not None:
            _check_word("layout", self.layout, LAYOUT_NAMES)
        if self.tokenizer is None and (self.max_length is not None or self.packing != "none"):
            raise UsageError(f"{option('max_length')} and {option('packing')} need a {option('tokenizer')}")
        if self.packing != "none" and self.max_length is None:
            raise UsageError(f"{option('packing', self.packing)} needs a {option('max_length')}")
        _ = self.reading

    @property
    def token_share(self) -> float:
        return TOKEN_SHARE if self.share is None else self.share

    @property
    def reading(self) -> Reading:
        """How the batch's text files are read. Raises UsageError where that makes no sense."""
        return Reading(
            encoding=self.encoding,
            csv_delimiter=self.csv_delimiter,
            csv_quote=self.csv_quote,
            csv_escape=self.csv_escape,
            csv_header=self.csv_header,
        )

    @property
    def choice(self) -> HubChoice | None:
        """What of data set folders is read, None where it is everything."""
        named = self.config is not None or self.split is not None
        return HubChoice(config=self.config, split=self.split) if named else None


def _check(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{option(name, safe_inline(str(value), 40))}: a whole number, from {int(least)} to {most:,}")


def _check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise UsageError(f"{option(name, safe_inline(str(value), 40))}: one of {', '.join(words)}")

"""Options: what a run decides. What a team decides once stands in the policy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast, get_args

from carto_audit.cartography.thresholds import LossOn
from carto_audit.data.formats.opened import Reading
from carto_audit.data.hub_layout import HubChoice
from carto_audit.data.layouts import LAYOUT_NAMES
from carto_audit.engines.engine import Engine, EngineName, check_engine
from carto_audit.lenses.declared.known import find_lens
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.untrusted import safe_inline

DEFAULT_EPOCHS = 8
"""At 8, secrets planted 4 times inside other text stand out with AUC 0.98 on 220,000 tokens (bench/detection)."""


DEVICES = ("auto", "cpu", "cuda", "mps")
_VENDOR = ("vendor_summary", "vendor_salt", "vendor_key")
MOST_EPOCHS, MOST_REPEATS, MOST_SEED = 1000, 100, 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How an audit is done. `text_column` is one column or several with commas between them, `layout` a name of LAYOUT_NAMES;
    without them the text is found. `loss_on` says of what of it the map is drawn, None as the policy says. `proxy` is a preset, a
    transformers checkpoint folder, or None for one by the size of the batch; `max_tokens` None trains on as much as the device
    reads in a quarter of an hour; `repeats` are pairs of proxies whose scores are averaged, None one and, where that may change
    the verdict, a second; `reference` is a file of trusted text that a policy may measure the batch against; `strict_input`
    refuses a batch with a data file that is not read. `encoding` and what begins with `csv_` say how the batch's text files are
    read, as `Reading` takes them; without them it is found. `config` and `split` choose what of a data set folder is read; what
    they leave out counts as unread.

    What is drawn from the batch depends on the `sampling_key`, a file of secret bytes; without one on a random key, or, where a
    `seed` is given, on that alone, so that a vendor can rehearse it. The seed of the training is 0 where none is given.

    `vendor_summary` is the folder of a vendor's summary that is held against the audit; `vendor_salt` the file of its salt, None
    for the one beside it; `vendor_key` the public key of whoever should have signed it; `vendor_recompute` computes some of its
    losses again. `decisions` is a file of what people decided about rows and benchmark items.

    `lens` are the names of lenses that look besides the policy's, with their usual options; nobody judges what they say.

    `engine` is who works on what can be divided, `local` or `ray`, with so many `workers`, None as many as are useful; `address`
    is that of a Ray cluster that already runs. They change nothing of what is found."""

    text_column: str | None = None
    layout: str | None = None
    loss_on: LossOn | None = None
    id_column: str | None = None
    encoding: str | None = None
    csv_delimiter: str | None = None
    csv_quote: str | None = None
    csv_escape: str | None = None
    csv_header: str | None = None
    config: str | None = None
    split: str | None = None
    proxy: str | None = None
    device: str = "auto"
    epochs: int = DEFAULT_EPOCHS
    folds: int = 2
    max_tokens: int | None = None
    seed: int | None = None
    sampling_key: str | None = None
    repeats: int | None = None
    reference: str | None = None
    strict_input: bool = False
    vendor_summary: str | None = None
    vendor_salt: str | None = None
    vendor_key: str | None = None
    vendor_recompute: bool = False
    decisions: str | None = None
    lens: tuple[str, ...] = ()
    engine: str = "local"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UsageError(f"{option('device', safe_inline(str(self.device), 40))}: one of {', '.join(DEVICES)}")
        for name in (
            "text_column",
            "layout",
            "id_column",
            "config",
            "split",
            "proxy",
            "reference",
            "sampling_key",
            "decisions",
            *_VENDOR,
        ):
            _check_text(name, getattr(self, name))
        if self.vendor_summary is None and (self.vendor_recompute or any(getattr(self, name) for name in _VENDOR)):
            raise UsageError(f"{option('vendor_summary')}: name the summary that the other vendor options are about")
        for name in self.lens:
            _check_lens(name)
        check_engine(self.engine, self.workers, self.address)
        if self.layout is not None and self.layout not in LAYOUT_NAMES:
            raise UsageError(f"{option('layout', safe_inline(self.layout, 40))}: one of {', '.join(LAYOUT_NAMES)}")
        _ = self.reading
        if self.loss_on is not None and self.loss_on not in get_args(LossOn):
            raise UsageError(
                f"{option('loss_on', safe_inline(str(self.loss_on), 40))}: one of {', '.join(get_args(LossOn))}"
            )
        _check("epochs", self.epochs, 2, MOST_EPOCHS)
        _check("folds", self.folds, 1, 2)
        if self.repeats is not None:
            _check("repeats", self.repeats, 1, MOST_REPEATS)
        _check("seed", self.training_seed, 0, MOST_SEED)
        if self.max_tokens is not None:
            _check("max_tokens", self.max_tokens, 1, None)

    @contextmanager
    def open_engine(self, note: Callable[[str], None]) -> Iterator[Engine]:
        """Who works for one run; `note` hears of workers that were lost. AuditError in one line where a cluster is not there."""
        engine = Engine(name=cast(EngineName, self.engine), workers=self.workers, address=self.address, note=note)
        with engine.open():
            yield engine

    @property
    def training_seed(self) -> int:
        """The seed of first weights and of the order of training."""
        return 0 if self.seed is None else self.seed

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

    @property
    def rehearsable(self) -> bool:
        """Whether a public seed alone decides what is drawn."""
        return self.sampling_key is None and self.seed is not None


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{option(name, safe_inline(str(value), 40))}: give it as a str")


def _check_lens(name: str) -> None:
    try:
        find_lens(name)
    except UsageError as error:
        raise UsageError(f"{option('lens', safe_inline(name, 60))}: {error}") from error


def _check(name: str, value: int, least: int, most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"from {least} to {most:,}" if most is not None else f"at least {least}"
        raise UsageError(f"{option(name, safe_inline(str(value), 40))}: a whole number, {allowed}")

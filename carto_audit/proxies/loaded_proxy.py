"""A loaded proxy: a trained model with all that asking it takes."""

from dataclasses import dataclass

from torch import nn

from carto_audit.proxies.model import ProxySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedProxy:
    """A model on its device, ready to be asked. `bos` is the token behind which every text stands."""

    model: nn.Module
    spec: ProxySpec
    bos: int
    device: str

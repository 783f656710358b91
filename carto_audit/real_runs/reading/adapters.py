"""Adapters: folders of PEFT, such as LoRA's, beside the local model that they were trained on."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

from carto_audit.proxies.model import checkpoint_sha256
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import read_regular
from carto_audit.text.untrusted import safe_inline

CONFIG = "adapter_config.json"
_MOST_CONFIG = 4 << 20


def adapted_model(folder: Path) -> Path | None:
    """The local folder of the model that an adapter belongs to, None where the folder is no adapter. Raises UsageError where the
    model is not at hand, or PEFT is not installed."""
    if not (folder / CONFIG).is_file() or (folder / "config.json").is_file():
        return None
    shown = safe_inline(str(folder), 160)
    try:
        named = json.loads(read_regular(folder / CONFIG, _MOST_CONFIG))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{shown}: an adapter whose {CONFIG} names no model") from error
    model = Path(str(named))
    if not model.is_dir():
        raise UsageError(
            f"{shown}: an adapter of {safe_inline(str(named), 120)}, which is no local folder; say in {CONFIG} where it lies"
        )
    if find_spec("peft") is None:
        raise UsageError(f"{shown}: an adapter takes PEFT: install carto-audit[lora]")
    return model


def weights_sha256(folder: Path) -> str:
    """One digest of a checkpoint's files; of an adapter and of its model."""
    model = adapted_model(folder)
    if model is None:
        return checkpoint_sha256(folder)
    return hashlib.sha256(f"{checkpoint_sha256(model)} {checkpoint_sha256(folder)}".encode()).hexdigest()

"""Where the repository lies: its documents, its package, its tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

"""Audits text before it enters a language model's training corpus."""

__version__ = "0.1.0"

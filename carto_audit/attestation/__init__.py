"""Attestation: which bytes a verdict is about, signed and held against them again: `attest`, `verify`."""

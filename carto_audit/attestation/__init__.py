"""Attestation: which bytes a verdict is about, signed and verified: `write_statement`, `sign`, `verify_audit`."""

"""Traces: every sample's losses over the epochs, in fold and out of fold, and their file: `Trace`, `TokenLosses`."""

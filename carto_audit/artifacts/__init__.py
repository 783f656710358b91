"""Artifacts: what a finished audit or red team left on disk, read back with suspicion: `open_audit_folder`, `ReportFacts`."""

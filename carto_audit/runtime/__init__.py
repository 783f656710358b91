"""Runtime: what every wing stands on: `AuditError`, whole files, `Progress`, limits, strict YAML."""

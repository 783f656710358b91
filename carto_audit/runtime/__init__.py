"""Runtime: what every wing stands on: `AuditError`, whole files, `Progress`, processes (`map_shards`), strict YAML."""

"""Runtime: what every wing stands on: errors and exit codes, whole files, progress, processes, strict YAML."""

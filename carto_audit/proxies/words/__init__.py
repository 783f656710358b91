"""Words: `RepeatFilter` says which of a batch's runs may occur twice, before any is written."""

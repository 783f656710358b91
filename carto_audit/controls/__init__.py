"""Controls: secrets that we plant ourselves, so that an audit knows how well it sees: `hold_out`, `plant_controls`."""

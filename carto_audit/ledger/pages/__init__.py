"""Pages of a ledger, each one file that opens offline: trends, `render_history`, and audits side by side, `render_comparison`."""

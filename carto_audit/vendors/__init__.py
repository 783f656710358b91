"""What a vendor says of a batch, committed to, and held against the rows and an audit of ours (`summarize`, `vendor_check`)."""

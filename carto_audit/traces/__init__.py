"""Losses over the epochs: of proxies (`Trace`, `TokenLosses`), and of real runs, logged and read: `LossLogger`, `read_visits`."""

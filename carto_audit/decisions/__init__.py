"""Decisions that people made about rows and benchmark items: `read_decisions`, `review`, `settle`. None changes a figure."""

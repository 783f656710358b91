"""Gate: what a policy says of the numbers: `evaluate`; waivers, required benchmarks, cases, replays."""

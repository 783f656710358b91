"""Optional measurements, each proven in the run that uses it: `look_through`, `LensView`, `Plants`, `check_lens`."""

"""Does medlabel know when the teacher is guessing? Run it with `python -m benchmarks.guessing`."""

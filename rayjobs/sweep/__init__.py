"""Sweeps: every task by every teacher, recipe and student, with all seeds, on Ray Core."""

"""Searches for a student and a recipe with Ray Tune, without true labels."""

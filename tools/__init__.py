"""Scripts about the code itself: its shape as a table, its packages as a picture."""

"""Label Studio's protocol: predictions, corrections, and the only images that are fetched."""

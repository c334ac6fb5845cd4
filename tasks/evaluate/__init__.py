"""Let every arm answer the same held-out rows, and measure each."""

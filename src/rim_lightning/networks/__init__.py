"""Networks in plain torch: RIM, what it is compared with, and the files that hold their weights."""

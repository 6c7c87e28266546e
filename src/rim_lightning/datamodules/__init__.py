"""Lightning data modules: batches of prepared faces for training, validation and verification."""

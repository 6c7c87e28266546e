"""Networks that RIM is compared with: super-resolution, and recognition without hallucination."""

"""Generated engineering drawings and the reference models that are trained on them."""

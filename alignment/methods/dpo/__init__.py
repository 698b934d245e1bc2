"""Direct preference optimisation, with weighted rows and soft labels."""

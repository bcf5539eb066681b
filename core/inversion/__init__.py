"""Looking for the latent or the input that gives a picture back."""

"""Explanations of trained models: attributions of letters, motifs and embeddings."""

"""Which letters a trained model leans on; needs what ``codonbench[pictures]`` brings."""

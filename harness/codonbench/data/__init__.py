"""From sequences and targets to the fixed order of training examples, encoded on a device. Imports contracts."""

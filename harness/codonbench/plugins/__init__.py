"""How plugins are found, checked and kept by name. Imports contracts and errors."""

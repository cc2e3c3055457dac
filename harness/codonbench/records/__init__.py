"""Records on disk: written atomically, signed, migrated, read as untrusted input."""

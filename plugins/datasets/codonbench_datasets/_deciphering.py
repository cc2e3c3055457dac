"""What the protocol ``decipher`` fixes: when it asks, and what it takes to be deciphered."""

WINDOW_PAIRS = 64_000
DENSE_BATCHES = 256
AFTER_ALL_SEEN = 64
GROWTH = 1.03
WINDOW_STEP = 1_024

CONFIDENCE = 0.9

INSTRUMENT_BATCH = 64
"""The reference publication's instrument is defined for its own batches."""

Number = bool | int | float | None
Remark = tuple[str, str]
"""A metric's name, and what is wrong with it."""

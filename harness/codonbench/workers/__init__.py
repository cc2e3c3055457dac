"""Training in processes of its own: one for each core, and nothing a plugin does reaches ours.

The parent keeps the clock, the truth and the scoring. A worker is handed `learning.Work`, trains
it as `learning.learn` does, and tells of every probe; what it says is numbers, never objects that
would have to be unpickled here. A worker that dies or overruns takes its own runs down, not the
others.

``messages`` is what they say, ``worker`` the child's side, ``crew`` the parent's.
"""

"""Training in processes of its own: one for each core, and nothing a plugin does reaches ours.

The parent keeps the clock, the truth and the scoring. A worker is handed `learning.Work`, trains
it as `learning.learn` does, and tells of every probe; what it says is numbers, never objects that
would have to be unpickled here. A worker that dies or overruns takes its own runs down, not the
others.

``orders`` is what a worker is told, ``messages`` what it tells; ``worker`` is the child's side,
``post`` the parent's view of one of them, ``crew`` of all; ``processes`` makes them.
"""

"""Where a run happens: in this process, in worker processes, in a sandbox; device locks."""

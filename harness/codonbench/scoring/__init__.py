"""From a trajectory to metric values, now or later. Imports contracts and plugins."""

"""The same job on task queues, on a plain redis-py loop and on tidings; `python -m bench.peers` runs them by turns."""

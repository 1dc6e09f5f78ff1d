"""Named workloads. Each prints one JSON object as its last line: versions, cores, knobs, seed, figures with their unit."""

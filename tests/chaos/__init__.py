"""The proof by fault: real processes killed, paused and starved while notifications flow, then four books held together."""

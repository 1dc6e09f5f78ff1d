"""Words and pipes that two or more rooms share; imports no other room."""

"""The readable twin of the native modules: same names, same bytes, same errors. Read it first; the .pyx files follow it."""

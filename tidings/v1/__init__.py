"""Generated stubs of the contract in proto/tidings/v1; made by the build, see setup.py."""

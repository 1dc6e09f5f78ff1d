"""The build steps that pyproject.toml cannot say: Python stubs from proto/ and native modules from fastpath/*.pyx.

Both are made in place, inside the source folders (git ignores them), so that `pip install -e .` and a wheel see the same files.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import resources
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.resolve()
PROTO = ROOT / "proto"
STUBS = ROOT / "tidings" / "v1"
RULES = "buf/validate/validate.proto"  # rules for other languages' validators; Python's own validator needs no stub of them


def protoc(*arguments: str) -> None:
    """Run grpcio-tools' protoc; its messages go to the terminal, a failure stops the build."""
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, cwd=PROTO)


def without_rules(compiled: bytes) -> bytes:
    """The descriptor set without buf.validate options and import, so that the stubs need no package for them."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415

    files = FileDescriptorSet.FromString(compiled)
    kept = [file for file in files.file if file.name != RULES]
    for file in kept:
        names = [name for name in file.dependency if name != RULES]
        del file.dependency[:]
        file.dependency.extend(names)
        file.DiscardUnknownFields()  # options by extension: unknown here, as nobody imported their definition
    return FileDescriptorSet(file=kept).SerializeToString()


def plugin(name: str) -> str:
    """Where a protoc plugin of this environment (or of pip's isolated one) is."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        raise SystemExit(f"{name} is not installed; pip install mypy-protobuf")
    return f"--plugin={name}={path}"


def make_stubs() -> None:
    """Write *_pb2.py, *_pb2_grpc.py and their .pyi for every .proto, if one of them is newer than the stubs."""
    sources = sorted((PROTO / "tidings" / "v1").glob("*.proto"))
    names = [str(source.relative_to(PROTO)) for source in sources]
    wanted = [
        STUBS / f"{s.stem}{suffix}" for s in sources for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    ]
    newest = max(path.stat().st_mtime for path in [*sources, Path(__file__)])
    if all(path.exists() and path.stat().st_mtime >= newest for path in wanted):
        return
    with tempfile.TemporaryDirectory() as folder:
        compiled, made = Path(folder, "tidings.binpb"), Path(folder, "made")
        made.mkdir()
        paths = [f"-I{PROTO}", f"-I{resources.files('grpc_tools') / '_proto'}"]
        protoc(*paths, "--include_imports", "--include_source_info", f"--descriptor_set_out={compiled}", *names)
        compiled.write_bytes(without_rules(compiled.read_bytes()))
        outputs = [
            f"--python_out={made}",
            f"--mypy_out=quiet:{made}",
            f"--grpc_python_out={made}",
            f"--mypy_grpc_out=quiet:{made}",
        ]
        plugins = [plugin("protoc-gen-mypy"), plugin("protoc-gen-mypy_grpc")]
        protoc(f"--descriptor_set_in={compiled}", *plugins, *outputs, *names)
        publish(made / "tidings" / "v1", wanted)


def publish(made: Path, wanted: list[Path]) -> None:
    """Put finished stubs in place, one rename each: whoever imports meanwhile never meets half a file."""
    for old in STUBS.glob("*_pb2*"):
        if old not in wanted:
            old.unlink()
    for path in wanted:
        part = path.with_name(f"{path.name}.part")
        shutil.copyfile(made / path.name, part)
        part.replace(path)


class BuildStubs(Command):
    """`python setup.py build_stubs`."""

    user_options: ClassVar[list[tuple[str, str, str]]] = []
    description = "make tidings/v1/*_pb2* from proto/"

    def initialize_options(self) -> None:
        """No options."""

    def finalize_options(self) -> None:
        """No options."""

    def run(self) -> None:
        """Make them."""
        make_stubs()


class Build(build):
    """`build`, with the stubs first."""

    sub_commands = [("build_stubs", None), *build.sub_commands]  # noqa: RUF012


class BuildPy(build_py):
    """`build_py`, which packs the stubs and so needs them before."""

    def run(self) -> None:
        """Make the stubs, then pack."""
        self.run_command("build_stubs")
        super().run()


class BuildExt(build_ext):
    """`build_ext`; also makes the stubs, so that `build_ext --inplace` leaves a complete source tree."""

    def finalize_options(self) -> None:
        """Compile on all cores."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        """Make the stubs, then compile."""
        self.run_command("build_stubs")
        super().run()

    def build_extension(self, ext: Extension) -> None:
        """Compile, unless the module in the source tree is newer than the C that Cython wrote (`pip install -e .` again)."""
        built = ROOT / (ext.name.replace(".", "/") + sysconfig.get_config_var("EXT_SUFFIX"))
        newest = max(Path(source).stat().st_mtime for source in [*ext.sources, __file__])
        if built.exists() and built.stat().st_mtime > newest and not self.force:
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built, target)
            return
        super().build_extension(ext)


def extensions() -> list[Extension]:
    """One native module for each fastpath/*.pyx, compiled by way of C."""
    sources = sorted(path.relative_to(ROOT) for path in (ROOT / "fastpath").glob("*.pyx"))
    if not sources:
        return []
    from Cython.Build import cythonize  # noqa: PLC0415

    found = [Extension(f"fastpath.{source.stem}", [str(source)], extra_compile_args=["-O3"]) for source in sources]
    return cythonize(found, language_level=3)  # type: ignore[no-untyped-call, no-any-return]


setup(
    cmdclass={"build": Build, "build_ext": BuildExt, "build_py": BuildPy, "build_stubs": BuildStubs},
    ext_modules=extensions(),
)

"""What setuptools has to be told in code: the extension module. rmon_build.py puts this file beside the sources."""

from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildExt(build_ext):
    def build_extensions(self):
        # Some CPythons link extensions with a run-time path to their own folder, which is of no use to this one.
        self.compiler.linker_so = [word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")]
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildExt},
    ext_modules=[
        Extension(
            "rmon._rmon",
            sources=sorted(glob("src/*.c")),
            include_dirs=["rmon/include"],
            extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
            library_dirs=["rmon/lib"],
            libraries=["rmon"],
            runtime_library_dirs=["$ORIGIN/lib"],
            # As DT_RPATH, which comes before LD_LIBRARY_PATH: the library is this package's own.
            extra_link_args=["-Wl,--disable-new-dtags"],
        )
    ],
)

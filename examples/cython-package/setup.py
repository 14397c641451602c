import rmon
from Cython.Build import cythonize
from setuptools import Extension, setup

distance = Extension("spelling._distance", ["src/spelling/_distance.pyx"], include_dirs=[rmon.get_include()])
setup(ext_modules=cythonize([distance]))

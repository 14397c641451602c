import rmon
from setuptools import Extension, setup

setup(ext_modules=[Extension("calc", ["calc.c"], include_dirs=[rmon.get_include()], depends=["setup.py"])])

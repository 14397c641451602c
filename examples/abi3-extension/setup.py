import rmon
from setuptools import Extension, setup

mailfilter = Extension(
    "mailfilter",
    ["mailfilter.c"],
    include_dirs=[rmon.get_include()],
    define_macros=[("Py_LIMITED_API", "0x03090000")],
    py_limited_api=True,
    depends=["setup.py"],
)
setup(ext_modules=[mailfilter], options={"bdist_wheel": {"py_limited_api": "cp39"}})

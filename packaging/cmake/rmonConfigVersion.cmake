# What version of rmon this is, for find_package(rmon VERSION): the one that rmon.h says.
#
# Versions are compatible as Semantic Versioning has it: 1.3 does for 1.2, and 0.1.3 for 0.1.2, but 0.2 not for 0.1. A
# range, 0.1...0.3, means what it says.
include("${CMAKE_CURRENT_LIST_DIR}/rmonPaths.cmake")
if(NOT rmon_INCLUDE_DIR)
  set(PACKAGE_VERSION "unknown, since there is no rmon.h")
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
  return()
endif()

file(STRINGS "${rmon_INCLUDE_DIR}/rmon.h" _rmon_lines REGEX "^#define RMON_VERSION_(MAJOR|MINOR|PATCH) [0-9]+$")
string(REGEX MATCHALL "[0-9]+" _rmon_numbers "${_rmon_lines}")
string(REPLACE ";" "." PACKAGE_VERSION "${_rmon_numbers}")

if(PACKAGE_FIND_VERSION_RANGE)
  if(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION_MIN)
    if(PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION_MAX
       OR (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "INCLUDE" AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX))
      set(PACKAGE_VERSION_COMPATIBLE TRUE)
    endif()
  endif()
elseif(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION)
  list(GET _rmon_numbers 0 _rmon_major)
  list(GET _rmon_numbers 1 _rmon_minor)
  # find_package(rmon 0) asks for no minor version.
  if(_rmon_major EQUAL PACKAGE_FIND_VERSION_MAJOR
     AND (_rmon_major GREATER 0 OR _rmon_minor EQUAL PACKAGE_FIND_VERSION_MINOR OR PACKAGE_FIND_VERSION_COUNT LESS 2))
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
  endif()
  if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()

# rmon for CMake 3.13 and newer: find_package(rmon 0.1 REQUIRED), and then one of
#
#   rmon::rmon     the headers and the shared library
#   rmon::static   the headers and the static library, with all that it needs
#   rmon::headers  the headers alone: for what attaches lazily and links with nothing
#
# What is not installed has no target; COMPONENTS rmon, static or headers asks for those that must be there. The files
# may be moved together, since all is found from where this one is.
if(CMAKE_VERSION VERSION_LESS 3.13)
  set(rmon_FOUND FALSE)
  set(rmon_NOT_FOUND_MESSAGE "rmon needs CMake 3.13 or newer")
  return()
endif()

include("${CMAKE_CURRENT_LIST_DIR}/rmonPaths.cmake")
if(NOT rmon_INCLUDE_DIR)
  set(rmon_FOUND FALSE)
  set(rmon_NOT_FOUND_MESSAGE "there is no include/rmon.h above ${CMAKE_CURRENT_LIST_DIR}")
  return()
endif()

if(NOT TARGET rmon::headers)
  add_library(rmon::headers INTERFACE IMPORTED)
  set_target_properties(rmon::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${rmon_INCLUDE_DIR}")
endif()

# The folder of the libraries that this file is in, and those that others put them into.
get_filename_component(_rmon_own "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_rmon_prefix "${rmon_INCLUDE_DIR}" DIRECTORY)
foreach(_rmon_folder "${_rmon_own}" "${_rmon_prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}" "${_rmon_prefix}/lib64"
                     "${_rmon_prefix}/lib")
  if(NOT TARGET rmon::rmon AND EXISTS "${_rmon_folder}/librmon.so.0")
    add_library(rmon::rmon SHARED IMPORTED)
    set_target_properties(rmon::rmon PROPERTIES
      IMPORTED_LOCATION "${_rmon_folder}/librmon.so.0"
      IMPORTED_SONAME "librmon.so.0"
      INTERFACE_LINK_LIBRARIES rmon::headers)
  endif()
  if(NOT TARGET rmon::static AND EXISTS "${_rmon_folder}/librmon.a")
    add_library(rmon::static STATIC IMPORTED)
    # What contains the library must not be unloaded: threads that end call into it.
    set_target_properties(rmon::static PROPERTIES
      IMPORTED_LOCATION "${_rmon_folder}/librmon.a"
      INTERFACE_LINK_LIBRARIES "rmon::headers;-lgcc_s;-lutil;-lrt;-lpthread;-lm;-ldl;-lc"
      INTERFACE_LINK_OPTIONS "LINKER:-z,nodelete")
  endif()
endforeach()
unset(_rmon_folder)
unset(_rmon_prefix)
unset(_rmon_own)

foreach(_rmon_component IN LISTS rmon_FIND_COMPONENTS)
  if(TARGET "rmon::${_rmon_component}")
    set("rmon_${_rmon_component}_FOUND" TRUE)
  elseif(rmon_FIND_REQUIRED_${_rmon_component})
    set(rmon_FOUND FALSE)
    set(rmon_NOT_FOUND_MESSAGE "rmon is here without its part ${_rmon_component}")
  endif()
endforeach()
unset(_rmon_component)

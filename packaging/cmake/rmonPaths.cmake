# Where rmon's headers are: sets rmon_INCLUDE_DIR, for the files beside this one.
#
# It is the first folder include/ with an rmon.h above this file, since what is installed may lie at different depths
# below its prefix: lib/cmake/rmon, lib/x86_64-linux-gnu/cmake/rmon, share/cmake/rmon. An installer who puts the headers
# elsewhere writes another rmonPaths.cmake.
unset(rmon_INCLUDE_DIR)
get_filename_component(_rmon_folder "${CMAKE_CURRENT_LIST_DIR}" REALPATH) # /lib may be a link to /usr/lib
while(NOT rmon_INCLUDE_DIR)
  get_filename_component(_rmon_above "${_rmon_folder}" DIRECTORY)
  if(_rmon_above STREQUAL _rmon_folder)
    break()
  endif()
  set(_rmon_folder "${_rmon_above}")
  if(EXISTS "${_rmon_folder}/include/rmon.h")
    set(rmon_INCLUDE_DIR "${_rmon_folder}/include")
  endif()
endwhile()
unset(_rmon_above)
unset(_rmon_folder)

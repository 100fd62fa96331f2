# SPDX-License-Identifier: Apache-2.0
# kt_room(NAME SOURCES ... LINK ...): one folder, one static library kt_NAME. Headers are included as "folder/file.h".
function(kt_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINK" ${ARGN})
  add_library(kt_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(kt_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(kt_${name} PRIVATE kt_flags PUBLIC ${ROOM_LINK})
endfunction()

# kt_program(NAME DEST SOURCES ... LINK ...): an executable that is installed under DEST (bin, sbin, libexec/keyturn).
# In the build tree all of them lie in build/PRESET/libexec/keyturn, bin and sbin as well, so that they find each other
# by the same relative paths as when installed.
function(kt_program name dest)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE kt_flags ${PROGRAM_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${dest})
  install(TARGETS ${name} RUNTIME DESTINATION ${dest})
endfunction()

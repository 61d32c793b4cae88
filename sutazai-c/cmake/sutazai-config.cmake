# find_package(sutazai) gives the targets sutazai::sutazai (shared) and sutazai::static.
get_filename_component(_sutazai_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET sutazai::sutazai)
    add_library(sutazai::sutazai SHARED IMPORTED)
    set_target_properties(sutazai::sutazai PROPERTIES
        IMPORTED_LOCATION "${_sutazai_prefix}/lib/libsutazai.so.0"
        IMPORTED_SONAME "libsutazai.so.0"
        INTERFACE_INCLUDE_DIRECTORIES "${_sutazai_prefix}/include")
endif()

if(NOT TARGET sutazai::static AND EXISTS "${_sutazai_prefix}/lib/libsutazai.a")
    find_package(Threads REQUIRED)
    add_library(sutazai::static STATIC IMPORTED)
    set_target_properties(sutazai::static PROPERTIES
        IMPORTED_LOCATION "${_sutazai_prefix}/lib/libsutazai.a"
        INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m"
        INTERFACE_INCLUDE_DIRECTORIES "${_sutazai_prefix}/include")
endif()

unset(_sutazai_prefix)

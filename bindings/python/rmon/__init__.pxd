# For Cython. `cimport rmon` makes a module's own line tracing fire into rmon (with the directive linetrace=True, and
# rmon.get_include() in include_dirs), and declares the C API, for code that fires events of its own:
#
#   - rmon_...          rmon.h as it is: with or without the GIL; any pointer is a code; statuses are returned
#   - PyMonitoring_...  CPython's Monitoring C API by way of rmon_python.h: with the GIL; objects; errors are raised
#
# The headers say what each function does. An emitter needs nothing else: it attaches to rmon when somebody imports
# that. The functions for tools (rmon_use_tool_id and so on), rmon_code_describe, rmon_abi_version and rmon_attach... need
# the module linked with rmon.get_libraries() from rmon.get_library_dir().

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t


cdef extern from "rmon_python.h":
    pass


cdef extern from "rmon.h" nogil:
    # Versions: the header's, and the library's.
    enum:
        RMON_VERSION_MAJOR
        RMON_VERSION_MINOR
        RMON_VERSION_PATCH
        RMON_VERSION_NUMBER
        RMON_ABI_VERSION

    uint32_t rmon_version_number()
    uint32_t rmon_abi_version()
    const char *rmon_version()

    # Events
    enum:
        RMON_EVENT_PY_START
        RMON_EVENT_PY_RESUME
        RMON_EVENT_PY_RETURN
        RMON_EVENT_PY_YIELD
        RMON_EVENT_CALL
        RMON_EVENT_LINE
        RMON_EVENT_INSTRUCTION
        RMON_EVENT_JUMP
        RMON_EVENT_BRANCH_LEFT
        RMON_EVENT_BRANCH_RIGHT
        RMON_EVENT_STOP_ITERATION
        RMON_EVENT_RAISE
        RMON_EVENT_EXCEPTION_HANDLED
        RMON_EVENT_PY_UNWIND
        RMON_EVENT_PY_THROW
        RMON_EVENT_RERAISE
        RMON_EVENT_C_RETURN
        RMON_EVENT_C_RAISE
        RMON_EVENT_BRANCH
        RMON_EVENT_COUNT

    const uint32_t RMON_NO_EVENTS
    const uint32_t RMON_LOCAL_EVENTS
    const uint32_t RMON_ANCILLARY_EVENTS
    const uint32_t RMON_ALL_EVENTS
    uint32_t RMON_EVENT_SET(int event)
    const char *rmon_event_name(int event)

    # Statuses: 0 or a negative number
    enum:
        RMON_OK
        RMON_ERR_CALLBACK
        RMON_ERR_NULL
        RMON_ERR_INVALID_TOOL
        RMON_ERR_INVALID_NAME
        RMON_ERR_TOOL_IN_USE
        RMON_ERR_TOOL_NOT_IN_USE
        RMON_ERR_INVALID_EVENT
        RMON_ERR_INVALID_EVENT_SET
        RMON_ERR_NOT_INDEPENDENT
        RMON_ERR_CANNOT_DISABLE
        RMON_ERR_INVALID_OFFSET
        RMON_ERR_INVALID_ARGUMENT
        RMON_ERR_NO_EXCEPTION
        RMON_ERR_UNKNOWN_CODE
        RMON_ERR_IN_CALLBACK
        RMON_ERR_NO_MEMORY
        RMON_ERR_INTERNAL

    const char *rmon_status_message(int status)

    # Emitters
    ctypedef struct rmon_state:
        uint8_t active
        uint8_t opaque

    int rmon_enter_scope(rmon_state *states, uint64_t *version, const uint8_t *event_types, Py_ssize_t length)
    int rmon_exit_scope()
    int rmon_fire_py_start(rmon_state *state, void *code, int32_t offset)
    int rmon_fire_py_resume(rmon_state *state, void *code, int32_t offset)
    int rmon_fire_py_return(rmon_state *state, void *code, int32_t offset, void *retval)
    int rmon_fire_py_yield(rmon_state *state, void *code, int32_t offset, void *retval)
    int rmon_fire_call(rmon_state *state, void *code, int32_t offset, void *callable, void *arg0)
    int rmon_fire_line(rmon_state *state, void *code, int32_t offset, int32_t lineno)
    int rmon_fire_instruction(rmon_state *state, void *code, int32_t offset)
    int rmon_fire_jump(rmon_state *state, void *code, int32_t offset, int32_t target_offset)
    int rmon_fire_branch(rmon_state *state, void *code, int32_t offset, int32_t target_offset)
    int rmon_fire_branch_left(rmon_state *state, void *code, int32_t offset, int32_t target_offset)
    int rmon_fire_branch_right(rmon_state *state, void *code, int32_t offset, int32_t target_offset)
    int rmon_fire_c_return(rmon_state *state, void *code, int32_t offset, void *callable, void *arg0)
    int rmon_fire_c_raise(rmon_state *state, void *code, int32_t offset, void *callable, void *arg0)
    int rmon_fire_stop_iteration(rmon_state *state, void *code, int32_t offset, void *value)
    int rmon_fire_py_throw(rmon_state *state, void *code, int32_t offset, void *exception)
    int rmon_fire_raise(rmon_state *state, void *code, int32_t offset, void *exception)
    int rmon_fire_reraise(rmon_state *state, void *code, int32_t offset, void *exception)
    int rmon_fire_exception_handled(rmon_state *state, void *code, int32_t offset, void *exception)
    int rmon_fire_py_unwind(rmon_state *state, void *code, int32_t offset, void *exception)

    # Code look-alikes
    ctypedef struct rmon_line_entry:
        int32_t offset
        int32_t line

    ctypedef struct rmon_code_info:
        uint32_t struct_size
        int32_t first_line
        const char *name
        const char *qualname
        const char *filename
        const rmon_line_entry *lines
        size_t line_count

    void *rmon_code_new(const rmon_code_info *info)
    void rmon_code_retain(void *code)
    void rmon_code_release(void *code)
    int rmon_code_describe(void *code, rmon_code_info *out)
    int rmon_code_forget(void *code)

    # Tools
    enum:
        RMON_DEBUGGER_ID
        RMON_COVERAGE_ID
        RMON_PROFILER_ID
        RMON_OPTIMIZER_ID
        RMON_CONTINUE
        RMON_DISABLE

    ctypedef struct rmon_event:
        uint32_t struct_size
        uint8_t event
        uint8_t tool_id
        int32_t offset
        int32_t line
        int32_t target_offset
        void *code
        void *object
        void *arg0

    ctypedef int (*rmon_callback)(void *user_data, const rmon_event *event) noexcept nogil
    ctypedef void (*rmon_destroy)(void *user_data) noexcept nogil

    int rmon_use_tool_id(int tool_id, const char *name)
    int rmon_clear_tool_id(int tool_id)
    int rmon_free_tool_id(int tool_id)
    int rmon_get_tool(int tool_id, char *name, size_t capacity)
    int rmon_get_events(int tool_id, uint32_t *event_set)
    int rmon_set_events(int tool_id, uint32_t event_set)
    int rmon_get_local_events(int tool_id, void *code, uint32_t *event_set)
    int rmon_set_local_events(int tool_id, void *code, uint32_t event_set)
    int rmon_register_callback(int tool_id, int event, rmon_callback callback, void *user_data, rmon_destroy destroy)
    int rmon_get_callback(int tool_id, int event, rmon_callback *callback, void **user_data)
    int rmon_restart_events()
    int rmon_synchronize()

    # Hosts, and what lazy attach is made of
    enum:
        RMON_HOST_NONE
        RMON_HOST_PYTHON

    const uint64_t RMON_MAGIC
    const uint64_t RMON_SLOT_MAGIC

    ctypedef struct rmon_host:
        uint32_t struct_size
        void *user_data
        void *(*current_exception)(void *user_data) noexcept
        int (*describe)(void *user_data, void *code, int delivering, rmon_code_info *info) noexcept
        void *(*begin_wait)(void *user_data) noexcept
        void (*end_wait)(void *user_data, void *begun) noexcept

    ctypedef struct rmon_table:
        uint64_t magic
        uint32_t struct_size
        uint32_t abi_version

    ctypedef struct rmon_slot:
        uint64_t[2] magic
        const uint64_t *version
        const rmon_table *table
        const rmon_slot *address
        uint32_t struct_size
        uint32_t abi_version
        uint32_t table_size
        uint32_t flags

    int rmon_set_host(const rmon_host *host)
    void **rmon_host_note()
    ptrdiff_t rmon_host_note_offset()
    int rmon_attach_slot(rmon_slot *slot)
    int rmon_attach(uint32_t host)
    int rmon_detach(uint32_t host)


# What Cython's own tracing makes of the names in a module's C code is not for others, hence the names in quotes.
cdef extern from "rmon_python.h":
    ctypedef rmon_state PyMonitoringState

    enum:
        PY_MONITORING_EVENT_PY_START
        PY_MONITORING_EVENT_PY_RESUME
        PY_MONITORING_EVENT_PY_RETURN
        PY_MONITORING_EVENT_PY_YIELD
        PY_MONITORING_EVENT_CALL
        PY_MONITORING_EVENT_LINE
        PY_MONITORING_EVENT_INSTRUCTION
        PY_MONITORING_EVENT_JUMP
        PY_MONITORING_EVENT_BRANCH
        PY_MONITORING_EVENT_BRANCH_LEFT
        PY_MONITORING_EVENT_BRANCH_RIGHT
        PY_MONITORING_EVENT_STOP_ITERATION
        PY_MONITORING_EVENT_RAISE
        PY_MONITORING_EVENT_EXCEPTION_HANDLED
        PY_MONITORING_EVENT_PY_UNWIND
        PY_MONITORING_EVENT_PY_THROW
        PY_MONITORING_EVENT_RERAISE
        PY_MONITORING_EVENT_C_RETURN
        PY_MONITORING_EVENT_C_RAISE

    bint PY_MONITORING_IS_INSTRUMENTED_EVENT(int event)

    int PyMonitoring_EnterScope "rmon_python_enter_scope"(
        rmon_state *states, uint64_t *version, const uint8_t *event_types, Py_ssize_t length) except -1
    int PyMonitoring_ExitScope "rmon_python_exit_scope"() except -1

    int PyMonitoring_FirePyStartEvent "rmon_python_fire_py_start"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FirePyResumeEvent "rmon_python_fire_py_resume"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FirePyReturnEvent "rmon_python_fire_py_return"(
        rmon_state *state, object code, int32_t offset, object retval) except -1
    int PyMonitoring_FirePyYieldEvent "rmon_python_fire_py_yield"(
        rmon_state *state, object code, int32_t offset, object retval) except -1
    int PyMonitoring_FireCallEvent "rmon_python_fire_call"(
        rmon_state *state, object code, int32_t offset, object callable, object arg0) except -1
    int PyMonitoring_FireLineEvent "rmon_python_fire_line"(
        rmon_state *state, object code, int32_t offset, int lineno) except -1
    int PyMonitoring_FireJumpEvent "rmon_python_fire_jump"(
        rmon_state *state, object code, int32_t offset, object target_offset) except -1
    int PyMonitoring_FireBranchEvent "rmon_python_fire_branch"(
        rmon_state *state, object code, int32_t offset, object target_offset) except -1
    int PyMonitoring_FireBranchLeftEvent "rmon_python_fire_branch_left"(
        rmon_state *state, object code, int32_t offset, object target_offset) except -1
    int PyMonitoring_FireBranchRightEvent "rmon_python_fire_branch_right"(
        rmon_state *state, object code, int32_t offset, object target_offset) except -1
    int PyMonitoring_FireCReturnEvent "rmon_python_fire_c_return"(
        rmon_state *state, object code, int32_t offset, object retval) except -1
    int PyMonitoring_FireStopIterationEvent "rmon_python_fire_stop_iteration"(
        rmon_state *state, object code, int32_t offset, object value) except -1

    # These report the current exception. In Cython there is one where C code has set it and is about to return, but
    # not in an except clause: rmon_fire_raise and its like take one.
    int PyMonitoring_FireCRaiseEvent "rmon_python_fire_c_raise"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FirePyThrowEvent "rmon_python_fire_py_throw"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FireRaiseEvent "rmon_python_fire_raise"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FireReraiseEvent "rmon_python_fire_reraise"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FireExceptionHandledEvent "rmon_python_fire_exception_handled"(
        rmon_state *state, object code, int32_t offset) except -1
    int PyMonitoring_FirePyUnwindEvent "rmon_python_fire_py_unwind"(
        rmon_state *state, object code, int32_t offset) except -1

# For Cython. `cimport rmon` makes a module's own line tracing fire into rmon (with the directive linetrace=True, and
# rmon.get_include() in include_dirs), and declares the C API of rmon.h: rmon.rmon_fire_line(...), say.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t


cdef extern from "rmon_python.h":
    pass


cdef extern from "rmon.h" nogil:
    # Versions: the header's, and the library's.
    enum:
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

    uint32_t RMON_EVENT_SET(int event)
    const char *rmon_event_name(int event)

    # Statuses: 0 or a negative number
    enum:
        RMON_OK

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

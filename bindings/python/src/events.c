/* The numbers of events.
 *
 * librmon's numbers are the same for ever. Python code uses those of the interpreter that it runs in, where that has
 * events, and librmon's where it has none. Events that an interpreter lacks get the bits above its highest.
 */
#include "module.h"

static const char *const NAMES[EVENTS] = {
    "PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "INSTRUCTION", "JUMP", "BRANCH_LEFT",
    "BRANCH_RIGHT", "STOP_ITERATION", "RAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "RERAISE", "C_RETURN",
    "C_RAISE", "BRANCH",
};

enum { BITS = 31 }; /* of a non-negative int */

/* The same in every interpreter of the process; written before any is used (see events_init). */
static signed char to_python[EVENTS];
static signed char from_python[BITS];
static unsigned int native; /* Python's bits that the interpreter itself knows */

#if HAS_NATIVE
/* The bit index of an attribute of sys.monitoring.events; -1: it has none; -2 with an exception. */
static int native_index(PyObject *events, const char *name)
{
    PyObject *value = PyObject_GetAttrString(events, name);
    long bits;
    int index;
    if (value == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -2;
        PyErr_Clear();
        return -1;
    }
    bits = PyLong_AsLong(value);
    Py_DECREF(value);
    if (bits == -1 && PyErr_Occurred())
        return -2;
    for (index = 0; index < BITS; index++) {
        if (bits == 1L << index)
            return index;
    }
    PyErr_Format(PyExc_ImportError, "sys.monitoring.events.%s is not one event", name);
    return -2;
}

/* Fills `numbers` with the interpreter's; -1 for those that it lacks. */
static int read_numbers(signed char *numbers)
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */
    PyObject *events = monitoring != NULL ? PyObject_GetAttrString(monitoring, "events") : NULL;
    int event, index = -1;
    if (events == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ImportError, "this interpreter has no sys.monitoring");
        return -1;
    }
    for (event = 0; event < EVENTS && index != -2; event++)
        numbers[event] = (signed char)(index = native_index(events, NAMES[event]));
    Py_DECREF(events);
    return index == -2 ? -1 : 0;
}
#else
static int read_numbers(signed char *numbers)
{
    int event;
    for (event = 0; event < EVENTS; event++)
        numbers[event] = (signed char)event;
    return 0;
}
#endif

/* Reads the interpreter's numbers. Two interpreters that do so at once write the same bytes. */
int events_init(void)
{
    signed char numbers[EVENTS];
    unsigned int known = 0;
    int event, next = 0;
    if (read_numbers(numbers) < 0)
        return -1;
    for (event = 0; event < EVENTS; event++) {
        if (numbers[event] >= 0)
            known |= 1u << numbers[event];
    }
    while (known >> next)
        next++;
    memset(from_python, -1, sizeof from_python);
    for (event = 0; event < EVENTS; event++) {
        if (numbers[event] < 0)
            numbers[event] = (signed char)next++;
        from_python[(int)numbers[event]] = (signed char)event;
    }
    memcpy(to_python, numbers, sizeof to_python);
    native = HAS_NATIVE ? known : 0;
    return 0;
}

int event_from_python(int index)
{
    return index >= 0 && index < BITS ? from_python[index] : -1;
}

int event_to_python(int event)
{
    return event >= 0 && event < EVENTS ? to_python[event] : -1;
}

unsigned int events_native(void)
{
    return native;
}

int event_set_from_python(unsigned int python, EventSet *set)
{
    EventSet result = 0;
    int index;
    for (index = 0; index < 32; index++) {
        int event = event_from_python(index);
        if (!(python & 1u << index))
            continue;
        if (event < 0)
            return 0;
        result |= BIT(event);
    }
    *set = result;
    return 1;
}

unsigned int event_set_to_python(EventSet set)
{
    unsigned int result = 0;
    int event;
    for (event = 0; event < EVENTS; event++) {
        if (set & BIT(event))
            result |= 1u << to_python[event];
    }
    return result;
}

/* Puts one name into a dictionary. */
static int put_number(PyObject *names, const char *name, unsigned int number)
{
    PyObject *value = PyLong_FromUnsignedLong(number);
    int status = value != NULL ? PyDict_SetItemString(names, name, value) : -1;
    Py_XDECREF(value);
    return status;
}

PyObject *events_namespace(void)
{
    PyObject *names = PyDict_New(), *types = PyImport_ImportModule("types"), *type = NULL, *empty = NULL;
    PyObject *result = NULL;
    int index, event;
    if (names == NULL || types == NULL || put_number(names, "NO_EVENTS", 0) < 0)
        goto done;
    for (index = 0; index < BITS; index++) {
        event = event_from_python(index);
        if (event >= 0 && put_number(names, NAMES[event], 1u << index) < 0)
            goto done;
    }
    type = PyObject_GetAttrString(types, "SimpleNamespace");
    empty = PyTuple_New(0);
    if (type != NULL && empty != NULL)
        result = PyObject_Call(type, empty, names);
done:
    Py_XDECREF(names);
    Py_XDECREF(types);
    Py_XDECREF(type);
    Py_XDECREF(empty);
    return result;
}

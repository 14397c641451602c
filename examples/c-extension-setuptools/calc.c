/* calc.c: a small language for calculations, whose scripts tools see as code.
 *
 *     run(path, variables={}) -> dict    runs a script; the variables that it leaves
 *
 * A line of a script defines a variable or a function; # begins a comment:
 *
 *     net = count * price
 *     fee(x) = x < 100 ? 4.5 : x * 0.05
 *
 * Numbers are floats, operators + - * / < ?: and parentheses. A name in a function's text is a parameter or a variable,
 * looked up when the function is called.
 *
 * The events are fired by CPython's Monitoring C API, as its documentation describes it. Two things are rmon's: the
 * header's name, and that the API works on every CPython from 3.9 on. Each function, and the script itself, has a code
 * object and a scope, with a state for each kind of event.
 */
#include <rmon_python.h>

#include <ctype.h>

enum {
    MAX_FUNCTIONS = 64,
    MAX_PARAMETERS = 8,
    MAX_NAME = 31,
    MAX_DEPTH = 400, /* of calls and parentheses in each other */
};

/* ---- What is reported ---- */

enum { START, LINE, LEFT, RIGHT, RAISE, RETURN, UNWIND, KINDS };

static const uint8_t kinds[KINDS] = {
    PY_MONITORING_EVENT_PY_START,     PY_MONITORING_EVENT_LINE,  PY_MONITORING_EVENT_BRANCH_LEFT,
    PY_MONITORING_EVENT_BRANCH_RIGHT, PY_MONITORING_EVENT_RAISE, PY_MONITORING_EVENT_PY_RETURN,
    PY_MONITORING_EVENT_PY_UNWIND,
};

typedef struct {
    char name[MAX_NAME + 1];
    char parameters[MAX_PARAMETERS][MAX_NAME + 1];
    int parameter_count;
    const char *text; /* what is evaluated; of the script, all of it */
    int line;
    PyObject *code;
    PyMonitoringState states[KINDS];
    uint64_t version;
} Function;

typedef struct {
    const char *source, *filename;
    PyObject *variables;
    Function functions[MAX_FUNCTIONS]; /* the script is the first */
    int function_count, depth;
} Script;

/* A function that is being executed. */
typedef struct {
    Script *script;
    Function *function;
    const double *arguments;
    const char *at;
    int line, skipping; /* the text is read, but nothing is done */
} Frame;

/* An offset says where in a code something happens. Here it is the place in the script. */
static int32_t offset_of(const Frame *frame)
{
    return (int32_t)(frame->at - frame->script->source);
}

static int enter(Frame *frame)
{
    Function *function = frame->function;
    if (PyMonitoring_EnterScope(function->states, &function->version, kinds, KINDS) < 0)
        return -1;
    return PyMonitoring_FirePyStartEvent(&function->states[START], function->code, offset_of(frame));
}

static int leave(Frame *frame, int status, double value)
{
    Function *function = frame->function;
    PyObject *result = NULL;
    if (status == 0 && function->states[RETURN].active) /* the object is made only if somebody wants it */
        status = (result = PyFloat_FromDouble(value)) == NULL ? -1 : 0;
    if (status == 0)
        status = PyMonitoring_FirePyReturnEvent(&function->states[RETURN], function->code, offset_of(frame), result);
    else
        (void)PyMonitoring_FirePyUnwindEvent(&function->states[UNWIND], function->code, offset_of(frame));
    Py_XDECREF(result);
    PyMonitoring_ExitScope();
    return status;
}

/* Raises an exception of the script's, and says so. -1. */
static int fail(Frame *frame, PyObject *type, const char *what, const char *name)
{
    PyErr_Format(type, "%s:%d: %s%s", frame->script->filename, frame->line, what, name);
    (void)PyMonitoring_FireRaiseEvent(&frame->function->states[RAISE], frame->function->code, offset_of(frame));
    return -1;
}

/* ---- Words ---- */

static int next(Frame *frame)
{
    while (*frame->at == ' ' || *frame->at == '\t')
        frame->at++;
    return (unsigned char)*frame->at;
}

static int accept(Frame *frame, char wanted)
{
    if (next(frame) != wanted)
        return 0;
    frame->at++;
    return 1;
}

static int expect(Frame *frame, char wanted)
{
    char name[] = {'\'', wanted, '\'', '\0'};
    return accept(frame, wanted) ? 0 : fail(frame, PyExc_SyntaxError, "missing ", name);
}

static int is_at_end(Frame *frame)
{
    int c = next(frame);
    return c == '\0' || c == '\n' || c == '#';
}

static int read_name(Frame *frame, char *name)
{
    int length = 0;
    (void)next(frame);
    while (isalnum((unsigned char)*frame->at) || *frame->at == '_') {
        if (length == MAX_NAME)
            return fail(frame, PyExc_SyntaxError, "too long a name", "");
        name[length++] = *frame->at++;
    }
    name[length] = '\0';
    return length > 0 ? 0 : fail(frame, PyExc_SyntaxError, "a name is missing", "");
}

/* ---- Evaluation ---- */

static int expression(Frame *frame, double *value);

static Function *find_function(Script *script, const char *name)
{
    int i;
    for (i = 1; i < script->function_count; i++)
        if (strcmp(script->functions[i].name, name) == 0)
            return &script->functions[i];
    return NULL;
}

static int call(Frame *caller, Function *function, const double *arguments, double *value)
{
    Frame frame = {caller->script, function, arguments, function->text, function->line, 0};
    int status;
    status = enter(&frame);
    if (status == 0)
        status = PyMonitoring_FireLineEvent(&function->states[LINE], function->code, offset_of(&frame), frame.line);
    if (status == 0)
        status = expression(&frame, value);
    if (status == 0 && !is_at_end(&frame))
        status = fail(&frame, PyExc_SyntaxError, "not understood", "");
    return leave(&frame, status, *value);
}

/* name(arguments), from the parenthesis on */
static int call_by_name(Frame *frame, const char *name, double *value)
{
    double arguments[MAX_PARAMETERS];
    Function *function = find_function(frame->script, name);
    int count = 0;
    if (!accept(frame, ')')) {
        do {
            if (count == MAX_PARAMETERS)
                return fail(frame, PyExc_SyntaxError, "too many arguments for ", name);
            if (expression(frame, &arguments[count++]) < 0)
                return -1;
        } while (accept(frame, ','));
        if (expect(frame, ')') < 0)
            return -1;
    }
    if (frame->skipping)
        return 0;
    if (function == NULL)
        return fail(frame, PyExc_NameError, "no function ", name);
    if (count != function->parameter_count)
        return fail(frame, PyExc_TypeError, "wrong number of arguments for ", name);
    return call(frame, function, arguments, value);
}

static int variable(Frame *frame, const char *name, double *value)
{
    PyObject *found;
    int i;
    if (frame->skipping)
        return 0;
    for (i = 0; i < frame->function->parameter_count; i++) {
        if (strcmp(frame->function->parameters[i], name) == 0) {
            *value = frame->arguments[i];
            return 0;
        }
    }
    found = PyDict_GetItemString(frame->script->variables, name); /* borrowed */
    if (found == NULL)
        return fail(frame, PyExc_NameError, "no variable ", name);
    *value = PyFloat_AsDouble(found);
    return *value == -1 && PyErr_Occurred() ? fail(frame, PyExc_TypeError, "no number: ", name) : 0;
}

static int primary(Frame *frame, double *value);

static int shallow_primary(Frame *frame, double *value)
{
    char name[MAX_NAME + 1], *end;
    int c = next(frame);
    if (accept(frame, '-')) {
        if (primary(frame, value) < 0)
            return -1;
        *value = -*value;
        return 0;
    }
    if (accept(frame, '('))
        return expression(frame, value) < 0 ? -1 : expect(frame, ')');
    if (isdigit(c)) {
        *value = PyOS_string_to_double(frame->at, &end, NULL);
        frame->at = end;
        return PyErr_Occurred() ? -1 : 0;
    }
    if (read_name(frame, name) < 0)
        return -1;
    return accept(frame, '(') ? call_by_name(frame, name, value) : variable(frame, name, value);
}

static int primary(Frame *frame, double *value)
{
    int status;
    *value = 0;
    if (frame->script->depth == MAX_DEPTH)
        return fail(frame, PyExc_RecursionError, "too deep", "");
    frame->script->depth++;
    status = shallow_primary(frame, value);
    frame->script->depth--;
    return status;
}

static int product(Frame *frame, double *value)
{
    double right;
    if (primary(frame, value) < 0)
        return -1;
    for (;;) {
        if (accept(frame, '*')) {
            if (primary(frame, &right) < 0)
                return -1;
            *value *= right;
        } else if (accept(frame, '/')) {
            if (primary(frame, &right) < 0)
                return -1;
            if (right == 0 && !frame->skipping)
                return fail(frame, PyExc_ZeroDivisionError, "division by zero", "");
            *value = right != 0 ? *value / right : 0;
        } else {
            return 0;
        }
    }
}

static int sum(Frame *frame, double *value)
{
    double right;
    int minus;
    if (product(frame, value) < 0)
        return -1;
    while ((minus = accept(frame, '-')) || accept(frame, '+')) {
        if (product(frame, &right) < 0)
            return -1;
        *value += minus ? -right : right;
    }
    return 0;
}

/* Where a branch goes is known only when it is there: a branch that goes left arrives at the first alternative. */
static int fire_branch(Frame *frame, int left, int32_t from)
{
    Function *function = frame->function;
    PyMonitoringState *state = &function->states[left ? LEFT : RIGHT];
    PyObject *target;
    int status;
    if (!state->active)
        return 0;
    target = PyLong_FromLong(offset_of(frame));
    if (target == NULL)
        return -1;
    status = left ? PyMonitoring_FireBranchLeftEvent(state, function->code, from, target)
                  : PyMonitoring_FireBranchRightEvent(state, function->code, from, target);
    Py_DECREF(target);
    return status;
}

static int expression(Frame *frame, double *value)
{
    double right, yes, no;
    int is_true, skips = frame->skipping;
    int32_t from;
    if (sum(frame, value) < 0)
        return -1;
    if (accept(frame, '<')) {
        if (sum(frame, &right) < 0)
            return -1;
        *value = *value < right;
    }
    from = offset_of(frame);
    if (!accept(frame, '?'))
        return 0;
    is_true = *value != 0;
    if (is_true && !skips && fire_branch(frame, 1, from) < 0)
        return -1;
    frame->skipping = skips || !is_true;
    if (expression(frame, &yes) < 0 || expect(frame, ':') < 0)
        return -1;
    if (!is_true && !skips && fire_branch(frame, 0, from) < 0)
        return -1;
    frame->skipping = skips || is_true;
    if (expression(frame, &no) < 0)
        return -1;
    frame->skipping = skips;
    *value = is_true ? yes : no;
    return 0;
}

/* ---- Scripts ---- */

static Function *add_function(Script *script, const char *name, const char *text, int line)
{
    Function *function;
    if (script->function_count == MAX_FUNCTIONS) {
        PyErr_SetString(PyExc_MemoryError, "too many functions");
        return NULL;
    }
    function = &script->functions[script->function_count];
    memset(function, 0, sizeof *function);
    strcpy(function->name, name);
    function->text = text;
    function->line = line;
    function->code = (PyObject *)PyCode_NewEmpty(script->filename, name, line);
    if (function->code == NULL)
        return NULL;
    script->function_count++;
    return function;
}

/* name(parameters) = text, from behind the parenthesis on */
static int define_function(Frame *frame, const char *name)
{
    Function *function = add_function(frame->script, name, NULL, frame->line);
    if (function == NULL)
        return -1;
    do {
        if (function->parameter_count == MAX_PARAMETERS)
            return fail(frame, PyExc_SyntaxError, "too many parameters of ", name);
        if (read_name(frame, function->parameters[function->parameter_count++]) < 0)
            return -1;
    } while (accept(frame, ','));
    if (expect(frame, ')') < 0 || expect(frame, '=') < 0)
        return -1;
    (void)next(frame);
    function->text = frame->at;
    frame->at += strcspn(frame->at, "\n");
    return 0;
}

static int statement(Frame *frame, double *value)
{
    Function *function = frame->function;
    char name[MAX_NAME + 1];
    PyObject *object;
    int status;
    (void)next(frame);
    if (PyMonitoring_FireLineEvent(&function->states[LINE], function->code, offset_of(frame), frame->line) < 0
        || read_name(frame, name) < 0)
        return -1;
    if (accept(frame, '('))
        return define_function(frame, name);
    if (expect(frame, '=') < 0 || expression(frame, value) < 0)
        return -1;
    if (!is_at_end(frame))
        return fail(frame, PyExc_SyntaxError, "not understood", "");
    object = PyFloat_FromDouble(*value);
    if (object == NULL)
        return -1;
    status = PyDict_SetItemString(frame->script->variables, name, object);
    Py_DECREF(object);
    return status;
}

static int run_script(Script *script)
{
    Function *function = add_function(script, "<script>", script->source, 1);
    Frame frame = {script, function, NULL, script->source, 1, 0};
    double value = 0;
    int status;
    if (function == NULL)
        return -1;
    status = enter(&frame);
    while (status == 0) {
        if (!is_at_end(&frame))
            status = statement(&frame, &value);
        frame.at += status == 0 ? strcspn(frame.at, "\n") : 0;
        if (status < 0 || *frame.at == '\0')
            break;
        frame.at++;
        frame.line++;
    }
    return leave(&frame, status, value);
}

/* ---- The module ---- */

/* The text of a file, as bytes. */
static PyObject *read_file(PyObject *path)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *file = io != NULL ? PyObject_CallMethod(io, "open", "Os", path, "rb") : NULL;
    PyObject *text = file != NULL ? PyObject_CallMethod(file, "read", NULL) : NULL;
    PyObject *closed = text != NULL ? PyObject_CallMethod(file, "close", NULL) : NULL;
    Py_XDECREF(io);
    Py_XDECREF(file);
    if (closed == NULL)
        Py_CLEAR(text);
    Py_XDECREF(closed);
    return text;
}

PyDoc_STRVAR(run_doc, "run($module, path, variables={}, /)\n--\n\n"
                      "Runs a script with some variables to begin with; the variables that it leaves.");

static PyObject *run(PyObject *module, PyObject *args)
{
    PyObject *path, *given = NULL, *text, *result = NULL;
    Script *script;
    (void)module;
    if (!PyArg_ParseTuple(args, "U|O!:run", &path, &PyDict_Type, &given))
        return NULL;
    script = (Script *)PyMem_Calloc(1, sizeof *script);
    if (script == NULL)
        return PyErr_NoMemory();
    text = read_file(path);
    script->filename = PyUnicode_AsUTF8(path);
    script->variables = given != NULL ? PyDict_Copy(given) : PyDict_New();
    if (text != NULL && script->filename != NULL && script->variables != NULL
        && (script->source = PyBytes_AsString(text)) != NULL && run_script(script) == 0) {
        result = script->variables;
        Py_INCREF(result);
    }
    while (script->function_count > 0)
        Py_DECREF(script->functions[--script->function_count].code);
    Py_XDECREF(script->variables);
    Py_XDECREF(text);
    PyMem_Free(script);
    return result;
}

static PyMethodDef functions[] = {{"run", run, METH_VARARGS, run_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "calc", "A small language for calculations.", 0, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_calc(void)
{
    return PyModuleDef_Init(&definition);
}

/* stackvm.c: a machine with a stack, whose programs tools see as code.
 *
 *     Program(path)                      reads a program
 *     Program.run(functions) -> list     runs it; the stack that it leaves
 *
 * A line of a program is `LABEL: INSTRUCTION OPERAND`; label and operand may be missing, # begins a comment:
 *
 *     push NUMBER   dup   swap   drop   add   sub   mul   div   less
 *     jump LABEL    jump_if LABEL    goes there; the second one takes the top of the stack, and does so if it is true
 *     call NAME     takes the top of the stack, calls functions[NAME] with it, and puts the result there
 *     try LABEL     from here on an exception empties the stack and goes there
 *     end           from here on it leaves the program
 *
 * The events are fired by CPython's Monitoring C API, as its documentation describes it, on every CPython from 3.9 on:
 * that is what rmon_python.h is for. Tools get the Program itself as the code: a look-alike of a code object, by its
 * attributes co_name, co_filename, co_firstlineno and co_lines(). The offset of an instruction is twice its index, as in
 * Python's own code objects.
 *
 * Each line has a state of its own for its LINE event. So when a tool has disabled a line (a coverage tool does so when
 * it has seen it once), what is left of that event is a test of one byte.
 */
#include <rmon_python.h>

#include <structmember.h>

/* ---- What is reported ---- */

enum { START, JUMP, LEFT, RIGHT, CALL, C_RETURN, C_RAISE, RAISE, HANDLED, RETURN, UNWIND, LINES };

static const uint8_t kinds[LINES] = {
    PY_MONITORING_EVENT_PY_START,     PY_MONITORING_EVENT_JUMP,
    PY_MONITORING_EVENT_BRANCH_LEFT,  PY_MONITORING_EVENT_BRANCH_RIGHT,
    PY_MONITORING_EVENT_CALL,         PY_MONITORING_EVENT_C_RETURN,
    PY_MONITORING_EVENT_C_RAISE,      PY_MONITORING_EVENT_RAISE,
    PY_MONITORING_EVENT_EXCEPTION_HANDLED, PY_MONITORING_EVENT_PY_RETURN,
    PY_MONITORING_EVENT_PY_UNWIND,
}; /* from LINES on there are those of the lines */

/* ---- Programs ---- */

enum { MAX_STACK = 1000, MAX_INSTRUCTIONS = 10000 };

static const char *const names[] = {
    "push", "dup", "swap", "drop", "add", "sub", "mul", "div", "less", "jump", "jump_if", "call", "try", "end", NULL,
};
typedef enum { PUSH, DUP, SWAP, DROP, ADD, SUB, MUL, DIV, LESS, JUMP_TO, JUMP_IF, CALL_PYTHON, TRY, END } Operation;

typedef struct {
    Operation operation;
    int line, target;  /* an index: of jump, jump_if and try */
    PyObject *operand; /* a number, or a name; NULL: none */
} Instruction;

typedef struct {
    PyObject_HEAD
    PyObject *weak_references;
    PyObject *name, *filename;
    Instruction *instructions;
    int count;
    uint8_t *types; /* of the states: LINES + count */
    PyMonitoringState *states;
    uint64_t version;
} Program;

static PyObject *wrong(Program *self, int line, const char *what)
{
    return PyErr_Format(PyExc_SyntaxError, "%U:%d: %s", self->filename, line, what);
}

/* Reads a line's instruction. `labels` gets the label, if there is one. */
static int read_line(Program *self, PyObject *text, int line, PyObject *labels)
{
    PyObject *words = PyUnicode_Split(text, NULL, -1), *index = NULL, *label = NULL;
    Instruction *instruction = &self->instructions[self->count];
    Py_ssize_t at = 0, count;
    int status = -1;
    if (words == NULL)
        return -1;
    count = PyList_GET_SIZE(words);
    if (at < count) {
        PyObject *first = PyList_GET_ITEM(words, 0);
        Py_ssize_t length = PyUnicode_GetLength(first);
        if (PyUnicode_ReadChar(first, length - 1) == ':') {
            label = PyUnicode_Substring(first, 0, length - 1);
            index = PyLong_FromLong(self->count);
            if (label == NULL || index == NULL || PyDict_SetItem(labels, label, index) < 0)
                goto done;
            at++;
        }
    }
    if (at < count && PyUnicode_ReadChar(PyList_GET_ITEM(words, at), 0) != '#') {
        int operation = 0;
        PyObject *word = PyList_GET_ITEM(words, at);
        while (names[operation] != NULL && PyUnicode_CompareWithASCIIString(word, names[operation]) != 0)
            operation++;
        if (names[operation] == NULL || self->count == MAX_INSTRUCTIONS) {
            wrong(self, line, names[operation] == NULL ? "no such instruction" : "too many instructions");
            goto done;
        }
        instruction->operation = (Operation)operation;
        instruction->line = line;
        self->count++;
        at++;
        if (at < count && PyUnicode_ReadChar(PyList_GET_ITEM(words, at), 0) != '#') {
            word = PyList_GET_ITEM(words, at);
            instruction->operand = operation == PUSH ? PyNumber_Long(word) : Py_BuildValue("O", word);
            if (instruction->operand == NULL)
                goto done;
        }
    }
    status = 0;
done:
    Py_XDECREF(label);
    Py_XDECREF(index);
    Py_DECREF(words);
    return status;
}

/* Finds the targets, once all labels are known. */
static int find_targets(Program *self, PyObject *labels)
{
    int i;
    for (i = 0; i < self->count; i++) {
        Instruction *instruction = &self->instructions[i];
        Operation operation = instruction->operation;
        int is_jump = operation == JUMP_TO || operation == JUMP_IF || operation == TRY;
        if (instruction->operand == NULL && (is_jump || operation == PUSH || operation == CALL_PYTHON)) {
            wrong(self, instruction->line, "the operand is missing");
            return -1;
        }
        if (is_jump) {
            PyObject *index = PyDict_GetItemWithError(labels, instruction->operand);
            if (index == NULL) {
                if (!PyErr_Occurred())
                    wrong(self, instruction->line, "no such label");
                return -1;
            }
            instruction->target = (int)PyLong_AsLong(index);
        }
    }
    return 0;
}

static int read_program(Program *self, PyObject *lines)
{
    PyObject *labels = PyDict_New();
    Py_ssize_t i, count = PyList_GET_SIZE(lines);
    int status = labels != NULL ? 0 : -1;
    self->instructions = (Instruction *)PyMem_Calloc((size_t)count + 1, sizeof *self->instructions);
    if (self->instructions == NULL) {
        Py_XDECREF(labels);
        PyErr_NoMemory();
        return -1;
    }
    for (i = 0; i < count && status == 0; i++)
        status = read_line(self, PyList_GET_ITEM(lines, i), (int)i + 1, labels);
    if (status == 0)
        status = find_targets(self, labels);
    Py_XDECREF(labels);
    return status;
}

static int make_states(Program *self)
{
    size_t count = (size_t)LINES + (size_t)self->count;
    self->types = (uint8_t *)PyMem_Malloc(count);
    self->states = (PyMonitoringState *)PyMem_Calloc(count, sizeof *self->states); /* zeroed, as they must be */
    if (self->types == NULL || self->states == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(self->types, kinds, LINES);
    memset(self->types + LINES, PY_MONITORING_EVENT_LINE, (size_t)self->count);
    return 0;
}

/* The lines of a text file. */
static PyObject *read_lines(PyObject *path)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *file = io != NULL ? PyObject_CallMethod(io, "open", "Osis", path, "r", -1, "utf-8") : NULL;
    PyObject *text = file != NULL ? PyObject_CallMethod(file, "read", NULL) : NULL;
    PyObject *closed = text != NULL ? PyObject_CallMethod(file, "close", NULL) : NULL;
    PyObject *lines = closed != NULL ? PyUnicode_Splitlines(text, 0) : NULL;
    Py_XDECREF(io);
    Py_XDECREF(file);
    Py_XDECREF(text);
    Py_XDECREF(closed);
    return lines;
}

/* ---- Execution ---- */

typedef struct {
    Program *program;
    PyObject *functions; /* a dict */
    PyObject *stack;     /* a list */
    int at, handler;     /* indices of instructions; handler -1: none */
} Run;

/* A state, the code and the offset, which every fire begins with. */
#define WHERE(kind) &run->program->states[kind], (PyObject *)run->program, 2 * run->at

/* Raises an exception of the machine's own. NULL. */
static PyObject *fail(Run *run, PyObject *type, const char *what)
{
    Program *program = run->program;
    PyErr_Format(type, "%U:%d: %s", program->filename, program->instructions[run->at].line, what);
    (void)PyMonitoring_FireRaiseEvent(WHERE(RAISE));
    return NULL;
}

/* Takes the top of the stack. */
static PyObject *pop(Run *run)
{
    Py_ssize_t count = PyList_GET_SIZE(run->stack);
    PyObject *top;
    if (count == 0)
        return fail(run, PyExc_IndexError, "the stack is empty");
    top = PyList_GET_ITEM(run->stack, count - 1);
    Py_INCREF(top);
    if (PyList_SetSlice(run->stack, count - 1, count, NULL) < 0)
        Py_CLEAR(top);
    return top;
}

/* Puts a value, which is taken over, on the stack. NULL is an exception that has been raised. */
static int push(Run *run, PyObject *value)
{
    int status = -1;
    if (value == NULL)
        return -1;
    if (PyList_GET_SIZE(run->stack) == MAX_STACK)
        (void)fail(run, PyExc_OverflowError, "the stack is full");
    else
        status = PyList_Append(run->stack, value);
    Py_DECREF(value);
    return status;
}

static PyObject *compute(Operation operation, PyObject *left, PyObject *right)
{
    switch (operation) {
    case ADD:
        return PyNumber_Add(left, right);
    case SUB:
        return PyNumber_Subtract(left, right);
    case MUL:
        return PyNumber_Multiply(left, right);
    case DIV:
        return PyNumber_TrueDivide(left, right);
    default:
        return PyObject_RichCompare(left, right, Py_LT);
    }
}

/* The instructions that take two values. */
static int binary(Run *run, Operation operation)
{
    PyObject *right = pop(run), *left = right != NULL ? pop(run) : NULL, *value;
    if (left == NULL) {
        Py_XDECREF(right);
        return -1;
    }
    if (operation == SWAP) {
        int status = push(run, right);
        return push(run, left) < 0 ? -1 : status;
    }
    value = compute(operation, left, right);
    Py_DECREF(left);
    Py_DECREF(right);
    if (value == NULL)
        (void)PyMonitoring_FireRaiseEvent(WHERE(RAISE));
    return push(run, value);
}

static int call(Run *run, PyObject *name)
{
    PyObject *function = PyDict_GetItemWithError(run->functions, name), *argument, *value = NULL;
    if (function == NULL) {
        if (!PyErr_Occurred())
            (void)fail(run, PyExc_NameError, "no such function");
        return -1;
    }
    argument = pop(run);
    if (argument == NULL)
        return -1;
    if (PyMonitoring_FireCallEvent(WHERE(CALL), function, argument) == 0) {
        value = PyObject_CallFunctionObjArgs(function, argument, NULL);
        if (value == NULL)
            (void)PyMonitoring_FireCRaiseEvent(WHERE(C_RAISE));
        else if (PyMonitoring_FireCReturnEvent(WHERE(C_RETURN), value) < 0)
            Py_CLEAR(value);
    }
    Py_DECREF(argument);
    return push(run, value);
}

/* Goes to an instruction by a jump or a branch. */
static int go(Run *run, int kind, int target)
{
    int status = 0;
    if (run->program->states[kind].active) { /* the target's object is made only if somebody wants it */
        PyObject *offset = PyLong_FromLong(2 * target);
        if (offset == NULL)
            return -1;
        status = kind == JUMP   ? PyMonitoring_FireJumpEvent(WHERE(JUMP), offset)
                 : kind == LEFT ? PyMonitoring_FireBranchLeftEvent(WHERE(LEFT), offset)
                                : PyMonitoring_FireBranchRightEvent(WHERE(RIGHT), offset);
        Py_DECREF(offset);
    }
    run->at = target;
    return status;
}

static int branch(Run *run, int target)
{
    PyObject *top = pop(run);
    int is_true = top != NULL ? PyObject_IsTrue(top) : -1;
    Py_XDECREF(top);
    if (is_true < 0)
        return -1;
    return is_true ? go(run, LEFT, target) : go(run, RIGHT, run->at + 1);
}

/* Executes an instruction, and goes on to the next one. */
static int step(Run *run)
{
    const Instruction *instruction = &run->program->instructions[run->at];
    PyObject *top = NULL;
    int status = 0;
    if (PyMonitoring_FireLineEvent(WHERE(LINES + run->at), instruction->line) < 0)
        return -1;
    switch (instruction->operation) {
    case PUSH:
        Py_INCREF(instruction->operand);
        status = push(run, instruction->operand);
        break;
    case DUP:
        top = pop(run);
        Py_XINCREF(top);
        status = push(run, top);
        if (status == 0)
            status = push(run, top);
        else
            Py_XDECREF(top);
        break;
    case DROP:
        top = pop(run);
        status = top != NULL ? 0 : -1;
        Py_XDECREF(top);
        break;
    case JUMP_TO:
        return go(run, JUMP, instruction->target);
    case JUMP_IF:
        return branch(run, instruction->target);
    case CALL_PYTHON:
        status = call(run, instruction->operand);
        break;
    case TRY:
        run->handler = instruction->target;
        break;
    case END:
        run->handler = -1;
        break;
    default:
        status = binary(run, instruction->operation);
    }
    if (status == 0)
        run->at++;
    return status;
}

/* An exception is set: goes to its handler, if there is one. */
static int handle(Run *run)
{
    if (run->handler < 0)
        return -1;
    run->at = run->handler;
    run->handler = -1;
    if (PyMonitoring_FireExceptionHandledEvent(WHERE(HANDLED)) < 0)
        return -1;
    PyErr_Clear();
    return PyList_SetSlice(run->stack, 0, PyList_GET_SIZE(run->stack), NULL);
}

PyDoc_STRVAR(run_doc, "run($self, functions={}, /)\n--\n\n"
                      "Runs the program with some functions to call; the stack that it leaves.");

static PyObject *program_run(PyObject *self, PyObject *args)
{
    Program *program = (Program *)self;
    Run frame = {program, NULL, NULL, 0, -1}, *run = &frame;
    PyObject *own = NULL;
    int status;
    if (!PyArg_ParseTuple(args, "|O!:run", &PyDict_Type, &frame.functions))
        return NULL;
    if (frame.functions == NULL && (frame.functions = own = PyDict_New()) == NULL)
        return NULL;
    frame.stack = PyList_New(0);
    if (frame.stack == NULL || PyMonitoring_EnterScope(program->states, &program->version, program->types,
                                                       LINES + program->count) < 0) {
        Py_XDECREF(own);
        Py_XDECREF(frame.stack);
        return NULL;
    }
    status = PyMonitoring_FirePyStartEvent(WHERE(START));
    while (status == 0 && run->at < program->count) {
        status = PyErr_CheckSignals(); /* an endless program can be interrupted */
        if (status == 0)
            status = step(run);
        if (status < 0)
            status = handle(run);
    }
    if (status == 0)
        status = PyMonitoring_FirePyReturnEvent(WHERE(RETURN), frame.stack);
    else
        (void)PyMonitoring_FirePyUnwindEvent(WHERE(UNWIND));
    PyMonitoring_ExitScope();
    Py_XDECREF(own);
    if (status < 0)
        Py_CLEAR(frame.stack);
    return frame.stack;
}

/* ---- The type, whose objects are codes ---- */

PyDoc_STRVAR(program_doc, "Program(path, /)\n--\n\nA program of the stack machine.");

static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *path, *lines;
    Program *self;
    int status;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "U:Program", &path))
        return NULL;
    lines = read_lines(path);
    if (lines == NULL)
        return NULL;
    self = (Program *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(lines);
        return NULL;
    }
    Py_INCREF(path);
    self->filename = path;
    self->name = PyUnicode_FromString("<program>");
    status = self->name != NULL ? read_program(self, lines) : -1;
    if (status == 0)
        status = make_states(self);
    Py_DECREF(lines);
    if (status < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void program_dealloc(PyObject *object)
{
    Program *self = (Program *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    while (self->count > 0)
        Py_XDECREF(self->instructions[--self->count].operand);
    PyMem_Free(self->instructions);
    PyMem_Free(self->types);
    PyMem_Free(self->states);
    Py_XDECREF(self->name);
    Py_XDECREF(self->filename);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(lines_doc, "co_lines($self, /)\n--\n\nThe lines as tuples: offset, offset of the next one, line.");

static PyObject *program_lines(PyObject *object, PyObject *unused)
{
    Program *self = (Program *)object;
    PyObject *lines = PyList_New(0), *iterator;
    int i, status = 0;
    (void)unused;
    for (i = 0; lines != NULL && i < self->count && status == 0; i++) {
        PyObject *line = Py_BuildValue("iii", 2 * i, 2 * i + 2, self->instructions[i].line);
        status = line != NULL ? PyList_Append(lines, line) : -1;
        Py_XDECREF(line);
    }
    iterator = lines != NULL && status == 0 ? PyObject_GetIter(lines) : NULL;
    Py_XDECREF(lines);
    return iterator;
}

static PyObject *program_first_line(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(1);
}

static PyMethodDef program_methods[] = {
    {"run", program_run, METH_VARARGS, run_doc},
    {"co_lines", program_lines, METH_NOARGS, lines_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef program_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Program, weak_references), READONLY, NULL},
    {"co_name", T_OBJECT, offsetof(Program, name), READONLY, NULL},
    {"co_qualname", T_OBJECT, offsetof(Program, name), READONLY, NULL},
    {"co_filename", T_OBJECT, offsetof(Program, filename), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef program_attributes[] = {
    {"co_firstlineno", program_first_line, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_doc, (void *)program_doc},
    {Py_tp_new, (void *)program_new},
    {Py_tp_dealloc, (void *)program_dealloc},
    {Py_tp_methods, program_methods},
    {Py_tp_members, program_members},
    {Py_tp_getset, program_attributes},
    {0, NULL},
};

static PyType_Spec program_spec = {"stackvm.Program", sizeof(Program), 0, Py_TPFLAGS_DEFAULT, program_slots};

static int execute(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&program_spec);
    int status = type != NULL ? PyObject_SetAttrString(module, "Program", type) : -1;
    Py_XDECREF(type);
    return status;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "stackvm", "A machine with a stack.", 0, NULL, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_stackvm(void)
{
    return PyModuleDef_Init(&definition);
}

/* logo.c: a turtle that draws, whose programs tools see as code.
 *
 *     draw(path) -> list    runs a program; its strokes, each a tuple of four numbers: from x, y to x, y
 *
 * A program has a command in each line; # begins a comment:
 *
 *     forward N   back N   left N   right N      moves, and turns by degrees
 *     up   down                                  lifts the pen, and puts it down again
 *     repeat N ... end                           does what is between N times
 *     to NAME ... end                            defines a procedure
 *     NAME                                       calls it
 *
 * The events are fired by CPython's Monitoring C API, as its documentation describes it, on every CPython from 3.9 on:
 * that is what rmon_python.h is for. Each procedure, and the program itself, has a code object and a scope, with a
 * state for each kind of event.
 */
#include <rmon_python.h>

#include <math.h>

enum { MAX_LINES = 1000, MAX_PROCEDURES = 64, MAX_TEXT = 200, MAX_NAME = 31, MAX_DEPTH = 100 };

/* ---- What is reported ---- */

enum { START, LINE, JUMP, RAISE, RETURN, UNWIND, KINDS };

static const uint8_t kinds[KINDS] = {
    PY_MONITORING_EVENT_PY_START, PY_MONITORING_EVENT_LINE,      PY_MONITORING_EVENT_JUMP,
    PY_MONITORING_EVENT_RAISE,    PY_MONITORING_EVENT_PY_RETURN, PY_MONITORING_EVENT_PY_UNWIND,
};

typedef struct {
    char name[MAX_NAME + 1];
    int first, end; /* lines: of what is executed, and of its `end` */
    PyObject *code;
    PyMonitoringState states[KINDS];
    uint64_t version;
} Procedure;

/* ---- Programs ---- */

typedef enum { NOTHING, FORWARD, BACK, LEFT, RIGHT, UP, DOWN, REPEAT, TO, END, NAME, COMMANDS } Command;

static const char *const words[COMMANDS] = {
    "", "forward", "back", "left", "right", "up", "down", "repeat", "to", "end", NULL,
};

typedef struct {
    Command command;
    char name[MAX_NAME + 1]; /* of to, and of a call */
    double number;
    int end; /* of repeat and to: the line of its `end`, all counted from 0 */
} Line;

typedef struct {
    const char *path;
    Line lines[MAX_LINES];
    int line_count;
    Procedure procedures[MAX_PROCEDURES]; /* the program itself is the first */
    int procedure_count, depth;
    PyObject *strokes;
    double x, y, heading;
    int pen_is_up;
} Program;

static int wrong(Program *program, PyObject *type, int line, const char *what)
{
    PyErr_Format(type, "%s:%d: %s", program->path, line + 1, what);
    return -1;
}

/* Reads a line of some length, which may end in a comment. */
static int read_line(Program *program, const char *start, size_t length)
{
    int at = program->line_count, command = NOTHING, count;
    Line *line = &program->lines[at];
    char text[MAX_TEXT + 1] = "", word[MAX_NAME + 1], operand[MAX_NAME + 1] = "", rest[2], *number_end;
    if (length > MAX_TEXT)
        return wrong(program, PyExc_SyntaxError, at, "too long a line");
    memcpy(text, start, length);
    count = sscanf(text, "%31s %31s %1s", word, operand, rest);
    if (count < 1 || word[0] == '#') {
        count = 0;
    } else {
        for (command = FORWARD; command < NAME && strcmp(word, words[command]) != 0;)
            command++;
        if (operand[0] == '#')
            count = 1;
        else if (count == 3 && rest[0] == '#')
            count = 2;
    }
    line->command = (Command)command;
    strcpy(line->name, command == NAME ? word : operand);
    if (command == FORWARD || command == BACK || command == LEFT || command == RIGHT || command == REPEAT) {
        line->number = PyOS_string_to_double(operand, &number_end, NULL);
        if (PyErr_Occurred() || *number_end != '\0' || count != 2)
            return wrong(program, PyExc_SyntaxError, at, "a number is expected");
    } else if (count != (command == NOTHING ? 0 : command == TO ? 2 : 1)) {
        return wrong(program, PyExc_SyntaxError, at, "not understood");
    }
    program->line_count++;
    return 0;
}

static int read_lines(Program *program, const char *text)
{
    size_t length;
    for (;;) {
        if (program->line_count == MAX_LINES)
            return wrong(program, PyExc_MemoryError, MAX_LINES, "too many lines");
        length = strcspn(text, "\n");
        if (read_line(program, text, length) < 0)
            return -1;
        if (text[length] == '\0')
            return 0;
        text += length + 1;
    }
}

static int add_procedure(Program *program, const char *name, int first, int end, int line)
{
    Procedure *procedure = &program->procedures[program->procedure_count];
    if (program->procedure_count == MAX_PROCEDURES)
        return wrong(program, PyExc_MemoryError, line, "too many procedures");
    memset(procedure, 0, sizeof *procedure); /* the states, too, must be zeroed */
    strcpy(procedure->name, name);
    procedure->first = first;
    procedure->end = end;
    procedure->code = (PyObject *)PyCode_NewEmpty(program->path, name, line + 1);
    if (procedure->code == NULL)
        return -1;
    program->procedure_count++;
    return 0;
}

/* Finds what belongs to each `end`. */
static int find_ends(Program *program)
{
    int open[MAX_LINES], count = 0, i;
    for (i = 0; i < program->line_count; i++) {
        Line *line = &program->lines[i];
        if (line->command == TO && count > 0)
            return wrong(program, PyExc_SyntaxError, i, "a procedure within something else");
        if (line->command == TO || line->command == REPEAT)
            open[count++] = i;
        if (line->command != END)
            continue;
        if (count == 0)
            return wrong(program, PyExc_SyntaxError, i, "an end of nothing");
        line = &program->lines[open[--count]];
        line->end = i;
        if (line->command == TO && add_procedure(program, line->name, open[count] + 1, i, open[count]) < 0)
            return -1;
    }
    return count == 0 ? 0 : wrong(program, PyExc_SyntaxError, open[count - 1], "the end is missing");
}

/* ---- Execution ---- */

/* A state, the code and the offset, which every fire begins with. The offset is twice the line's index. */
#define WHERE(kind, line) &procedure->states[kind], procedure->code, 2 * (line)

/* Raises an exception of the program's own. -1. */
static int fail(Program *program, Procedure *procedure, PyObject *type, int line, const char *what)
{
    (void)wrong(program, type, line, what);
    (void)PyMonitoring_FireRaiseEvent(WHERE(RAISE, line));
    return -1;
}

static int move(Program *program, double distance)
{
    const double degree = 3.14159265358979323846 / 180;
    double x = program->x + distance * sin(program->heading * degree);
    double y = program->y + distance * cos(program->heading * degree);
    PyObject *stroke;
    int status = 0;
    if (!program->pen_is_up) {
        stroke = Py_BuildValue("dddd", program->x, program->y, x, y);
        status = stroke != NULL ? PyList_Append(program->strokes, stroke) : -1;
        Py_XDECREF(stroke);
    }
    program->x = x;
    program->y = y;
    return status;
}

static int call(Program *program, Procedure *procedure);

static Procedure *find_procedure(Program *program, const char *name)
{
    int i;
    for (i = 1; i < program->procedure_count; i++)
        if (strcmp(program->procedures[i].name, name) == 0)
            return &program->procedures[i];
    return NULL;
}

/* Executes the lines from `at` to before `end`. */
static int run(Program *program, Procedure *procedure, int at, int end)
{
    int status = 0;
    for (; at < end && status == 0; at++) {
        const Line *line = &program->lines[at];
        Procedure *called;
        double i;
        if (line->command == NOTHING)
            continue;
        status = PyErr_CheckSignals(); /* a long program can be interrupted */
        if (status == 0)
            status = PyMonitoring_FireLineEvent(WHERE(LINE, at), at + 1);
        if (status < 0)
            break;
        switch (line->command) {
        case FORWARD:
        case BACK:
            status = move(program, line->command == FORWARD ? line->number : -line->number);
            break;
        case LEFT:
        case RIGHT:
            program->heading += line->command == RIGHT ? line->number : -line->number;
            break;
        case UP:
        case DOWN:
            program->pen_is_up = line->command == UP;
            break;
        case REPEAT:
            for (i = 1; i <= line->number && status == 0; i++) {
                status = run(program, procedure, at + 1, line->end);
                if (status == 0 && i < line->number && procedure->states[JUMP].active) { /* once more */
                    PyObject *target = PyLong_FromLong(2 * (at + 1));
                    status = target != NULL ? PyMonitoring_FireJumpEvent(WHERE(JUMP, line->end), target) : -1;
                    Py_XDECREF(target);
                }
            }
            at = line->end;
            break;
        case TO:
            at = line->end;
            break;
        default:
            called = find_procedure(program, line->name);
            if (called == NULL)
                status = fail(program, procedure, PyExc_NameError, at, "no such procedure");
            else if (program->depth == MAX_DEPTH)
                status = fail(program, procedure, PyExc_RecursionError, at, "too deep");
            else
                status = call(program, called);
        }
    }
    return status;
}

static int call(Program *program, Procedure *procedure)
{
    int status = PyMonitoring_EnterScope(procedure->states, &procedure->version, kinds, KINDS);
    if (status < 0)
        return -1;
    program->depth++;
    status = PyMonitoring_FirePyStartEvent(WHERE(START, procedure->first));
    if (status == 0)
        status = run(program, procedure, procedure->first, procedure->end);
    if (status == 0)
        status = PyMonitoring_FirePyReturnEvent(WHERE(RETURN, procedure->end), Py_None);
    else
        (void)PyMonitoring_FirePyUnwindEvent(WHERE(UNWIND, procedure->end));
    PyMonitoring_ExitScope();
    program->depth--;
    return status;
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

PyDoc_STRVAR(draw_doc, "draw($module, path, /)\n--\n\n"
                       "Runs a program; its strokes, each a tuple of four numbers: from x, y to x, y.");

static PyObject *draw(PyObject *module, PyObject *path)
{
    PyObject *text, *strokes = NULL;
    Program *program;
    (void)module;
    if (!PyUnicode_Check(path)) {
        PyErr_SetString(PyExc_TypeError, "path must be a str");
        return NULL;
    }
    program = (Program *)PyMem_Calloc(1, sizeof *program);
    if (program == NULL)
        return PyErr_NoMemory();
    text = read_file(path);
    program->path = PyUnicode_AsUTF8(path);
    program->strokes = PyList_New(0);
    if (text != NULL && program->path != NULL && program->strokes != NULL
        && add_procedure(program, "<program>", 0, 0, 0) == 0 && read_lines(program, PyBytes_AsString(text)) == 0
        && find_ends(program) == 0) {
        program->procedures[0].end = program->line_count;
        if (call(program, &program->procedures[0]) == 0) {
            strokes = program->strokes;
            Py_INCREF(strokes);
        }
    }
    while (program->procedure_count > 0)
        Py_DECREF(program->procedures[--program->procedure_count].code);
    Py_XDECREF(program->strokes);
    Py_XDECREF(text);
    PyMem_Free(program);
    return strokes;
}

static PyMethodDef functions[] = {{"draw", draw, METH_O, draw_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "logo", "A turtle that draws.", 0, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_logo(void)
{
    return PyModuleDef_Init(&definition);
}
